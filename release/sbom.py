"""What a gateway is made of, as a CycloneDX 1.6 document: `python -m release.sbom`.

From the lock file: names, versions, the SHA-256 of every file that a download may be. Licences and
who needs whom come from the packages as installed here. The same lock makes the same document.
"""

import argparse
import json
import re
import sys
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path
from uuid import NAMESPACE_URL, uuid5

from release.deb import EXTRAS, NAME, ROOT, own_version
from release.lock import Pin, read

Json = dict[str, object]


def document(lock: Path) -> Json:
    """Raises ValueError, as `release.lock.read`."""
    pins = [pin for pin in read(lock) if pin.on_linux]
    us = f"pkg:pypi/{NAME}@{own_version()}"
    known = {pin.name: purl(pin) for pin in pins}
    parts = [_component(pin) for pin in pins]
    needs = [{"ref": purl(pin), "dependsOn": _needs(pin.name, known)} for pin in pins]
    needs.insert(0, {"ref": us, "dependsOn": _needs(NAME, known, EXTRAS.split(","))})
    return {
        "bomFormat": "CycloneDX", "specVersion": "1.6", "version": 1,
        "serialNumber": f"urn:uuid:{uuid5(NAMESPACE_URL, us + lock.read_text('utf-8'))}",
        "metadata": {
            "component": {"type": "application", "bom-ref": us, "name": NAME, "version": own_version(),
                          "purl": us, "licenses": [{"expression": "Apache-2.0"}]},
        },
        "components": parts, "dependencies": needs,
    }  # fmt: skip


def purl(pin: Pin) -> str:
    """Package URL; an epoch's `!` is escaped."""
    return f"pkg:pypi/{pin.name}@{pin.version.replace('!', '%21')}"


def _component(pin: Pin) -> Json:
    part: Json = {
        "type": "library", "bom-ref": purl(pin), "name": pin.name, "version": pin.version, "purl": purl(pin),
        "properties": [{"name": f"{NAME}:file:sha256", "value": value} for value in pin.hashes],
    }  # fmt: skip
    licences = _licences(pin)
    return part | {"licenses": licences} if licences else part


def _licences(pin: Pin) -> list[Json]:
    """As the package declares it (PEP 639), else its classifiers, else its own words."""
    found = _installed(pin.name)
    if found is None:
        return []
    told = found.metadata
    for expression in told.get_all("License-Expression", []):
        return [{"expression": expression}]
    classes = [c for c in told.get_all("Classifier", []) if c.startswith("License ::")]
    named = [c.rpartition(" :: ")[2] for c in classes] or told.get_all("License", [])
    return [{"license": {"name": name.splitlines()[0]}} for name in named]


def _needs(name: str, known: dict[str, str], extras: list[str] | None = None) -> list[str]:
    found = _installed(name)
    needed = set()
    for line in (found.requires or ()) if found else ():
        extra = re.search(r"extra\s*==\s*['\"]([^'\"]+)", line)
        if extra is None or extra[1] in (extras or ()):
            match = re.match(r"[A-Za-z0-9._-]+", line)
            needed.add(re.sub(r"[-_.]+", "-", match[0]).lower() if match else "")
    return sorted(known[one] for one in needed if one in known)


def _installed(name: str) -> Distribution | None:
    try:
        return distribution(name)
    except PackageNotFoundError:
        return None


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m release.sbom", description=__doc__)
    parser.add_argument("--output", type=Path, default=ROOT / "dist/sbom.cdx.json")
    options = parser.parse_args()
    told = document(ROOT / "requirements.lock")
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(json.dumps(told, indent=1) + "\n", "utf-8")
    print(f"{options.output}: {len(told['components'])} packages")  # type: ignore[arg-type]  # a list
    return 0


if __name__ == "__main__":
    sys.exit(main())

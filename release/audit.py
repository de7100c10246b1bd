"""Asks whether a flaw of a locked package is known: `python -m release.audit`.

The source is OSV (https://google.github.io/osv.dev/post-v1-querybatch/), which holds PyPI's and
GitHub's advisories. Own lines instead of pip-audit: that brings 30 packages for one request.
Exit code 0 none known, 1 some are, 2 nobody could be asked.
"""

import argparse
import json
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path

from release.deb import ROOT
from release.lock import Pin, read

SOURCE = "https://api.osv.dev"
LOCKS = ("requirements.lock", "requirements-dev.lock")
ASK_S = 30.0
CLEAN, FLAWED, UNKNOWN = 0, 1, 2


class UnreachableError(Exception):
    """Nobody could be asked, or the answer makes no sense; says why."""


def flaws(pins: Sequence[Pin], source: str) -> Iterator[tuple[Pin, list[str]]]:
    """(package, identifiers of its known flaws), those that have any. Raises UnreachableError."""
    asked = [{"package": {"ecosystem": "PyPI", "name": p.name}, "version": p.version} for p in pins]
    request = urllib.request.Request(  # noqa: S310 -- the scheme is checked by `main`
        f"{source}/v1/querybatch", json.dumps({"queries": asked}).encode(),
        {"Content-Type": "application/json"},
    )  # fmt: skip
    try:
        with urllib.request.urlopen(request, timeout=ASK_S) as answer:  # noqa: S310 -- as above
            results = json.load(answer)["results"]
        for pin, result in zip(pins, results, strict=True):
            found = sorted(flaw["id"] for flaw in result.get("vulns", ()))
            if found:
                yield pin, found
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UnreachableError(f"{source}: {error}") from error


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m release.audit", description=__doc__)
    parser.add_argument("--source", default=SOURCE, help=f"default: {SOURCE}")
    parser.add_argument("locks", nargs="*", type=Path, default=[ROOT / name for name in LOCKS])
    options = parser.parse_args(arguments)
    if not options.source.startswith(("https://", "http://127.0.0.1:")):
        parser.error("the source is asked over https")
    pins = sorted({pin for lock in options.locks for pin in read(lock)})
    try:
        found = list(flaws(pins, options.source))
    except UnreachableError as error:
        print(f"not audited, no advisory source can be reached: {error}", file=sys.stderr)
        return UNKNOWN
    for pin, names in found:
        links = ", ".join(f"https://osv.dev/vulnerability/{name}" for name in names)
        print(f"{pin.name} {pin.version}: {links}")
    print(f"{len(pins)} packages, {len(found)} with known flaws")
    return FLAWED if found else CLEAN


if __name__ == "__main__":
    sys.exit(main())

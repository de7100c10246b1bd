"""Builds the Debian package of one architecture: `python -m release.deb --arch arm64`.

It holds the hash-locked wheels for every Python of `release.wheels`; installing needs no network.
The same commit and the same lock make the same file, byte for byte.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterable
from hashlib import sha256
from pathlib import Path

from release.lock import Pin, read
from release.wheels import MACHINES, WheelsMissingError, fetch

ROOT = Path(__file__).resolve().parent.parent
FILES = Path(__file__).resolve().parent / "files"
NAME = "community-gateway"
EXTRAS = "ble,demo,influx"  # as `make lock` resolves them
HOME = Path("usr/lib", NAME)
UNITS = Path("usr/lib/systemd/system")
CONTROL = """\
Package: {name}
Version: {version}
Architecture: {architecture}
Maintainer: Community Gateway <gateway@localhost>
Installed-Size: {size_kb}
Section: net
Priority: optional
Depends: python3 (>= 3.11), python3 (<< 3.14), python3-venv, adduser, init-system-helpers, libc6 (>= 2.28)
Recommends: mosquitto, bluez, systemd-timesyncd | chrony | ntpsec
Description: the box in the basement of a residential compound
 Reads meters, alarms and lights, decides locally, keeps what it saw through power cuts
 and forwards it to the community platform.
"""


def build(architecture: str, output: Path, *, version: str | None = None) -> Path:
    """Returns the package's path in `output`. Raises WheelsMissingError.

    `version` stands in for that of pyproject.toml, to rehearse an upgrade.
    """
    wheels = fetch(ROOT / "requirements.lock", architecture)
    version = version or own_version()
    output.mkdir(parents=True, exist_ok=True)
    package = output / f"{NAME}_{version}_{architecture}.deb"
    with tempfile.TemporaryDirectory(prefix="deb-") as scratch:
        tree = Path(scratch, "tree")
        _fill(tree, wheels, _own_wheel(Path(scratch), version), version)
        _control(tree, architecture, version)
        _date(tree, _epoch())
        # Wheels are compressed already: packing them again costs a Raspberry Pi a minute.
        subprocess.run(
            ["dpkg-deb", "--root-owner-group", "-Znone", "--build", str(tree), str(package)],
            check=True, stdout=subprocess.DEVNULL, env={**os.environ, "SOURCE_DATE_EPOCH": str(_epoch())},
        )  # fmt: skip
    return package


def own_version() -> str:
    with (ROOT / "pyproject.toml").open("rb") as file:
        return str(tomllib.load(file)["project"]["version"])


def _epoch() -> int:
    """When the commit was made: the date of every file in the package."""
    given = os.environ.get("SOURCE_DATE_EPOCH")
    if given:
        return int(given)
    asked = ["git", "-C", str(ROOT), "log", "-1", "--format=%ct"]
    return int(subprocess.run(asked, capture_output=True, text=True, check=True).stdout)


def _own_wheel(scratch: Path, version: str) -> Path:
    """The gateway's own wheel, built without network from a copy of what git knows."""
    source = scratch / "source"
    asked = ["git", "-C", str(ROOT), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(asked, capture_output=True, check=True).stdout.decode().split("\0")
    for name in filter(None, listed):
        if (ROOT / name).is_file():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, source / name)
    project = source / "pyproject.toml"
    text = project.read_text(encoding="utf-8")
    project.write_text(
        text.replace(f'version = "{own_version()}"', f'version = "{version}"'), "utf-8"
    )
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "--quiet", "--disable-pip-version-check", "--no-build-isolation",
         "--no-deps", "--no-index", f"--wheel-dir={scratch}", str(source)],
        check=True, env={**os.environ, "SOURCE_DATE_EPOCH": str(_epoch())},
    )  # fmt: skip
    return next(scratch.glob("community_gateway-*.whl"))


def _fill(tree: Path, wheels: Iterable[Path], own: Path, version: str) -> None:
    home = tree / HOME
    (home / "wheels").mkdir(parents=True)
    for wheel in (*wheels, own):
        shutil.copy(wheel, home / "wheels")
    pins = [pin for pin in read(ROOT / "requirements.lock") if pin.on_linux]
    us = Pin(f"{NAME}[{EXTRAS}]", version, "", (sha256(own.read_bytes()).hexdigest(),))
    (home / "release.lock").write_text("".join(pin.text() for pin in (*pins, us)), "utf-8")
    (home / "version").write_text(version + "\n", "utf-8")
    _put(FILES.parent / "target.py", tree / "usr/sbin/gateway-release", 0o755)
    for unit in ("community-gateway.service", "community-gateway-trial.service"):
        _put(FILES / "systemd" / unit, tree / UNITS / unit)
    for name in ("mosquitto", "bluetooth"):
        drop_in = tree / UNITS / f"{name}.service.d" / f"{NAME}.conf"
        _put(FILES / "systemd" / f"{name}.conf", drop_in)
    (tree / "usr/bin").mkdir(parents=True)
    (tree / "usr/bin/gateway").symlink_to(f"/opt/{NAME}/current/bin/gateway")
    _put(ROOT / "LICENSE", tree / "usr/share/doc" / NAME / "copyright")
    _put(ROOT / "docs/install.md", tree / "usr/share/doc" / NAME / "install.md")


def _put(source: Path, target: Path, mode: int = 0o644) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)
    target.chmod(mode)


def _control(tree: Path, architecture: str, version: str) -> None:
    size = sum(path.stat().st_size for path in tree.rglob("*") if path.is_file()) // 1024
    folder = tree / "DEBIAN"
    for name in ("postinst", "prerm", "postrm"):
        _put(FILES / "debian" / name, folder / name, 0o755)
    text = CONTROL.format(name=NAME, version=version, architecture=architecture, size_kb=size)
    (folder / "control").write_text(text, "utf-8")


def _date(tree: Path, epoch: int) -> None:
    """Modes and dates that do not depend on who builds, and when."""
    for path in (tree, *tree.rglob("*")):
        os.utime(path, (epoch, epoch), follow_symlinks=False)
        if path.is_dir() and not path.is_symlink():
            path.chmod(0o755)
        elif not path.is_symlink():
            path.chmod(0o755 if path.stat().st_mode & 0o100 else 0o644)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m release.deb", description=__doc__)
    parser.add_argument("--arch", choices=MACHINES, action="append", help="default: all")
    parser.add_argument("--output", type=Path, default=ROOT / "dist")
    options = parser.parse_args()
    try:
        for architecture in options.arch or MACHINES:
            package = build(architecture, options.output)
            print(f"{package}: {package.stat().st_size / 1e6:.0f} MB")
    except (WheelsMissingError, ValueError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""What the virtual machine is made of, unpacked below build/ble-real, nothing installed."""

import platform
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path("build/ble-real")
# bumble is the virtual radio; without its dependencies, of which the parts used need pyee alone.
RADIO = ("bumble==0.0.236", "pyee==13.0.1")
KERNEL = "linux-image-amd64"  # the cloud kernel has no hci_vhci


class MissingError(Exception):
    """Why this tier cannot run here."""


@dataclass(frozen=True, slots=True)
class Parts:
    folder: Path  # absolute
    emulator: str

    @property
    def kernel(self) -> Path:
        return self.folder / "kernel"

    @property
    def image(self) -> Path:
        return next((self.kernel / "boot").glob("vmlinuz-*"))

    @property
    def busybox(self) -> Path:
        return self.folder / "busybox" / "bin" / "busybox"


def fetch() -> Parts:
    """Every part, from the package sources of this machine. Raises MissingError."""
    emulator = shutil.which("qemu-system-x86_64")
    if emulator is None:
        raise MissingError(
            "no qemu-system-x86_64. Install it with: sudo apt-get install qemu-system-x86"
        )
    for program in ("apt-get", "dpkg-deb", "dbus-daemon"):
        if shutil.which(program) is None:
            raise MissingError(f"no {program}: the parts are Debian packages, the guest runs them")
    if platform.machine() != "x86_64":
        raise MissingError(f"this machine is {platform.machine()}, the guest would be x86_64")
    folder = FOLDER.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    for name, package in (
        ("kernel", _real(KERNEL)),
        ("bluez", "bluez"),
        ("busybox", "busybox-static"),
    ):
        if not (folder / name).exists():
            _unpack(package, folder, name)
    if not (folder / "site" / "bumble").exists():
        _run([sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target",
              str(folder / "site"), *RADIO], folder)  # fmt: skip
    return Parts(folder, emulator)


def _real(package: str) -> str:
    """The kernel that a package without content stands for."""
    shown = subprocess.run(
        ["apt-cache", "depends", package], capture_output=True, text=True, check=False
    )
    names = [
        line.split()[-1] for line in shown.stdout.splitlines() if "Depends: linux-image-" in line
    ]
    if not names:
        raise MissingError(f"no package {package} here")
    return names[0]


def _unpack(package: str, folder: Path, name: str) -> None:
    for old in folder.glob("*.deb"):
        old.unlink()
    _run(["apt-get", "download", "-q", package], folder)
    target = folder / f"{name}.new"
    shutil.rmtree(target, ignore_errors=True)
    (archive,) = folder.glob("*.deb")
    _run(["dpkg-deb", "-x", str(archive), str(target)], folder)
    archive.unlink()
    target.rename(folder / name)


def _run(command: list[str], folder: Path) -> None:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        raise MissingError(f"`{' '.join(command)}` failed: {done.stderr.strip().splitlines()[-1:]}")

"""Clean Debian roots to install the package in: made once by debootstrap, each test gets a layer on top."""

import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from release.deb import build
from release.wheels import WheelsMissingError, cache

MIRROR = "http://deb.debian.org/debian"
PACKAGES = "python3,python3-venv,systemd,systemd-sysv,dbus"
# Loopback and pseudo-terminals, which a compound of simulated devices needs.
INSIDE = 'ip link set lo up; mount --bind /dev/pts "$1/dev/pts"; exec chroot "$@"'
SUITES = {"bookworm": "3.11", "trixie": "3.13"}  # and their Python


class Root:
    """A Debian system in a folder. What runs in it sees no network and no process outside."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def run(
        self, *command: str, check: bool = True, within_s: float = 60.0
    ) -> subprocess.CompletedProcess[str]:
        """`check`: a failure shows what was printed."""
        asked = self.command(*command)
        done = subprocess.run(asked, capture_output=True, text=True, timeout=within_s, check=False)
        said = f"{command}: {done.returncode}\n{done.stdout}{done.stderr}"
        assert not check or done.returncode == 0, said
        return done

    def command(self, *command: str) -> Sequence[str]:
        """As it is started from outside; it dies with its starter."""
        return ("unshare", "--net", "--pid", "--fork", "--kill-child", f"--mount-proc={self.path}/proc",
                "sh", "-c", INSIDE, "sh", str(self.path), *command)  # fmt: skip

    def put(self, file: Path) -> str:
        """Copy a file in; returns its path inside."""
        shutil.copy(file, self.path / "root")
        return f"/root/{file.name}"


def base(suite: str, architecture: str = "amd64") -> Path:
    """The root as debootstrap makes it, from the cache if it was made before. Skips where it cannot be."""
    folder = cache() / "roots" / f"{suite}-{architecture}"
    if architecture != "amd64":
        _emulate()
    if not folder.exists():
        if shutil.which("debootstrap") is None:
            pytest.skip("debootstrap is not installed")
        # Under another name until it is whole: who is killed here leaves no half root.
        fresh = folder.with_name(f".{folder.name}-{os.getpid()}")
        folder.parent.mkdir(parents=True, exist_ok=True)
        asked = ["debootstrap", f"--arch={architecture}", "--variant=minbase", f"--include={PACKAGES}", suite, str(fresh), MIRROR]  # fmt: skip
        done = subprocess.run(asked, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            shutil.rmtree(fresh, ignore_errors=True)
            pytest.skip(f"debootstrap: {(done.stdout + done.stderr).strip().splitlines()[-1]}")
        fresh.rename(folder)
    return folder


def _emulate() -> None:
    """Programs for arm64 run in qemu-user, if the kernel knows. Skips where it cannot be told."""
    known = Path("/proc/sys/fs/binfmt_misc")
    if not (known / "qemu-aarch64").exists():
        for asked in (
            ["mount", "-t", "binfmt_misc", "binfmt_misc", str(known)],
            ["update-binfmts", "--enable", "qemu-aarch64"],
        ):
            with suppress(FileNotFoundError):
                subprocess.run(asked, capture_output=True, check=False)
    if not (known / "qemu-aarch64").exists():
        pytest.skip("no emulation of arm64: apt install qemu-user-static binfmt-support")


@contextmanager
def root(below: Path, scratch: Path) -> Iterator[Root]:
    """A throw-away layer over the root `below`."""
    if os.geteuid() != 0:
        pytest.skip("installing a package needs root")
    parts = {name: scratch / name for name in ("upper", "work", "root")}
    for part in parts.values():
        part.mkdir()
    layers = f"lowerdir={below},upperdir={parts['upper']},workdir={parts['work']}"
    asked = ["mount", "-t", "overlay", "overlay", "-o", layers, str(parts["root"])]
    done = subprocess.run(asked, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.skip(f"no overlay: {done.stderr.strip()}")
    try:
        yield Root(parts["root"])
    finally:
        subprocess.run(["umount", str(parts["root"])], check=True)
        for name in ("upper", "work"):
            shutil.rmtree(parts[name])


def package(folder: Path, architecture: str = "amd64", version: str | None = None) -> Path:
    """The package as built now. Skips where its wheels cannot be fetched."""
    try:
        return build(architecture, folder, version=version)
    except WheelsMissingError as error:
        pytest.skip(str(error))

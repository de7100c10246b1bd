"""Fetches the wheels of the lock for one architecture and several Pythons, each checked by its hash."""

import os
import shutil
import subprocess
import sys
import tempfile
from hashlib import sha256
from pathlib import Path

from release.lock import Pin, read

PYTHONS = ("3.11", "3.13")  # Debian 12 Bookworm, Debian 13 Trixie
MACHINES = {"amd64": "x86_64", "arm64": "aarch64"}  # Debian's name, Linux's name
# glibc of Bookworm is 2.36: every one of these runs there.
GLIBCS = ("manylinux2014", "manylinux_2_17", "manylinux_2_28", "manylinux_2_34")


class WheelsMissingError(Exception):
    """Says which packages have no wheel for which Python."""


def cache() -> Path:
    """Where downloads are kept between builds."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "community-gateway")


def fetch(lock: Path, architecture: str) -> list[Path]:
    """Every wheel that `lock` needs on `architecture`. Raises WheelsMissingError.

    What is in the cache for the same lock is not fetched again.
    """
    key = sha256(lock.read_bytes()).hexdigest()[:16]
    folder = cache() / "wheels" / f"{architecture}-{key}"
    if not folder.exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        fresh = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}-"))
        try:
            _download(lock, architecture, fresh)
            fresh.rename(folder)
        except OSError:  # another build was first
            if not folder.exists():
                raise
        finally:
            shutil.rmtree(fresh, ignore_errors=True)
    return sorted(folder.glob("*.whl"))


def _download(lock: Path, architecture: str, folder: Path) -> None:
    missing: list[str] = []
    for python in PYTHONS:
        failed = _pip(lock, architecture, python, folder)
        if failed:
            missing += _missing(read(lock), architecture, python, folder) or [failed]
    if missing:
        raise WheelsMissingError(f"no wheels for {architecture}:\n  " + "\n  ".join(missing))


def _missing(pins: list[Pin], architecture: str, python: str, folder: Path) -> list[str]:
    """As pip stops at the first package it cannot get, ask one by one, to name them all."""
    missing = []
    for pin in pins:
        if not pin.on_linux:
            continue
        with tempfile.NamedTemporaryFile("w", suffix=".lock") as one:
            one.write(pin.text())
            one.flush()
            failed = _pip(Path(one.name), architecture, python, folder)
        if failed:
            missing.append(f"CPython {python}: {pin.name} {pin.version}: {failed}")
    return missing


def _pip(lock: Path, architecture: str, python: str, folder: Path) -> str:
    """Download into `folder`; "" or the last line of what went wrong."""
    platforms = [f"--platform={glibc}_{MACHINES[architecture]}" for glibc in GLIBCS]
    done = subprocess.run(
        [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps",
         "--require-hashes", "--only-binary=:all:", "--implementation=cp", f"--python-version={python}",
         *platforms, f"--dest={folder}", f"--requirement={lock}"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    said = [line for line in done.stderr.splitlines() if line.strip()]
    return "" if done.returncode == 0 else (said or ["pip failed"])[-1]

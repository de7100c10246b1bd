"""Small file systems that can be filled to the last byte."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def small_disk(path: Path, size_mb: int) -> Iterator[Path]:
    """A tmpfs of this size; skips the test where it cannot be mounted."""
    path.mkdir()
    if os.geteuid() != 0:
        pytest.skip("mounting a small disk needs root")
    options = f"size={size_mb}m,mode=0755"
    mount = ["mount", "-t", "tmpfs", "-o", options, "none", str(path)]
    done = subprocess.run(mount, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.skip(f"no tmpfs can be mounted here: {done.stderr.strip()}")
    try:
        yield path
    finally:
        subprocess.run(["umount", "-l", str(path)], check=True)


def free_bytes(path: Path) -> int:
    statistics = os.statvfs(path)
    return statistics.f_bavail * statistics.f_frsize


class Stranger:
    """Somebody else's file on the same disk. Blocks: call it in a thread."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / "stranger.bin"

    def fill(self) -> None:
        """Take what is free, and what becomes free."""
        with self._path.open("ab", buffering=0) as file:
            for size in (65_536, 4_096, 1):
                try:
                    while file.write(b"x" * size) == size:
                        pass
                except OSError:
                    continue

    def leave(self) -> None:
        self._path.unlink()

"""A memory card that turns read-only while it is written, and comes back.

An ext4 image on a loop device. `remount,abort` is what ext4 does by itself when its device fails:
from then on every write is EROFS, though files are open. Such a file system is only written again
when it is mounted anew, as after a reboot or on another card.
"""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


class Card:
    """Mounted at `path`. Blocks: call it in a thread."""

    def __init__(self, image: Path, path: Path) -> None:
        self.path = path
        self._image = image
        self._devices: list[str] = []

    def insert(self) -> None:
        """A new loop device each time: the old one may be held by files that are still open."""
        device = _run("losetup", "--find", "--show", str(self._image)).strip()
        self._devices.append(device)
        _run("mount", device, str(self.path))

    def turn_read_only(self) -> None:
        _run("mount", "-o", "remount,abort", str(self.path))

    def replace(self) -> None:
        _run("umount", "--lazy", str(self.path))
        self.insert()

    def remove(self) -> None:
        subprocess.run(["umount", "--lazy", str(self.path)], check=False, capture_output=True)
        for device in self._devices:
            subprocess.run(["losetup", "-d", device], check=False, capture_output=True)


@contextmanager
def card(image: Path, path: Path, size_mb: int = 64) -> Iterator[Card]:
    """Skips the test where no image can be mounted."""
    if os.geteuid() != 0 or not all(map(shutil.which, ("losetup", "mkfs.ext4"))):
        pytest.skip("mounting an image needs root, losetup and mkfs.ext4")
    with image.open("wb") as file:
        file.truncate(size_mb * 1_000_000)
    _run("mkfs.ext4", "-q", str(image))
    path.mkdir()
    one = Card(image, path)
    try:
        try:
            one.insert()
        except subprocess.CalledProcessError as error:
            pytest.skip(f"no image can be mounted here: {error.stderr.strip()}")
        yield one
    finally:
        one.remove()


def _run(*command: str) -> str:
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return done.stdout

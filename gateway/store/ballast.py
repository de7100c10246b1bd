"""The reserve for a full disk: a file that holds room until the journal needs it itself.

On a disk with no byte free SQLite cannot even delete or checkpoint: a gateway could deliver for
ever and never free anything. So room is kept in a file, and the file is given up when the disk
is full.
"""

import errno
import os
import sqlite3
from contextlib import suppress
from pathlib import Path

from gateway.store.identity import sync_directory

SIZE = 8_000_000
SMALL = 8  # at most one part in so many of the file system


def is_full(error: Exception) -> bool:
    """The error says that there is no room, on the disk or within a quota."""
    if isinstance(error, OSError):
        return error.errno in {errno.ENOSPC, errno.EDQUOT}
    code = getattr(error, "sqlite_errorcode", None)
    # A -shm file that cannot grow is SQLite's other way to say so.
    return code is not None and (
        code & 0xFF == sqlite3.SQLITE_FULL or code == sqlite3.SQLITE_IOERR_SHMSIZE
    )


class Disk:
    """The file system under a directory; figures in bytes, for whoever is not root."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        statistics = os.statvfs(directory)
        self.total = statistics.f_blocks * statistics.f_frsize

    @property
    def free(self) -> int:
        statistics = os.statvfs(self._directory)
        return statistics.f_bavail * statistics.f_frsize


class Ballast:
    """`reserve.bin` in the state directory; its blocks are allocated, not only its length set."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / "reserve.bin"
        self._disk = Disk(directory)
        self.size = min(SIZE, self._disk.total // SMALL)

    @property
    def present(self) -> bool:
        return self._path.exists()

    def release(self) -> bool:
        """Give the room to the journal; False if that was done before. Raises OSError."""
        try:
            self._path.unlink()
        except FileNotFoundError:
            return False
        sync_directory(self._path.parent)
        return True

    def restore(self) -> bool:
        """Take the room back once twice as much is free; True if it is there. Raises OSError."""
        if self.present:
            return True
        if self._disk.free < 2 * self.size:
            return False
        new = self._path.with_suffix(".new")
        try:
            with new.open("wb") as file:
                os.posix_fallocate(file.fileno(), 0, self.size)
                os.fsync(file.fileno())
            new.replace(self._path)
        except OSError as error:
            with suppress(FileNotFoundError):
                new.unlink()
            if is_full(error):  # someone was faster
                return False
            raise
        sync_directory(self._path.parent)
        return True

"""The high-water mark outside the databases: how far each lane had come.

One flipped bit in a write-ahead log ends its replay there, and SQLite calls what is left whole:
only somebody else's word tells that records are missing. The mark is written after every commit
and never synced, so it costs no flush; a kill leaves it exact, a power cut at most 30 s old
(dirty_expire_centisecs), and it is never ahead of what was durable.
"""

import logging
import os
import struct
import zlib
from collections.abc import Sequence
from pathlib import Path

log = logging.getLogger(__name__)

_FORM = struct.Struct("<4qI")  # the last seq of each lane, CRC-32


class Mark:
    """Belongs to the writer thread. A mark that cannot be written is no reason to stop: it is a hint."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / "marks"

    def write(self, last: Sequence[int]) -> None:
        body = _FORM.pack(*last, zlib.crc32(_FORM.pack(*last, 0)))
        try:
            fd = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o640)
            try:
                os.pwrite(fd, body, 0)
            finally:
                os.close(fd)
        except OSError as error:
            log.debug("%s: %s", self._path, error, extra={"component": "store"})

    def read(self) -> list[int] | None:
        """None if there is none or it is damaged. Raises OSError if the device fails."""
        try:
            body = self._path.read_bytes()
        except FileNotFoundError:
            return None
        if len(body) != _FORM.size:
            return None
        *last, crc = _FORM.unpack(body)
        return last if crc == zlib.crc32(_FORM.pack(*last, 0)) else None

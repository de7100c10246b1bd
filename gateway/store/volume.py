"""How much the gateway writes to its disk, by day: what wears an SD card out.

The figure is `write_bytes` of /proc/self/io (proc(5)): what this process caused to be written,
without what the file system adds of its own and without what the card makes of it.
"""

import re
import sqlite3
import time
from pathlib import Path

from gateway.clock import Clock

_IO = Path("/proc/self/io")
_DAY_NS = 86_400 * 1_000_000_000
UNKNOWN_DAY = 0  # the clock was not right
EVERY_S = 300.0  # a row for every commit would itself be a page for every commit


def written_bytes() -> int | None:
    """By this process since it began, None where the kernel does not count (TASK_IO_ACCOUNTING)."""
    try:
        match = re.search(r"^write_bytes: (\d+)$", _IO.read_text(), re.MULTILINE)
    except OSError:
        return None
    return int(match[1]) if match else None


class Volume:
    """Table `volume`; belongs to the writer thread."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._counted = self._now = written_bytes()
        self._due = time.monotonic() + EVERY_S

    def write(self, db: sqlite3.Connection, *, at_once: bool = False) -> None:
        """Into the transaction that is open, if it is time; `saved` says that it was committed."""
        if self._counted is None or not (at_once or time.monotonic() >= self._due):
            return
        self._now = written_bytes() or self._counted
        day = self._clock.time_ns() // _DAY_NS if self._clock.ok else UNKNOWN_DAY
        add = "INSERT INTO volume VALUES (?, ?) ON CONFLICT(day) DO UPDATE SET bytes=bytes+excluded.bytes"
        db.execute(add, (day, self._now - self._counted))

    def saved(self) -> None:
        if self._now != self._counted:
            self._counted, self._due = self._now, time.monotonic() + EVERY_S

"""Table `replay`: the last admitted counter of each device, with a checksum.

One flipped bit would let recorded messages in again, or keep all new ones out.
"""

import sqlite3
from collections.abc import Iterable, Iterator, Mapping

from gateway.store.seal import crc_of

DELAY_S = 60.0  # a counter that came with no event waits this long, or for the next transaction


class Waiting:
    """What is still to be stored. Writer thread only."""

    def __init__(self) -> None:
        self._waiting: dict[str, int | None] = {}

    def take(self, source: dict[str, int | None]) -> bool:
        """Empty `source`, to which the event loop adds meanwhile; whether there was anything."""
        found = bool(source)
        while source:
            device, counter = source.popitem()
            self._waiting[device] = counter
        return found

    def rows(self) -> dict[str, int | None]:
        return dict(self._waiting)

    def saved(self) -> None:
        self._waiting.clear()


def read(db: sqlite3.Connection) -> dict[str, int]:
    """Those that fit their checksum; of the others the next message counts as the first."""
    return dict(good(db.execute("SELECT device, counter, crc FROM replay").fetchall()))


def good(rows: Iterable[tuple[object, ...]]) -> Iterator[tuple[str, int]]:
    for row in rows:
        match row:
            case (str(device), int(counter), int(crc)) if crc == crc_of(device, counter):
                yield device, counter


def write(db: sqlite3.Connection, counters: Mapping[str, int | None]) -> None:
    """Within the caller's transaction. None: forget the device."""
    kept = [(d, c, crc_of(d, c)) for d, c in counters.items() if c is not None]
    db.executemany("INSERT OR REPLACE INTO replay VALUES (?, ?, ?)", kept)
    gone = [(device,) for device, counter in counters.items() if counter is None]
    db.executemany("DELETE FROM replay WHERE device=?", gone)

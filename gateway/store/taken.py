"""Ids of messages whose alarms are stored and whose samples are not yet: table `taken`.

A device that was not acknowledged repeats its message, perhaps only after several restarts. Its
alarms must not be raised a second time, so an id stays until its sample is stored.
"""

import sqlite3
from collections.abc import Iterable

# Ids of earlier lives that were never repeated; more are forgotten, in no order. A crash leaves
# what was waiting for its acknowledgement then, at most a thousand of each broker.
MAX_CARRIED = 4_096


class Taken:
    """`stored` are ids whose samples are there; they need no place in the table."""

    def __init__(self, db: sqlite3.Connection, stored: Iterable[bytes]) -> None:
        self._rows = {bytes(key) for (key,) in db.execute("SELECT key FROM taken")}
        self._carried = dict.fromkeys(self._rows.difference(stored))
        self._wanted = self._rows
        while len(self._carried) > MAX_CARRIED:
            del self._carried[next(iter(self._carried))]

    @property
    def ids(self) -> list[bytes]:
        """Of earlier lives; their messages may still be repeated."""
        return list(self._carried)

    def stored(self, key: bytes) -> None:
        """The sample of this message is durable."""
        self._carried.pop(key, None)

    def write(self, db: sqlite3.Connection, waiting: Iterable[bytes]) -> None:
        """Inside a transaction: `waiting` are those of this life. `saved` follows its commit."""
        self._wanted = {*waiting, *self._carried}
        gone = ((key,) for key in self._rows - self._wanted)
        new = ((key,) for key in self._wanted - self._rows)
        db.executemany("DELETE FROM taken WHERE key = ?", gone)
        db.executemany("INSERT OR IGNORE INTO taken VALUES (?)", new)

    def saved(self) -> None:
        self._rows = self._wanted

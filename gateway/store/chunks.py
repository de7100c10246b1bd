"""Single chunks by the seq they begin with, from whichever segment file holds them."""

import sqlite3
from bisect import bisect_right
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from gateway.store.encode import ChunkRow
from gateway.store.identity import damaged
from gateway.store.schema import connect_reader
from gateway.store.segment import segment_files, segment_path


class Unreadable(Exception):  # noqa: N818 -- a state of the device
    """The device does not let a chunk be read now."""


class Head(NamedTuple):
    """A chunk without its body; `clock_ok` holds if it does for all of its samples."""

    first: int
    first_ns: int
    last_ns: int
    clock_ok: bool


class ChunkFiles:
    """Belongs to one thread. Each look-up is one short query on a `mode=ro` connection: a long one
    would keep the writer from checkpointing. `close` after each piece of work: a connection to a
    file that is deleted meanwhile keeps its space from becoming free.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._segments: list[int] = []
        self._open: tuple[int, sqlite3.Connection] | None = None

    def oldest(self) -> int | None:
        """First seq of the oldest segment file there is."""
        self._segments = segment_files(self._directory)
        return self._segments[0] if self._segments else None

    def chunk(self, first: int) -> ChunkRow | None:
        """None if it is gone, or its file is damaged. Raises Unreadable."""
        row = self._look_up(first)
        if row is None:
            known, self._segments = self._segments, segment_files(self._directory)
            if known != self._segments:
                row = self._look_up(first)
        return row

    def heads(self, start: int) -> Iterator[list[Head]]:
        """Chunks that begin at `start` or later, oldest first, up to 500 at a time. Raises Unreadable."""
        self._segments = segment_files(self._directory)
        query = (
            "SELECT first, first_ns, last_ns, clock_ok FROM chunk WHERE first >= ?"
            " ORDER BY first LIMIT 500"
        )
        for segment in self._segments[max(0, bisect_right(self._segments, start) - 1) :]:
            while heads := [Head(*row) for row in self._query(segment, query, max(start, segment))]:
                yield heads
                start = heads[-1].first + 1

    def close(self) -> None:
        if self._open is not None:
            self._open[1].close()
            self._open = None

    def _look_up(self, first: int) -> ChunkRow | None:
        place = bisect_right(self._segments, first) - 1
        if place < 0:
            return None
        rows: list[ChunkRow]
        rows = self._query(self._segments[place], "SELECT * FROM chunk WHERE first = ?", first)
        return rows[0] if rows else None

    def _query(self, segment: int, query: str, seq: int) -> list[Any]:
        """Empty as well if the file is gone or damaged: the reader of the sinks reports that."""
        path = segment_path(self._directory, segment)
        try:
            if self._open is None or self._open[0] != segment:
                self.close()
                self._open = (segment, connect_reader(path))
            return self._open[1].execute(query, (seq,)).fetchall()
        except sqlite3.DatabaseError as error:
            self.close()
            if damaged(error) or not path.exists():
                return []
            if error.sqlite_errorcode == sqlite3.SQLITE_ERROR:  # no table: it is being made
                return []
            if not isinstance(error, sqlite3.OperationalError):
                raise
            raise Unreadable(f"{path}: {error}") from error

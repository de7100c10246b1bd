"""All points over a range of 5 min windows, as the files show them at this moment, read-only.

Like `View`, for every point at once: rows of the rollups, and chunks for windows that the rollups
lack still. Each look-up is a short query on a connection that cannot write.
"""

import sqlite3
from collections.abc import Generator, Iterator
from pathlib import Path

from gateway.errors import StoreFailed
from gateway.store.aggregate import Found, aggregate, read
from gateway.store.chunks import ChunkFiles, Head, Unreadable
from gateway.store.readings import Reading
from gateway.store.rollup_table import (
    boot_offsets,
    chunks_of,
    counters,
    last_before,
    mark,
    rows_of,
)
from gateway.store.window import WINDOW_S, Row, window_of


class Sweep:
    """Belongs to one thread. Raises StoreFailed if the disk fails."""

    def __init__(self, core: sqlite3.Connection, directory: Path) -> None:
        self._core = core
        self._files = ChunkFiles(directory)
        self.offsets = boot_offsets(core)
        self._counters = counters(core)
        query = "SELECT pid, device, point FROM point"
        self.names: dict[int, tuple[str, str]] = {
            pid: (device, point) for pid, device, point in core.execute(query)
        }
        self._pending: dict[int, list[int]] = {}
        self._last: dict[int, float] = {}
        for head in self.heads(mark(core, "rollup_from") or 0):
            for t in self._windows(head):
                self._pending.setdefault(t, []).append(head.first)

    def close(self) -> None:
        self._files.close()

    @property
    def begin(self) -> int | None:
        """The first window that is known of, None if there is none."""
        row = self._core.execute("SELECT min(t) FROM rollup WHERE w=?", (WINDOW_S,)).fetchone()
        return min((t for t in (row[0], *self._pending) if t is not None), default=None)

    def heads(self, start: int = 0) -> list[Head]:
        """Of all chunks from seq `start` on."""
        try:
            return [head for part in self._files.heads(start) for head in part]
        except Unreadable as error:
            raise StoreFailed(str(error)) from error

    def readings(self, head: Head) -> list[Reading]:
        """Of one chunk; none if it is gone or damaged."""
        try:
            return read(self._files, head.first) or []
        except Unreadable as error:
            raise StoreFailed(str(error)) from error

    def windows(self, since: int, until: int) -> Iterator[tuple[int, dict[tuple[str, str], Row]]]:
        """(start, rows by device and point) of every window, also of those without rows."""
        for t in range(since, until, WINDOW_S):
            rows = rows_of(self._core, t)
            if t in self._pending:
                rows |= self._fresh(t, rows)
            self._last.update((pid, row.la) for pid, row in rows.items())
            yield t, {self.names[pid]: row for pid, row in rows.items() if pid in self.names}

    def _windows(self, head: Head) -> set[int]:
        if head.clock_ok and window_of(head.first_ns) == window_of(head.last_ns):
            return {window_of(head.first_ns)}
        times = (reading.wall_ns(self.offsets) for reading in self.readings(head))
        return {window_of(at) for at in times if at is not None}

    def _fresh(self, t: int, old: dict[int, Row]) -> dict[int, Row]:
        """Rows out of the chunks of a window; not of points whose old row knows more."""
        chunks = sorted({*chunks_of(self._core, t), *self._pending[t]})
        try:
            made = aggregate(self._files, t, chunks, self.offsets, self._counters)
            cells = _finish(made).cells
        except Unreadable as error:
            raise StoreFailed(str(error)) from error
        missing = (cells.keys() & self._counters) - self._last.keys()
        before = {**last_before(self._core, t, missing), **self._last}
        return {
            pid: cell.row(counter=pid in self._counters, before=before.get(pid))
            for pid, cell in cells.items()
            if pid not in old or old[pid].n <= cell.n
        }


def _finish(work: Generator[None, None, Found]) -> Found:
    while True:
        try:
            next(work)
        except StopIteration as end:
            found: Found = end.value
            return found

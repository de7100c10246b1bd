"""One point as the files show it at this moment: rollups, and chunks for what they lack."""

import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

from gateway.store.aggregate import read
from gateway.store.chunks import ChunkFiles
from gateway.store.pending import pending_windows, with_next
from gateway.store.readings import Reading
from gateway.store.rollup_table import (
    boot_offsets,
    chunks_of,
    last_before,
    mark,
    newest_hour,
)
from gateway.store.window import (
    HOUR_S,
    WINDOW_NS,
    WINDOW_S,
    Cell,
    Row,
    hour_of,
    number_of,
    window_of,
)

PAGE = 2_000  # windows in one query
CACHED = 64  # chunks: those at the edge of a window serve two
# The windows before a range that may be missing in the rollups still: they are read as raw too, so
# that the first rise begins at the right value.
LEAD_S = 2 * WINDOW_S

_ROWS = """
WITH RECURSIVE wanted(t) AS
  (SELECT :since UNION ALL SELECT t + :width FROM wanted WHERE t + :width < :until)
SELECT rollup.t, n, mn, mx, sm, la FROM wanted
  CROSS JOIN rollup ON w=:width AND rollup.t=wanted.t AND pid=:pid
"""


class Gone(Exception):  # noqa: N818 -- a state of the files
    """Not all of the raw samples are there any more."""


class View:
    """`check` is called between look-ups and may raise to end the work.

    Reading begins with which chunks the rollups lack. What is read later may be newer, never
    older, and making a window from all of its chunks is right in any case.
    """

    def __init__(
        self,
        core: sqlite3.Connection,
        directory: Path,
        device: str,
        point: str,
        check: Callable[[], None],
    ) -> None:
        self._core = core
        self._check = check
        self._files = ChunkFiles(directory)
        self._cache: dict[int, list[Reading] | None] = {}
        row = core.execute(
            "SELECT pid FROM point WHERE device=? AND point=?", (device, point)
        ).fetchone()
        self._pid: int | None = None if row is None else row[0]
        query = "SELECT 1 FROM counter WHERE pid=?"
        self.counter = core.execute(query, (self._pid,)).fetchone() is not None
        start = mark(core, "rollup_from") or 0
        self._offsets = boot_offsets(core)
        self._renewed: dict[int, Row] = {}  # what the table lacks, as far as it was asked for
        self._pending = {} if row is None else self._find_pending(start)

    def close(self) -> None:
        self._files.close()

    def values(self, since_ns: int, until_ns: int) -> Iterator[tuple[int, float]]:
        """Raw (time in ns, number) in the order of time, from the last one before `since_ns` or
        earlier to the last one before `until_ns`. Raises Gone.
        """
        if self._pid is None:
            return
        start = window_of(since_ns) - LEAD_S
        before = last_before(self._core, start, [self._pid])
        if before:
            yield start * 1_000_000_000 - 1, before[self._pid]
        for t in range(start, -(-until_ns // WINDOW_NS) * WINDOW_S, WINDOW_S):
            found, whole = self._window(t)
            if not whole:
                raise Gone
            yield from ((at, value) for at, value in found if at < until_ns)

    def five_minutes(self, since: int, until: int) -> list[tuple[int, Row]]:
        """(start, row) of the windows that begin in [since, until), from that of `since` on."""
        since = since - since % WINDOW_S
        rows = self._rows(WINDOW_S, since, until)
        for t in sorted(t for t in self._pending if since <= t < until):
            cell = Cell()
            for at, value in self._window(t)[0]:
                cell.add(at, value)
            if cell.n and (t not in rows or rows[t].n <= cell.n):
                rows[t] = cell.row(counter=self.counter, before=self._before(t, rows))
                self._renewed[t] = rows[t]
        return sorted(rows.items())

    def hours(self, since: int, until: int) -> list[tuple[int, Row]]:
        """The same of hours; 5 min windows stand for hours that have no row yet, or an old one."""
        since = hour_of(since)
        rows = self._rows(HOUR_S, since, until)
        parts: dict[int, Row] = {}
        for hour in sorted({hour_of(t) for t in self._pending}):
            if since <= hour < until:
                rows.pop(hour, None)
                parts.update(self.five_minutes(hour, min(until, hour + HOUR_S)))
        newest = newest_hour(self._core)
        open_from = since if newest is None else max(since, newest + HOUR_S)
        if open_from < until:
            parts.update(self.five_minutes(open_from, until))
        return sorted({**rows, **parts}.items())

    def _before(self, t: int, rows: dict[int, Row]) -> float | None:
        """The value from which the rise of a window begins."""
        if not self.counter or self._pid is None:
            return None
        earlier = max((at for at in rows if at < t), default=None)
        if earlier is not None:
            return rows[earlier].la
        renewed = max((at for at in self._renewed if at < t), default=None)
        if renewed is not None:  # of what the table has, only what came after it counts
            later = self._rows(WINDOW_S, renewed + WINDOW_S, t)
            return later[max(later)].la if later else self._renewed[renewed].la
        return last_before(self._core, t, [self._pid]).get(self._pid)

    def _rows(self, width: int, since: int, until: int) -> dict[int, Row]:
        found: dict[int, Row] = {}
        for at in range(since, until, PAGE * width):
            self._check()
            page = {"since": at, "until": min(until, at + PAGE * width), "width": width}
            for t, *row in self._core.execute(_ROWS, {**page, "pid": self._pid}).fetchall():
                found[t] = Row(*row)
        return found

    def _window(self, t: int) -> tuple[list[tuple[int, float]], bool]:
        """Raw values of a window in the order of time, and whether all of its chunks are there."""
        self._check()
        values, whole = [], True
        for first in sorted({*chunks_of(self._core, t), *self._pending.get(t, ())}):
            readings = self._readings(first)
            whole = whole and readings is not None
            for reading in readings or ():
                at = reading.wall_ns(self._offsets)
                number = number_of(reading.values[0])
                if at is not None and number is not None and window_of(at) == t:
                    values.append((at, number))
        values.sort(key=lambda pair: pair[0])  # stable: of two at one time the later seq is later
        return values, whole

    def _readings(self, first: int) -> list[Reading] | None:
        if first not in self._cache:
            if len(self._cache) >= CACHED:
                self._cache.clear()
            self._cache[first] = read(self._files, first, self._pid)
        return self._cache[first]

    def _find_pending(self, start: int) -> dict[int, list[int]]:
        found = pending_windows(self._files, start, self._offsets, self._readings, self._check)
        counting = [self._pid] if self.counter and self._pid is not None else []
        return with_next(found, self._core, counting)

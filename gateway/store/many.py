"""What many points showed over a range of time, in one reading of the rollups.

Table `rollup` is in the order of time. One point after the other would seek every window for every
point; here each window is read once, for all points. What the rollups lack still comes from the
chunks, each read once too, so an answer is never older than the last commit.
"""

import sqlite3
from bisect import bisect_left
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from gateway.store.aggregate import Found, aggregate, read
from gateway.store.chunks import ChunkFiles
from gateway.store.pending import pending_windows, with_next
from gateway.store.rollup_table import (
    boot_offsets,
    chunks_of,
    counters,
    last_before,
    mark,
    newest_hour,
)
from gateway.store.window import HOUR_S, WINDOW_S, hour_of

# 24 h in steps of 5 min of 1,000 points: about 80 MB.
MAX_ROWS = 300_000
PAGE = 288  # windows in one query: a day

# Begin in seconds since 1970, samples, smallest, largest, sum (of a counter its rise), last; and the
# number of the point. Plain tuples as SQLite makes them: an object for each would take longer than
# the reading.
Window = tuple[int, int, float, float, float, float, int]
_ROWS = """
WITH RECURSIVE wanted(t) AS
  (SELECT :since UNION ALL SELECT t + :width FROM wanted WHERE t + :width < :until)
SELECT rollup.t, n, mn, mx, sm, la, pid FROM wanted
  CROSS JOIN rollup ON w=:width AND rollup.t=wanted.t AND pid BETWEEN :low AND :high
"""


class Series(NamedTuple):
    """`rows` in the order of time, one for each step that has a value."""

    device: str
    point: str
    counter: bool
    rows: list[Window]


class Many:
    """Some points as the files show them now. `check` is called between look-ups and may raise to
    end the work. `points`: (device, point) by number; not empty.
    """

    def __init__(
        self,
        core: sqlite3.Connection,
        directory: Path,
        points: Mapping[int, tuple[str, str]],
        check: Callable[[], None],
    ) -> None:
        self._core = core
        self._points = points
        self._check = check
        self._files = ChunkFiles(directory)
        start = mark(core, "rollup_from") or 0
        self._counters = counters(core) & points.keys()
        self._offsets = boot_offsets(core)
        self._renewed: dict[
            int, dict[int, float]
        ] = {}  # last values that the table lacks, by point
        self._pending = self._find_pending(start)

    def close(self) -> None:
        self._files.close()

    def series(self, source: str, since: int, until: int, step_s: int) -> list[Series]:
        """Of the windows that begin in [since, until), seconds, from that of `since` on. `source`:
        "5m" or "1h", `step_s`: a multiple of it. Points without a value are left out.
        """
        found = self._five_minutes(since, until) if source == "5m" else self._hours(since, until)
        return [
            Series(*self._points[pid], pid in self._counters, _steps(rows, step_s))
            for pid, rows in found.items()
            if rows
        ]

    def _five_minutes(self, since: int, until: int) -> dict[int, list[Window]]:
        found = self._rows(WINDOW_S, since - since % WINDOW_S, until)
        for t in sorted(t for t in self._pending if since - since % WINDOW_S <= t < until):
            self._renew(t, found)
        return found

    def _hours(self, since: int, until: int) -> dict[int, list[Window]]:
        """5 min windows stand for hours that have no row yet, or an old one."""
        since = hour_of(since)
        found = self._rows(HOUR_S, since, until)
        newest = newest_hour(self._core)
        open_from = since if newest is None else max(since, newest + HOUR_S)
        spans = [
            (hour, min(until, hour + HOUR_S))
            for hour in sorted({hour_of(t) for t in self._pending})
            if since <= hour < min(until, open_from)
        ]
        for hour, end in [*spans, *([(open_from, until)] if open_from < until else [])]:
            parts = self._five_minutes(hour, end)
            for pid, rows in found.items():
                rows[:] = [row for row in rows if not hour <= row[0] < end] + parts[pid]
        for rows in found.values() if spans else ():
            rows.sort()
        return found

    def _rows(self, width: int, since: int, until: int) -> dict[int, list[Window]]:
        found: dict[int, list[Window]] = {pid: [] for pid in self._points}
        ends = {"low": min(found), "high": max(found), "width": width}
        for at in range(since, until, PAGE * width):
            self._check()
            page = {"since": at, "until": min(until, at + PAGE * width)}
            for row in self._core.execute(_ROWS, {**page, **ends}):
                rows = found.get(row[6])
                if rows is not None:
                    rows.append(row)
        return found

    def _renew(self, t: int, found: dict[int, list[Window]]) -> None:
        """The rows of a window from its chunks, unless what is there is of more samples."""
        cells = {pid: cell for pid, cell in self._window(t).cells.items() if pid in found}
        places = {pid: bisect_left(found[pid], (t,)) for pid in cells}
        before = self._before(t, places, found)
        for pid, cell in cells.items():
            rows, place = found[pid], places[pid]
            here = rows[place][1] if place < len(rows) and rows[place][0] == t else 0
            if here <= cell.n:
                made = cell.row(counter=pid in self._counters, before=before.get(pid))
                rows[place : place + bool(here)] = [(t, *made, pid)]
                self._renewed.setdefault(pid, {})[t] = made.la

    def _before(
        self, t: int, places: Mapping[int, int], found: Mapping[int, list[Window]]
    ) -> dict[int, float]:
        """The values from which the rises of a window begin."""
        counting = self._counters.intersection(places)
        known = {pid: found[pid][places[pid] - 1][5] for pid in counting if places[pid]}
        for pid in counting - known.keys():
            renewed = max((at for at in self._renewed.get(pid, ()) if at < t), default=None)
            if renewed is not None:  # of what the table has, only what came after it counts
                later = self._between(renewed + WINDOW_S, t, pid)
                known[pid] = later[-1][5] if later else self._renewed[pid][renewed]
        return known | last_before(self._core, t, counting - known.keys())

    def _between(self, since: int, until: int, pid: int) -> list[Window]:
        """The 5 min rows of one point that the table has."""
        ends = {"since": since, "until": until, "width": WINDOW_S, "low": pid, "high": pid}
        return self._core.execute(_ROWS, ends).fetchall() if since < until else []

    def _window(self, t: int) -> Found:
        chunks = sorted({*chunks_of(self._core, t), *self._pending.get(t, ())})
        work = aggregate(self._files, t, chunks, self._offsets, self._counters)
        while True:
            self._check()
            try:
                next(work)
            except StopIteration as end:
                found: Found = end.value
                return found

    def _find_pending(self, start: int) -> dict[int, list[int]]:
        found = pending_windows(
            self._files, start, self._offsets, lambda first: read(self._files, first), self._check
        )
        return with_next(found, self._core, self._counters)


def _steps(rows: list[Window], step_s: int) -> list[Window]:
    """By step: rows begin where their step does."""
    if step_s == WINDOW_S:
        return rows
    made: list[Window] = []
    for row in rows:
        t = row[0] - row[0] % step_s
        if not made or made[-1][0] != t:
            made.append((t, *row[1:]))
            continue
        _, n, low, high, total, _, pid = made[-1]
        low, high, total = min(low, row[2]), max(high, row[3]), total + row[4]
        made[-1] = (t, n + row[1], low, high, total, row[5], pid)
    return made

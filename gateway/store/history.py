"""What one point showed over a range of time, in steps: from raw samples, 5 min or 1 h rollups.

Runs in a thread of its own, on `mode=ro` connections that are open for one query only: the sinks do
not wait for it, and the writer is never kept from a checkpoint for longer than one look-up. Windows
that the rollups do not hold yet are made from their chunks, so an answer is never older than the
last commit.
"""

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from gateway.errors import StoreFailed
from gateway.store.chunks import Unreadable
from gateway.store.many import MAX_ROWS as MAX_MANY
from gateway.store.many import Many, Series
from gateway.store.rollup_table import KEEP_S, mark
from gateway.store.schema import connect_reader
from gateway.store.view import Gone, View
from gateway.store.window import HOUR_S, WINDOW_S, Cell, Row, window_of

MAX_ROWS = 10_000
RAW_S = 86_400  # longer ranges are read from rollups: a day of 10 s samples is 8,640 chunks
SECOND = 1_000_000_000
WIDTHS = {"5m": WINDOW_S, "1h": HOUR_S}


class Query(NamedTuple):
    """Half open: `since_ns` <= time < `until_ns`; UTC. `now_ns` decides what may be there still.

    `coarse`: rollups will do, in 2 ms instead of a second for a day; steps and ends are whole windows.
    """

    device: str
    point: str
    since_ns: int
    until_ns: int
    step_s: int
    now_ns: int
    coarse: bool = False


class Wide(NamedTuple):
    """As Query, of all points of a device, or (None) of every device. From rollups: the step is a
    multiple of 300 s.
    """

    device: str | None
    since_ns: int
    until_ns: int
    step_s: int
    now_ns: int


class HistoryRow(NamedTuple):
    """The step that begins at `t_ns`. Counters have a `rise` and no `mean`, other points the
    other way round. Booleans are 0 and 1.
    """

    t_ns: int
    n: int
    min: float
    max: float
    mean: float | None
    last: float
    rise: float | None


class History(NamedTuple):
    """`source`: "raw", "5m" or "1h". Steps without a value have no row."""

    source: str
    counter: bool
    rows: tuple[HistoryRow, ...]


class Historian:
    """`read` and `close` belong to one thread, `stop` to any."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._stopped = False

    def stop(self) -> None:
        """A query that runs ends soon with StoreFailed, later ones at once."""
        self._stopped = True

    def read(self, query: Query) -> History:
        """Raises ValueError if so many rows or such a step cannot be had, StoreFailed if the disk
        or its files fail. A point without samples has no rows.
        """
        _check(query)
        try:
            with (
                closing(connect_reader(self._directory / "core.db")) as core,
                closing(
                    View(core, self._directory, query.device, query.point, self._alive)
                ) as view,
            ):
                return self._read(query, core, view)
        except (sqlite3.Error, Unreadable) as error:
            raise StoreFailed(f"reading the history of {query.device}: {error}") from error

    def read_wide(self, query: Wide) -> tuple[str, list[Series]]:
        """Source ("5m" or "1h") and the points that have values, in 0.2 s for a day of 500 points.
        Raises as `read` does; ValueError too for more than 300,000 rows.
        """
        _check(query)
        source = _level(query)
        _check_step(query, source)
        try:
            with closing(connect_reader(self._directory / "core.db")) as core:
                points = _points(core, query)
                if not points:
                    return source, []
                with closing(Many(core, self._directory, points, self._alive)) as many:
                    since, until = query.since_ns // SECOND, -(-query.until_ns // SECOND)
                    return source, many.series(source, since, until, query.step_s)
        except (sqlite3.Error, Unreadable) as error:
            raise StoreFailed(f"reading the history of many points: {error}") from error

    def _alive(self) -> None:
        if self._stopped:
            raise StoreFailed("the store is closed")

    def _read(self, query: Query, core: sqlite3.Connection, view: View) -> History:
        raw_from = mark(core, "rollup_raw_from") or 0
        short = query.until_ns - query.since_ns <= RAW_S * SECOND
        if short and window_of(query.since_ns) >= raw_from and not query.coarse:
            try:
                return self._history("raw", query, view, _buckets(query, view))
            except Gone:  # the oldest segment was dropped, or a chunk is damaged
                pass
        source = _level(query)
        _check_step(query, source)
        since, until = query.since_ns // SECOND, -(-query.until_ns // SECOND)
        parts = view.five_minutes(since, until) if source == "5m" else view.hours(since, until)
        return self._history(source, query, view, _merge(query, parts))

    def _history(
        self, source: str, query: Query, view: View, rows: Iterable[tuple[int, Row]]
    ) -> History:
        step_ns = query.step_s * SECOND
        return History(
            source,
            view.counter,
            tuple(_row(bucket * step_ns, row, counter=view.counter) for bucket, row in rows),
        )


def _row(t_ns: int, row: Row, *, counter: bool) -> HistoryRow:
    if counter:
        return HistoryRow(t_ns, row.n, row.mn, row.mx, None, row.la, row.sm)
    return HistoryRow(t_ns, row.n, row.mn, row.mx, row.sm / row.n, row.la, None)


def _points(core: sqlite3.Connection, query: Wide) -> dict[int, tuple[str, str]]:
    """(device, point) by number, in the order of names."""
    rows = core.execute(
        "SELECT pid, device, point FROM point WHERE ?1 IS NULL OR device = ?1 ORDER BY device, point",
        (query.device,),
    )
    points = {pid: (device, point) for pid, device, point in rows}
    steps = -(-(query.until_ns - query.since_ns) // (query.step_s * SECOND))
    if steps * len(points) > MAX_MANY:
        least = -(-(query.until_ns - query.since_ns) // (MAX_MANY // len(points) * SECOND))
        what = f"{steps} steps of {len(points)} points are more than {MAX_MANY} rows"
        raise ValueError(
            f"{what}: use a step of at least {least} s, a shorter range, or one device"
        )
    return points


def _check(query: Query | Wide) -> None:
    range_s = (query.until_ns - query.since_ns) / SECOND
    if range_s <= 0:
        raise ValueError("the range is empty: `until` must be later than `since`")
    if query.step_s < 1:
        raise ValueError(f"a step of {query.step_s} s is too small: use 1 s or more")
    count = range_s / query.step_s
    if count > MAX_ROWS:
        least = -(-range_s // MAX_ROWS)
        fix = f"use a step of at least {least:.0f} s, or a shorter range"
        raise ValueError(f"{count:.0f} rows are more than {MAX_ROWS}: {fix}")


def _level(query: Query | Wide) -> str:
    """5 min rollups while they are kept. Steps of whole hours come out the same from 1 h rollups,
    with a twelfth of the reading.
    """
    hour = HOUR_S * SECOND
    whole = query.until_ns % hour == 0 or query.until_ns >= query.now_ns
    if query.step_s % HOUR_S == 0 and query.since_ns % hour == 0 and whole:
        return "1h"
    return "5m" if query.since_ns >= query.now_ns - KEEP_S[WINDOW_S] * SECOND else "1h"


def _check_step(query: Query | Wide, source: str) -> None:
    width = WIDTHS[source]
    if query.step_s % width:
        least = -(-query.step_s // width) * width
        what = f"of that time only rollups of {width} s can be read"
        raise ValueError(f"{what}: use a step of {least} s or another multiple of {width}")


def _buckets(query: Query, view: View) -> Iterator[tuple[int, Row]]:
    """Raw samples by step."""
    bucket, cell = -1, Cell()
    before, last = None, None
    for at, value in view.values(query.since_ns, query.until_ns):
        if at >= query.since_ns:
            if at // SECOND // query.step_s != bucket:
                if cell.n:
                    yield bucket, cell.row(counter=view.counter, before=before)
                bucket, cell, before = at // SECOND // query.step_s, Cell(), last
            cell.add(at, value)
        last = value
    if cell.n:
        yield bucket, cell.row(counter=view.counter, before=before)


def _merge(query: Query, parts: Iterable[tuple[int, Row]]) -> Iterator[tuple[int, Row]]:
    """Rollups by step; `parts` in the order of time."""
    bucket, total = -1, None
    for t, row in parts:
        if total is not None and t // query.step_s == bucket:
            total = Row(
                total.n + row.n, min(total.mn, row.mn), max(total.mx, row.mx), total.sm + row.sm,
                row.la,
            )  # fmt: skip
            continue
        if total is not None:
            yield bucket, total
        bucket, total = t // query.step_s, row
    if total is not None:
        yield bucket, total

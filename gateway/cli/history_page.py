"""Pages of `gateway history`: a curve and a table."""

import shutil
from datetime import datetime
from zoneinfo import ZoneInfo

from gateway.store.history import SECOND, History, HistoryRow, Query

TICKS = 6  # on the axis of time
SOURCES = {"raw": "raw samples", "5m": "5 min rollups", "1h": "1 h rollups"}


def curve(found: History, query: Query, zone: ZoneInfo) -> str:
    """As wide as the terminal, in characters that every terminal has. One row is enough."""
    import plotext  # noqa: PLC0415 -- 40 ms that only a curve needs

    size = shutil.get_terminal_size((100, 30))
    plotext.clear_figure()
    plotext.theme("clear")
    plotext.limit_size(False, False)  # noqa: FBT003 -- width, height; it has no names
    plotext.plot_size(max(40, min(size.columns, 160)), max(10, min(size.lines - 4, 30)))
    times = [row.t_ns // SECOND for row in found.rows]
    plotext.plot(times, [_shown(row) for row in found.rows], marker="braille")
    since, until = query.since_ns // SECOND, query.until_ns // SECOND
    plotext.xlim(since, until)
    ticks = [since + (until - since) * n // (TICKS - 1) for n in range(TICKS)]
    plotext.xticks(ticks, [_time(at, zone, until - since) for at in ticks])
    drawn = plotext.uncolorize(plotext.build()).rstrip()
    return f"{_title(found, query)}\n{drawn}\n{_summary(found.rows)}"


def table(found: History, query: Query, zone: ZoneInfo) -> str:
    last = "rise" if found.counter else "mean"
    lines = [_title(found, query), f"{'time':25} {'n':>6} {'min':>12} {'max':>12} {last:>12} {'last':>12}"]  # fmt: skip
    for row in found.rows:
        at = datetime.fromtimestamp(row.t_ns // SECOND, zone).isoformat()
        middle = row.rise if found.counter else row.mean
        numbers = " ".join(f"{_number(x):>12}" for x in (row.min, row.max, middle, row.last))
        lines.append(f"{at:25} {row.n:>6} {numbers}")
    return "\n".join([*lines, _summary(found.rows)])


def _shown(row: HistoryRow) -> float:
    """Of a counter where it stood, of anything else the mean."""
    return row.last if row.mean is None else row.mean


def _title(found: History, query: Query) -> str:
    what = "counter" if found.counter else "mean"
    source = SOURCES.get(found.source, found.source)
    return (
        f"{query.device} {query.point}: {what}, one value in {_step(found, query)}, from {source}"
    )


def _step(found: History, query: Query) -> str:
    """The smallest distance of two rows: the step may have become coarser than the one asked for."""
    gaps = [b.t_ns - a.t_ns for a, b in zip(found.rows, found.rows[1:], strict=False)]
    step_s = min(gaps, default=query.step_s * SECOND) // SECOND
    if step_s % 3_600 == 0:
        return f"{step_s // 3_600} h"
    return f"{step_s // 60} min" if step_s % 60 == 0 else f"{step_s} s"


def _summary(rows: tuple[HistoryRow, ...]) -> str:
    rises = [row.rise for row in rows if row.rise is not None]
    rise = f", rise {_number(sum(rises))}" if rises else ""
    low, high = min(row.min for row in rows), max(row.max for row in rows)
    count = sum(row.n for row in rows)
    return f"{count} samples, min {_number(low)}, max {_number(high)}, last {_number(rows[-1].last)}{rise}"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.10g}"


def _time(at: int, zone: ZoneInfo, range_s: int) -> str:
    day = 86_400
    pattern = "%H:%M" if range_s < day else "%m-%d %H:%M" if range_s < 14 * day else "%Y-%m-%d"
    return datetime.fromtimestamp(at, zone).strftime(pattern)

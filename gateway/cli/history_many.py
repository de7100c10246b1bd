"""`gateway history` without POINT: all points of a device, or of every device, in one reading."""

import argparse
import csv
import sys
from collections.abc import Iterable, Iterator
from datetime import datetime
from zoneinfo import ZoneInfo

import orjson

from gateway.store.history import SECOND, Wide
from gateway.store.many import MAX_ROWS, Series, Window
from gateway.store.window import HOUR_S, WINDOW_NS, WINDOW_S

# Steps that divide a day. About 300 points fill a wide terminal.
STEPS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1_800, 3_600, 7_200, 10_800, 21_600, 43_200, 86_400)  # fmt: skip
POINTS = 300
KEPT_NS = 90 * 86_400 * SECOND  # 5 min rollups (`gateway.store.rollup_table`)
FIGURES = ("n", "min", "max", "mean", "last", "rise")
COLUMNS = ("device", "point", "time", "t_ns", *FIGURES)
Figures = tuple[int, float, float, float | None, float, float | None]


def default_step(range_s: float) -> int:
    """Seconds, for a range without --step."""
    return next((step for step in STEPS if range_s / step <= POINTS), STEPS[-1])


def wide(
    device: str | None, since: int, until: int, step_s: int | None, now: int, *, points: int
) -> Wide:
    """Without a step one that the rollups of that time have, and so coarse that the answer fits."""
    width = WINDOW_S if since >= now - KEPT_NS else HOUR_S
    if step_s is None:
        range_s = (until - since) / SECOND
        fits = range_s * points / MAX_ROWS
        least = max(width, default_step(range_s), fits)
        step_s = next((step for step in STEPS if step >= least), -(-int(fits) // HOUR_S) * HOUR_S)
    return Wide(device, since - since % WINDOW_NS, until, step_s, now)


def show(
    source: str, found: list[Series], query: Wide, zone: ZoneInfo, options: argparse.Namespace
) -> int:
    if options.json:
        print(
            orjson.dumps(
                {"source": source, "step_s": query.step_s, "series": _json(found)}
            ).decode()
        )
    elif options.csv:
        out = csv.writer(sys.stdout)
        out.writerow(COLUMNS)
        out.writerows(_lines(found, zone))
    elif not found:
        print(f"{query.device or 'all devices'}: no values in this time", file=sys.stderr)
    else:
        print("\n".join(_table(found, zone) if options.table else _page(found)))
    return 0 if found else 1


def _figures(one: Series, row: Window) -> Figures:
    """Of a counter the rise, of anything else the mean."""
    _, n, low, high, total, last, _ = row
    return (
        (n, low, high, None, last, total) if one.counter else (n, low, high, total / n, last, None)
    )


def _json(found: list[Series]) -> list[dict[str, object]]:
    return [
        {
            "device": one.device, "point": one.point, "counter": one.counter,
            "rows": [
                dict(zip(FIGURES, _figures(one, row), strict=True), t_ns=row[0] * SECOND)
                for row in one.rows
            ],
        }
        for one in found
    ]  # fmt: skip


def _lines(found: list[Series], zone: ZoneInfo) -> Iterator[tuple[object, ...]]:
    times: dict[int, str] = {}  # a day of 500 points has 288 different ones
    for one in found:
        for row in one.rows:
            t = row[0]
            if t not in times:
                times[t] = datetime.fromtimestamp(t, zone).isoformat()
            yield (one.device, one.point, times[t], t * SECOND, *_figures(one, row))


def _table(found: list[Series], zone: ZoneInfo) -> Iterator[str]:
    yield _line("device and point", "time", FIGURES)
    for device, point, time, _, *figures in _lines(found, zone):
        yield _line(f"{device} {point}", str(time), [_number(x) for x in figures])


def _page(found: list[Series]) -> Iterator[str]:
    """A line for each point."""
    yield _line("device and point", "", FIGURES)
    for one in found:
        n, total = sum(row[1] for row in one.rows), sum(row[4] for row in one.rows)
        low, high = min(row[2] for row in one.rows), max(row[3] for row in one.rows)
        whole = (0, n, low, high, total, one.rows[-1][5], 0)
        figures = [_number(x) for x in _figures(one, whole)]
        yield _line(f"{one.device} {one.point}", "", figures)


def _line(name: str, time: str, figures: Iterable[str]) -> str:
    moment = f"{time:25} " if time else ""
    return f"{name:44} {moment}{' '.join(f'{x:>12}' for x in figures)}"


def _number(value: object) -> str:
    return "-" if value is None else f"{value:.10g}"

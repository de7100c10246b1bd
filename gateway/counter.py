"""Counters that step back: a wrap, a reset, another meter. It is told, and is never consumption.

What consumption a counter shows is worked out by who reads the journal, from its rises alone.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from gateway.model import Event, EventKind, Sample

# A register that wraps is near its top before and near its bottom after; the rest was counted
# between two readings.
EDGE = 0.05
# A counter that was reset had no time to count much; a meter that was exchanged shows any number.
FRESH = 0.01
# Steps of f32 registers are 2**-23 of the value or less: a total that a meter adds up from several
# may be a step or two lower than before.
NOISE = 2.0**-21

KINDS = frozenset({EventKind.COUNTER_WRAP, EventKind.COUNTER_RESET, EventKind.METER_REPLACED})


class Range(NamedTuple):
    """The numbers between which a counter's register runs, in the unit of the point."""

    low: float
    high: float


class Step(NamedTuple):
    """A counter went back from `was` to `value`."""

    point: str
    kind: EventKind
    was: float
    value: float


@dataclass(slots=True)
class _Cell:
    """A counter's last value, and when it was shown (UTC, ns; the earliest moment it may be)."""

    point: str
    range: Range | None
    value: float = -math.inf
    time_ns: int = 0
    clock_ok: bool = False

    def set(self, value: float, time_ns: int, *, clock_ok: bool) -> None:
        self.value, self.time_ns, self.clock_ok = value, time_ns, clock_ok


class Counters:
    """The last value of every counter. `ranges` has those whose register is known to wrap."""

    def __init__(
        self,
        counters: Mapping[str, Iterable[str]],
        ranges: Mapping[tuple[str, str], Range] | None = None,
    ) -> None:
        """`counters`: the counter points of each device."""
        self._cells: dict[str, tuple[_Cell, ...]] = {}
        self.adopt(counters, ranges or {})

    def adopt(
        self, counters: Mapping[str, Iterable[str]], ranges: Mapping[tuple[str, str], Range]
    ) -> None:
        """As at the construction; the last value of what stays is kept."""
        known = {(d, cell.point, cell.range): cell for d, cells in self._cells.items() for cell in cells}  # fmt: skip
        self._cells = {
            device: tuple(
                known.get((device, point, span := ranges.get((device, point))))
                or _Cell(point, span)
                for point in points
            )
            for device, points in counters.items()
        }

    def restore(
        self, stored: Mapping[tuple[str, str], tuple[float, int]], events: Iterable[Event]
    ) -> None:
        """Continue after a restart: `stored` has last values that may be some minutes old, and the
        earliest time (s, UTC) they may be of. The newest event of a counter tells of a step that
        `stored` may not know of.
        """
        cells = {
            (device, cell.point): cell for device, cells in self._cells.items() for cell in cells
        }
        for key, (value, t) in stored.items():
            if key in cells:
                cells[key].set(value, t * 10**9, clock_ok=True)
        for event in events:
            told = event.attributes.get("value")
            cell = cells.get((event.device, str(event.attributes.get("point"))))
            if cell is None or event.kind not in KINDS or isinstance(told, bool):
                continue
            if not isinstance(told, int | float):
                continue
            if not (cell.clock_ok and event.clock_ok and cell.time_ns > event.time_ns):
                cell.set(told, event.time_ns, clock_ok=event.clock_ok)

    def steps(self, sample: Sample) -> list[Step]:
        """Take a sample in; returns the counters that went back. Each step is told once.

        Only good values count. A sample from before the last one changes nothing.
        """
        found: list[Step] = []
        values, quality = sample.values, sample.quality
        time_ns, clock_ok = sample.time_ns, sample.clock_ok
        for cell in self._cells.get(sample.device, ()):
            value = values.get(cell.point)
            if value is None or cell.point in quality or isinstance(value, bool | str):
                continue
            if cell.time_ns > time_ns and clock_ok and cell.clock_ok:
                continue
            before = cell.value
            if value < before and before - value > NOISE * abs(before):
                found.append(Step(cell.point, _kind(before, value, cell.range), before, value))
            cell.value, cell.time_ns, cell.clock_ok = value, time_ns, clock_ok
        return found


def _kind(was: float, value: float, span: Range | None) -> EventKind:
    if span is not None:
        edge = EDGE * (span.high - span.low)
        if was >= span.high - edge and value <= span.low + edge:
            return EventKind.COUNTER_WRAP
    return EventKind.COUNTER_RESET if abs(value) <= FRESH * abs(was) else EventKind.METER_REPLACED

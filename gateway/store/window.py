"""Aggregates of one point over half-open, UTC-aligned time windows `[t, t + w)`. Pure.

Only GOOD and UNCERTAIN numbers count. A boolean counts as 0 or 1, so that its mean is the share of
samples in which it was true; texts do not count.
"""

import math
from typing import NamedTuple

WINDOW_S = 300
HOUR_S = 3_600
WINDOW_NS = WINDOW_S * 1_000_000_000

LIMIT = 1e300  # beyond, a sum over a window could become infinite: no device means such a number


class Row(NamedTuple):
    """What table `rollup` holds of one window and point.

    `sm` is the sum of the values; of a counter it is the rise: the sum of its positive steps, that
    from the last value before the window included. A step back (a reset) adds nothing.
    """

    n: int
    mn: float
    mx: float
    sm: float
    la: float


def window_of(time_ns: int) -> int:
    """Start of the 5 min window, in seconds since 1970."""
    return time_ns // WINDOW_NS * WINDOW_S


def hour_of(t: int) -> int:
    return t - t % HOUR_S


def number_of(value: object) -> float | None:
    """`value` as it is aggregated, None if it is no finite number below 1e300."""
    match value:
        case bool() | int() | float():
            return float(value) if -LIMIT < value < LIMIT else None
        case _:
            return None


class Cell:
    """Values of one point as they come. `ordered` tells whether they came in the order of time;
    if not, `rise` is wrong and everything else is right.
    """

    __slots__ = ("first", "first_at", "la", "last_at", "mn", "mx", "n", "ordered", "rise", "sm")

    def __init__(self) -> None:
        self.n = 0
        self.mn = math.inf
        self.mx = -math.inf
        self.sm = self.rise = self.first = self.la = 0.0
        self.first_at = self.last_at = 0
        self.ordered = True

    def add(self, at: int, value: float) -> None:
        """A value at a time; of two at the same time the one added later is the later one."""
        if not self.n:
            self.first, self.first_at = value, at
        elif at >= self.last_at:
            if value > self.la:
                self.rise += value - self.la
        else:
            self.ordered = False
            if at < self.first_at:
                self.first, self.first_at = value, at
        if not self.n or at >= self.last_at:
            self.la, self.last_at = value, at
        self.n += 1
        self.sm += value
        self.mn = min(self.mn, value)
        self.mx = max(self.mx, value)

    def row(self, *, counter: bool, before: float | None) -> Row:
        """`before` is the last value before the window, None if there is none."""
        if not counter:
            return Row(self.n, self.mn, self.mx, self.sm, self.la)
        step = 0.0 if before is None else max(0.0, self.first - before)
        return Row(self.n, self.mn, self.mx, self.rise + step, self.la)

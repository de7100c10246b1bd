"""What is computed from the recent samples of one point, and how often a state became true. Pure.

Values are fixed-point millionths, so that sums do not drift and the same inputs give the same bits.
What a window needs for its value is kept up as samples come and go, so that it costs the same
however many samples there are; only a sample that came late makes it count anew.
"""

from array import array
from bisect import bisect_right
from collections import deque
from itertools import pairwise

from gateway.model import Quality, Value
from rules.nodes import NEVER_NS, SCALE, Node

PANES = 60  # of a `coverage` window
SPARE = 32  # samples that are gone, but still take memory: to move the others is not worth it


class Window(Node):
    """(now - ns, now] of one point; what came late is sorted in: `count`, `sum`, `avg`, `delta`, `rate`."""

    __slots__ = ("_ats", "_first", "_function", "_kept", "_ns", "_stale_ns", "_sum", "_values")

    def __init__(self, function: str, ns: int, stale_ns: int) -> None:
        super().__init__()
        self._function = function
        self._ns = ns
        self._kept = self.reach_ns(function, ns, stale_ns)
        self._stale_ns = stale_ns
        self._ats = array("q")  # of the samples
        self._values: array[int] | list[int] = array("q")  # millionths
        self._first = 0  # those before are gone
        self._sum = 0

    @staticmethod
    def reach_ns(function: str, ns: int, stale_ns: int) -> int:
        """How old a sample may be to count; in `coverage` one is known beyond its own time."""
        return ns + ns // PANES + min(stale_ns, ns) if function == "coverage" else ns

    def take(
        self, slot: int, at: int, value: Value | None, current: Value | None,
        quality: Quality | None,
    ) -> None:  # fmt: skip
        if value is None or isinstance(value, str):
            return
        ats, number = self._ats, round(value * SCALE)
        if not -(1 << 63) <= number < 1 << 63:
            self._values = list(self._values)  # an array has no room for it
        self._sum += number
        index = len(ats)
        if index > self._first and at < ats[-1]:
            index = bisect_right(ats, at, self._first)
        ats.insert(index, at)
        self._values.insert(index, number)
        self._added(index)
        if index % 16 == 0 and ats[self._first] <= at - 2 * self._kept:
            self._purge(at)  # it may be long until somebody asks

    def _added(self, index: int) -> None:
        """A sample is new, the newest or one that came late."""

    def _purge(self, now: int) -> None:
        """Samples that are too old go. There are some."""
        ats, values, first = self._ats, self._values, self._first
        oldest = now - self._kept
        while first < len(ats) and ats[first] <= oldest:
            self._sum -= values[first]
            first += 1
        if first > SPARE and first * 2 > len(ats):
            del ats[:first], values[:first]
            first = 0
        self._first = first

    def value(self, now: int) -> Value | None:
        ats = self._ats
        if self._first < len(ats) and ats[self._first] <= now - self._kept:
            self._purge(now)
        count = len(ats) - self._first
        self.edge = ats[self._first] + self._ns if count else NEVER_NS
        return self._read(count)

    def _read(self, count: int) -> Value | None:
        """Its value of `count` samples."""
        match self._function:
            case "avg":
                return self._sum / count / SCALE if count else None
            case "count":
                return count
            case "sum":
                return self._sum / SCALE if count else None
        if count < 2:
            return None
        change = (self._values[-1] - self._values[self._first]) / SCALE
        return change if self._function == "delta" else self._per_second(change)

    def _per_second(self, change: float) -> float | None:
        ns = self._ats[-1] - self._ats[self._first]
        return change * 1e9 / ns if ns else None


class Extreme(Window):
    """`min` and `max`: keeps the samples that no later one exceeds, so the first of them is the most."""

    __slots__ = ("_peaks", "_sign")

    def __init__(self, function: str, ns: int, stale_ns: int) -> None:
        super().__init__(function, ns, stale_ns)
        self._sign = 1 if function == "max" else -1
        self._peaks: deque[tuple[int, int]] = deque()

    def _added(self, index: int) -> None:
        peaks, sign = self._peaks, self._sign
        if index < len(self._ats) - 1:
            peaks.clear()
            index = self._first
        for place in range(index, len(self._ats)):
            number = self._values[place]
            while peaks and peaks[-1][1] * sign <= number * sign:
                peaks.pop()
            peaks.append((self._ats[place], number))

    def _purge(self, now: int) -> None:
        super()._purge(now)
        while self._peaks and self._peaks[0][0] <= now - self._kept:
            self._peaks.popleft()

    def _read(self, count: int) -> Value | None:
        return self._peaks[0][1] / SCALE if count else None


class Climb(Window):
    """`rise` and the `rate` of a counter: only what it went up by counts."""

    __slots__ = ("_up",)

    def __init__(self, function: str, ns: int, stale_ns: int) -> None:
        super().__init__(function, ns, stale_ns)
        self._up = 0

    def _added(self, index: int) -> None:
        if index < len(self._ats) - 1:
            self._up = self._climbed(self._first, len(self._ats))
        elif index > self._first:
            self._up += self._climbed(index - 1, index + 1)

    def _climbed(self, first: int, beyond: int) -> int:
        return sum(max(0, b - a) for a, b in pairwise(self._values[first:beyond]))

    def _purge(self, now: int) -> None:
        beyond = bisect_right(self._ats, now - self._kept, self._first)
        self._up -= self._climbed(self._first, beyond + 1)
        super()._purge(now)

    def _read(self, count: int) -> Value | None:
        if count < 2:
            return None
        change = self._up / SCALE
        return change if self._function == "rise" else self._per_second(change)


class Coverage(Window):
    """Of the last 60 whole panes, the share that some value reaches while it is known."""

    __slots__ = ()

    def value(self, now: int) -> float:
        super().value(now)
        pane = max(1, self._ns // PANES)
        self.edge = (now // pane + 1) * pane
        last = now // pane
        covered: set[int] = set()
        for at in self._ats[self._first :]:
            first, beyond = at // pane, -(-(at + self._stale_ns) // pane)
            covered.update(range(max(first, last - PANES), min(beyond, last)))
        return len(covered) / PANES


_KINDS = {"min": Extreme, "max": Extreme, "rise": Climb, "rate_of_counter": Climb, "coverage": Coverage}  # fmt: skip


def window(function: str, ns: int, stale_ns: int) -> Window:
    """The window of a function of the language; `rate_of_counter`: `rate` where the point is a counter."""
    return _KINDS.get(function, Window)(function, ns, stale_ns)


class Rises(Node):
    """How often a state became true in (now - ns, now]; true after unknown is no edge."""

    __slots__ = ("_edges", "_last", "_ns", "_stale_ns")

    def __init__(self, ns: int, stale_ns: int) -> None:
        super().__init__()
        self._ns = ns
        self._stale_ns = stale_ns
        self._edges: deque[int] = deque()
        self._last: tuple[int, Value | None] = (-1, None)

    def take(
        self, slot: int, at: int, value: Value | None, current: Value | None,
        quality: Quality | None,
    ) -> None:  # fmt: skip
        before_at, before = self._last
        if at < before_at:
            return
        if before is False and value is True and at - before_at < self._stale_ns:
            self._edges.append(at)
            self.value(at)  # lets go of what is too old, for it may be long until somebody asks
        self._last = at, value

    def value(self, now: int) -> Value:
        while self._edges and self._edges[0] <= now - self._ns:
            self._edges.popleft()
        self.edge = self._edges[0] + self._ns if self._edges else NEVER_NS
        return len(self._edges)

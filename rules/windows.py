"""What is computed from the recent samples of one point, and how often a state became true. Pure.

Values are fixed-point millionths, so that sums do not drift and the same inputs give the same bits.
What a window needs for its value is kept up as samples come and go, so that it costs the same
however many samples there are; only a sample that came late makes it count anew.
"""

from bisect import bisect_right
from collections import deque
from itertools import pairwise

from gateway.model import Quality, Value
from rules.nodes import NEVER_NS, SCALE, Node

PANES = 60  # of a `coverage` window


class Window(Node):
    """(now - ns, now] of one point; what came late is sorted in: `count`, `sum`, `avg`, `delta`, `rate`."""

    def __init__(self, function: str, ns: int, stale_ns: int) -> None:
        self._function = function
        self._ns = ns
        self._kept = self.reach_ns(function, ns, stale_ns)
        self._stale_ns = stale_ns
        self._samples: deque[tuple[int, int]] = deque()  # (at, value in millionths)
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
        samples, number = self._samples, round(value * SCALE)
        self._sum += number
        if not samples or at >= samples[-1][0]:
            self._append((at, number))
            return
        index = bisect_right(samples, at, key=lambda sample: sample[0])
        samples.insert(index, (at, number))
        self._recount()

    def _append(self, sample: tuple[int, int]) -> None:
        """The newest sample."""
        self._samples.append(sample)

    def _recount(self) -> None:
        """A sample came late."""

    def value(self, now: int) -> Value | None:
        samples = self._samples
        while samples and samples[0][0] <= now - self._kept:
            self._sum -= samples.popleft()[1]
        self.edge = samples[0][0] + self._ns if samples else NEVER_NS
        return self._read(now)

    def _read(self, _now: int) -> Value | None:
        count = len(self._samples)
        match self._function:
            case "avg":
                return self._sum / count / SCALE if count else None
            case "count":
                return count
            case "sum":
                return self._sum / SCALE if count else None
        if count < 2:
            return None
        change = (self._samples[-1][1] - self._samples[0][1]) / SCALE
        return change if self._function == "delta" else self._per_second(change)

    def _per_second(self, change: float) -> float | None:
        ns = self._samples[-1][0] - self._samples[0][0]
        return change * 1e9 / ns if ns else None


class Extreme(Window):
    """`min` and `max`: keeps the samples that no later one exceeds, so the first of them is the most."""

    def __init__(self, function: str, ns: int, stale_ns: int) -> None:
        super().__init__(function, ns, stale_ns)
        self._sign = 1 if function == "max" else -1
        self._peaks: deque[tuple[int, int]] = deque()

    def _append(self, sample: tuple[int, int]) -> None:
        self._samples.append(sample)
        self._climb(sample)

    def _climb(self, sample: tuple[int, int]) -> None:
        peaks, height = self._peaks, sample[1] * self._sign
        while peaks and peaks[-1][1] * self._sign <= height:
            peaks.pop()
        peaks.append(sample)

    def _recount(self) -> None:
        self._peaks.clear()
        for sample in self._samples:
            self._climb(sample)

    def _read(self, now: int) -> Value | None:
        peaks = self._peaks
        while peaks and peaks[0][0] <= now - self._kept:
            peaks.popleft()
        return peaks[0][1] / SCALE if peaks else None


class Climb(Window):
    """`rise` and the `rate` of a counter: only what it went up by counts."""

    def __init__(self, function: str, ns: int, stale_ns: int) -> None:
        super().__init__(function, ns, stale_ns)
        self._rise = 0
        self._rises: deque[tuple[int, int]] = deque()  # (at of the sample before, up from it)

    def _append(self, sample: tuple[int, int]) -> None:
        if self._samples:
            self._climb(self._samples[-1], sample)
        self._samples.append(sample)

    def _climb(self, before: tuple[int, int], sample: tuple[int, int]) -> None:
        up = sample[1] - before[1]
        if up > 0:
            self._rise += up
            self._rises.append((before[0], up))

    def _recount(self) -> None:
        self._rise = 0
        self._rises.clear()
        for before, sample in pairwise(self._samples):
            self._climb(before, sample)

    def _read(self, now: int) -> Value | None:
        while self._rises and self._rises[0][0] <= now - self._kept:
            self._rise -= self._rises.popleft()[1]
        if len(self._samples) < 2:
            return None
        change = self._rise / SCALE
        return change if self._function == "rise" else self._per_second(change)


class Coverage(Window):
    """Of the last 60 whole panes, the share that some value reaches while it is known."""

    def value(self, now: int) -> float:
        pane = max(1, self._ns // PANES)
        super().value(now)
        self.edge = (now // pane + 1) * pane
        last = now // pane
        covered: set[int] = set()
        for at, _ in self._samples:
            first, beyond = at // pane, -(-(at + self._stale_ns) // pane)
            covered.update(range(max(first, last - PANES), min(beyond, last)))
        return len(covered) / PANES


_KINDS = {"min": Extreme, "max": Extreme, "rise": Climb, "rate_of_counter": Climb, "coverage": Coverage}  # fmt: skip


def window(function: str, ns: int, stale_ns: int) -> Window:
    """The window of a function of the language; `rate_of_counter`: `rate` where the point is a counter."""
    return _KINDS.get(function, Window)(function, ns, stale_ns)


class Rises(Node):
    """How often a state became true in (now - ns, now]; true after unknown is no edge."""

    def __init__(self, ns: int, stale_ns: int) -> None:
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
        self._last = at, value

    def value(self, now: int) -> Value:
        while self._edges and self._edges[0] <= now - self._ns:
            self._edges.popleft()
        self.edge = self._edges[0] + self._ns if self._edges else NEVER_NS
        return len(self._edges)

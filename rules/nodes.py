"""What is computed from points before a condition reads it: windows, ages, groups, other rules. Pure.

A node is told what happens and says what its value is now (None: unknown) and when that may change
by itself. Times are engine time in ns. Values in windows are fixed-point millionths, so that sums
do not drift and the same inputs give the same bits.
"""

from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import NamedTuple

from gateway.model import Value

SCALE = 1_000_000
PANES = 60  # of a `coverage` window


class Seen(NamedTuple):
    """A sample of one point: `value` None is BAD; `uncertain` as its quality says.

    `current` is the value as of now: None too when a newer sample is there or when it came so late
    that it is not known any more.
    """

    at: int
    value: Value | None
    uncertain: bool
    current: Value | None


class Node:
    """`every`: it wants each sample, not only changes of the value."""

    every = True

    def take(self, slot: int, seen: Seen) -> None:
        """A sample of a point that it reads."""

    def forget(self, slot: int) -> None:
        """The value of a point that it reads is too old to be known."""

    def value(self, now: int) -> Value | None:
        raise NotImplementedError

    def due(self, _now: int) -> int | None:
        """When to ask again, later than now; None: not before the next sample."""
        return None


class Window(Node):
    """(now - ns, now] of one point; what came late is sorted in."""

    def __init__(self, function: str, ns: int, stale_ns: int) -> None:
        self._ns = ns
        self._kept = self.reach_ns(function, ns, stale_ns)
        self._stale_ns = stale_ns
        self._samples: deque[tuple[int, int]] = deque()  # (at, value in millionths)
        self._sum = 0
        self._read = _READS[function]
        self._coverage_of = function == "coverage"

    @staticmethod
    def reach_ns(function: str, ns: int, stale_ns: int) -> int:
        """How old a sample may be to count; in `coverage` one is known beyond its own time."""
        return ns + ns // PANES + min(stale_ns, ns) if function == "coverage" else ns

    def take(self, slot: int, seen: Seen) -> None:
        value = seen.value
        if value is None or isinstance(value, str):
            return
        entry = (seen.at, round(value * SCALE))
        self._sum += entry[1]
        if not self._samples or seen.at >= self._samples[-1][0]:
            self._samples.append(entry)
            return
        index = bisect_right(self._samples, seen.at, key=lambda sample: sample[0])
        self._samples.insert(index, entry)

    def value(self, now: int) -> Value | None:
        samples = self._samples
        while samples and samples[0][0] <= now - self._kept:
            self._sum -= samples.popleft()[1]
        return self._read(self, now)

    def due(self, now: int) -> int | None:
        if self._coverage_of:
            pane = max(1, self._ns // PANES)
            return (now // pane + 1) * pane
        return self._samples[0][0] + self._ns if self._samples else None

    def _count(self, _now: int) -> int:
        return len(self._samples)

    def _sum_of(self, _now: int) -> float | None:
        return self._sum / SCALE if self._samples else None

    def _avg(self, _now: int) -> float | None:
        return self._sum / len(self._samples) / SCALE if self._samples else None

    def _min(self, _now: int) -> float | None:
        return min(value for _, value in self._samples) / SCALE if self._samples else None

    def _max(self, _now: int) -> float | None:
        return max(value for _, value in self._samples) / SCALE if self._samples else None

    def _delta(self, _now: int) -> float | None:
        if len(self._samples) < 2:
            return None
        return (self._samples[-1][1] - self._samples[0][1]) / SCALE

    def _rise(self, _now: int) -> float | None:
        if len(self._samples) < 2:
            return None
        values = [value for _, value in self._samples]
        return sum(max(0, b - a) for a, b in pairwise(values)) / SCALE

    def _rate(self, now: int) -> float | None:
        return self._per_second(self._delta(now))

    def _rate_of_counter(self, now: int) -> float | None:
        return self._per_second(self._rise(now))

    def _per_second(self, change: float | None) -> float | None:
        if change is None:
            return None
        ns = self._samples[-1][0] - self._samples[0][0]
        return change * 1e9 / ns if ns else None

    def _coverage(self, now: int) -> float:
        """Of the last 60 whole panes, the share that some value reaches while it is known."""
        pane = max(1, self._ns // PANES)
        last = now // pane
        covered: set[int] = set()
        for at, _ in self._samples:
            first, beyond = at // pane, -(-(at + self._stale_ns) // pane)
            covered.update(range(max(first, last - PANES), min(beyond, last)))
        return len(covered) / PANES


_READS: dict[str, Callable[[Window, int], Value | None]] = {
    "count": Window._count, "sum": Window._sum_of, "avg": Window._avg, "min": Window._min,
    "max": Window._max, "delta": Window._delta, "rise": Window._rise, "rate": Window._rate,
    "rate_of_counter": Window._rate_of_counter, "coverage": Window._coverage,
}  # fmt: skip


class Rises(Node):
    """How often a state became true in (now - ns, now]; true after unknown is no edge."""

    def __init__(self, ns: int, stale_ns: int) -> None:
        self._ns = ns
        self._stale_ns = stale_ns
        self._edges: deque[int] = deque()
        self._last: tuple[int, Value | None] = (-1, None)

    def take(self, slot: int, seen: Seen) -> None:
        at, before = self._last
        if seen.at < at:
            return
        if before is False and seen.value is True and seen.at - at < self._stale_ns:
            self._edges.append(seen.at)
        self._last = seen.at, seen.value

    def value(self, now: int) -> Value:
        while self._edges and self._edges[0] <= now - self._ns:
            self._edges.popleft()
        return len(self._edges)

    def due(self, _now: int) -> int | None:
        return self._edges[0] + self._ns if self._edges else None


class Stale(Node):
    """Nothing was heard for `ns`; before the first sample it counts from the start."""

    def __init__(self, ns: int, start: int) -> None:
        self._ns = ns
        self._last = start
        self._off = (-1, 0)  # since when nobody listened, and for how long

    def take(self, slot: int, seen: Seen) -> None:
        if seen.value is not None:
            self._last = max(self._last, self._listened(seen.at))

    def deaf(self, ns: int, now: int) -> None:
        """For `ns` before `now` nobody listened: that is no silence, for what was heard before it neither
        if it is taken only afterwards.
        """
        self._off = (now - ns, ns)
        self._last = self._listened(self._last)

    def _listened(self, at: int) -> int:
        begin, ns = self._off
        return at + ns if at <= begin else at

    def silent(self, now: int) -> int:
        """Nothing has been heard for `ns`; returns since when it counted until now."""
        before, self._last = self._last, now - self._ns
        return before

    def since(self, last: int) -> None:
        """Something was heard at `last`."""
        self._last = last

    def value(self, now: int) -> Value:
        return now - self._last >= self._ns

    def due(self, now: int) -> int | None:
        end = self._last + self._ns
        return end if end > now else None


class Changed(Node):
    """The value changed within `ns`."""

    def __init__(self, ns: int) -> None:
        self._ns = ns
        self._last: Value | None = None
        self._seen = -1
        self._at: int | None = None

    def take(self, slot: int, seen: Seen) -> None:
        if seen.at < self._seen:
            return
        self._seen = seen.at
        if seen.value is None:
            return
        if self._last is not None and seen.value != self._last:
            self._at = seen.at
        self._last = seen.value

    def value(self, now: int) -> Value | None:
        if self._last is None:
            return None
        return self._at is not None and self._at > now - self._ns

    def due(self, now: int) -> int | None:
        end = None if self._at is None else self._at + self._ns
        return end if end is not None and end > now else None


class Known(Node):
    """The point has a value that is young enough; `good`: and nothing speaks against it."""

    def __init__(self, *, good: bool) -> None:
        self._good = good
        self._at = -1
        self._holds = False

    def take(self, slot: int, seen: Seen) -> None:
        if seen.at >= self._at:
            self._at = seen.at
            self._holds = seen.current is not None and not (self._good and seen.uncertain)

    def forget(self, slot: int) -> None:
        self._holds = False

    def value(self, _now: int) -> Value:
        return self._holds


class Previous(Node):
    """The value of the sample before the newest one."""

    def __init__(self) -> None:
        self._at = -1
        self._values: deque[Value | None] = deque(maxlen=2)

    def take(self, slot: int, seen: Seen) -> None:
        if seen.at >= self._at:
            self._at = seen.at
            self._values.append(seen.value)

    def value(self, _now: int) -> Value | None:
        return self._values[0] if len(self._values) == 2 else None


Truth = Callable[[Sequence[Value | None]], Value | None]


class Group(Node):
    """How many members fulfil a condition, kept by counting: `any`, `all`, `count_of`, `unknown_of`."""

    every = False

    def __init__(self, function: str, members: Sequence[tuple[int, ...]], truth: Truth) -> None:
        self._function = function
        self._truth = truth
        self._members = members
        self._by_slot: dict[int, list[int]] = {}
        for number, slots in enumerate(members):
            for slot in slots:
                self._by_slot.setdefault(slot, []).append(number)
        self._seen: list[list[Value | None]] = [[None] * len(slots) for slots in members]
        self._holds: list[Value | None] = [truth(seen) for seen in self._seen]
        self._true = self._holds.count(True)
        self._unknown = self._holds.count(None)

    def take(self, slot: int, seen: Seen) -> None:
        for number in self._by_slot[slot]:
            values = self._seen[number]
            for place, own in enumerate(self._members[number]):
                if own == slot:
                    values[place] = seen.current
            before, after = self._holds[number], self._truth(values)
            if after is before:
                continue
            self._holds[number] = after
            self._true += (after is True) - (before is True)
            self._unknown += (after is None) - (before is None)

    def forget(self, slot: int) -> None:
        self.take(slot, Seen(0, None, uncertain=False, current=None))

    def value(self, _now: int) -> Value | None:
        match self._function:
            case "count_of":
                return self._true
            case "unknown_of":
                return self._unknown
            case "any":
                return True if self._true else None if self._unknown else False
        false = len(self._holds) - self._true - self._unknown
        return False if false else None if self._unknown or not self._holds else True


class Total(Node):
    """`sum_of`, `max_of`, `min_of`, `avg_of` the members; unknown when one of them is."""

    every = False

    def __init__(self, function: str, members: Sequence[tuple[int, ...]], truth: Truth) -> None:
        self._function = function
        self._truth = truth
        self._members = members
        self._values: dict[int, Value | None] = dict.fromkeys(s for own in members for s in own)

    def take(self, slot: int, seen: Seen) -> None:
        self._values[slot] = seen.current

    def forget(self, slot: int) -> None:
        self._values[slot] = None

    def value(self, _now: int) -> Value | None:
        found = [self._truth([self._values[s] for s in own]) for own in self._members]
        if not found or None in found:
            return None
        numbers = [round(float(value) * SCALE) for value in found if value is not None]
        match self._function:
            case "sum_of":
                return sum(numbers) / SCALE
            case "avg_of":
                return sum(numbers) / len(numbers) / SCALE
            case "max_of":
                return max(numbers) / SCALE
        return min(numbers) / SCALE


class Running(Node):
    """Whether one of some instances is active or latched; the engine counts."""

    every = False

    def __init__(self) -> None:
        self.count = 0

    def value(self, _now: int) -> Value:
        return self.count > 0

    def due(self, _now: int) -> int | None:
        return None

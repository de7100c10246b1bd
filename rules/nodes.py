"""What is computed from points before a condition reads it: ages, groups, other rules. Pure.

A node is told what happens and says what its value is now (None: unknown) and when that may change
by itself. Times are engine time in ns. `rules.windows` has those that look back.
"""

from collections import deque
from collections.abc import Callable, Sequence

from gateway.model import Quality, Value

SCALE = 1_000_000  # numbers are summed up in millionths: see rules.windows
NEVER_NS = 1 << 62  # 146 years


class Node:
    """`every`: it wants each sample, not only changes of the value.

    `edge` is when its value may change by itself, later than the last call of `value`; NEVER_NS: not
    before the next sample.
    """

    __slots__ = ("edge",)
    every = True

    def __init__(self) -> None:
        self.edge = NEVER_NS

    def take(
        self, slot: int, at: int, value: Value | None, current: Value | None,
        quality: Quality | None,
    ) -> None:  # fmt: skip
        """A sample of a point that it reads: `value` None is BAD; of a GOOD one `quality` is None.

        `current` is the value as of now: None too when a newer sample is there or when it came so late
        that it is not known any more.
        """

    def forget(self, slot: int) -> None:
        """The value of a point that it reads is too old to be known."""

    def value(self, now: int) -> Value | None:
        raise NotImplementedError


class Stale(Node):
    """Nothing was heard for `ns`; before the first sample it counts from the start."""

    __slots__ = ("_last", "_ns", "_off")

    def __init__(self, ns: int, start: int) -> None:
        super().__init__()
        self._ns = ns
        self._last = start
        self._off = (-1, 0)  # since when nobody listened, and for how long

    def take(
        self, slot: int, at: int, value: Value | None, current: Value | None,
        quality: Quality | None,
    ) -> None:  # fmt: skip
        if value is not None:
            self._last = max(self._last, self._listened(at))

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
        silent = now - self._last >= self._ns
        self.edge = NEVER_NS if silent else self._last + self._ns
        return silent


class Changed(Node):
    """The value changed within `ns`."""

    __slots__ = ("_at", "_last", "_ns", "_seen")

    def __init__(self, ns: int) -> None:
        super().__init__()
        self._ns = ns
        self._last: Value | None = None
        self._seen = -1
        self._at: int | None = None

    def take(
        self, slot: int, at: int, value: Value | None, current: Value | None,
        quality: Quality | None,
    ) -> None:  # fmt: skip
        if at < self._seen:
            return
        self._seen = at
        if value is None:
            return
        if self._last is not None and value != self._last:
            self._at = at
        self._last = value

    def value(self, now: int) -> Value | None:
        if self._last is None:
            return None
        recent = self._at is not None and self._at > now - self._ns
        self.edge = self._at + self._ns if self._at is not None and recent else NEVER_NS
        return recent


class Known(Node):
    """The point has a value that is young enough; `good`: and nothing speaks against it."""

    __slots__ = ("_at", "_good", "_holds")

    def __init__(self, *, good: bool) -> None:
        super().__init__()
        self._good = good
        self._at = -1
        self._holds = False

    def take(
        self, slot: int, at: int, value: Value | None, current: Value | None,
        quality: Quality | None,
    ) -> None:  # fmt: skip
        if at >= self._at:
            self._at = at
            self._holds = current is not None and not (self._good and quality is not None)

    def forget(self, slot: int) -> None:
        self._holds = False

    def value(self, _now: int) -> Value:
        return self._holds


class Previous(Node):
    """The value of the sample before the newest one."""

    __slots__ = ("_at", "_values")

    def __init__(self) -> None:
        super().__init__()
        self._at = -1
        self._values: deque[Value | None] = deque(maxlen=2)

    def take(
        self, slot: int, at: int, value: Value | None, current: Value | None,
        quality: Quality | None,
    ) -> None:  # fmt: skip
        if at >= self._at:
            self._at = at
            self._values.append(value)

    def value(self, _now: int) -> Value | None:
        return self._values[0] if len(self._values) == 2 else None


Truth = Callable[[Sequence[Value | None]], Value | None]


class Group(Node):
    """How many members fulfil a condition, kept by counting: `any`, `all`, `count_of`, `unknown_of`."""

    __slots__ = (
        "_by_slot",
        "_function",
        "_holds",
        "_members",
        "_seen",
        "_true",
        "_truth",
        "_unknown",
    )
    every = False

    def __init__(self, function: str, members: Sequence[tuple[int, ...]], truth: Truth) -> None:
        super().__init__()
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

    def take(
        self, slot: int, at: int, value: Value | None, current: Value | None,
        quality: Quality | None,
    ) -> None:  # fmt: skip
        for number in self._by_slot[slot]:
            values = self._seen[number]
            for place, own in enumerate(self._members[number]):
                if own == slot:
                    values[place] = current
            before, after = self._holds[number], self._truth(values)
            if after is before:
                continue
            self._holds[number] = after
            self._true += (after is True) - (before is True)
            self._unknown += (after is None) - (before is None)

    def forget(self, slot: int) -> None:
        self.take(slot, 0, None, None, None)

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

    __slots__ = ("_function", "_members", "_truth", "_values")
    every = False

    def __init__(self, function: str, members: Sequence[tuple[int, ...]], truth: Truth) -> None:
        super().__init__()
        self._function = function
        self._truth = truth
        self._members = members
        self._values: dict[int, Value | None] = dict.fromkeys(s for own in members for s in own)

    def take(
        self, slot: int, at: int, value: Value | None, current: Value | None,
        quality: Quality | None,
    ) -> None:  # fmt: skip
        self._values[slot] = current

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

    __slots__ = ("count",)
    every = False

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def value(self, _now: int) -> Value:
        return self.count > 0

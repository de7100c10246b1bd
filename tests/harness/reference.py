"""A naive reading of the rule language: everything is computed anew from all samples, at each moment.

Shares the parser with the engine and nothing else: no slots, no nodes, no timers, no code.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, NamedTuple

from gateway.model import Level, Sample
from rules.outputs import ClockStep
from rules.tree import Binary, Call, In, Node, Number, Path, Text, Unary, Word
from tests.harness.reference_terms import binary, calls, kleene_or, ns_of, paths

SECOND = 1_000_000_000


class Heard(NamedTuple):
    """A sample of one point: when it was measured, its order of arrival, None for BAD."""

    at: int
    order: int
    value: Any
    uncertain: bool


@dataclass
class Rule:
    when: Node
    until: Node | None = None
    for_ns: int = 0
    keep_ns: int = 0
    on_unknown: str = "hold"
    unknown_ns: int = 60 * SECOND
    during: Callable[[int], bool] | None = None  # of UTC, ns
    edge_ns: int = SECOND  # hours begin and end at multiples of it
    lost: bool = False  # what holds without a clock


@dataclass
class Reference:
    """One instance. `aliases` are devices by name, groups are lists; `stale` is by point."""

    rule: Rule
    aliases: Mapping[str, str | Sequence[str]]
    stale: Mapping[str, int]
    texts: frozenset[str] = frozenset()
    wall: int | None = None  # UTC minus engine time
    start: int = 0
    heard: dict[tuple[str, str], list[Heard]] = field(default_factory=dict)
    newest: dict[tuple[str, str], int] = field(default_factory=dict)
    phase: str = "N"
    due: int = 0
    holds: bool = False
    since_unknown: int | None = None
    cursor: int = -1
    count: int = 0
    offs: list[tuple[int, int]] = field(default_factory=list)  # when nobody listened, for how long
    held: int | None = None  # since when an alarm that was due while it was off waits
    told: bool = False  # that it waits
    said: list[str] = field(default_factory=list)

    def step(self, sample: Sample | ClockStep | None, now: int) -> list[str]:
        self.said = []
        for moment in self._moments(now):
            self._timers(moment)
            self._decide(moment, moment)
        self.cursor = now
        if isinstance(sample, ClockStep):
            self.wall = sample.wall_ns
            self._decide(now, now)
        elif sample is not None and self._take(sample, now):
            self._decide(min(sample.received_ns, now), now)
        return self.said

    def restart(self, now: int) -> list[str]:
        """It was off from the last input until `now`."""
        self.said = []
        self.offs.append((self.cursor, now - self.cursor))
        self.cursor = now
        if self.phase == "P" and self.due <= now:
            self.held, self.told = now, False
        self._decide(now, now)
        if self.phase == "C":
            self._timers(now)
        return self.said

    def _listened(self, at: int) -> int:
        """`at`, later by the time for which nobody listened since."""
        for begin, ns in self.offs:
            at += ns if at <= begin else 0
        return at

    def _take(self, sample: Sample, now: int) -> bool:
        at = min(sample.received_ns, now)
        for point in {*sample.values, *sample.quality}:
            quality = sample.quality.get(point)
            value = sample.values.get(point)
            if (
                value is None
                or (quality is not None and quality.level is Level.BAD)
                or isinstance(value, str) is not (point in self.texts)
            ):
                value = None
            self.count += 1
            key = sample.device, point
            self.heard.setdefault(key, []).append(Heard(at, self.count, value, quality is not None))
        return True

    def _moments(self, now: int) -> Iterator[int]:
        """Every time after the last input, up to `now`, at which something may change by itself."""
        while True:
            ends = {self.start} if self.cursor < self.start else set[int]()
            if self.phase in "PC":
                ends.add(self.due)
            if self.held is not None:
                ends.add(self.held + self.rule.unknown_ns)
            if self.since_unknown is not None:
                ends.add(self.since_unknown + self.rule.unknown_ns)
            spans = {*self._spans(self.rule.when), *self._spans(self.rule.until)}
            for (_, point), all_ in self.heard.items():
                for one in all_:
                    ends |= {at + span for span in spans for at in (one.at, self._listened(one.at))}
                    ends.add(one.at + self.stale[point])
            ends |= {self._listened(self.start) + span for span in spans}
            if self.rule.during is not None and self.wall is not None:
                edge = self.rule.edge_ns
                ends.add(((self.cursor + self.wall) // edge + 1) * edge - self.wall)
            coming = {end for end in ends if self.cursor < end <= now}
            if not coming:
                return
            self.cursor = min(coming)
            yield self.cursor

    def _timers(self, moment: int) -> None:
        if self.phase == "P" and self.due <= moment and self.held is None:
            self.phase = "A"
            self.said.append("Raised")
        elif self.phase == "C" and self.due <= moment:
            self.phase = "N"
            self.said.append("Cleared")

    def _decide(self, at: int, now: int) -> None:
        holds = self._condition(now)
        if self.held is not None:
            self._confirm(holds if self._inside(now) else False, now)
            return
        if holds is None:
            if self.since_unknown is None and self.rule.on_unknown != "hold":
                self.since_unknown = now
            holds = self.holds
            if self.since_unknown is not None and now - self.since_unknown >= self.rule.unknown_ns:
                holds = self.rule.on_unknown == "assume_true"
        else:
            self.since_unknown = None
        holds = holds and self._inside(now)
        if holds == self.holds:
            return
        self.holds = holds
        if self._condition(now) is not None:
            self.since_unknown = None
        self._begin(at, now) if holds else self._end(at, now)

    def _confirm(self, holds: bool | None, now: int) -> None:
        if holds is not None:
            self.since_unknown = None
        elif self.told or self.held is None or now - self.held < self.rule.unknown_ns:
            return
        elif self.rule.on_unknown == "hold":
            self.told = True
            return
        else:
            holds = self.rule.on_unknown == "assume_true"
        self.held, self.holds, self.phase = None, holds, "A" if holds else "N"
        self.said += ["Raised"] if holds else []

    def _inside(self, now: int) -> bool:
        during = self.rule.during
        return during is None or (self.rule.lost if self.wall is None else during(now + self.wall))

    def _begin(self, at: int, now: int) -> None:
        if self.phase == "C":
            self.phase = "A"
        elif at + self.rule.for_ns <= now:
            self.phase = "A"
            self.said.append("Raised")
        else:
            self.phase, self.due = "P", at + self.rule.for_ns

    def _end(self, at: int, now: int) -> None:
        if self.phase == "P":
            self.phase = "N"
        elif at + self.rule.keep_ns <= now:
            self.phase = "N"
            self.said.append("Cleared")
        else:
            self.phase, self.due = "C", at + self.rule.keep_ns

    def _condition(self, now: int) -> bool | None:
        when = self.value(self.rule.when, now)
        if self.rule.until is None:
            return when  # type: ignore[no-any-return] # a condition is true, false or unknown
        until = self.value(self.rule.until, now)
        stays = (
            False
            if not (self.holds and self._inside(now))
            else None
            if until is None
            else not until
        )
        return kleene_or(when, stays)

    # Values

    def value(self, node: Node, now: int, member: str | None = None) -> Any:  # noqa: PLR0911
        match node:
            case Number():
                return node.value
            case Text(value, _):
                return value
            case Word(name, _):
                return {"true": True, "false": False}.get(name, name)
            case Path():
                return self._known(self._device(node, member), node.point, now)
            case Unary("not"):
                truth = self.value(node.operand, now, member)
                return None if truth is None else not truth
            case Unary():
                number = self.value(node.operand, now, member)
                return None if number is None else -number
            case In(left, choices, _):
                left_value = self.value(left, now, member)
                wanted = [self.value(one, now, member) for one in choices]
                return None if left_value is None else left_value in wanted
            case Call():
                return self._call(node, now)
            case Binary():
                return binary(node.op, self.value(node.left, now, member), self.value(node.right, now, member))  # fmt: skip

    def _device(self, path: Path, member: str | None) -> str:
        device = self.aliases[path.alias]
        if not isinstance(device, str):
            assert member is not None
            return member
        return device

    def _order(self, device: str, point: str) -> list[Heard]:
        """The samples that were newer than all before them when they came."""
        found: list[Heard] = []
        for one in self.heard.get((device, point), []):
            if not found or one.at >= found[-1].at:
                found.append(one)
        return found

    def _last(self, device: str, point: str, now: int) -> Heard | None:
        order = self._order(device, point)
        if not order or now - order[-1].at >= self.stale[point]:
            return None
        return order[-1]

    def _known(self, device: str, point: str, now: int) -> Any:
        last = self._last(device, point, now)
        return None if last is None else last.value

    def _call(self, node: Call, now: int) -> Any:
        name, first = node.name, node.arguments[0]
        if name in {"any", "all", "count_of", "unknown_of", "sum_of", "max_of", "min_of", "avg_of"}:
            return self._over(name, first, now)
        if name in {"abs", "round", "clamp"}:
            values = [self.value(one, now) for one in node.arguments]
            if None in values:
                return None
            if name == "clamp":
                return (
                    sorted([values[1], values[0], values[2]])[1] if values[1] <= values[2] else None
                )
            return abs(values[0]) if name == "abs" else round(values[0])
        assert isinstance(first, Path)
        device = self._device(first, None)
        ns = ns_of(node.arguments[1]) if len(node.arguments) > 1 else 0
        return self._about(name, device, first.point, ns, now)

    def _over(self, name: str, node: Node, now: int) -> Any:
        (alias,) = {path.alias for path in paths(node)}
        members = self.aliases[alias]
        assert not isinstance(members, str)
        values = [self.value(node, now, device) for device in members]
        match name:
            case "any":
                return True if True in values else None if None in values else False
            case "all":
                return False if False in values else None if None in values or not values else True
            case "count_of":
                return values.count(True)
            case "unknown_of":
                return values.count(None)
        if None in values or not values:
            return None
        micro = [round(float(value) * 1e6) for value in values]
        chosen: Mapping[str, Callable[[Any], Any]] = {
            "sum_of": sum, "max_of": max, "min_of": min, "avg_of": lambda v: sum(v) / len(v),
        }  # fmt: skip
        return chosen[name](micro) / 1e6

    def _about(self, name: str, device: str, point: str, ns: int, now: int) -> Any:  # noqa: PLR0911
        order = self._order(device, point)
        last = self._last(device, point, now)
        match name:
            case "known":
                return last is not None and last.value is not None
            case "good":
                return last is not None and last.value is not None and not last.uncertain
            case "stale":
                good = [
                    one.at for one in self.heard.get((device, point), []) if one.value is not None
                ]
                return now - max(map(self._listened, [self.start, *good])) >= ns
            case "prev":
                return order[-2].value if len(order) > 1 else None
            case "changed":
                return self._changed(order, ns, now)
            case "rises":
                return self._rises(device, point, ns, now)
        return self._window(name, device, point, ns, now)

    def _changed(self, order: list[Heard], ns: int, now: int) -> Any:
        good = [one for one in order if one.value is not None]
        if not good:
            return None
        moved = [b.at for a, b in pairwise(good) if a.value != b.value]
        return bool(moved) and moved[-1] > now - ns

    def _rises(self, device: str, point: str, ns: int, now: int) -> int:
        order = self._order(device, point)
        return sum(
            1
            for a, b in pairwise(order)
            if a.value is False and b.value is True and b.at > now - ns
            and b.at - a.at < self.stale[point]
        )  # fmt: skip

    def _window(self, name: str, device: str, point: str, ns: int, now: int) -> Any:
        inside = sorted(
            (one for one in self.heard.get((device, point), []) if one.value is not None and one.at > now - ns),
            key=lambda one: (one.at, one.order),
        )  # fmt: skip
        micro = [round(one.value * 1e6) for one in inside]
        if name == "count":
            return len(micro)
        if len(micro) < (2 if name in {"delta", "rise"} else 1):
            return None
        match name:
            case "avg":
                return sum(micro) / len(micro) / 1e6
            case "delta":
                return (micro[-1] - micro[0]) / 1e6
            case "rise":
                return sum(max(0, b - a) for a, b in pairwise(micro)) / 1e6
        chosen: Mapping[str, Callable[[Any], Any]] = {"min": min, "max": max, "sum": sum}
        return chosen[name](micro) / 1e6

    def _spans(self, node: Node | None) -> Iterator[int]:
        if node is not None:
            for call in calls(node):
                if len(call.arguments) == 2 and call.name != "active":
                    yield ns_of(call.arguments[1])

"""Warnings about rules that are well formed but hardly do what was meant: claims that meet, rules
that never get their way, rules that are there twice, windows that take too much memory. Pure.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import combinations
from typing import NamedTuple

from gateway.profile import Point, Profile
from gateway.words.text import fault
from rules.check import Report
from rules.hours import DAY_MIN, Hours
from rules.limits import impossible
from rules.model import Instance, RuleSet
from rules.periods import BYTES_A_SAMPLE
from rules.predicate import Predicate
from rules.section import RuleSection
from rules.sequence import Branches, Setting, Steps, Wait, WaitUntil, Watched
from rules.step_section import Step
from rules.term import Both, Either, Not, Term, renumbered

WEEK_MIN = 7 * DAY_MIN
MOST_PAIRS = 5_000  # of claims that are compared: about 0.2 s
WINDOWS_BYTES = 400_000 * BYTES_A_SAMPLE  # as many are read again after a restart (gateway.recall)

Place = tuple[str, str]  # device, point


class Entry(NamedTuple):
    """A rule as it is written, and where warnings about it go."""

    section: RuleSection
    report: Report
    raw: object


class Held(NamedTuple):
    """What an instance holds, and how strong it is: the lower `rank`, the stronger."""

    rank: int
    instance: Instance
    setting: Setting


def advise(entries: Sequence[Entry], rules: RuleSet, profiles: Mapping[str, Profile]) -> None:
    """`profiles` are those of the devices, by id; the order of `entries` is that of the files."""
    _identical(entries)
    by_id = {entry.section.id: entry for entry in entries}
    _Claims(by_id, rules, profiles).advise()


def advise_memory(entries: Sequence[Entry], windows: Mapping[str, float]) -> None:
    """`windows`: bytes that the windows of each rule keep."""
    total = sum(windows.values())
    if total <= WINDOWS_BYTES:
        return
    rule, own = max(windows.items(), key=lambda item: item[1])
    for entry in entries:
        if entry.section.id == rule:
            large = fault(
                "advice.memory", own=round(own / 1e6), total=round(total / 1e6),
                most=round(WINDOWS_BYTES / 1e6),
            )  # fmt: skip
            entry.report.note(("when",), *large)


def advise_reach(entries: Sequence[Entry], rules: RuleSet, history_s: float | None) -> None:
    """`history_s`: for how long samples are kept, None if that is not known. Where a window is longer,
    a restart leaves a gap in it.
    """
    if history_s is None:
        return
    looks: dict[str, float] = {}
    for instance in rules.instances:
        back = max((_looks_back(rules, test) for test in instance.tests), default=0.0)
        looks[instance.rule.id] = max(looks.get(instance.rule.id, 0.0), back)
    for entry in entries:
        back = looks.get(entry.section.id, 0.0)
        if back > history_s:
            hours = {"window": round(back / 3600, 1), "reach": round(history_s / 3600, 1)}
            entry.report.note(("when",), *fault("advice.reach", **hours))


def _looks_back(rules: RuleSet, test: Predicate) -> float:
    """Seconds; 0: it has no window."""
    count = len(rules.stale_ns)
    spans = [rules.wires[index - count].reach_ns for index in test.inputs if index >= count]
    return max(spans, default=0) / 1e9


def _identical(entries: Sequence[Entry]) -> None:
    """Rules that differ in id and title only: everything happens twice."""
    known: dict[str, str] = {}
    for entry in entries:
        if not entry.section.enabled or not isinstance(entry.raw, dict):
            continue
        same = repr(sorted((k, v) for k, v in entry.raw.items() if k not in {"id", "title"}))
        first = known.setdefault(same, entry.section.id)
        if first != entry.section.id:
            entry.report.note(("id",), *fault("advice.identical", other=first))


class _Claims:
    """Rules that hold one point: which of them are true together, and which never get their way."""

    def __init__(
        self, entries: Mapping[str, Entry], rules: RuleSet, profiles: Mapping[str, Profile]
    ) -> None:
        self._entries = entries
        self._rules = rules
        self._profiles = profiles
        self._left = MOST_PAIRS
        self._held: dict[Place, list[Held]] = {}
        for rank, instance in enumerate(rules.instances):
            if instance.at is None and instance.rule.id in entries:
                for setting in _always(instance.do):
                    place = setting.device, setting.point
                    self._held.setdefault(place, []).append(Held(rank, instance, setting))

    def advise(self) -> None:
        told: set[tuple[str, str, str]] = set()
        for (device, point), held in self._held.items():
            for first, second in combinations(held, 2):
                pair = first.instance.rule.id, second.instance.rule.id, point
                if pair[0] != pair[1] and pair not in told and self._meet(first, second):
                    told.add(pair)
                    meet = fault("advice.meet", other=pair[0], device=device, point=point)
                    entry = self._entries[pair[1]]
                    entry.report.note(_path_of(entry.section.do, point), *meet)
        self._shadowed()

    def _meet(self, first: Held, second: Held) -> bool:
        """They are equally strong, differ, and may both be true."""
        a, b = first.instance, second.instance
        if a.rule.level != b.rule.level or first.setting.value == second.setting.value:
            return False
        self._left -= 1
        if self._left < 0:
            return False
        if _apart(self._hours(a), self._hours(b)):
            return False
        joint = _Joint(self._rules, self._profiles)
        both = Both(joint.region(a), joint.region(b))
        return not joint.blind and not joint.impossible(both)

    def _shadowed(self) -> None:
        """Rules whose every claim lies behind a stronger one that is there whenever they are."""
        behind: dict[str, set[str]] = {}  # who stands before all claims of a rule so far
        for held in self._held.values():
            for second in held:
                stronger = {
                    first.instance.rule.id
                    for first in held
                    if first.rank < second.rank and self._covers(first, second)
                }
                rule = second.instance.rule.id
                behind[rule] = stronger & behind.get(rule, stronger)
        for rule, stronger in behind.items():
            entry = self._entries[rule]
            if stronger and _only_sets(entry.section):
                other = min(stronger)
                entry.report.note(("do",), *fault("advice.shadowed", other=other))

    def _covers(self, before: Held, behind: Held) -> bool:
        """Whenever the instance `behind` is active, the one `before` it holds, too."""
        first, second = before.instance, behind.instance
        if first.rule.id == second.rule.id or before.setting.hold_ns is not None:
            return False
        lasts = second.until is not None or second.rule.keep_ns or second.rule.latch
        guesses = (first.rule.on_unknown, second.rule.on_unknown) != ("hold", "hold")
        if lasts or guesses or first.rule.for_ns > second.rule.for_ns:
            return False
        other_hours = first.during is not None and self._hours(first) != self._hours(second)
        self._left -= 1
        if other_hours or self._left < 0:
            return False
        joint = _Joint(self._rules, self._profiles)
        return joint.impossible(Both(joint.term(second.when), Not(joint.term(first.when))))

    def _hours(self, instance: Instance) -> Hours | None:
        during = self._entries[instance.rule.id].section.during
        return None if during is None else during.hours


class _Joint:
    """Conditions of several instances over the same inputs."""

    def __init__(self, rules: RuleSet, profiles: Mapping[str, Profile]) -> None:
        self._rules = rules
        self._profiles = profiles
        self._inputs: dict[int, int] = {}

    @property
    def blind(self) -> bool:
        """Inputs may depend on each other: two of them read one point, or one is another rule."""
        count, seen = len(self._rules.places), set[int]()
        for index in self._inputs:
            wire = None if index < count else self._rules.wires[index - count]
            slots = {index} if wire is None else {*wire.slots}
            if seen & slots or (wire is not None and wire.runs):
                return True
            seen |= slots
        return False

    def term(self, test: Predicate) -> Term:
        numbers = [self._inputs.setdefault(index, len(self._inputs)) for index in test.inputs]
        return renumbered(test.term, numbers)

    def region(self, instance: Instance) -> Term:
        """True wherever the instance may be active."""
        when = self.term(instance.when)
        if instance.rule.keep_ns or instance.rule.latch:
            return Either(when, Not(when))
        return when if instance.until is None else Either(when, Not(self.term(instance.until)))

    def impossible(self, term: Term) -> bool:
        points: dict[int, Point] = {}
        for index, number in self._inputs.items():
            if index < len(self._rules.places):
                device, point = self._rules.places[index]
                points[number] = self._profiles[device].by_id[point]
        return impossible(term, points)


def _always(steps: Steps) -> Iterator[Setting]:
    """What is held from the beginning: not what stands below a condition or behind a wait."""
    for step in steps:
        match step:
            case Setting():
                yield step
            case Watched(writes, _, awaited):
                yield from (write for write in writes if isinstance(write, Setting))
                if awaited:
                    return
            case Branches(branches):
                for branch in branches:
                    yield from _always(branch)
            case Wait() | WaitUntil():
                return


def _only_sets(section: RuleSection) -> bool:
    """It does nothing but hold points."""
    return section.alarm is None and not section.on_clear and all(map(_sets, section.do))


def _sets(step: Step) -> bool:
    return step.set_ is not None or (step.parallel is not None and all(map(_sets, step.parallel)))


def _path_of(steps: Iterable[Step], point: str) -> tuple[str | int, ...]:
    for index, step in enumerate(steps):
        if step.set_ is not None and step.set_.point == point:
            return "do", index, "set"
    return ("do",)


def _apart(first: Hours | None, second: Hours | None) -> bool:
    """No minute is in both; what depends on the sun is taken to be apart: nobody shall be bothered
    for nothing.
    """
    if first is None or second is None or first == second:
        return False
    a, b = _minutes(first), _minutes(second)
    return a is None or b is None or not a & b


def _minutes(hours: Hours) -> int | None:
    """A bit for each minute of the week; None with the sun."""
    if hours.begin.sun is not None or hours.end.sun is not None:
        return None
    length = hours.end.minutes - hours.begin.minutes + (DAY_MIN if hours.overnight else 0)
    week = 0
    for day in hours.days:
        week |= ((1 << length) - 1) << (day * DAY_MIN + hours.begin.minutes)
    return (week | week >> WEEK_MIN) & ((1 << WEEK_MIN) - 1)

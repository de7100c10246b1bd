"""What loading makes of rule files: rules, their instances, and the index that `step` runs on."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, NamedTuple

from gateway.errors import Problem
from gateway.model import NO_ATTRIBUTES, Severity, Value

# Claim levels of the rule priorities, after the priority array of BACnet (ASHRAE 135, 19.2).
LEVELS: Mapping[str, int] = MappingProxyType(
    {"life": 2, "safety": 5, "automation": 12, "schedule": 16}
)
NEVER_NS = 1 << 62  # 146 years


class Rule(NamedTuple):
    """One rule of a file, or one alarm of a profile. `severity` is None for a rule without alarm;
    `for_ns` is its on-delay. A `latch`ed alarm stays when its condition has ended, until a reset.
    """

    id: str
    title: str
    enabled: bool
    level: int
    for_ns: int
    severity: Severity | None
    latch: bool = False


class Threshold(NamedTuple):
    """`holds(value of the slot, limit)`; the value is known while younger than `stale_ns`.

    `limit` is in the unit of the point, or a text; a text and a number do not compare.
    """

    point: str
    slot: int
    holds: Callable[[Any, Any], bool]
    limit: Value
    stale_ns: int


class Setting(NamedTuple):
    """What an instance claims for a point of its device while it is active."""

    point: str
    value: Value


class Instance(NamedTuple):
    """A rule applied to one device, or to one element of an array of it.

    `id` is `rule-id[device-id]`, then `[n]` for an element. `about` goes with the events of its
    alarm; `title` replaces that of the rule where one is given.
    """

    id: str
    rule: Rule
    device: str
    when: Threshold
    until: Threshold | None
    sets: tuple[Setting, ...] = ()
    title: str = ""
    about: Mapping[str, object] = NO_ATTRIBUTES

    @property
    def shown(self) -> str:
        """The title, for people."""
        return self.title or self.rule.title

    @property
    def tests(self) -> tuple[Threshold, ...]:
        return (self.when,) if self.until is None else (self.when, self.until)


@dataclass(frozen=True, slots=True)
class RuleSet:
    """Everything that `step` needs, built once. `notes` are warnings for whoever wrote the files.

    `instances` are in rank order (priority level, file order, device id): the position is the rank.
    `slots` numbers the points that rules read, by device; `readers` says which instances read each.
    """

    rules: tuple[Rule, ...] = ()
    instances: tuple[Instance, ...] = ()
    slots: Mapping[str, tuple[tuple[str, int], ...]] = field(default_factory=dict)
    readers: tuple[tuple[int, ...], ...] = ()
    notes: Sequence[Problem] = ()

    def vital(self) -> Iterator[tuple[Instance, str, str]]:
        """(instance, device, point) for each point that a rule reads and acts on to save lives."""
        where = {slot: (name, point) for name, own in self.slots.items() for point, slot in own}
        for instance in self.instances:
            rule = instance.rule
            vital = rule.level == LEVELS["life"] or rule.severity is Severity.LIFE
            if instance.sets and vital:
                yield from ((instance, *where[test.slot]) for test in instance.tests)


class Slots:
    """Gives every (device, point) that a rule reads its number."""

    def __init__(self) -> None:
        self._numbers: dict[str, dict[str, int]] = {}
        self._count = 0

    def of(self, device: str, point: str) -> int:
        numbers = self._numbers.setdefault(device, {})
        if point not in numbers:
            numbers[point] = self._count
            self._count += 1
        return numbers[point]

    def index(
        self, rules: Iterable[Rule], instances: Iterable[Instance], notes: Sequence[Problem]
    ) -> RuleSet:
        """The rule set of `instances`, which are in file order."""
        ranked = tuple(sorted(instances, key=lambda instance: instance.rule.level))
        slots = {device: tuple(numbers.items()) for device, numbers in self._numbers.items()}
        readers = _readers(ranked, self._count)
        return RuleSet(tuple(rules), ranked, slots, readers, tuple(notes))


def protective(rules: RuleSet) -> RuleSet:
    """Only the rules that protect people, in the same order: those whose priority is life or
    safety, or whose alarm is of such severity.
    """
    kept = tuple(rule for rule in rules.rules if _protects(rule))
    instances = tuple(instance for instance in rules.instances if _protects(instance.rule))
    readers = _readers(instances, len(rules.readers))
    return replace(rules, rules=kept, instances=instances, readers=readers)


def _protects(rule: Rule) -> bool:
    return rule.level <= LEVELS["safety"] or (rule.severity or 0) >= Severity.SAFETY


def _readers(ranked: Sequence[Instance], slots: int) -> tuple[tuple[int, ...], ...]:
    readers: list[list[int]] = [[] for _ in range(slots)]
    for rank, instance in enumerate(ranked):
        for slot in sorted({test.slot for test in instance.tests}):
            readers[slot].append(rank)
    return tuple(map(tuple, readers))

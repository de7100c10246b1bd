"""What loading makes of rule files: rules, their instances, and the index that `step` runs on."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from graphlib import TopologicalSorter
from types import MappingProxyType
from typing import Literal, NamedTuple

from gateway.errors import Problem
from gateway.model import NO_ATTRIBUTES, Severity
from rules.nodes import Node
from rules.predicate import Predicate
from rules.relations import relations, suppressors
from rules.sequence import Order, Setting, Step, Steps, placed, predicates, walk
from rules.term import Compare, Const, Input
from rules.terms import Terms

# Claim levels of the rule priorities, after the priority array of BACnet (ASHRAE 135, 19.2).
LEVELS: Mapping[str, int] = MappingProxyType(
    {"life": 2, "safety": 5, "automation": 12, "schedule": 16}
)
NEVER_NS = 1 << 62  # 146 years
UNKNOWN_NS = 60 * 1_000_000_000  # so long a condition is unknown before an assumption replaces it

NO_TAGS: Mapping[str, str] = MappingProxyType({})

Unknown = Literal["hold", "assume_true", "assume_false"]
Restart = Literal["continue", "pause", "reset"]  # what a delay does while the gateway is off
Kind = Literal["restart", "single", "queued", "parallel"]


class Mode(NamedTuple):
    """What becomes of an activation while the steps of one before run; `most` wait, or run together."""

    kind: Kind
    most: int = 1


RESTART_MODE = Mode("restart")


class Rule(NamedTuple):
    """One rule of a file, or one alarm of a profile. `severity` is None for a rule without alarm;
    `for_ns` is its on-delay, `keep_ns` its off-delay. A `latch`ed alarm stays when its condition
    has ended, until a reset. `on_unknown` holds after `unknown_ns` without a known condition. A moment
    of `at` that was missed is made up for up to `catch_up_ns` later. Its steps begin at most `max_run`
    times in ten minutes; one that protects lives knows no such limit. `terms` are of its alarm. `hash`
    tells rules of another meaning apart, whatever their texts (`rules.digest`).
    """

    id: str
    title: str
    enabled: bool
    level: int
    for_ns: int
    severity: Severity | None
    latch: bool = False
    keep_ns: int = 0
    on_unknown: Unknown = "hold"
    unknown_ns: int = UNKNOWN_NS
    catch_up_ns: int = 0
    terms: Terms = Terms()
    restart: Restart = "continue"
    hash: str = ""
    mode: Mode = RESTART_MODE
    max_run: int = 20


class Level(NamedTuple):
    """While it holds, for `for_ns` by then, the alarm has this severity."""

    when: Predicate
    until: Predicate | None
    for_ns: int
    severity: Severity


class Stage(NamedTuple):
    """What is done `after_ns` after people were to hear of the alarm, if nobody has acknowledged it
    (`unacked`), or it is still `active`.
    """

    after_ns: int
    only: Literal["unacked", "active"]
    steps: Steps


class Instance(NamedTuple):
    """A rule applied to one device, to one element of an array of it, or to one group of devices.

    `id` is `rule-id[key]`, then `[n]` for an element; `device` is "gateway" for a group. `about`
    goes with the events of its alarm; `title` replaces that of the rule where one is given.
    `during` is the number of the node that knows its hours, `at` of the one that knows its moments.
    `tags` are those of its device, or of its group. `storm` is the instance that stands for many of
    its kind.
    """

    id: str
    rule: Rule
    device: str
    when: Predicate
    until: Predicate | None
    do: Steps = ()
    on_clear: Steps = ()
    title: str = ""
    about: Mapping[str, object] = NO_ATTRIBUTES
    during: int | None = None
    at: int | None = None
    tags: Mapping[str, str] = NO_TAGS
    levels: tuple[Level, ...] = ()
    stages: tuple[Stage, ...] = ()
    storm: str = ""

    @property
    def shown(self) -> str:
        """The title, for people."""
        return self.title or self.rule.title

    @property
    def worst(self) -> Severity:
        """The highest severity that its alarm can come to."""
        base = self.rule.severity or Severity.OPERATIONAL
        return max(base, *(level.severity for level in self.levels), base)

    @property
    def tests(self) -> tuple[Predicate, ...]:
        """Its conditions, those of its levels last."""
        own = (self.when,) if self.until is None else (self.when, self.until)
        levels = (one for level in self.levels for one in (level.when, level.until))
        return (*own, *(one for one in levels if one is not None))

    @property
    def all_steps(self) -> Iterator[Step]:
        """Inner ones too."""
        yield from walk(self.do)
        yield from walk(self.on_clear)
        for stage in self.stages:
            yield from walk(stage.steps)

    @property
    def sets(self) -> tuple[Setting | Order, ...]:
        """Everything that it writes."""
        return tuple(step for step in self.all_steps if isinstance(step, Setting | Order))

    @property
    def reads(self) -> tuple[Predicate, ...]:
        """Everything that it looks at."""
        stages = (one for stage in self.stages for one in predicates(stage.steps))
        return (*self.tests, *predicates(self.do), *predicates(self.on_clear), *stages)


class Wire(NamedTuple):
    """A node: how to make it (at an engine time) and which slots it reads.

    `runs` are the instances that a node about other rules counts; of a rule alone: all of its. It is
    as `what` says, the same in every rule set, and looks back `reach_ns`; "" if it reads several
    slots, or none.
    """

    make: Callable[[int], Node]
    slots: tuple[int, ...]
    runs: tuple[str, ...] = ()
    what: str = ""
    reach_ns: int = 0


class Limits(NamedTuple):
    """Who reads a slot: `ranks` that only compare it with a number, sorted by that, and `others`."""

    values: tuple[float, ...]
    ranks: tuple[int, ...]
    others: tuple[int, ...]


MANY = 8  # readers of one slot, from which on looking for limits pays
NO_LIMITS = Limits((), (), ())  # of slots with fewer readers


@dataclass(frozen=True, slots=True)
class RuleSet:
    """Everything that `step` needs, built once. `notes` are warnings for whoever wrote the files.

    `instances` are in rank order (what others depend on first, then priority level, file order,
    key): the position is the rank. `slots` numbers the points that rules read, by device, `places`
    are they by number; `stale_ns` says how long the value of each is known, `texts` whether it is a
    text. `wires` are the nodes, numbered after the slots; `feeds` says which nodes read a slot,
    `readers` which instances read a slot or node, `limits` what of a slot they compare. `suppressors`
    are, by rank, the ranks that may make an alarm needless, `suppresses` the other way round;
    `members` are the ranks that a storm stands for, `storms` the other way round.
    """

    rules: tuple[Rule, ...] = ()
    instances: tuple[Instance, ...] = ()
    slots: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    places: tuple[tuple[str, str], ...] = ()
    stale_ns: tuple[int, ...] = ()
    texts: tuple[bool, ...] = ()
    wires: tuple[Wire, ...] = ()
    feeds: tuple[tuple[int, ...], ...] = ()
    readers: tuple[tuple[int, ...], ...] = ()
    suppressors: Mapping[int, tuple[int, ...]] = field(default_factory=dict)
    suppresses: Mapping[int, tuple[int, ...]] = field(default_factory=dict)
    members: Mapping[int, tuple[int, ...]] = field(default_factory=dict)
    storms: Mapping[int, int] = field(default_factory=dict)
    limits: tuple[Limits, ...] = ()
    notes: Sequence[Problem] = ()

    def reads(self, instance: Instance) -> Iterator[tuple[str, str]]:
        """(device, point) of everything that its conditions depend on."""
        count = len(self.stale_ns)
        found: dict[int, None] = {}
        for test in instance.tests:
            for index in test.inputs:
                found |= dict.fromkeys(
                    (index,) if index < count else self.wires[index - count].slots
                )
        yield from (self.places[slot] for slot in found)

    def vital(self) -> Iterator[tuple[Instance, str, str]]:
        """(instance, device, point) for each point that a rule reads and acts on to save lives."""
        for instance in self.instances:
            rule = instance.rule
            vital = rule.level == LEVELS["life"] or instance.worst is Severity.LIFE
            if instance.sets and vital:
                yield from ((instance, *place) for place in self.reads(instance))


class Slots:
    """Gives every (device, point) that a rule reads its number, and every node."""

    def __init__(self) -> None:
        self._numbers: dict[str, dict[str, int]] = {}
        self._places: list[tuple[str, str]] = []
        self._stale: list[int] = []
        self._texts: list[bool] = []
        self._wires: dict[object, int] = {}
        self._made: list[Wire] = []

    def of(self, device: str, point: str, stale_ns: int, *, text: bool = False) -> int:
        """`text`: its values are texts; a number is unknown there, and the other way round."""
        numbers = self._numbers.setdefault(device, {})
        if point not in numbers:
            numbers[point] = len(self._stale)
            self._places.append((device, point))
            self._stale.append(stale_ns)
            self._texts.append(text)
        self._texts[numbers[point]] |= text
        return numbers[point]

    def node(self, key: object, wire: Wire) -> int:
        """The number of the node called `key` among nodes, made if it is new."""
        if key not in self._wires:
            self._wires[key] = len(self._made)
            self._made.append(wire)
        return self._wires[key]

    def index(
        self, rules: Iterable[Rule], instances: Iterable[Instance], notes: Sequence[Problem]
    ) -> RuleSet:
        """The rule set of `instances`, which are in file order.

        Nodes were numbered on their own so far, as -1, -2, ...: now they follow the slots.
        """
        count = len(self._stale)
        numbered = [_placed(instance, count) for instance in instances]
        named = _named(numbered) if any(wire.runs for wire in self._made) else {}
        wires = [
            wire._replace(runs=tuple(one for name in wire.runs for one in named.get(name, ())))
            for wire in self._made
        ]
        depths = _depths(numbered, wires, count, suppressors(numbered))
        ranked = tuple(sorted(numbered, key=lambda one: (depths[one.id], one.rule.level)))
        feeds: list[list[int]] = [[] for _ in range(count)]
        for number, wire in enumerate(wires):
            for slot in dict.fromkeys(wire.slots):
                feeds[slot].append(number)
        readers = _readers(ranked, count + len(wires))
        return RuleSet(
            tuple(rules), ranked, self._numbers, tuple(self._places), tuple(self._stale), tuple(self._texts), tuple(wires),
            tuple(map(tuple, feeds)), readers, *relations(ranked),
            _limits(ranked, readers[:count]), tuple(notes),
        )  # fmt: skip


def _named(instances: Iterable[Instance]) -> dict[str, list[str]]:
    """The instances behind a name: its own, that of a rule, that of a rule with a device for all
    elements of this.
    """
    found: dict[str, list[str]] = {}
    for one in instances:
        names = (one.id, one.rule.id, f"{one.rule.id}[{one.device}]")
        for name in dict.fromkeys(names):
            found.setdefault(name, []).append(one.id)
    return found


def _depths(
    instances: Sequence[Instance], wires: Sequence[Wire], slots: int,
    above: Mapping[str, Sequence[str]],
) -> dict[str, int]:  # fmt: skip
    """How many rules stand behind each instance: they come first. There are no cycles."""
    needs = {
        one.id: {
            other
            for test in one.tests
            for index in test.inputs
            if index >= slots
            for other in wires[index - slots].runs
        }
        | set(above.get(one.id, ()))
        for one in instances
    }
    depths: dict[str, int] = {}
    for name in TopologicalSorter(needs).static_order():
        depths[name] = 1 + max((depths[other] for other in needs.get(name, ())), default=-1)
    return depths


def _placed(instance: Instance, slots: int) -> Instance:
    def index(number: int) -> int:
        return slots - 1 - number if number < 0 else number

    def place(test: Predicate) -> Predicate:
        return test._replace(inputs=tuple(map(index, test.inputs)))

    return instance._replace(
        when=place(instance.when),
        until=None if instance.until is None else place(instance.until),
        do=placed(instance.do, place),
        on_clear=placed(instance.on_clear, place),
        levels=tuple(
            one._replace(
                when=place(one.when), until=None if one.until is None else place(one.until)
            )
            for one in instance.levels
        ),
        stages=tuple(one._replace(steps=placed(one.steps, place)) for one in instance.stages),
        during=None if instance.during is None else index(instance.during),
        at=None if instance.at is None else index(instance.at),
    )


def protective(rules: RuleSet) -> RuleSet:
    """Only the rules that protect people, in the same order: those whose priority is life or
    safety, or whose alarm is of such severity.
    """
    instances = tuple(
        one for one in rules.instances if _protects(one.rule) or one.worst >= Severity.SAFETY
    )
    ids = {one.rule.id for one in instances}
    kept = tuple(rule for rule in rules.rules if rule.id in ids or _protects(rule))
    readers = _readers(instances, len(rules.readers))
    limits = _limits(instances, readers[: len(rules.stale_ns)])
    return replace(
        rules, rules=kept, instances=instances, readers=readers, limits=limits,
        **relations(instances)._asdict(),
    )  # fmt: skip


def _protects(rule: Rule) -> bool:
    return rule.level <= LEVELS["safety"] or (rule.severity or 0) >= Severity.SAFETY


def _readers(ranked: Sequence[Instance], count: int) -> tuple[tuple[int, ...], ...]:
    readers: list[list[int]] = [[] for _ in range(count)]
    for rank, instance in enumerate(ranked):
        inputs = {index for test in instance.reads for index in test.inputs}
        inputs |= {node for node in (instance.during, instance.at) if node is not None}
        for index in sorted(inputs):
            readers[index].append(rank)
    return tuple(map(tuple, readers))


def _limits(ranked: Sequence[Instance], readers: Sequence[Sequence[int]]) -> tuple[Limits, ...]:
    found = []
    for ranks in readers:
        if len(ranks) < MANY:
            found.append(NO_LIMITS)
            continue
        compared = {rank: _compared(ranked[rank]) for rank in ranks}
        pairs = sorted((limit, rank) for rank, own in compared.items() for limit in own)
        others = tuple(rank for rank, own in compared.items() if not own)
        found.append(Limits(tuple(v for v, _ in pairs), tuple(r for _, r in pairs), others))
    return tuple(found)


def _compared(instance: Instance) -> list[float]:
    """The numbers with which an instance compares its only slot; none if it does more than that.

    Its conditions change only where the value passes or meets one of them.
    """
    if len({index for one in instance.reads for index in one.inputs}) != 1:
        return []
    found = []
    for one in instance.reads:
        match one.term:
            case Compare(_, Input(), Const(float() | int() as limit)) if not isinstance(
                limit, bool
            ):
                found.append(float(limit))
            case _:
                return []
    return found

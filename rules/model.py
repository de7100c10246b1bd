"""What loading makes of rule files: rules, their instances, and the index that `step` runs on."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal, NamedTuple

from gateway.errors import Problem
from gateway.model import NO_ATTRIBUTES, Severity
from rules.nodes import Node
from rules.predicate import Predicate
from rules.sequence import Order, Setting, Step, Steps, predicates, walk
from rules.terms import Terms

# Claim levels of the rule priorities, after the priority array of BACnet (ASHRAE 135, 19.2).
LEVELS: Mapping[str, int] = MappingProxyType(
    {"life": 2, "safety": 5, "automation": 12, "schedule": 16}
)
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
        if not self.levels:
            return own
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

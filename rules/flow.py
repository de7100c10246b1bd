"""How samples flow through slots and nodes to the instances that read them. Pure."""

from array import array
from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from heapq import heappush
from typing import NamedTuple

from gateway.model import Level, Quality, Sample, Value
from rules.hours import WallNode
from rules.incident import Incident
from rules.model import MANY, RuleSet
from rules.nodes import NEVER_NS, Node
from rules.predicate import Predicate
from rules.rest import Quick, quick, resting
from rules.sequence import Run
from rules.trace import Traces


class Phase(IntEnum):
    NORMAL = 0
    PENDING = 1  # the condition is true, `for` is running
    ACTIVE = 2
    CLEARING = 3  # the condition is false, `keep_for` is running


# Looked up in the class they take twenty times as long.
NORMAL, PENDING, ACTIVE, CLEARING = Phase


class Kind(IntEnum):
    """What a timer is for; of those that are due together the first comes first."""

    INSTANCE = 1  # `for` or `keep_for` is over
    FIRST = 2  # decide for the first time
    UNKNOWN = 3  # a condition was unknown for long
    STALE = 4
    NODE = 5
    STEP = 6  # a `wait` of a sequence is over
    HOLD = 7  # a point was held for as long as it should
    ALARM = (
        8  # an alarm is to be looked after: shelved, acknowledged, out of service for long enough
    )


INSTANCE, NODE = Kind.INSTANCE, Kind.NODE  # as with the phases


class Timer(NamedTuple):
    """`subject` is a rank, a slot or a node; an instance's timer is dead when `mark` is not its mark."""

    due: int
    kind: Kind
    subject: int
    mark: int = 0


Place = tuple[str, str]  # device, point
TOLD = -1


@dataclass(slots=True, eq=False)
class State:
    """Belongs to `step`: one entry for each slot and node of the rules, one for each instance."""

    rules: RuleSet
    values: list[Value | None]  # of slots, then nodes; None: unknown
    stamps: "array[int]"  # engine time of the value of a slot; -1: never seen
    watched: list[bool]  # slots with a timer for their staleness, and those that need none
    nodes: list[Node]
    asked: list[int]  # when the timer of a node is due; NEVER_NS: it has none
    phases: list[Phase]
    holds: list[bool]  # the condition, as it was decided last
    marks: list[int]  # PENDING, CLEARING: when it is due
    since: list[int]  # ACTIVE, CLEARING, latched: engine time of the raise
    unknown: dict[int, int] = field(default_factory=dict)  # rank -> since when
    timers: list[Timer] = field(default_factory=list)  # a heap, some are dead
    latched: set[int] = field(default_factory=set)  # ranks that wait for a reset
    runs: dict[int, Run] = field(default_factory=dict)  # rank -> its steps that are not done yet
    claimed: dict[int, dict[Place, int | None]] = field(
        default_factory=dict
    )  # rank -> place -> end
    queued: dict[int, int] = field(default_factory=dict)  # rank -> activations that wait
    begun: dict[int, deque[int]] = field(default_factory=dict)  # rank -> when it was activated
    limited: set[int] = field(default_factory=set)  # ranks that were activated too often
    idle: set[int] = field(
        default_factory=set
    )  # of these, those of which nothing was done that could end
    activations: int = 0  # that have begun so far
    counted: dict[str, list[int]] = field(default_factory=dict)  # instance -> nodes that count it
    incidents: dict[int, Incident] = field(
        default_factory=dict
    )  # rank -> its alarm, once raised or put aside
    cares: dict[int, int] = field(
        default_factory=dict
    )  # rank -> when its alarm is to be looked after
    wall_ns: int | None = None  # UTC minus engine time
    occurred: dict[int, int] = field(default_factory=dict)  # rank -> UTC of its last moment
    down: set[int] = field(default_factory=set)  # ranks whose last moment was before the start
    quick: list[Quick | None] = field(default_factory=list)  # by rank
    resting: Mapping[int, tuple[int, ...]] = field(default_factory=dict)  # node -> its readers
    asleep: set[int] = field(default_factory=set)  # nodes that rest now: their values are old
    traces: Traces | None = None  # of the transitions, where somebody may ask why
    n: int = 0  # number of the input that is taken; 0: of time passing
    now: int = 0  # engine time of the last input or timer
    late: int = 0  # values that came after a newer one
    base: int = 0  # engine time minus that of the stamps of samples
    resumed: int = -1  # engine time of the restart
    touched: set[int] = field(default_factory=set)  # ranks to be kept anew (`rules.keep`)
    wanted: dict[int, dict[tuple[str, str], Value]] = field(default_factory=dict)  # rank -> claims
    # PENDING and due while off, waits to be confirmed -> unknown since when, TOLD: and it was told
    held: dict[int, int] = field(default_factory=dict)
    carried: set[int] = field(
        default_factory=set
    )  # ranks that go on with what was before the start


def start(rules: RuleSet, now: int = 0, wall_ns: int | None = None) -> State:
    """The state before the first input: nothing is known, so nothing is raised before data came.

    `wall_ns`: as in `ClockStep`.
    """
    slots, instances = len(rules.stale_ns), len(rules.instances)
    nodes = [wire.make(now) for wire in rules.wires]
    decided = quick(rules)
    state = State(
        rules, [None] * (slots + len(nodes)), array("q", [-1]) * slots, [ns >= NEVER_NS for ns in rules.stale_ns], nodes,
        [NEVER_NS] * len(nodes), [Phase.NORMAL] * instances, [False] * instances, [0] * instances,
        [0] * instances, quick=decided, resting=resting(rules, decided), now=now,
    )  # fmt: skip
    turn(state, wall_ns, now)
    for number, wire in enumerate(rules.wires):
        for name in wire.runs:
            state.counted.setdefault(name, []).append(number)
        ask(state, number, now)
    for rank, instance in enumerate(rules.instances):
        inputs = [index for test in instance.tests for index in test.inputs]
        timeless = bool(inputs) and all(index < slots for index in inputs)
        if (
            not timeless
            or instance.during is not None
            or instance.at is not None
            or instance.rule.on_unknown != "hold"
        ):
            heappush(state.timers, Timer(now, Kind.FIRST, rank))
    return state


def take(state: State, slots: Mapping[str, int], sample: Sample, at: int, now: int) -> list[int]:
    """Update slots and nodes from the sample; the ranks of the instances that may decide anew."""
    rules, values, stamps = state.rules, state.values, state.stamps
    ranks: list[int] = []
    nodes: dict[int, None] = {}
    for point, value in _judged(sample) if sample.quality else sample.values.items():
        slot = slots.get(point)
        if slot is None:
            continue
        if value != value or (value.__class__ is str) is not rules.texts[slot]:  # noqa: PLR0124 -- NaN
            value = None  # noqa: PLW2901 -- as if it were BAD
        before = current = values[slot]
        if at >= stamps[slot]:
            values[slot] = current = value if now - at < rules.stale_ns[slot] else None
            stamps[slot] = at
            if current is not None and not state.watched[slot]:
                watch(state, slot)
        else:
            state.late += 1
        moved = current != before or current.__class__ is not before.__class__
        if moved:
            own = rules.readers[slot]
            ranks += own if len(own) < MANY else _crossed(state, slot, before)
        if rules.feeds[slot]:
            _feed(state, slot, at, value, sample.quality.get(point), nodes, moved=moved)
    return spread(state, ranks, nodes, now) if nodes or len(ranks) > 1 else ranks


def _judged(sample: Sample) -> Iterator[tuple[str, Value | None]]:
    """What is known of each point: nothing where it is BAD."""
    for point, value in sample.values.items():
        quality = sample.quality.get(point)
        yield point, None if quality is not None and quality.level is Level.BAD else value
    for point in sample.quality:
        if point not in sample.values:
            yield point, None


def watch(state: State, slot: int) -> None:
    """See to it that the value of a slot becomes too old."""
    state.watched[slot] = True
    due = state.stamps[slot] + state.rules.stale_ns[slot]
    heappush(state.timers, Timer(due, Kind.STALE, slot))


def _feed(
    state: State, slot: int, at: int, value: Value | None, quality: Quality | None,
    nodes: dict[int, None], *, moved: bool,
) -> None:  # fmt: skip
    """One sample into the nodes that read the slot; `nodes` are to be asked for their values."""
    for number in state.rules.feeds[slot]:
        node = state.nodes[number]
        if moved or node.every:
            node.take(slot, at, value, state.values[slot], quality)
            if number not in state.asleep:
                nodes[number] = None


def spread(state: State, ranks: list[int], nodes: Iterable[int], now: int) -> list[int]:
    """`ranks` and those that read a node whose value has changed, each once, in order."""
    for number in nodes:
        if ask(state, number, now):
            ranks += state.rules.readers[len(state.stamps) + number]
    return sorted(set(ranks)) if len(ranks) > 1 else ranks


def _crossed(state: State, slot: int, before: Value | None) -> Sequence[int]:
    """Of many readers only those whose limit lies between the value before and the one now."""
    limits, now = state.rules.limits[slot], state.values[slot]
    if before is None or now is None or isinstance(before, str) or isinstance(now, str):
        return state.rules.readers[slot]
    low, high = (before, now) if before < now else (now, before)
    first = bisect_left(limits.values, low)
    last = bisect_right(limits.values, high, first)
    return (*limits.others, *limits.ranks[first:last]) if first < last else limits.others


def ask(state: State, number: int, now: int) -> bool:
    """Whether the value of a node has changed; sets its timer."""
    node, index = state.nodes[number], len(state.stamps) + number
    value = node.value(now)
    if node.edge < state.asked[number]:
        state.asked[number] = node.edge
        heappush(state.timers, Timer(node.edge, NODE, number))
    before = state.values[index]
    state.values[index] = value
    return value != before or value.__class__ is not before.__class__


def rests(state: State, number: int) -> bool:
    """Whether a node can rest from now on: all its readers are false, whatever it says."""
    ranks = state.resting.get(number)
    if ranks is None:
        return False
    for rank in ranks:
        quick = state.quick[rank]
        guard = None if quick is None else quick[3]
        if state.holds[rank] or guard is None or guard[0](state.values, *guard[1]) is not False:
            return False
    state.asleep.add(number)
    return True


def wake(state: State, nodes: Iterable[int], now: int) -> None:
    """Somebody needs the values of these nodes from now on."""
    for number in nodes:
        if number in state.asleep:
            state.asleep.remove(number)
            ask(state, number, now)


def refresh(state: State, test: Predicate) -> None:
    """Bring the inputs of a condition up to date, those that rest too."""
    for index in test.inputs:
        number = index - len(state.stamps)
        if number in state.asleep:
            state.values[index] = state.nodes[number].value(state.now)


def read(state: State, test: Predicate) -> list[Value | None]:
    """The inputs of a condition as they are now."""
    refresh(state, test)
    return [state.values[index] for index in test.inputs]


def turn(state: State, wall_ns: int | None, now: int) -> list[int]:
    """The wall clock is another: the ranks of the instances that this concerns."""
    state.wall_ns = wall_ns
    nodes: dict[int, None] = {}
    for number, node in enumerate(state.nodes):
        if isinstance(node, WallNode):
            node.turn(wall_ns)
            nodes[number] = None
    return spread(state, [], nodes, now)


def expire(state: State, slot: int, due: int) -> list[int]:
    """The value of a slot is too old, unless a newer one came: then its timer goes on."""
    newest = state.stamps[slot] + state.rules.stale_ns[slot]
    if newest > due and state.values[slot] is not None:
        heappush(state.timers, Timer(newest, Kind.STALE, slot))
        return []
    state.watched[slot] = False
    if state.values[slot] is None:
        return []
    state.values[slot] = None
    for number in state.rules.feeds[slot]:
        state.nodes[number].forget(slot)
    return spread(state, [*state.rules.readers[slot]], state.rules.feeds[slot], due)


def alive(state: State, timer: Timer) -> bool:
    if timer.kind is NODE:
        return state.asked[timer.subject] == timer.due
    if timer.kind is INSTANCE:
        phase = state.phases[timer.subject]
        waits = phase is PENDING or phase is CLEARING
        return (
            waits and state.marks[timer.subject] == timer.mark and timer.subject not in state.held
        )
    if timer.kind is Kind.UNKNOWN:
        since = state.held.get(timer.subject, state.unknown.get(timer.subject))
        return since == timer.mark
    if timer.kind is Kind.STEP:
        run = state.runs.get(timer.subject)
        return run is not None and run.due() == timer.due
    if timer.kind is Kind.HOLD:
        return timer.due in state.claimed.get(timer.subject, {}).values()
    return timer.kind is not Kind.ALARM or state.cares.get(timer.subject) == timer.due


def tidy(state: State) -> None:
    """Where an instance flaps, most timers are dead: they go before they are too many."""
    if len(state.timers) > 4 * len(state.phases) + len(state.values) + 64:
        state.timers[:] = sorted({timer for timer in state.timers if alive(state, timer)})

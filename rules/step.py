"""The rule engine: `step(state, input, now)` is all there is. No clock, no loop, no I/O.

Same inputs, same outputs. Conditions are Kleene logic: a value that is BAD, was never seen, or is
older than its point allows is unknown; an unknown condition leaves the instance as it is.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from heapq import heappop, heappush
from typing import NamedTuple

from gateway.model import Level, Sample, Severity, Value
from rules.model import Instance, RuleSet, Threshold


class Tick(NamedTuple):
    """Time has passed."""


Input = Sample | Tick


class Raised(NamedTuple):
    """An alarm begins. `values`: the points that the condition reads, as far as they are known."""

    instance: str
    rule: str
    device: str
    severity: Severity
    title: str
    values: Mapping[str, Value]


class Cleared(NamedTuple):
    """An alarm ends."""

    instance: str
    rule: str
    device: str
    severity: Severity
    reason: str


class Claimed(NamedTuple):
    """The instance wants `point` to have `value`. The lowest `level` wins, then the lowest `rank`."""

    instance: str
    device: str
    point: str
    value: Value
    level: int
    rank: int


class Released(NamedTuple):
    """The instance gives its claim back."""

    instance: str
    device: str
    point: str


Output = Raised | Cleared | Claimed | Released


class ActiveAlarm(NamedTuple):
    """An alarm that was raised and not cleared. `since`: engine time of the raise, ns."""

    instance: str
    rule: str
    device: str
    severity: Severity
    since: int
    title: str


class Phase(IntEnum):
    NORMAL = 0
    PENDING = 1  # the condition is true, `for` is running
    ACTIVE = 2


@dataclass(slots=True, eq=False)
class State:
    """Belongs to `step`: one entry for each slot of the rules, one for each instance (by rank)."""

    rules: RuleSet
    values: list[float | None]  # None: BAD, never seen, or nothing that compares with a number
    stamps: list[int]  # engine time of the value; -1: never seen
    phases: list[Phase]
    marks: list[int]  # PENDING: when it is due; ACTIVE: since when
    timers: list[tuple[int, int]] = field(default_factory=list)  # heap of (due, rank), some dead


def start(rules: RuleSet) -> State:
    """The state before the first input: nothing is known, so nothing is raised before data came."""
    points, instances = len(rules.readers), len(rules.instances)
    return State(rules, [None] * points, [-1] * points, [Phase.NORMAL] * instances, [0] * instances)


def resume(state: State, raised: Mapping[str, int]) -> tuple[State, list[Output]]:
    """Continue after a restart: these instances (id -> engine time of the raise) are active.

    Nothing is raised again; what they claim is claimed again. Consumes `state` as `step` does.
    """
    outputs: list[Output] = []
    for rank, instance in enumerate(state.rules.instances):
        if instance.id in raised:
            state.phases[rank], state.marks[rank] = Phase.ACTIVE, raised[instance.id]
            outputs += _claims(instance, rank)
    return state, outputs


def step(state: State, input: Input, now: int) -> tuple[State, list[Output]]:  # noqa: A002 -- the term of the rule language
    """Take one input at engine time `now` (ns, never less than before). Consumes `state`: use the
    returned one and forget the one given, which may be the same object.

    First the timers that are due at or before `now`, so a condition that was true over [t, t+for)
    raises even when the sample that ends it comes at t+for. Then every point of the sample is
    taken over, and only then each instance that reads one of them is evaluated, once, by rank.
    A sample counts from its `received_ns`, or `now` if that is earlier; a point that has a later
    stamp already keeps its value.
    """
    outputs: list[Output] = []
    if state.timers and state.timers[0][0] <= now:
        _fire(state, now, outputs)
    if isinstance(input, Sample):
        slots = state.rules.slots.get(input.device)
        if slots is not None:
            at = min(input.received_ns, now)
            for rank in _take(state, slots, input, at):
                _evaluate(state, rank, at, now, outputs)
    return state, outputs


def next_due(state: State) -> int | None:
    """Engine time (ns) of the earliest timer, None without one. Give `step` a Tick then."""
    timers = state.timers
    while timers and not _alive(state, timers[0]):
        heappop(timers)
    return timers[0][0] if timers else None


def active(state: State) -> list[ActiveAlarm]:
    """The alarms that are raised, by rank."""
    alarms = []
    for instance, phase, since in zip(
        state.rules.instances, state.phases, state.marks, strict=True
    ):
        rule = instance.rule
        if phase is Phase.ACTIVE and rule.severity is not None:
            alarms.append(ActiveAlarm(instance.id, rule.id, instance.device, rule.severity, since, rule.title))  # fmt: skip
    return alarms


def _take(
    state: State, slots: tuple[tuple[str, int], ...], sample: Sample, at: int
) -> list[int] | tuple[int, ...]:
    """Update the slots from the sample; the ranks of the instances that read them, in order."""
    values, quality, readers = sample.values, sample.quality, state.rules.readers
    touched: list[int] | tuple[int, ...] = ()
    several = False
    for point, slot in slots:
        value = values.get(point)
        if at < state.stamps[slot] or (value is None and point not in quality):
            continue
        bad = point in quality and quality[point].level is Level.BAD
        state.values[slot] = None if bad or value is None else _number(value)
        state.stamps[slot] = at
        several = bool(touched)
        touched = (*touched, *readers[slot]) if several else readers[slot]
    return sorted(set(touched)) if several else touched


def _number(value: Value) -> float | None:
    """None for a text and for NaN: neither compares with a number."""
    return None if isinstance(value, str) or value != value else value  # noqa: PLR0124 -- NaN


def _evaluate(state: State, rank: int, at: int, now: int, outputs: list[Output]) -> None:
    """Condition = when or (condition before and not until), in Kleene logic; unknown keeps it.

    That is: it begins only when `when` is known to be true, and it ends only when `when` is known
    to be false and `until`, where there is one, is known to be true.
    """
    instance = state.rules.instances[rank]
    when = _truth(state, instance.when, now)
    if state.phases[rank] is Phase.NORMAL:
        if when is True:
            _begin(state, rank, at, now, outputs)
    elif when is False and (instance.until is None or _truth(state, instance.until, now) is True):
        _end(state, rank, outputs)


def _truth(state: State, test: Threshold, now: int) -> bool | None:
    value = state.values[test.slot]
    if value is None or now - state.stamps[test.slot] >= test.stale_ns:
        return None
    return test.holds(value, test.limit)


def _begin(state: State, rank: int, at: int, now: int, outputs: list[Output]) -> None:
    due = at + state.rules.instances[rank].rule.for_ns
    if due <= now:
        _raise(state, rank, now, outputs)
        return
    state.phases[rank] = Phase.PENDING
    state.marks[rank] = due
    heappush(state.timers, (due, rank))
    if len(state.timers) > 2 * len(state.phases) + 64:  # mostly dead: a condition that flaps
        state.timers = sorted({timer for timer in state.timers if _alive(state, timer)})


def _end(state: State, rank: int, outputs: list[Output]) -> None:
    instance = state.rules.instances[rank]
    rule = instance.rule
    if state.phases[rank] is Phase.ACTIVE:
        if rule.severity is not None:
            reason = (
                "condition no longer true" if instance.until is None else "release condition true"
            )
            outputs.append(Cleared(instance.id, rule.id, instance.device, rule.severity, reason))
        outputs += [Released(instance.id, instance.device, point) for point, _ in instance.sets]
    state.phases[rank] = Phase.NORMAL


def _raise(state: State, rank: int, now: int, outputs: list[Output]) -> None:
    instance = state.rules.instances[rank]
    rule = instance.rule
    state.phases[rank] = Phase.ACTIVE
    state.marks[rank] = now
    if rule.severity is not None:
        values = _known(state, instance, now)
        outputs.append(Raised(instance.id, rule.id, instance.device, rule.severity, rule.title, values))  # fmt: skip
    outputs += _claims(instance, rank)


def _claims(instance: Instance, rank: int) -> list[Claimed]:
    return [
        Claimed(instance.id, instance.device, point, value, instance.rule.level, rank)
        for point, value in instance.sets
    ]


def _known(state: State, instance: Instance, now: int) -> dict[str, Value]:
    known: dict[str, Value] = {}
    for test in instance.tests:
        value = state.values[test.slot]
        if value is not None and now - state.stamps[test.slot] < test.stale_ns:
            known[test.point] = value
    return known


def _fire(state: State, now: int, outputs: list[Output]) -> None:
    while state.timers and state.timers[0][0] <= now:
        timer = heappop(state.timers)
        if _alive(state, timer):
            _raise(state, timer[1], now, outputs)


def _alive(state: State, timer: tuple[int, int]) -> bool:
    due, rank = timer
    return state.phases[rank] is Phase.PENDING and state.marks[rank] == due

"""The rule engine: `step(state, input, now)` is all there is. No clock, no loop, no I/O.

Same inputs, same outputs. Conditions are Kleene logic: a value that is BAD, was never seen, or is
older than its point allows is unknown; an unknown condition leaves the instance as it is.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from heapq import heappop, heappush
from itertools import chain
from typing import NamedTuple

from gateway.model import NO_ATTRIBUTES, Level, Sample, Severity, Value
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
    about: Mapping[str, object] = NO_ATTRIBUTES


class Cleared(NamedTuple):
    """An alarm ends."""

    instance: str
    rule: str
    device: str
    severity: Severity
    reason: str
    about: Mapping[str, object] = NO_ATTRIBUTES


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
    """An alarm that was raised and not cleared. `since`: engine time of the raise, ns.

    `latched`: its condition has ended, it waits for a reset.
    """

    instance: str
    rule: str
    device: str
    severity: Severity
    since: int
    title: str
    latched: bool = False


class Phase(IntEnum):
    NORMAL = 0
    PENDING = 1  # the condition is true, `for` is running
    ACTIVE = 2


@dataclass(slots=True, eq=False)
class State:
    """Belongs to `step`: one entry for each slot of the rules, one for each instance (by rank)."""

    rules: RuleSet
    values: list[Value | None]  # None: BAD or never seen
    stamps: list[int]  # engine time of the value; -1: never seen
    phases: list[Phase]
    marks: list[int]  # PENDING: when it is due; ACTIVE: since when
    timers: list[tuple[int, int]] = field(default_factory=list)  # heap of (due, rank), some dead
    latched: dict[int, int] = field(default_factory=dict)  # rank -> since when, waiting for a reset


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
    for rank, instance in enumerate(state.rules.instances):
        rule, latched = instance.rule, rank in state.latched
        if (latched or state.phases[rank] is Phase.ACTIVE) and rule.severity is not None:
            since = state.latched[rank] if latched else state.marks[rank]
            alarm = (instance.id, rule.id, instance.device, rule.severity, since)
            alarms.append(ActiveAlarm(*alarm, instance.shown, latched))
    return alarms


def reset(
    state: State, alarm: str, now: int, reason: str, *, force: bool = False
) -> tuple[State, list[Output]]:
    """Clear the latched alarm of this instance id. Consumes `state` as `step` does.

    Raises ValueError, which says why, while its condition holds; while it is unknown only `force`
    clears it.
    """
    rank = next((rank for rank, one in enumerate(state.rules.instances) if one.id == alarm), None)
    if rank is None or not (rank in state.latched or state.phases[rank] is Phase.ACTIVE):
        raise ValueError(f"no active alarm '{alarm}'")
    instance = state.rules.instances[rank]
    if not instance.rule.latch:
        raise ValueError(f"{alarm} is not latched: it ends with its condition")
    holds = _truth(state, instance.when, now)
    if holds is False and state.phases[rank] is Phase.ACTIVE:  # `until` was not true yet
        released = None if instance.until is None else _truth(state, instance.until, now)
        holds = None if released is None else True
    if holds:
        raise ValueError(f"{alarm}: its condition still holds")
    if holds is None and not force:
        raise ValueError(f"{alarm}: what its condition reads is not known at present")
    state.latched.pop(rank, None)
    state.phases[rank] = Phase.NORMAL
    return state, _over(instance, reason)


def _take(
    state: State, slots: tuple[tuple[str, int], ...], sample: Sample, at: int
) -> list[int] | tuple[int, ...]:
    """Update the slots from the sample; the ranks of the instances that read them, in order."""
    values, quality, readers = sample.values, sample.quality, state.rules.readers
    touched: list[tuple[int, ...]] = []
    for point, slot in slots:
        value = values.get(point)
        if at < state.stamps[slot] or (value is None and point not in quality):
            continue
        bad = point in quality and quality[point].level is Level.BAD
        nan = value != value  # noqa: PLR0124 -- which compares with nothing
        state.values[slot] = None if bad or nan else value
        state.stamps[slot] = at
        touched.append(readers[slot])
    if len(touched) > 1:
        return sorted(set(chain.from_iterable(touched)))
    return touched[0] if touched else ()


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
    if (value.__class__ is str) is not (test.limit.__class__ is str):
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
    if state.phases[rank] is Phase.ACTIVE:
        if instance.rule.latch:
            state.latched[rank] = state.marks[rank]
        else:
            reason = (
                "condition no longer true" if instance.until is None else "release condition true"
            )
            outputs += _over(instance, reason)
    state.phases[rank] = Phase.NORMAL


def _over(instance: Instance, reason: str) -> list[Output]:
    rule = instance.rule
    outputs: list[Output] = [
        Released(instance.id, instance.device, point) for point, _ in instance.sets
    ]
    if rule.severity is not None:
        cleared = Cleared(instance.id, rule.id, instance.device, rule.severity, reason, instance.about)  # fmt: skip
        outputs.insert(0, cleared)
    return outputs


def _raise(state: State, rank: int, now: int, outputs: list[Output]) -> None:
    instance = state.rules.instances[rank]
    rule = instance.rule
    state.phases[rank] = Phase.ACTIVE
    state.marks[rank] = now
    state.latched.pop(rank, None)  # it is raised again: what happens after an end is news
    if rule.severity is not None:
        values = _known(state, instance, now)
        alarm = (instance.id, rule.id, instance.device, rule.severity)
        outputs.append(Raised(*alarm, instance.shown, values, instance.about))
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

"""The rule engine: `step(state, input, now)` is all there is. No clock, no loop, no I/O.

Same inputs, same outputs. Conditions are Kleene logic: a value that is BAD, was never seen, or is
older than its point allows is unknown; what becomes of an unknown condition says `on_unknown`.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from heapq import heappop, heappush
from types import MappingProxyType

from gateway.model import Sample
from rules import alarming
from rules.activation import (
    become,
    begin,
    clear,
    condition,
    end,
    inside,
    over,
    raise_,
)
from rules.care import look_after
from rules.confirm import confirm
from rules.deeds import answered, lapse
from rules.flow import (
    INSTANCE,
    NODE,
    PENDING,
    Kind,
    Phase,
    State,
    Timer,
    alive,
    ask,
    expire,
    rests,
    start,
    take,
    turn,
    wake,
)
from rules.levels import weigh, weighed
from rules.mode import activate, go_further
from rules.moments import came, occurred
from rules.nodes import NEVER_NS
from rules.operator import operate as operated
from rules.outputs import (
    ActiveAlarm,
    Answer,
    Changed,
    Claimed,
    Cleared,
    ClockStep,
    Commanded,
    Held,
    Input,
    Limited,
    Logged,
    Notified,
    Occurred,
    Operation,
    Output,
    Raised,
    Ref,
    Released,
    Skipped,
    Tick,
)
from rules.standing import NONE, letter, muted, phase_of, severity, standing
from rules.tracing import keep, moved

__all__ = [
    "ActiveAlarm", "Answer", "Changed", "Claimed", "Cleared", "ClockStep", "Commanded", "Held", "Input", "Limited",
    "Logged", "Notified", "Occurred", "Operation", "Output", "Raised", "Ref", "Released", "Skipped", "State", "Tick",
    "active", "next_due", "occurred", "operate", "reset", "start", "step",
]  # fmt: skip


NO_MOMENTS: Mapping[str, int] = MappingProxyType({})


def step(state: State, input: Input, now: int) -> tuple[State, list[Output]]:  # noqa: A002 -- the name of the definition
    """Take one input at engine time `now` (ns, never going back). Consumes `state`.

    Timers that are due come first. Give it a Tick at `next_due`.
    """
    outputs: list[Output] = []
    state.n = 0
    while state.timers and state.timers[0].due <= now:
        # As if it were that time: what happens between then and now comes after it.
        due = state.timers[0].due
        state.now = max(state.now, due)
        _fire(state, due, state.now, outputs)
    state.now = now
    if isinstance(input, Sample):
        slots = state.rules.slots.get(input.device)
        if slots is not None:
            heard, state.n = input.received_ns + state.base, input.n
            at = heard if heard < now else now
            ranks = take(state, slots, input, at, now)
            if ranks:
                evaluate_all(state, ranks, at, now, outputs)
    elif isinstance(input, Answer):
        rank = answered(state, input)
        if rank is not None:
            go_further(state, rank, now, outputs)
    elif isinstance(input, ClockStep):
        evaluate_all(state, turn(state, input.wall_ns, now), now, now, outputs)
    return state, outputs


def operate(state: State, operation: Operation, now: int) -> tuple[State, list[Output]]:
    """Somebody does something with an alarm at engine time `now`, up to which a Tick has come before.

    Consumes `state` as `step` does. Raises ValueError, which says why it cannot be done.
    """
    if operation.kind == "reset":
        how = f"reset by {operation.user}" + (f": {operation.reason}" if operation.reason else "")
        return reset(state, operation.alarm, now, how, force=operation.force)
    outputs: list[Output] = []
    operated(state, operation, now, outputs)
    return state, outputs


def next_due(state: State) -> int | None:
    """Engine time (ns) of the earliest timer, None without one. Give `step` a Tick then."""
    timers = state.timers
    while timers and not alive(state, timers[0]):
        heappop(timers)
    return timers[0].due if timers else None


def active(state: State) -> list[ActiveAlarm]:
    """The alarms whose incident is open, that are put aside, or wait for data, by rank."""
    alarms = []
    for rank in sorted(state.incidents.keys() | state.held.keys()):
        instance = state.rules.instances[rank]
        rule, one = instance.rule, state.incidents.get(rank, NONE)
        since = state.since[rank] if standing(state, rank) or one.opened is None else one.opened
        shown = letter(state, rank)
        since = state.marks[rank] if shown == "X" else since
        alarm = (
            instance.id,
            rule.id,
            instance.device,
            severity(state, rank),
            instance.shown,
            since,
        )
        mine = one.out_ns is not None
        aside = one.shelved_ns is not None or mine
        if rule.severity is not None and (one.open or aside or shown == "X"):
            alarms.append(ActiveAlarm(
                *alarm, rank in state.latched, shown, one.acked_by, one.count,
                muted(state, rank), one.out_ns if mine else one.shelved_ns,
                one.out_by if mine else one.shelved_by, one.out_reason,
            ))  # fmt: skip
    return alarms


def reset(
    state: State, alarm: str, now: int, reason: str, *, force: bool = False
) -> tuple[State, list[Output]]:
    """Clear the latched alarm of this instance id. Consumes `state` as `step` does.

    Raises ValueError, which says why, while its condition holds; while it is unknown only `force`
    clears it.
    """
    rank = next((rank for rank, one in enumerate(state.rules.instances) if one.id == alarm), None)
    if rank is None or not standing(state, rank):
        raise ValueError(f"no active alarm '{alarm}'")
    instance = state.rules.instances[rank]
    if not instance.rule.latch:
        raise ValueError(f"{alarm} is not latched: it ends with its condition")
    holds = inside(state, instance) and condition(state, rank)
    if holds:
        raise ValueError(f"{alarm}: its condition still holds")
    if holds is None and not force:
        raise ValueError(f"{alarm}: what its condition reads is not known at present")
    outputs: list[Output] = []
    state.holds[rank] = False
    state.touched.add(rank)
    was = phase_of(state, rank)
    ranks = become(state, rank, Phase.NORMAL)
    over(state, rank, reason, now, outputs)
    alarming.ended(state, rank, now, outputs)
    keep(state, rank, (was, "normal"), outputs)
    evaluate_all(state, ranks, now, now, outputs)
    return state, outputs


# Conditions


def evaluate_all(state: State, ranks: list[int], at: int, now: int, outputs: list[Output]) -> None:  # fmt: skip
    """In rank order, as `ranks` are. An instance that begins or ends may concern others, which have
    higher ranks. Consumes `ranks`.
    """
    waiting = ranks  # sorted, so it is a heap
    while waiting:
        rank = heappop(waiting)
        holds = _plain(state, rank, now)
        if holds is state.holds[rank]:
            continue  # most of the time
        for other in (
            _decide(state, rank, at, now, outputs)
            if holds is None
            else _turn(state, rank, at, now, outputs, holds=holds)
        ):
            if other not in waiting:
                heappush(waiting, other)


def _plain(state: State, rank: int, now: int) -> bool | None:
    """What stands for the condition of an instance of which all is known, and nothing but its `when`
    counts at present. None: decide it the long way. Wakes what it reads.
    """
    quick, values = state.quick[rank], state.values
    if quick is None:
        return None
    run, inputs, until, guard = quick
    holds = None
    if guard is not None and state.asleep:
        holds = guard[0](values, *guard[1])
        if holds is not False:
            wake(state, guard[2], now)
    if rank in state.runs or rank in state.unknown or rank in state.held:
        return None
    try:
        holds = run(values, *inputs) if holds is not False else False
    except ZeroDivisionError:
        return None
    if holds is True or (holds is False and not (until and state.holds[rank])):
        return bool(holds)
    return None


def _decide(state: State, rank: int, at: int, now: int, outputs: list[Output]) -> list[int]:
    """Decide one instance with all that there is to it; returns the ranks of those that this concerns."""
    if rank in state.runs:
        go_further(state, rank, now, outputs)
    if state.rules.instances[rank].levels:
        weigh(state, rank, at)
    others = _evaluate(state, rank, at, now, outputs)
    _weighed(state, rank, now, outputs)
    return others


def _weighed(state: State, rank: int, now: int, outputs: list[Output]) -> None:
    """The severity of an alarm with levels, and of the storm that it is a member of."""
    if state.rules.instances[rank].levels:
        weighed(state, rank, now, outputs)
    storm = state.rules.storms.get(rank)
    if storm is not None:
        weighed(state, storm, now, outputs)


def _evaluate(state: State, rank: int, at: int, now: int, outputs: list[Output]) -> list[int]:
    """Its condition, at event time `at`, with what stands for it while it is unknown."""
    instance = state.rules.instances[rank]
    if instance.at is not None:
        return _occur(state, rank, now, outputs)
    holds = condition(state, rank)
    if state.held and rank in state.held:
        return confirm(state, rank, holds, now, outputs)
    if holds is None:
        holds = _assumed(state, rank, now)
    elif state.unknown and state.unknown.pop(rank, None) is not None:
        state.touched.add(rank)
    holds = holds and (instance.during is None or inside(state, instance))
    if holds == state.holds[rank]:
        return []
    state.holds[rank] = holds
    if rank in state.unknown and condition(state, rank) is not None:
        del state.unknown[rank]  # what was assumed is known now: `until` says that it goes on
    return _turn(state, rank, at, now, outputs, holds=holds)


def _turn(
    state: State, rank: int, at: int, now: int, outputs: list[Output], *, holds: bool
) -> list[int]:
    """The condition has become another."""
    state.holds[rank] = holds
    state.touched.add(rank)
    state.carried.discard(rank)
    act = begin if holds else end
    if state.traces is None:
        return act(state, rank, at, now, outputs)
    return moved(state, rank, partial(act, state, rank, at, now, outputs), outputs)


def _occur(state: State, rank: int, now: int, outputs: list[Output]) -> list[int]:
    instance = state.rules.instances[rank]
    holds = condition(state, rank) is True and inside(state, instance)
    moment = came(state, rank, holds=holds, now=now)
    if moment is not None:
        outputs.append(moment)
        first = len(outputs)
        if moment.ran:
            activate(state, rank, now, outputs)
        keep(state, rank, ("moment", "ran" if moment.ran else "did nothing"), outputs[first:])
    return []


def _assumed(state: State, rank: int, now: int) -> bool:
    """What stands for an unknown condition: as before, and after a while what the rule says."""
    rule = state.rules.instances[rank].rule
    if rule.on_unknown == "hold":
        return state.holds[rank]
    if rank not in state.unknown:
        state.unknown[rank] = now
        state.touched.add(rank)
        heappush(state.timers, Timer(now + rule.unknown_ns, Kind.UNKNOWN, rank, now))
    if now - state.unknown[rank] < rule.unknown_ns:
        return state.holds[rank]
    return rule.on_unknown == "assume_true"


# Timers


def _fire(state: State, due: int, now: int, outputs: list[Output]) -> None:
    """The timers of one moment: delays that end, then all that changes at once, decided together.

    Last comes what becomes of alarms.
    """
    ranks: list[int] = []
    alarms: set[int] = set()
    timers = state.timers
    while timers and timers[0][0] == due:
        timer = heappop(timers)
        if not alive(state, timer):
            continue
        _, kind, subject, _ = timer
        if kind is NODE:
            state.asked[subject] = NEVER_NS
            if not rests(state, subject) and ask(state, subject, now):
                ranks += state.rules.readers[len(state.stamps) + subject]
        elif kind is INSTANCE:
            state.touched.add(subject)
            act = raise_ if state.phases[subject] is PENDING else clear
            done = partial(act, state, subject, now, outputs)
            evaluate_all(state, moved(state, subject, done, outputs), now, now, outputs)
            _weighed(state, subject, now, outputs)
        elif kind is Kind.ALARM:
            del state.cares[subject]
            alarms.add(subject)
        else:
            ranks += _changed(state, timer, now, outputs)
    if ranks:
        evaluate_all(state, sorted(set(ranks)) if len(ranks) > 1 else ranks, now, now, outputs)
    for rank in sorted(alarms):
        look_after(state, rank, now, outputs)


def _changed(state: State, timer: Timer, now: int, outputs: list[Output]) -> Sequence[int]:
    """What the timer is for, but for nodes, delays and alarms; the ranks that decide anew."""
    subject = timer.subject
    match timer.kind:
        case Kind.STALE:
            return expire(state, subject, now)
        case Kind.STEP:
            go_further(state, subject, now, outputs)
            return ()
        case Kind.HOLD:
            lapse(state, subject, now, outputs)
            return ()
    return (subject,)

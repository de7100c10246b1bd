"""The rule engine: `step(state, input, now)` is all there is. No clock, no loop, no I/O.

Same inputs, same outputs. Conditions are Kleene logic: a value that is BAD, was never seen, or is
older than its point allows is unknown; what becomes of an unknown condition says `on_unknown`.
"""

from collections.abc import Mapping, Sequence
from heapq import heappop, heappush
from types import MappingProxyType

from gateway.model import Sample, Severity, Value
from rules.flow import Kind, Phase, State, Timer, alive, ask, expire, start, take, turn
from rules.model import NEVER_NS, Instance
from rules.moments import came, occurred
from rules.nodes import Running
from rules.outputs import (
    ActiveAlarm,
    Claimed,
    Cleared,
    ClockStep,
    Commanded,
    Input,
    Logged,
    Notified,
    Occurred,
    Output,
    Raised,
    Released,
    Tick,
)
from rules.sequence import Deed, Message, Note, Notice, Order, Run, Setting

__all__ = [
    "ActiveAlarm", "Claimed", "Cleared", "ClockStep", "Commanded", "Input", "Logged", "Notified", "Occurred", "Output",
    "Raised", "Released", "State", "Tick",
    "active", "next_due", "occurred", "reset", "resume", "start", "step",
]  # fmt: skip


NO_MOMENTS: Mapping[str, int] = MappingProxyType({})


def resume(
    state: State, raised: Mapping[str, int], before: Mapping[str, int] = NO_MOMENTS
) -> tuple[State, list[Output]]:
    """Continue after a restart: these instances are raised since the given engine time, and the last
    moments of `at` were `before` (see `occurred`).

    Their claims are held again; the condition decides with the first data that is known.
    """
    outputs: list[Output] = []
    for rank, instance in enumerate(state.rules.instances):
        if instance.id in before:
            state.occurred[rank] = before[instance.id]
            state.down.add(rank)
        if instance.id in raised:
            _become(state, rank, Phase.ACTIVE, raised[instance.id])
            state.holds[rank] = True
            _hold_again(state, rank, state.now, outputs)
    return state, outputs


def step(state: State, input: Input, now: int) -> tuple[State, list[Output]]:  # noqa: A002 -- the name of the definition
    """Take one input at engine time `now` (ns, never going back). Consumes `state`.

    Timers that are due come first. Give it a Tick at `next_due`.
    """
    outputs: list[Output] = []
    while state.timers and state.timers[0].due <= now:
        # As if it were that time: what happens between then and now comes after it.
        due = state.timers[0].due
        state.now = max(state.now, due)
        _fire(state, due, state.now, outputs)
    state.now = now
    if isinstance(input, Sample):
        slots = state.rules.slots.get(input.device)
        if slots is not None:
            at = min(input.received_ns, now)
            ranks = take(state, slots, input, at, now)
            if ranks:
                _evaluate_all(state, ranks, at, now, outputs)
    elif isinstance(input, ClockStep):
        _evaluate_all(state, turn(state, input.wall_ns, now), now, now, outputs)
    return state, outputs


def next_due(state: State) -> int | None:
    """Engine time (ns) of the earliest timer, None without one. Give `step` a Tick then."""
    timers = state.timers
    while timers and not alive(state, timers[0]):
        heappop(timers)
    return timers[0].due if timers else None


def active(state: State) -> list[ActiveAlarm]:
    """The alarms that are raised, by rank."""
    alarms = []
    for rank, instance in enumerate(state.rules.instances):
        rule, latched = instance.rule, rank in state.latched
        if (latched or state.phases[rank] in _RAISED) and rule.severity is not None:
            alarm = (instance.id, rule.id, instance.device, rule.severity, state.since[rank])
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
    if rank is None or not (rank in state.latched or state.phases[rank] in _RAISED):
        raise ValueError(f"no active alarm '{alarm}'")
    instance = state.rules.instances[rank]
    if not instance.rule.latch:
        raise ValueError(f"{alarm} is not latched: it ends with its condition")
    holds = _inside(state, instance) and _condition(state, rank)
    if holds:
        raise ValueError(f"{alarm}: its condition still holds")
    if holds is None and not force:
        raise ValueError(f"{alarm}: what its condition reads is not known at present")
    outputs: list[Output] = []
    state.holds[rank] = False
    ranks = _become(state, rank, Phase.NORMAL)
    _over(state, rank, reason, now, outputs)
    _evaluate_all(state, ranks, now, now, outputs)
    return state, outputs


_RAISED = frozenset({Phase.ACTIVE, Phase.CLEARING})


# Conditions


def _evaluate_all(state: State, ranks: Sequence[int], at: int, now: int, outputs: list[Output]) -> None:  # fmt: skip
    """In rank order. An instance that begins or ends may concern others, which have higher ranks."""
    waiting = list(ranks)
    while waiting:
        rank = heappop(waiting)
        if rank in state.runs:
            _go_on(state, rank, now, outputs)
        for other in _evaluate(state, rank, at, now, outputs):
            if other not in waiting:
                heappush(waiting, other)


def _condition(state: State, rank: int) -> bool | None:
    """`when`, or the condition before and not `until`, in Kleene logic; outside its hours there was
    no condition before.
    """
    instance = state.rules.instances[rank]
    when = instance.when.truth(state.values)
    held = state.holds[rank] and _inside(state, instance)
    if instance.until is None or when is True or not held:
        return None if when is None else bool(when)
    until = instance.until.truth(state.values)
    if until is True:
        return None if when is None else False
    return None if until is None else True


def _evaluate(state: State, rank: int, at: int, now: int, outputs: list[Output]) -> list[int]:
    """Decide one instance at event time `at`; returns the ranks of those that this concerns."""
    if state.rules.instances[rank].at is not None:
        return _occur(state, rank, now, outputs)
    holds = _condition(state, rank)
    if holds is None:
        holds = _assumed(state, rank, now)
    elif state.unknown:
        state.unknown.pop(rank, None)
    holds = holds and _inside(state, state.rules.instances[rank])
    if holds == state.holds[rank]:
        return []
    state.holds[rank] = holds
    if rank in state.unknown and _condition(state, rank) is not None:
        del state.unknown[rank]  # what was assumed is known now: `until` says that it goes on
    return _begin(state, rank, at, now, outputs) if holds else _end(state, rank, at, now, outputs)


def _occur(state: State, rank: int, now: int, outputs: list[Output]) -> list[int]:
    instance = state.rules.instances[rank]
    holds = _condition(state, rank) is True and _inside(state, instance)
    moment = came(state, rank, holds=holds, now=now)
    if moment is not None:
        outputs.append(moment)
        if moment.ran:
            state.runs[rank] = Run.of(instance.do)
            _go_on(state, rank, now, outputs)
    return []


def _inside(state: State, instance: Instance) -> bool:
    """It is the hour of the rule, if it has hours."""
    return instance.during is None or bool(state.values[instance.during])


def _assumed(state: State, rank: int, now: int) -> bool:
    """What stands for an unknown condition: as before, and after a while what the rule says."""
    rule = state.rules.instances[rank].rule
    if rule.on_unknown == "hold":
        return state.holds[rank]
    if rank not in state.unknown:
        state.unknown[rank] = now
        heappush(state.timers, Timer(now + rule.unknown_ns, Kind.UNKNOWN, rank, now))
    if now - state.unknown[rank] < rule.unknown_ns:
        return state.holds[rank]
    return rule.on_unknown == "assume_true"


def _begin(state: State, rank: int, at: int, now: int, outputs: list[Output]) -> list[int]:
    if state.phases[rank] is Phase.CLEARING:
        state.phases[rank] = Phase.ACTIVE
        return []
    due = at + state.rules.instances[rank].rule.for_ns
    if due <= now:
        return _raise(state, rank, now, outputs)
    _wait(state, rank, Phase.PENDING, due)
    return []


def _end(state: State, rank: int, at: int, now: int, outputs: list[Output]) -> list[int]:
    if state.phases[rank] is not Phase.ACTIVE:
        state.phases[rank] = Phase.NORMAL
        return []
    due = at + state.rules.instances[rank].rule.keep_ns
    if due <= now:
        return _clear(state, rank, now, outputs)
    _wait(state, rank, Phase.CLEARING, due)
    return []


def _wait(state: State, rank: int, phase: Phase, due: int) -> None:
    state.phases[rank], state.marks[rank] = phase, due
    heappush(state.timers, Timer(due, Kind.INSTANCE, rank, due))
    if len(state.timers) > 2 * len(state.phases) + len(state.values) + 64:  # mostly dead: it flaps
        state.timers = sorted({timer for timer in state.timers if alive(state, timer)})


def _raise(state: State, rank: int, now: int, outputs: list[Output]) -> list[int]:
    instance = state.rules.instances[rank]
    rule = instance.rule
    if rule.severity is not None:
        alarm = (instance.id, rule.id, instance.device, rule.severity)
        outputs.append(Raised(*alarm, instance.shown, _known(state, instance), instance.about))
    concerned = _become(state, rank, Phase.ACTIVE, now)
    if instance.do:
        state.runs[rank] = Run.of(instance.do)
        _go_on(state, rank, now, outputs)
    return concerned


def _clear(state: State, rank: int, now: int, outputs: list[Output]) -> list[int]:
    instance = state.rules.instances[rank]
    if instance.rule.latch:
        state.latched.add(rank)
        state.phases[rank] = Phase.NORMAL
        return []
    why = "release condition true" if instance.until is not None else "condition no longer true"
    why = why if _inside(state, instance) else "outside its hours"
    _over(state, rank, why, now, outputs)
    return _become(state, rank, Phase.NORMAL)


def _become(state: State, rank: int, phase: Phase, since: int = 0) -> list[int]:
    """Begin or end being active; the ranks of instances that ask whether this one is."""
    was = state.phases[rank] in _RAISED or rank in state.latched
    state.phases[rank] = phase
    state.latched.discard(rank)  # raised again: what happens after an end is news
    if phase in _RAISED:
        state.since[rank] = since
    is_ = phase in _RAISED
    concerned: list[int] = []
    for number in state.counted.get(state.rules.instances[rank].id, ()):
        node = state.nodes[number]
        assert isinstance(node, Running)  # noqa: S101 -- only such nodes count instances
        node.count += is_ - was
        if ask(state, number, 0):
            concerned += state.rules.readers[len(state.stamps) + number]
    return concerned


def _over(state: State, rank: int, reason: str, now: int, outputs: list[Output]) -> None:
    """The end of an activation: what is under way stops, what is held is given back."""
    instance = state.rules.instances[rank]
    rule = instance.rule
    state.runs.pop(rank, None)
    if rule.severity is not None:
        alarm = (instance.id, rule.id, instance.device, rule.severity)
        outputs.append(Cleared(*alarm, reason, instance.about))
    outputs += [Released(instance.id, *place) for place in state.claimed.pop(rank, ())]
    if instance.on_clear:
        state.runs[rank] = Run.of(instance.on_clear)
        _go_on(state, rank, now, outputs)


def _hold_again(state: State, rank: int, now: int, outputs: list[Output]) -> None:
    """After a restart: what is held from the beginning of an activation on. Nobody is told twice."""
    run = Run.of(state.rules.instances[rank].do)
    deeds = run.go_on(now, lambda predicate: predicate.truth(state.values))
    outputs += [_done(state, rank, deed) for deed in deeds if isinstance(deed, Setting)]


def _go_on(state: State, rank: int, now: int, outputs: list[Output]) -> None:
    """The steps of an instance, as far as they can be done now."""
    run = state.runs[rank]
    deeds = run.go_on(now, lambda predicate: predicate.truth(state.values))
    outputs += [_done(state, rank, deed) for deed in deeds]
    due = run.due()
    if run.over:
        del state.runs[rank]
    elif due is not None:
        heappush(state.timers, Timer(due, Kind.STEP, rank, due))


def _done(state: State, rank: int, deed: Deed) -> Output:
    instance = state.rules.instances[rank]
    rule = instance.rule
    match deed:
        case Setting(device, point, value):
            held = state.claimed.setdefault(rank, [])
            if (device, point) not in held:
                held.append((device, point))
            return Claimed(instance.id, device, point, value, rule.level, rank)
        case Order(device, point, value):
            return Commanded(instance.id, device, point, value, rule.level)
        case Notice(recipient, text):
            severity = rule.severity or Severity.OPERATIONAL
            said = instance.shown if text is None else _text(state, text)
            about = {"rule": rule.id, **instance.about}
            return Notified(instance.id, instance.device, recipient, said, severity, about)
        case Note(text):
            return Logged(instance.id, _text(state, text))


def _text(state: State, message: Message) -> str:
    return "".join(
        part if isinstance(part, str) else _shown(part.truth(state.values))
        for part in message.parts
    )


def _shown(value: Value | None) -> str:
    if value is None:
        return "unknown"
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _known(state: State, instance: Instance) -> dict[str, Value]:
    known: dict[str, Value] = {}
    for test in instance.tests:
        for name, index in zip(test.names, test.inputs, strict=True):
            value = state.values[index]
            if value is not None:
                known[name] = value
    return known


# Timers


def _fire(state: State, due: int, now: int, outputs: list[Output]) -> None:
    """The timers of one moment: delays that end, then all that changes at once, decided together."""
    ranks: set[int] = set()
    while state.timers and state.timers[0].due == due:
        timer = heappop(state.timers)
        if not alive(state, timer):
            continue
        _, kind, subject, _ = timer
        if kind is Kind.INSTANCE:
            act = _raise if state.phases[subject] is Phase.PENDING else _clear
            _evaluate_all(state, act(state, subject, now, outputs), now, now, outputs)
        elif kind is Kind.STALE:
            ranks.update(expire(state, subject, now))
        elif kind is Kind.STEP:
            _go_on(state, subject, now, outputs)
        elif kind is Kind.NODE:
            state.asked[subject] = NEVER_NS
            if ask(state, subject, now):
                ranks.update(state.rules.readers[len(state.stamps) + subject])
        else:
            ranks.add(subject)
    _evaluate_all(state, sorted(ranks), now, now, outputs)

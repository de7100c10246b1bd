"""Going on after a restart with what `rules.keep` kept. Pure."""

from collections.abc import Iterable, Iterator, Mapping
from heapq import heappop, heappush
from types import MappingProxyType
from typing import NamedTuple

from gateway.model import Sample
from gateway.terms import AS_USUAL
from rules import alarming
from rules.activation import become, clear, condition, inside
from rules.confirm import waits
from rules.deeds import hold_again
from rules.due import arm
from rules.flow import TOLD, Kind, Phase, State, Timer, alive, ask, expire, start, take
from rules.ghost import NEVER, haunted
from rules.keep import Kept, is_raised, queued_of, run_of
from rules.mode import earlier, recount
from rules.model import RuleSet
from rules.nodes import NEVER_NS, Stale
from rules.outputs import Claimed, Cleared, Output, Ref
from rules.sequence import Run, Setting
from rules.standing import out
from rules.step import NO_MOMENTS, evaluate_all

NOTHING: Mapping[str, Kept] = MappingProxyType({})
CHANGED = "rule changed"


class Past(NamedTuple):
    """What is known of the time before a start; all times are engine time, ns.

    `rows` are what `rules.keep` gave, by instance; `raised` says since when alarms are active that
    have no row; `moments` is what `occurred` said. `history` are samples in the order in which they came, with when they
    came. For `off_ns` nobody listened. `began`: since when silence counts where nothing was heard; None: from now on.
    `under_way`: there was no restart, so how writes end is told.
    """

    rows: Mapping[str, Kept] = NOTHING
    raised: Mapping[str, int] = NO_MOMENTS
    moments: Mapping[str, int] = NO_MOMENTS
    history: Iterable[tuple[Sample, int]] = ()
    off_ns: int = 0
    began: int | None = None
    under_way: bool = False


def restore(
    rules: RuleSet, past: Past, now: int, *, wall_ns: int | None = None, base: int = 0
) -> tuple[State, list[Output]]:
    """The state at engine time `now`, and what follows from it at once. `wall_ns`: as in `ClockStep`;
    `base`: engine time minus that of the stamps of samples from now on.

    Claims are told again. What was due meanwhile waits to be confirmed (`rules.confirm`).
    """
    rules = haunted(rules, past.rows)
    began = now - past.off_ns - horizon(rules) if past.began is None else past.began
    state = start(rules, began, wall_ns)
    _refill(state, past, now)
    state.now, state.base, state.resumed = now, base, now
    for rank, instance in enumerate(rules.instances):
        if instance.id in past.moments:
            state.occurred[rank] = past.moments[instance.id]
            state.down.add(rank)
    return state, settle(state, past, now)


def settle(state: State, past: Past, now: int) -> list[Output]:
    """Each instance goes on where it was, then all decide. Changes `state`."""
    outputs: list[Output] = []
    changed: list[int] = []
    for rank, instance in enumerate(state.rules.instances):
        row = past.rows.get(instance.id)
        _load_alarm(state, rank, row)
        if row is not None and row.get("hash") == instance.rule.hash:
            _place(state, rank, row, past, outputs)
        elif instance.id in past.raised or (row is not None and is_raised(row)):
            _raised(state, rank, past.raised.get(instance.id), row, outputs)
            changed += [rank] if row is not None else []
        elif row is not None and row.get("held") == TOLD and isinstance(row.get("due"), int):
            outputs.append(waits(instance, now - int(str(row["due"])), CHANGED))
    for rank in list(state.incidents):
        alarming.settle(state, rank)
    _silent_still(state, now)
    _clear_changed(state, changed, now, outputs)
    evaluate_all(state, list(range(len(state.phases))), now, now, outputs)
    return outputs


# What was heard


def horizon(rules: RuleSet) -> int:
    """How far back `history` should reach, ns, from when the gateway went off: what came before has no
    effect any more.
    """
    spans = [wire.reach_ns for wire in rules.wires]
    spans += [ns for ns in rules.stale_ns if ns < NEVER_NS]
    return max(spans, default=0)


def _refill(state: State, past: Past, now: int) -> None:
    """Values, windows and ages as if the samples were heard again; nothing is decided."""
    for sample, came in past.history:
        slots = state.rules.slots.get(sample.device)
        if slots is not None:
            _pass(state, came)
            take(state, slots, sample, min(sample.received_ns, came), came)
    for number, node in enumerate(state.nodes):
        if isinstance(node, Stale):
            unheard = state.stamps[state.rules.wires[number].slots[0]] < 0
            if unheard and past.began is None:
                node.since(now)
            else:
                node.deaf(past.off_ns, now)
    _pass(state, now)
    state.late = 0
    for number in range(len(state.nodes)):
        ask(state, number, now)


def _pass(state: State, until: int) -> None:
    """Time goes by: values become too old. Timers of instances there are none yet."""
    while state.timers and state.timers[0].due <= until:
        timer = heappop(state.timers)
        if not alive(state, timer):
            continue
        if timer.kind is Kind.STALE:
            expire(state, timer.subject, timer.due)
        elif timer.kind is Kind.NODE:
            state.asked[timer.subject] = NEVER_NS
            ask(state, timer.subject, timer.due)


def _silent_still(state: State, now: int) -> None:
    """What was not heard within the history may have been silent before: an alarm says so that was
    raised, and would end only because the silence is counted from the start.
    """
    for rank in [rank for rank, holds in enumerate(state.holds) if holds]:
        if condition(state, rank) is not False:
            continue
        unheard = list(_unheard(state, rank))
        before = [node.silent(now) for _, node in unheard]
        for number, _ in unheard:
            ask(state, number, now)
        if condition(state, rank) is False:
            for (number, node), last in zip(unheard, before, strict=True):
                node.since(last)
                ask(state, number, now)


def _unheard(state: State, rank: int) -> Iterator[tuple[int, Stale]]:
    count = len(state.stamps)
    for test in state.rules.instances[rank].tests:
        for number in (index - count for index in test.inputs if index >= count):
            node = state.nodes[number]
            if isinstance(node, Stale) and state.stamps[state.rules.wires[number].slots[0]] < 0:
                yield number, node


# Instances


def _load_alarm(state: State, rank: int, row: Kept | None) -> None:
    alarm = None if row is None else row.get("alarm")
    if isinstance(alarm, dict) and state.rules.instances[rank].rule.severity is not None:
        alarming.load(state, rank, alarm)
        state.carried.add(rank)


def _place(state: State, rank: int, row: Kept, past: Past, outputs: list[Output]) -> None:
    """As it was before."""
    phase = Phase[str(row.get("phase", "normal")).upper()]
    since, unknown = row.get("since"), row.get("unknown")
    if is_raised(row):
        become(state, rank, Phase.ACTIVE, since if isinstance(since, int) else state.now)
        state.phases[rank] = phase
        if row.get("latched"):
            state.latched.add(rank)
    if isinstance(unknown, int):
        state.unknown[rank] = unknown
        due = max(state.now, unknown + state.rules.instances[rank].rule.unknown_ns)
        heappush(state.timers, Timer(due, Kind.UNKNOWN, rank, unknown))
    if phase is Phase.ACTIVE:
        state.holds[rank] = rank not in state.rules.members  # a storm has no condition of its own
    elif phase in {Phase.PENDING, Phase.CLEARING}:
        _waits(state, rank, phase, row, past.off_ns)
    recount(state, rank, row)
    instance = state.rules.instances[rank]
    run = None if instance.when is NEVER else run_of(instance, row.get("run"))
    if run is not None:
        state.runs[rank] = run
        state.queued[rank] = queued_of(row.get("run"))
        state.carried.add(rank)
        state.activations = max(state.activations, run.number)
    _claim(state, rank, row, outputs)
    if run is not None and not past.under_way:
        _forget_orders(state, rank, run)


def _waits(state: State, rank: int, phase: Phase, row: Kept, off_ns: int) -> None:
    """`for` or `keep_for` was running."""
    rule, due = state.rules.instances[rank].rule, row.get("due")
    if not isinstance(due, int) or (phase is Phase.PENDING and rule.restart == "reset"):
        state.phases[rank] = Phase.NORMAL
        return
    if rule.restart == "pause":
        due += off_ns
    elif rule.restart == "continue":
        state.carried.add(rank)
    state.phases[rank], state.marks[rank] = phase, due
    state.holds[rank] = phase is Phase.PENDING
    held = row.get("held")
    if phase is Phase.PENDING and (due <= state.now or isinstance(held, int)):
        _hold(state, rank, held if isinstance(held, int) else state.now)
    else:
        heappush(state.timers, Timer(max(due, state.now), Kind.INSTANCE, rank, due))


def _hold(state: State, rank: int, since: int) -> None:
    """It was due while the gateway was off."""
    state.held[rank] = since
    if since != TOLD:
        due = max(state.now, since + state.rules.instances[rank].rule.unknown_ns)
        heappush(state.timers, Timer(due, Kind.UNKNOWN, rank, since))


def _claim(state: State, rank: int, row: Kept, outputs: list[Output]) -> None:
    """What it held it holds, as far as it still writes there."""
    instance, claims = state.rules.instances[rank], row.get("claims")
    writes = {(one.device, one.point) for one in instance.sets}
    for device, point, value, end in claims if isinstance(claims, list) else ():
        if (device, point) in writes:
            until = None if end is None else max(end, state.now)
            state.claimed.setdefault(rank, {})[device, point] = until
            state.wanted.setdefault(rank, {})[device, point] = value
            if until is not None:
                heappush(state.timers, Timer(until, Kind.HOLD, rank))
            outputs.append(_claimed(state, rank, Setting(device, point, value)))


def _claimed(state: State, rank: int, wanted: Setting) -> Claimed:
    """As it was claimed first, with who waits for the end of its write."""
    instance, run = state.rules.instances[rank], state.runs.get(rank)
    ref = next(
        (
            Ref(instance.id, run.number, step)
            for step, sent in (run.sent.items() if run is not None else ())
            if run is not None and (wanted.device, wanted.point) in sent.left
        ),
        None,
    )
    terms = next(
        (one.terms for one in instance.sets if isinstance(one, Setting) and one[:3] == wanted[:3]),
        AS_USUAL,
    )
    level = instance.rule.level
    return Claimed(instance.id, *wanted[:3], level, rank, terms, ref)


def _forget_orders(state: State, rank: int, run: Run) -> None:
    """How writes ended that nobody holds is not known any more: they count as failed, not to be done twice."""
    claimed = state.claimed.get(rank, {})
    for step, sent in list(run.sent.items()):
        for place in [place for place in sent.left if place not in claimed]:
            run.answer(step, place, failed=True)


def _raised(
    state: State, rank: int, since: int | None, row: Kept | None, outputs: list[Output]
) -> None:
    """Raised by a rule of another meaning, or by one of which no more than that is known."""
    told = (row or {}).get("since")
    become(state, rank, Phase.ACTIVE, told if isinstance(told, int) else since or state.now)
    state.holds[rank] = rank not in state.rules.members
    state.touched.add(rank)
    if row is not None and row.get("latched") and state.rules.instances[rank].rule.latch:
        state.latched.add(rank)
        state.phases[rank], state.holds[rank] = Phase.NORMAL, False
    if state.rules.instances[rank].rule.severity is not None:
        alarming.resumed(state, rank, state.now)
    if not out(state, rank):
        hold_again(state, rank, state.now, outputs)


def _clear_changed(state: State, ranks: Iterable[int], now: int, outputs: list[Output]) -> None:
    """Those whose new condition is known to be false end, but for latched ones."""
    for rank in ranks:
        holds = inside(state, state.rules.instances[rank]) and condition(state, rank)
        if holds is False and rank not in state.latched:
            _end(state, rank, now, outputs)


def _end(state: State, rank: int, now: int, outputs: list[Output]) -> None:
    state.holds[rank] = False
    first = len(outputs)
    clear(state, rank, now, outputs)
    for index, output in enumerate(outputs[first:], first):
        if isinstance(output, Cleared):
            outputs[index] = output._replace(reason=CHANGED)


# The wall clock is known at last


def late(state: State, by_ns: int, now: int) -> tuple[State, list[Output]]:
    """The gateway was off for `by_ns` longer than it could know: what it carries on with is due
    earlier, but not before now. Consumes `state` as `step` does.
    """
    outputs: list[Output] = []
    ranks = sorted(state.carried)
    state.carried.clear()
    earlier(state, by_ns)
    for rank in ranks:
        state.touched.add(rank)
        if state.phases[rank] in {Phase.PENDING, Phase.CLEARING} and rank not in state.held:
            _sooner(state, rank, by_ns, now)
        run, one = state.runs.get(rank), state.incidents.get(rank)
        if run is not None:
            run.sooner(by_ns, now)
        if one is not None:
            alarming.load(state, rank, one.dump(), -by_ns)
            arm(state, rank)
    evaluate_all(state, ranks, now, now, outputs)
    return state, outputs


def _sooner(state: State, rank: int, by_ns: int, now: int) -> None:
    due = state.marks[rank] = state.marks[rank] - by_ns
    if due <= now and state.phases[rank] is Phase.PENDING:
        _hold(state, rank, now)
    else:
        heappush(state.timers, Timer(max(due, now), Kind.INSTANCE, rank, due))

"""What an instance does when it begins and ends: when, and what it raises. Pure."""

from heapq import heappush

from rules import alarming
from rules.deeds import run_steps, stop
from rules.flow import ACTIVE, CLEARING, INSTANCE, NORMAL, PENDING, Phase, State, Timer, ask, tidy
from rules.mode import activate
from rules.model import Instance
from rules.nodes import Running
from rules.outputs import Output
from rules.standing import out, standing


def condition(state: State, rank: int) -> bool | None:
    """`when`, or the condition before and not `until`, in Kleene logic; outside its hours there was
    no condition before.
    """
    instance = state.rules.instances[rank]
    when = instance.when.truth(state.values)
    if (
        instance.until is None
        or when is True
        or not (state.holds[rank] and inside(state, instance))
    ):
        return None if when is None else bool(when)
    until = instance.until.truth(state.values)
    if until is True:
        return None if when is None else False
    return None if until is None else True


def inside(state: State, instance: Instance) -> bool:
    """It is the hour of the rule, if it has hours."""
    return instance.during is None or bool(state.values[instance.during])


def begin(state: State, rank: int, at: int, now: int, outputs: list[Output]) -> list[int]:
    """The condition has become true at event time `at`. Like all below it returns the ranks that this concerns."""
    if state.phases[rank] is CLEARING:
        state.phases[rank] = ACTIVE
        return []
    due = at + state.rules.instances[rank].rule.for_ns
    if due <= now:
        return raise_(state, rank, now, outputs)
    _wait(state, rank, PENDING, due)
    return []


def end(state: State, rank: int, at: int, now: int, outputs: list[Output]) -> list[int]:
    """The condition has become false at event time `at`."""
    if state.phases[rank] is not ACTIVE:
        state.phases[rank] = NORMAL
        return []
    due = at + state.rules.instances[rank].rule.keep_ns
    if due <= now:
        return clear(state, rank, now, outputs)
    _wait(state, rank, CLEARING, due)
    return []


def _wait(state: State, rank: int, phase: Phase, due: int) -> None:
    state.phases[rank], state.marks[rank] = phase, due
    heappush(state.timers, Timer(due, INSTANCE, rank, due))
    tidy(state)


def raise_(state: State, rank: int, now: int, outputs: list[Output]) -> list[int]:
    """`for` is over: the alarm is raised, then the steps begin."""
    instance, again = state.rules.instances[rank], rank in state.latched
    concerned = become(state, rank, ACTIVE, now)
    if instance.rule.severity is not None:
        alarming.begun(state, rank, now, outputs)
    if instance.do and not out(state, rank):
        activate(state, rank, now, outputs, again=again)
    return concerned


def clear(state: State, rank: int, now: int, outputs: list[Output]) -> list[int]:
    """`keep_for` is over: the end, unless the alarm is latched."""
    instance = state.rules.instances[rank]
    if instance.rule.latch:
        state.latched.add(rank)
        state.phases[rank] = NORMAL
        alarming.ended(state, rank, now, outputs)
        return []
    why = "release condition true" if instance.until is not None else "condition no longer true"
    why = why if inside(state, instance) else "outside its hours"
    over(state, rank, why, now, outputs)
    concerned = become(state, rank, NORMAL)
    alarming.ended(state, rank, now, outputs)
    return concerned


def become(state: State, rank: int, phase: Phase, since: int = 0) -> list[int]:
    """Begin or end being active; the ranks of instances that ask whether this one is."""
    was, is_ = standing(state, rank), phase is ACTIVE or phase is CLEARING
    state.phases[rank] = phase
    state.latched.discard(rank)  # raised again: what happens after an end is news
    if is_:
        state.since[rank] = since
    concerned: list[int] = []
    if not state.counted:
        return concerned
    for number in state.counted.get(state.rules.instances[rank].id, ()):
        node = state.nodes[number]
        assert isinstance(node, Running)  # noqa: S101 -- only such nodes count instances
        node.count += is_ - was
        if ask(state, number, 0):
            concerned += state.rules.readers[len(state.stamps) + number]
    return concerned


def over(state: State, rank: int, reason: str, now: int, outputs: list[Output]) -> None:
    """The end of an activation: what is under way stops, what is held is given back. If it was limited
    there is nothing to end, and what the end before it has begun goes on.
    """
    instance = state.rules.instances[rank]
    if instance.rule.severity is not None:
        alarming.told_end(state, rank, reason, outputs)
    idle, run = rank in state.idle, state.runs.get(rank)
    state.idle.discard(rank)
    if not idle or run is None or not run.after or rank in state.claimed:
        stop(state, rank, outputs)
    if instance.on_clear and not idle and not out(state, rank):
        run_steps(state, rank, instance.on_clear, now, outputs, after=True)

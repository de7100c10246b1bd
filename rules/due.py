"""When an alarm is to be looked after next: the one timer of each. Pure."""

from heapq import heappush

from rules.flow import Kind, State, Timer, tidy
from rules.incident import Incident
from rules.standing import raised


def arm(state: State, rank: int) -> None:
    """Set the timer of the alarm to what comes first."""
    one = state.incidents.get(rank)
    due = None if one is None else _due(state, rank, one)
    if due is None:
        if rank in state.cares:
            del state.cares[rank]
    elif state.cares.get(rank) != due:
        state.cares[rank] = due
        heappush(state.timers, Timer(due, Kind.ALARM, rank))
        tidy(state)


def _due(state: State, rank: int, one: Incident) -> int | None:
    instance = state.rules.instances[rank]
    terms = instance.rule.terms
    plain = one.shelved_ns is one.out_ns is one.remind_ns is None
    if plain and not (one.levels or terms.realarm_ns or terms.flap or instance.stages):
        return None  # as most are
    coming = [
        one.shelved_ns, one.out_ns, one.remind_ns, realarm(state, rank, one), steady(state, rank, one),
        escalation(state, rank, one), *(due for due in one.levels if due is not None and due > state.now),
    ]  # fmt: skip
    return min((due for due in coming if due is not None), default=None)


def realarm(state: State, rank: int, one: Incident) -> int | None:
    """When an alarm that was acknowledged and is still active is news again."""
    terms = state.rules.instances[rank].rule.terms
    if not terms.realarm_ns or one.acked_ns is None or not (one.open and raised(state, rank)):
        return None
    return max(one.acked_ns, state.since[rank]) + terms.realarm_ns


def steady(state: State, rank: int, one: Incident) -> int | None:
    """When an alarm that comes and goes has had at most half as many raises within the time."""
    flap = state.rules.instances[rank].rule.terms.flap
    if flap is None or not one.flapping:
        return None
    return one.raises[-(flap.raises // 2) - 1] + flap.ns


def escalation(state: State, rank: int, one: Incident) -> int | None:
    """When the next stage comes; none while nobody hears of the alarm."""
    stages = state.rules.instances[rank].stages
    if one.told_ns is None or not one.open or one.stage >= len(stages):
        return None
    return one.told_ns + stages[one.stage].after_ns

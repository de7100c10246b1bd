"""Rules with `at`: a moment comes, and their steps begin once. Pure."""

from rules.flow import State
from rules.outputs import Occurred

GRACE_NS = 60 * 10**9  # a moment that a clock was set over by less has come, not been missed
DAY_NS = 86_400 * 10**9


def came(state: State, rank: int, *, holds: bool, now: int) -> Occurred | None:
    """What became of a moment that has come since the last one; None without such.

    A clock that is set back repeats nothing, unless by more than a day: then all begins anew.
    """
    instance = state.rules.instances[rank]
    moment = None if instance.at is None else state.values[instance.at]
    if not isinstance(moment, int) or state.wall_ns is None:
        return None
    last = state.occurred.get(rank)
    if last is None or last - moment > DAY_NS:
        state.occurred[rank] = moment
        return None
    if moment <= last:
        return None
    state.occurred[rank] = moment
    late = now + state.wall_ns - moment
    grace = 0 if rank in state.down else GRACE_NS
    state.down.discard(rank)
    return Occurred(
        instance.id, moment, late, holds and late <= max(grace, instance.rule.catch_up_ns)
    )


def occurred(state: State) -> dict[str, int]:
    """UTC of the last moment, by instance: for a restart."""
    return {state.rules.instances[rank].id: utc for rank, utc in state.occurred.items()}

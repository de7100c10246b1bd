"""Whether the steps of a rule begin when it is activated while they run, or too often. Pure."""

from collections import deque
from collections.abc import Mapping
from typing import Any

from rules.deeds import go_on, run_steps
from rules.flow import State
from rules.model import LEVELS
from rules.outputs import Limited, Output, Skipped
from rules.tracing import later

WINDOW_NS = 600 * 10**9  # over which `max_run` counts


def activate(
    state: State, rank: int, now: int, outputs: list[Output], *, again: bool = False
) -> None:
    """A new activation of `do`, as the `mode` of the rule says. `again`: of an alarm that was latched,
    so that what was done before it has not ended.
    """
    instance = state.rules.instances[rank]
    if not instance.do:
        return
    run, (kind, most) = state.runs.get(rank), instance.rule.mode
    begins = run is None or run.after or kind == "restart"
    waits = not begins and kind == "queued" and state.queued.get(rank, 0) < most
    joins = run is not None and kind == "parallel" and run.lines < most
    if not (begins or waits or joins):
        outputs.append(Skipped(instance.id, kind))
    elif _limited(state, rank, now, outputs):
        if not again:
            state.idle.add(rank)
    else:
        state.idle.discard(rank)
        if waits:
            state.queued[rank] = state.queued.get(rank, 0) + 1
            state.touched.add(rank)
        elif begins or run is None:
            run_steps(state, rank, instance.do, now, outputs)
        else:
            run.join(instance.do)
            go_on(state, rank, now, outputs)


def go_further(state: State, rank: int, now: int, outputs: list[Output]) -> None:
    """The steps of an instance, as far as they can be done now, and those that wait in line."""
    first = len(outputs)
    if rank in state.runs:
        go_on(state, rank, now, outputs)
    while rank not in state.runs and state.queued.get(rank, 0):
        state.queued[rank] -= 1
        run_steps(state, rank, state.rules.instances[rank].do, now, outputs)
    later(state, rank, outputs[first:])


def _limited(state: State, rank: int, now: int, outputs: list[Output]) -> bool:
    """It has begun as often as it may in ten minutes; told once."""
    instance = state.rules.instances[rank]
    rule = instance.rule
    if rule.level == LEVELS["life"]:
        return False
    begun = state.begun.setdefault(rank, deque(maxlen=rule.max_run))
    state.touched.add(rank)
    if len(begun) == rule.max_run and begun[0] > now - WINDOW_NS:
        if rank not in state.limited:
            outputs.append(Limited(instance.id, rule.id, instance.device, rule.level, rule.max_run))
        outputs.append(Skipped(instance.id, "max_run"))
        state.limited.add(rank)
        return True
    begun.append(now)
    state.limited.discard(rank)
    return False


# Over restarts


def tally(state: State, rank: int) -> dict[str, object]:
    """What counts of an instance still, for its row."""
    begun = [at for at in state.begun.get(rank, ()) if at > state.now - WINDOW_NS]
    row: dict[str, object] = {"begun": begun} if begun else {}
    row |= {"limited": True} if rank in state.limited else {}
    return row | ({"idle": True} if rank in state.idle else {})


def recount(state: State, rank: int, row: Mapping[str, Any]) -> None:
    """The count goes on with what `tally` gave."""
    begun = row.get("begun")
    if isinstance(begun, list):
        most = state.rules.instances[rank].rule.max_run
        state.begun[rank] = deque((at for at in begun if isinstance(at, int)), most)
    if row.get("limited") is True:
        state.limited.add(rank)
    if row.get("idle") is True:
        state.idle.add(rank)


def earlier(state: State, by_ns: int) -> None:
    """The gateway was off for longer than it could know: what began before that is so much older."""
    for rank, begun in state.begun.items():
        old = [at - by_ns if at <= state.resumed else at for at in begun]
        state.begun[rank] = deque(old, begun.maxlen)
        state.touched.add(rank)

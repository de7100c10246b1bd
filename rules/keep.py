"""What of the engine's state outlives a restart: plain data for each instance, and back. Pure.

Only what cannot be computed again: windows and values come from the journal, timers from the rest.
An instance that is as it would be at a first start has nothing to keep.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from gateway.model import Value
from rules.flow import Phase, State
from rules.ghost import remembered
from rules.mode import tally
from rules.model import Instance
from rules.sequence import (
    Branches,
    Choice,
    Run,
    Sent,
    Step,
    Steps,
    Thread,
    WaitUntil,
    Watched,
)  # fmt: skip

Kept = dict[str, object]  # JSON; times are engine time, ns

_WAITS = frozenset({Phase.PENDING, Phase.CLEARING})


def changes(state: State) -> dict[str, Kept | None]:
    """By instance, what has changed since the last call; None: nothing is to be kept any more."""
    touched = sorted(state.touched)
    state.touched.clear()
    return {state.rules.instances[rank].id: kept(state, rank) for rank in touched}


def everything(state: State) -> dict[str, Kept]:
    """All that is to be kept, by instance."""
    found = ((one.id, kept(state, rank)) for rank, one in enumerate(state.rules.instances))
    return {name: row for name, row in found if row is not None}


def kept(state: State, rank: int) -> Kept | None:
    """What is to be kept of one instance."""
    phase, run, claims = state.phases[rank], state.runs.get(rank), _claims(state, rank)
    row: Kept = {}
    if phase is not Phase.NORMAL:
        row["phase"] = phase.name.lower()
    if phase in _WAITS:
        row["due"] = state.marks[rank]
    if rank in state.held:
        row["held"] = state.held[rank]
    if rank in state.latched:
        row["latched"], row["ghost"] = True, remembered(state.rules.instances[rank])
    if rank in state.latched or phase in {Phase.ACTIVE, Phase.CLEARING}:
        row["since"] = state.since[rank]
    if rank in state.unknown:
        row["unknown"] = state.unknown[rank]
    if claims:
        row["claims"] = claims
    row |= tally(state, rank)
    instance = state.rules.instances[rank]
    if rank in state.incidents:
        row["alarm"] = state.incidents[rank].dump()
    if run is not None:
        row["run"] = {**_run(instance, run), "queued": state.queued.get(rank, 0)}
    return {"hash": instance.rule.hash, **row} if row else None


def is_raised(row: Kept) -> bool:
    """It is active or latched."""
    return bool(row.get("latched")) or row.get("phase") in {"active", "clearing"}


def _claims(state: State, rank: int) -> list[list[Value | None]]:
    """Device, point, value, until when."""
    wanted = state.wanted.get(rank, {})
    return [[*place, wanted[place], end] for place, end in state.claimed.get(rank, {}).items()]


# Where a sequence is: which of the lists of steps of the rule, and how many of its steps are left.


def _run(instance: Instance, run: Run) -> Kept:
    lists = list(_lists(instance))
    row: Kept = {
        "number": run.number,
        "steps": run.steps,
        "threads": [_thread(instance, lists, thread) for thread in run.threads],
    }
    if run.after:
        row["after"] = True
    if run.sent:
        row["sent"] = [
            [step, [list(place) for place in one.left], _left(lists, one.on_fail), one.awaited]
            for step, one in run.sent.items()
        ]
    return row


def _lists(instance: Instance) -> Iterator[Steps]:
    """Every list of steps of a rule, outer ones first; the same order in each life of the gateway."""
    yield from (instance.do, instance.on_clear, *(stage.steps for stage in instance.stages))
    for step in instance.all_steps:
        match step:
            case WaitUntil():
                yield step.on_timeout
            case Choice():
                yield step.then
                yield step.otherwise
            case Branches(branches):
                yield from branches
            case Watched():
                yield step.on_fail


def _thread(instance: Instance, lists: Sequence[Steps], thread: Thread) -> Kept:
    row: Kept = {"stack": [_left(lists, steps) for steps in thread.stack]}
    if thread.due is not None:
        row["due"] = thread.due
    if thread.until is not None:
        row["until"] = _waits(instance).index(thread.until)
    if thread.awaits is not None:
        row["awaits"] = thread.awaits
    if thread.beside:
        row["beside"] = True
    if thread.children:
        row["children"] = [_thread(instance, lists, child) for child in thread.children]
    return row


def _left(lists: Sequence[Steps], steps: Sequence[Step]) -> list[int]:
    """(number of a list, how many of its steps are left). Lists that end alike are as good."""
    left = len(steps)
    for number, whole in enumerate(lists):
        if left <= len(whole) and list(whole[len(whole) - left :]) == list(steps):
            return [number, left]
    raise AssertionError("steps that are no part of their rule")


def _waits(instance: Instance) -> list[WaitUntil]:
    return [step for step in instance.all_steps if isinstance(step, WaitUntil)]


def run_of(instance: Instance, row: Any) -> Run | None:
    """The steps that were under way. None for a row that these steps do not fit."""
    lists = list(_lists(instance))
    try:
        match row:
            case {"number": int(number), "steps": int(steps), "threads": list(threads)}:
                sent = {
                    step: Sent([(d, p) for d, p in left], tuple(_rest(lists, *on_fail)), awaited)
                    for step, left, on_fail, awaited in row.get("sent", ())
                }
                found = [_thread_of(instance, lists, thread) for thread in threads]
                return Run(found, number, sent, steps, row.get("after") is True)
    except (KeyError, IndexError, TypeError, ValueError):
        return None
    return None


def queued_of(row: Any) -> int:
    """How many activations waited behind these steps."""
    queued = row.get("queued", 0) if isinstance(row, dict) else 0
    return queued if isinstance(queued, int) else 0


def _thread_of(instance: Instance, lists: Sequence[Steps], row: Mapping[str, Any]) -> Thread:
    until = row.get("until")
    return Thread(
        [_rest(lists, number, left) for number, left in row["stack"]],
        row.get("due"),
        None if until is None else _waits(instance)[until],
        [_thread_of(instance, lists, child) for child in row.get("children", ())],
        row.get("awaits"),
        row.get("beside") is True,
    )


def _rest(lists: Sequence[Steps], number: int, left: int) -> list[Step]:
    whole = lists[number]
    if left > len(whole):
        raise IndexError("more steps are left than there are")
    return list(whole[len(whole) - left :])

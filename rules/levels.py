"""How severe an alarm is by now: its levels, each with a life of its own. Pure."""

from rules.alarming import changed, hush, incident, related, review, tell_begin, unshelved
from rules.due import arm
from rules.flow import State
from rules.model import Level
from rules.outputs import Output
from rules.standing import effective, standing


def weigh(state: State, rank: int, at: int) -> None:
    """Decide the levels of an instance anew, at event time `at`. What is unknown stays as it was."""
    levels, one = state.rules.instances[rank].levels, state.incidents.get(rank)
    before = one.levels if one is not None and one.levels else [None] * len(levels)
    after = [_level(state, level, due, at) for level, due in zip(levels, before, strict=True)]
    if after == before:
        return
    one = incident(state, rank)
    one.levels = after if any(due is not None for due in after) else []
    if one.blank:
        del state.incidents[rank]
    arm(state, rank)


def _level(state: State, level: Level, due: int | None, at: int) -> int | None:
    """When it counts; None: it does not."""
    holds = level.when.truth(state.values)
    if level.until is not None and holds is not True and due is not None:
        until = level.until.truth(state.values)
        holds = None if until is None or (until and holds is None) else not until
    if holds is None:
        return due
    if not holds:
        return None
    return at + level.for_ns if due is None else due


def weighed(state: State, rank: int, now: int, outputs: list[Output]) -> None:
    """The severity is another than before: more severe is news, whoever has seen it."""
    one = state.incidents.get(rank)
    if one is None or not one.open or not standing(state, rank):
        return
    before, one.severity = one.severity, effective(state, rank, now)
    if one.severity == before:
        return
    rises = one.severity > before
    if rises:
        one.acked_ns, one.acked_by, one.told_ns = None, "", None
    if rises and one.quiet:
        one.quiet = False
        tell_begin(state, rank, one, now, outputs)
    else:
        changed(state, rank, "severity", outputs, {"was": before.name.lower()})
    if rises and one.shelved_ns is not None:
        unshelved(state, rank, outputs, {"why": "it is more severe"})
    review(state, rank, now, outputs)
    hush(state, rank, now, outputs)
    related(state, rank, now, outputs)

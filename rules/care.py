"""What becomes of alarms as time passes: what is put aside comes back, what nobody sees is escalated. Pure."""

from rules.alarming import changed, hush, in_service, incident, unshelved
from rules.deeds import more_steps
from rules.due import escalation, realarm, steady
from rules.flow import State
from rules.incident import Incident
from rules.levels import weighed
from rules.model import Stage
from rules.outputs import Notified, Output
from rules.standing import raised
from rules.terms import REMIND_NS


def look_after(state: State, rank: int, now: int, outputs: list[Output]) -> None:
    """All that is due for the alarm by now."""
    one = incident(state, rank)
    _put_back(state, rank, one, now, outputs)
    again = realarm(state, rank, one)
    if again is not None and again <= now:
        one.acked_ns, one.acked_by, one.told_ns = None, "", None
        changed(state, rank, "realarm", outputs)
    calm = steady(state, rank, one)
    ends = calm is not None and calm <= now
    if ends:
        one.flapping = False
        changed(state, rank, "steady", outputs)
    weighed(state, rank, now, outputs)
    storm = state.rules.storms.get(rank)
    if storm is not None:
        weighed(state, storm, now, outputs)
    hush(state, rank, now, outputs, seen=ends)
    _escalate(state, rank, one, now, outputs)
    hush(state, rank, now, outputs)


def _put_back(state: State, rank: int, one: Incident, now: int, outputs: list[Output]) -> None:
    if one.shelved_ns is not None and one.shelved_ns <= now:
        unshelved(state, rank, outputs, {"why": "its time is over"})
    if one.out_ns is not None and one.out_ns <= now:
        in_service(state, rank, now, outputs, {"why": "its time is over"})
    elif one.remind_ns is not None and one.remind_ns <= now:
        one.remind_ns += (1 + (now - one.remind_ns) // REMIND_NS) * REMIND_NS
        more = {"by": one.out_by, "reason": one.out_reason, "reminder": True}
        changed(state, rank, "out_of_service", outputs, more)


def _escalate(state: State, rank: int, one: Incident, now: int, outputs: list[Output]) -> None:
    """The stages that are due, in order. Whom several of them tell is told once."""
    told: set[str] = set()
    while (due := escalation(state, rank, one)) is not None and due <= now:
        stage = state.rules.instances[rank].stages[one.stage]
        one.stage += 1
        if _applies(state, rank, one, stage):
            found: list[Output] = []
            changed(state, rank, "escalated", found, {"stage": one.stage})
            more_steps(state, rank, stage.steps, now, found)
            outputs += [
                one for one in found if not isinstance(one, Notified) or one.recipient not in told
            ]
            told |= {output.recipient for output in found if isinstance(output, Notified)}


def _applies(state: State, rank: int, one: Incident, stage: Stage) -> bool:
    return one.acked_ns is None if stage.only == "unacked" else raised(state, rank)

"""How the incident of an instance goes on when its alarm begins and ends, and when time passes. Pure."""

from collections.abc import Mapping
from heapq import heappush
from typing import Any

from gateway.model import NO_ATTRIBUTES, Severity, Value
from rules.deeds import run_steps, tell_again
from rules.flow import Kind, State, Timer
from rules.incident import Incident
from rules.model import Instance
from rules.outputs import Change, Changed, Cleared, Output, Raised
from rules.standing import letter, muted, raised, severity, standing, suppressed
from rules.terms import REMIND_NS


def incident(state: State, rank: int) -> Incident:
    return state.incidents.setdefault(rank, Incident())


def changed(
    state: State, rank: int, change: Change, outputs: list[Output],
    more: Mapping[str, object] = NO_ATTRIBUTES,
) -> None:  # fmt: skip
    """Tell that the alarm stands otherwise."""
    instance = state.rules.instances[rank]
    alarm = (instance.id, instance.rule.id, instance.device, severity(state, rank))
    outputs.append(Changed(*alarm, change, letter(state, rank), more, instance.about))


# Begin and end


def begun(state: State, rank: int, now: int, outputs: list[Output]) -> None:
    """The alarm is raised. The instance is active already."""
    one, rule = incident(state, rank), state.rules.instances[rank].rule
    cooldown = rule.terms.cooldown_ns
    one.quiet = one.opened is not None and now - one.opened < cooldown
    if not one.open and not one.quiet:
        one.opened, one.count, one.told = now, 0, 0
        one.acked_by = ""
    one.open = True
    one.count += 1
    if not one.quiet:
        one.acked_ns, one.acked_by = None, ""
        one.severity = rule.severity or Severity.OPERATIONAL
        _tell_begin(state, rank, now, outputs)
    related(state, rank, now, outputs)
    arm(state, rank)


def _tell_begin(state: State, rank: int, now: int, outputs: list[Output]) -> None:
    one, instance = incident(state, rank), state.rules.instances[rank]
    one.suppressed = suppressed(state, rank)
    one.said = True
    loud = not muted(state, rank)
    one.told += loud
    one.told_ns = now if loud else None
    alarm = (instance.id, instance.rule.id, instance.device, one.severity, instance.shown)
    about = {**instance.about, "count": one.count} if one.count > 1 else instance.about
    outputs.append(Raised(*alarm, known(state, instance), about, loud))
    if one.suppressed:
        changed(state, rank, "suppressed", outputs)


def told_end(state: State, rank: int, reason: str, outputs: list[Output]) -> None:
    """The alarm is cleared, or reset."""
    one, instance = incident(state, rank), state.rules.instances[rank]
    if one.said:
        alarm = (instance.id, instance.rule.id, instance.device, severity(state, rank))
        outputs.append(Cleared(*alarm, reason, instance.about))
    one.said = False


def ended(state: State, rank: int, now: int, outputs: list[Output]) -> None:
    """The instance is not active any more; it may be latched now."""
    one = state.incidents.get(rank)
    if one is not None:
        if one.shelved_ns is not None and one.one_shot:
            unshelved(state, rank, outputs, {"why": "the alarm has ended"})
        settle(state, rank)
    related(state, rank, now, outputs)


def settle(state: State, rank: int) -> None:
    """Close the incident if nothing keeps it open any more."""
    one, terms = state.incidents.get(rank), state.rules.instances[rank].rule.terms
    if one is None:
        return
    waits = terms.ack == "required" and one.acked_ns is None
    if one.open and not standing(state, rank) and not waits:
        one.open = one.quiet = one.suppressed = False
        one.told_ns = None
    arm(state, rank)
    if one.blank:
        del state.incidents[rank]


def related(state: State, rank: int, now: int, outputs: list[Output]) -> None:
    """How this alarm stands may have made others needless, or needed again."""
    for other in state.rules.suppresses.get(rank, ()):
        one = state.incidents.get(other)
        if one is None or not one.open or one.suppressed is suppressed(state, other):
            continue
        one.suppressed = not one.suppressed
        changed(state, other, "suppressed" if one.suppressed else "unsuppressed", outputs)
        hush(state, other, now, outputs)


def resumed(state: State, rank: int, now: int) -> None:
    """After a restart the alarm is active as it was; unless more is known, people have heard of it."""
    one, rule = incident(state, rank), state.rules.instances[rank].rule
    if one.open:
        return
    one.open, one.said, one.opened, one.count, one.told = True, True, state.since[rank], 1, 1
    one.severity, one.told_ns = rule.severity or Severity.OPERATIONAL, now


def dump(state: State) -> dict[str, dict[str, object]]:
    """What is known of alarms, by instance, in JSON values. Times are engine times, ns."""
    instances = state.rules.instances
    return {instances[rank].id: one.dump() for rank, one in sorted(state.incidents.items())}


def load(state: State, dumped: Mapping[str, Mapping[str, Any]], shift_ns: int = 0) -> None:
    """Between `start` and `resume`: go on with what `dump` said, its times `shift_ns` later.

    What became due meanwhile comes with the next Tick. Instances that are gone are left out.
    """
    for rank, instance in enumerate(state.rules.instances):
        if instance.id in dumped and instance.rule.severity is not None:
            state.incidents[rank] = Incident.load(dumped[instance.id], shift_ns)


# What people hear


def hush(state: State, rank: int, now: int, outputs: list[Output]) -> None:
    """It was muted, or is so no longer: what is active and nobody has seen is news then."""
    one = incident(state, rank)
    if muted(state, rank):
        one.told_ns = None
    elif raised(state, rank) and one.unacked and one.told_ns is None:
        annunciate(state, rank, now, outputs)
    arm(state, rank)


def annunciate(state: State, rank: int, now: int, outputs: list[Output]) -> None:
    """An alarm that goes on is news again."""
    one = incident(state, rank)
    one.told += 1
    one.told_ns = now
    changed(state, rank, "annunciated", outputs)
    tell_again(state, rank, now, outputs)


def unshelved(state: State, rank: int, outputs: list[Output], more: Mapping[str, object]) -> None:
    one = incident(state, rank)
    one.shelved_ns, one.shelved_by, one.one_shot = None, "", False
    changed(state, rank, "unshelved", outputs, more)


# Time


def arm(state: State, rank: int) -> None:
    """Set the timer of the alarm to what comes first."""
    due = _due(state, rank)
    if due is None:
        state.cares.pop(rank, None)
    elif state.cares.get(rank) != due:
        state.cares[rank] = due
        heappush(state.timers, Timer(due, Kind.ALARM, rank))


def _due(state: State, rank: int) -> int | None:
    one = state.incidents.get(rank)
    if one is None:
        return None
    coming = [one.shelved_ns, one.out_ns, one.remind_ns, _realarm(state, rank)]
    return min((due for due in coming if due is not None), default=None)


def _realarm(state: State, rank: int) -> int | None:
    """When an alarm that was acknowledged and is still active is news again."""
    one, terms = incident(state, rank), state.rules.instances[rank].rule.terms
    if not terms.realarm_ns or one.acked_ns is None or not (one.open and raised(state, rank)):
        return None
    return max(one.acked_ns, state.since[rank]) + terms.realarm_ns


def look_after(state: State, rank: int, now: int, outputs: list[Output]) -> None:
    """All that is due for the alarm by now."""
    one = incident(state, rank)
    if one.shelved_ns is not None and one.shelved_ns <= now:
        unshelved(state, rank, outputs, {"why": "its time is over"})
    if one.out_ns is not None and one.out_ns <= now:
        in_service(state, rank, now, outputs, {"why": "its time is over"})
    elif one.remind_ns is not None and one.remind_ns <= now:
        one.remind_ns += REMIND_NS
        more = {"by": one.out_by, "reason": one.out_reason, "reminder": True}
        changed(state, rank, "out_of_service", outputs, more)
    realarm = _realarm(state, rank)
    if realarm is not None and realarm <= now:
        one.acked_ns, one.acked_by, one.told_ns = None, "", None
        changed(state, rank, "realarm", outputs)
    hush(state, rank, now, outputs)


def in_service(
    state: State, rank: int, now: int, outputs: list[Output], more: Mapping[str, object]
) -> None:
    """Back in service: what it would have done it does now. Who is to hear of it does by `hush`."""
    one, instance = incident(state, rank), state.rules.instances[rank]
    if standing(state, rank) and instance.do:
        run_steps(state, rank, instance.do, now, outputs)
    one.out_ns, one.out_by, one.out_reason, one.remind_ns = None, "", "", None
    changed(state, rank, "in_service", outputs, more)


def known(state: State, instance: Instance) -> dict[str, Value]:
    """What the conditions of an instance read, as far as it is known."""
    found: dict[str, Value] = {}
    for test in instance.tests:
        for name, index in zip(test.names, test.inputs, strict=True):
            value = state.values[index]
            if value is not None:
                found[name] = value
    return found

"""How the incident of an instance goes on when its alarm begins and ends, and when time passes. Pure."""

from collections.abc import Mapping
from typing import Any

from gateway.model import NO_ATTRIBUTES, Value
from rules.deeds import run_steps, stop, tell_again
from rules.due import arm
from rules.flow import Phase, State, refresh
from rules.incident import Incident
from rules.model import Instance
from rules.outputs import Change, Changed, Cleared, Output, Raised
from rules.standing import effective, letter, muted, out, raised, severity, standing, suppressed
from rules.terms import Flap, Storm


def incident(state: State, rank: int) -> Incident:
    """To be changed."""
    state.touched.add(rank)
    one = state.incidents.get(rank)
    if one is None:
        one = state.incidents[rank] = Incident()
    return one


def changed(
    state: State, rank: int, change: Change, outputs: list[Output],
    more: Mapping[str, object] = NO_ATTRIBUTES,
) -> None:  # fmt: skip
    """Tell that the alarm stands otherwise."""
    state.touched.add(rank)
    instance = state.rules.instances[rank]
    alarm = (instance.id, instance.rule.id, instance.device, severity(state, rank))
    outputs.append(Changed(*alarm, change, letter(state, rank), more, instance.about))


# Begin and end


def begun(state: State, rank: int, now: int, outputs: list[Output]) -> None:
    """The alarm is raised. The instance is active already."""
    one, terms = incident(state, rank), state.rules.instances[rank].rule.terms
    one.quiet = one.opened is not None and now - one.opened < terms.cooldown_ns
    if not one.open and not one.quiet:
        one.opened, one.count, one.told = now, 0, 0
        one.acked_by = ""
    one.severity = effective(state, rank, now)
    one.open = True
    one.count += 1
    if not one.quiet:
        one.acked_ns, one.acked_by = None, ""
        one.stormed = False
        if terms.storm is not None:
            _storm(state, rank, one, terms.storm, now, outputs)
        flaps = terms.flap is not None and _flap(one, terms.flap, now)
        tell_begin(state, rank, one, now, outputs)
        if flaps:
            changed(state, rank, "flapping", outputs)
    one.suppressed = suppressed(state, rank)
    if state.rules.suppresses:
        related(state, rank, now, outputs)
    arm(state, rank)


def tell_begin(state: State, rank: int, one: Incident, now: int, outputs: list[Output]) -> None:
    """`one` is its incident."""
    instance = state.rules.instances[rank]
    state.touched.add(rank)
    was, one.suppressed = one.suppressed, suppressed(state, rank)
    one.said, one.stage = True, 0
    loud = not muted(state, rank)
    one.told += loud
    one.told_ns = now if loud else None
    alarm = (instance.id, instance.rule.id, instance.device, one.severity, instance.shown)
    about = instance.about
    if one.count > 1 or one.stormed:
        more = {"count": one.count} if one.count > 1 else {}
        about = {**about, **more, **({"storm": instance.storm} if one.stormed else {})}
    outputs.append(Raised(*alarm, known(state, instance), about, loud))
    if one.suppressed and not was:
        changed(state, rank, "suppressed", outputs)


def _flap(one: Incident, flap: Flap, now: int) -> bool:
    """Whether it comes and goes as of now."""
    one.raises = [at for at in (*one.raises, now) if at > now - flap.ns][-flap.raises - 1 :]
    begins = not one.flapping and len(one.raises) > flap.raises
    one.flapping |= begins
    return begins


def _storm(
    state: State, rank: int, one: Incident, storm: Storm, now: int, outputs: list[Output]
) -> None:
    """One more of many: from a certain number on they are one alarm, the storm."""
    parent = state.rules.storms.get(rank)
    if parent is None:
        return
    whole = incident(state, parent)
    whole.raises = [at for at in (*whole.raises, now) if at > now - storm.ns][
        -storm.more_than - 1 :
    ]
    one.stormed = whole.open or len(whole.raises) > storm.more_than
    if one.stormed and not raised(state, parent):
        state.phases[parent], state.since[parent] = Phase.ACTIVE, now
        begun(state, parent, now, outputs)
        if not out(state, parent):
            run_steps(state, parent, state.rules.instances[parent].do, now, outputs)


def _calm(state: State, rank: int, now: int, outputs: list[Output]) -> None:
    """A member of a storm has ended: the storm ends with the last one."""
    one, parent = state.incidents.get(rank), state.rules.storms.get(rank)
    if one is not None:
        one.stormed = False
    if parent is None or not raised(state, parent):
        return
    if not any(raised(state, member) for member in state.rules.members[parent]):
        state.phases[parent] = Phase.NORMAL
        told_end(state, parent, "none of its alarms is active any more", outputs)
        stop(state, parent, outputs)
        ended(state, parent, now, outputs)


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
    if state.rules.storms:
        _calm(state, rank, now, outputs)
    if state.rules.suppresses:
        related(state, rank, now, outputs)


def settle(state: State, rank: int) -> None:
    """Close the incident if nothing keeps it open any more."""
    one, terms = state.incidents.get(rank), state.rules.instances[rank].rule.terms
    if one is None:
        return
    state.touched.add(rank)
    waits = terms.ack == "required" and one.acked_ns is None
    if one.open and not standing(state, rank) and not waits:
        one.open = one.quiet = one.suppressed = False
        one.told_ns, one.stage = None, 0
    arm(state, rank)
    if one.blank:
        del state.incidents[rank]


def related(state: State, rank: int, now: int, outputs: list[Output]) -> None:
    """How this alarm stands may have made others needless, or needed again."""
    for other in state.rules.suppresses.get(rank, ()):
        review(state, other, now, outputs)


def review(state: State, rank: int, now: int, outputs: list[Output]) -> None:
    """Whether the alarm is needless now, or is so no longer."""
    one = state.incidents.get(rank)
    if one is None or not one.open or one.suppressed is suppressed(state, rank):
        return
    one.suppressed = not one.suppressed
    changed(state, rank, "suppressed" if one.suppressed else "unsuppressed", outputs)
    hush(state, rank, now, outputs)


def resumed(state: State, rank: int, now: int) -> None:
    """After a restart the alarm is active as it was; unless more is known, people have heard of it."""
    one = incident(state, rank)
    if one.open:
        return
    one.open, one.said, one.opened, one.count, one.told = True, True, state.since[rank], 1, 1
    one.severity, one.told_ns = effective(state, rank, now), now


def load(state: State, rank: int, dumped: Mapping[str, Any], shift_ns: int = 0) -> None:
    """Go on with what an incident was (`Incident.dump`), its times `shift_ns` later.

    What became due meanwhile comes with the next Tick.
    """
    instance = state.rules.instances[rank]
    one = Incident.load(dumped, shift_ns)
    if len(one.levels) != len(instance.levels):  # the rule is another one by now
        one.levels = []
    one.flapping &= instance.rule.terms.flap is not None
    one.stormed &= rank in state.rules.storms
    state.incidents[rank] = one


# What people hear


def hush(state: State, rank: int, now: int, outputs: list[Output], *, seen: bool = False) -> None:
    """It was muted, or is so no longer: what is active and nobody has seen (or `seen`, too) is news then."""
    one = incident(state, rank)
    if muted(state, rank):
        one.told_ns = None
    elif raised(state, rank) and (seen or one.unacked) and one.told_ns is None:
        annunciate(state, rank, now, outputs)
    arm(state, rank)


def annunciate(state: State, rank: int, now: int, outputs: list[Output]) -> None:
    """An alarm that goes on is news again."""
    one = incident(state, rank)
    one.told += 1
    one.told_ns, one.stage = now, 0
    changed(state, rank, "annunciated", outputs)
    tell_again(state, rank, now, outputs)


def unshelved(state: State, rank: int, outputs: list[Output], more: Mapping[str, object]) -> None:
    one = incident(state, rank)
    one.shelved_ns, one.shelved_by, one.one_shot = None, "", False
    changed(state, rank, "unshelved", outputs, more)


def in_service(
    state: State, rank: int, now: int, outputs: list[Output], more: Mapping[str, object]
) -> None:
    """Back in service: what it would have done it does now. Who is to hear of it does by `hush`."""
    one, instance = incident(state, rank), state.rules.instances[rank]
    if standing(state, rank) and instance.do:
        state.idle.discard(rank)
        run_steps(state, rank, instance.do, now, outputs)
    one.out_ns, one.out_by, one.out_reason, one.remind_ns = None, "", "", None
    changed(state, rank, "in_service", outputs, more)


def known(state: State, instance: Instance) -> dict[str, Value]:
    """What the conditions of an instance read, as far as it is known."""
    found: dict[str, Value] = {}
    for test in instance.tests:
        if state.asleep:
            refresh(state, test)
        for name, index in zip(test.names, test.inputs, strict=True):
            value = state.values[index]
            if value is not None:
                found[name] = value
    return found

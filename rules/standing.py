"""How the alarm of an instance stands: what is open, muted, acknowledged. Asks, and changes nothing."""

from gateway.model import Severity
from rules.flow import ACTIVE, CLEARING, TOLD, State
from rules.incident import Incident

NONE = Incident()  # stands for that of an instance without one; never changed


def phase_of(state: State, rank: int) -> str:
    """`normal`, `pending`, `active`, `clearing` or `latched`."""
    return "latched" if rank in state.latched else state.phases[rank].name.lower()


def raised(state: State, rank: int) -> bool:
    """It is active: its condition holds, or `keep_for` still runs."""
    phase = state.phases[rank]
    return phase is ACTIVE or phase is CLEARING


def standing(state: State, rank: int) -> bool:
    """Active, or latched."""
    phase = state.phases[rank]
    return phase is ACTIVE or phase is CLEARING or rank in state.latched


def severity(state: State, rank: int) -> Severity:
    """The effective one: of the open incident, else that of the rule."""
    one = state.incidents.get(rank)
    if one is not None and one.open:
        return one.severity
    return state.rules.instances[rank].rule.severity or Severity.OPERATIONAL


def effective(state: State, rank: int, now: int) -> Severity:
    """The severity that it should have: of the highest level that counts, of a storm that of its worst
    member; what is latched keeps the highest.
    """
    instance, one = state.rules.instances[rank], state.incidents.get(rank, NONE)
    base = instance.rule.severity or Severity.OPERATIONAL
    members = state.rules.members.get(rank, ())
    if not (members or one.levels or instance.rule.latch):
        return base
    found = [base]
    for level, due in zip(instance.levels, one.levels, strict=False):
        if due is not None and due <= now:
            found.append(level.severity)
    found += [severity(state, m) for m in members if raised(state, m)]
    if one.open and instance.rule.latch:
        found.append(one.severity)
    return max(found)


def suppressed(state: State, rank: int) -> bool:
    """A rule that makes it needless stands, and is at least as severe."""
    others = state.rules.suppressors.get(rank)
    if others is None:
        return False
    own = severity(state, rank)
    return any(standing(state, o) and severity(state, o) >= own for o in others)


def out(state: State, rank: int) -> bool:
    """Out of service: it does nothing."""
    one = state.incidents.get(rank)
    return one is not None and one.out_ns is not None


def muted(state: State, rank: int) -> bool:
    """Nobody is told of it."""
    one = state.incidents.get(rank)
    if one is None:
        return False
    many = (one.flapping or one.stormed) and severity(state, rank) is not Severity.LIFE
    aside = one.shelved_ns is not None or one.out_ns is not None
    return one.quiet or one.suppressed or aside or many


def letter(state: State, rank: int) -> str:
    """The state after ISA-18.2, as alarm systems show it: A normal, B active and not acknowledged, C
    active and acknowledged, D over and not acknowledged, E and F latched, G shelved, H suppressed, I
    out of service. X: due while the gateway was off, it waits for data (`rules.confirm`).
    """
    one = state.incidents.get(rank, NONE)
    acked = one.acked_ns is not None or state.rules.instances[rank].rule.terms.ack == "none"
    aside = {"I": one.out_ns is not None, "H": one.suppressed, "G": one.shelved_ns is not None}
    if aside_letter := next((name for name, is_ in aside.items() if is_), ""):
        return aside_letter
    if not one.open:
        return "X" if state.held.get(rank) == TOLD else "A"
    unacked, seen = "BC" if raised(state, rank) else "EF" if rank in state.latched else "DD"
    return seen if acked else unacked

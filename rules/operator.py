"""What people do with alarms: acknowledge, shelve, take out of service. Each says why it cannot be done."""

from gateway.model import Severity
from rules.alarming import changed, hush, in_service, incident, settle, unshelved
from rules.deeds import stop
from rules.due import arm
from rules.flow import State
from rules.outputs import Operation, Output
from rules.standing import severity
from rules.terms import LIFE_OUT_NS, LIFE_SHELVE_NS, OUT_MAX_NS, REMIND_NS


def rank_of(state: State, alarm: str) -> int:
    """The rank of the instance with this id. Raises ValueError if it has no alarm."""
    for rank, one in enumerate(state.rules.instances):
        if one.id == alarm and one.rule.severity is not None:
            return rank
    raise ValueError(f"no alarm '{alarm}': `gateway alarms` shows their names")


def operate(state: State, operation: Operation, now: int, outputs: list[Output]) -> None:
    """All but `reset`. Raises ValueError, and nothing has changed then."""
    rank = rank_of(state, operation.alarm)
    match operation.kind:
        case "ack":
            _ack(state, rank, operation.user, now, outputs)
        case "shelve":
            _shelve(state, rank, operation, now, outputs)
        case "unshelve":
            _unshelve(state, rank, operation, outputs)
        case "out_of_service":
            _take_out(state, rank, operation, now, outputs)
        case "in_service":
            _bring_back(state, rank, operation, now, outputs)
    hush(state, rank, now, outputs)
    settle(state, rank)


def _ack(state: State, rank: int, user: str, now: int, outputs: list[Output]) -> None:
    one, instance = state.incidents.get(rank), state.rules.instances[rank]
    if instance.rule.terms.ack == "none":
        raise ValueError(f"{instance.id} is not to be acknowledged: it says `ack: none`")
    if one is None or not one.open:
        raise ValueError(f"{instance.id} has no open incident: there is nothing to acknowledge")
    if one.acked_ns is None:
        one.acked_ns, one.acked_by = now, user
        settle(state, rank)
        changed(state, rank, "acked", outputs, {"by": user})
    for member in state.rules.members.get(rank, ()):
        other = state.incidents.get(member)
        if other is not None and other.unacked:
            _ack(state, member, user, now, outputs)


def _shelve(state: State, rank: int, wanted: Operation, now: int, outputs: list[Output]) -> None:
    name, rule = state.rules.instances[rank].id, state.rules.instances[rank].rule
    life = severity(state, rank) is Severity.LIFE
    longest = min(rule.terms.shelve_max_ns, LIFE_SHELVE_NS if life else rule.terms.shelve_max_ns)
    _check_span(name, wanted.ns, longest, "shelved")
    if life and (other := _shelved_life(state, rank)):
        raise ValueError(f"{other} is shelved: of the alarms that save lives only one may be")
    one = incident(state, rank)
    one.shelved_ns, one.shelved_by, one.one_shot = now + wanted.ns, wanted.user, wanted.one_shot
    more = {"by": wanted.user, "for_s": wanted.ns / 1e9, "one_shot": wanted.one_shot}
    changed(state, rank, "shelved", outputs, more)


def _shelved_life(state: State, rank: int) -> str:
    """Another alarm of life that is shelved."""
    for other, one in sorted(state.incidents.items()):
        if other != rank and one.shelved_ns is not None and severity(state, other) is Severity.LIFE:
            return state.rules.instances[other].id
    return ""


def _check_span(name: str, ns: int, longest: int, what: str) -> None:
    if not 0 < ns <= longest:
        raise ValueError(f"{name} may be {what} for more than 0 and at most {_words(longest)}")


def _words(ns: int) -> str:
    """7d, 8h, 90m or 5s."""
    for unit, size in (("d", 86_400), ("h", 3_600), ("m", 60)):
        if ns >= 2 * size * 10**9 and ns % (size * 10**9) == 0:
            return f"{ns // (size * 10**9)}{unit}"
    return f"{ns / 1e9:g}s"


def _unshelve(state: State, rank: int, wanted: Operation, outputs: list[Output]) -> None:
    one = state.incidents.get(rank)
    if one is None or one.shelved_ns is None:
        raise ValueError(f"{wanted.alarm} is not shelved")
    unshelved(state, rank, outputs, {"by": wanted.user})


def _take_out(state: State, rank: int, wanted: Operation, now: int, outputs: list[Output]) -> None:
    if not wanted.reason.strip():
        raise ValueError(f"{wanted.alarm}: a reason is needed to take it out of service")
    life = state.rules.instances[rank].worst is Severity.LIFE
    _check_span(wanted.alarm, wanted.ns, LIFE_OUT_NS if life else OUT_MAX_NS, "out of service")
    one = incident(state, rank)
    one.out_ns, one.out_by, one.out_reason = now + wanted.ns, wanted.user, wanted.reason
    one.remind_ns = now + REMIND_NS if life else None
    stop(state, rank, outputs)
    more = {"by": wanted.user, "for_s": wanted.ns / 1e9, "reason": wanted.reason}
    changed(state, rank, "out_of_service", outputs, more)


def _bring_back(
    state: State, rank: int, wanted: Operation, now: int, outputs: list[Output]
) -> None:
    one = state.incidents.get(rank)
    if one is None or one.out_ns is None:
        raise ValueError(f"{wanted.alarm} is not out of service")
    in_service(state, rank, now, outputs, {"by": wanted.user})
    arm(state, rank)

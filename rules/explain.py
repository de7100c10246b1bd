"""Why an instance is active, and why not: its condition, part by part, and the values behind. Pure."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from gateway.document import suggest
from gateway.model import Value
from rules.flow import Phase, State, read
from rules.model import Instance
from rules.parse import parse
from rules.predicate import Predicate
from rules.standing import phase_of, severity, standing
from rules.term import (
    Among,
    Apply,
    Both,
    Compare,
    Const,
    Either,
    Input,
    Not,
    Quotient,
    Sum,
    Term,
    kleene,
)
from rules.trace import Known
from rules.tracing import points
from rules.tree import Binary, Node

ALL, ANY, HOURS = "all of", "any of", "within the hours of `during`"
MAX_INSTANCES = 20  # of a rule that is named without a key


class Part(NamedTuple):
    """One part of a condition; `depth` parts are within the nearest part before with a smaller one.
    `column` is where it begins in the text of the condition, from 1; 0: the parts are below it.
    """

    depth: int
    text: str
    truth: Value | None
    column: int = 0


class Explained(NamedTuple):
    """`phase`: normal, pending, active, clearing or latched; of `wait_ns` the first `waited_ns` have
    passed while pending or clearing. `unknown_ns`: how long the condition has been unknown, of those
    that assume something then. `aside`: why nobody is told of its alarm.
    """

    instance: str
    title: str
    severity: str
    phase: str
    since_ns: int | None
    waited_ns: int
    wait_ns: int
    unknown_ns: int | None
    on_unknown: str
    when: str
    when_parts: tuple[Part, ...]
    until: str
    until_parts: tuple[Part, ...]
    points: tuple[Known, ...]
    sets: tuple[tuple[str, str, Value], ...]
    aside: tuple[str, ...] = ()


def named(state: State, name: str) -> list[int]:
    """The ranks of an instance, or of those of a rule: what is not normal first, at most 20.

    Raises ValueError for a name that nobody bears.
    """
    instances = state.rules.instances
    found = [rank for rank, one in enumerate(instances) if one.id == name]
    found = found or [rank for rank, one in enumerate(instances) if one.rule.id == name]
    if not found:
        if any(rule.id == name for rule in state.rules.rules):
            raise ValueError(f"rule '{name}' has no instance: no device fits it, or it is disabled")
        known = {one.id for one in instances} | {one.rule.id for one in instances}
        raise ValueError(f"no rule or instance '{name}': {suggest(name, sorted(known)[:2000])}")
    found.sort(key=lambda rank: (phase_of(state, rank) == "normal", rank))
    return found[:MAX_INSTANCES]


def explained(state: State, rank: int, now: int) -> Explained:
    """At engine time `now`, ns."""
    instance = state.rules.instances[rank]
    rule, phase = instance.rule, phase_of(state, rank)
    wait = {"pending": rule.for_ns, "clearing": rule.keep_ns}.get(phase, 0)
    waited = min(max(0, wait - (state.marks[rank] - now)), wait) if wait else 0
    raised = state.phases[rank] in {Phase.ACTIVE, Phase.CLEARING} or phase == "latched"
    unknown = state.unknown.get(rank)
    return Explained(
        instance.id, instance.shown, "" if rule.severity is None else rule.severity.name.lower(),
        phase, now - state.since[rank] if raised else None, waited, wait,
        None if unknown is None else now - unknown, rule.on_unknown,
        instance.when.text, (*_hours(state, instance), *_now(state, instance.when)),
        "" if instance.until is None else instance.until.text,
        () if instance.until is None else tuple(_now(state, instance.until)),
        tuple(points(state, instance, now)),
        tuple((one.device, one.point, one.value) for one in instance.sets),
        tuple(_aside(state, rank)),
    )  # fmt: skip


def _aside(state: State, rank: int) -> Iterator[str]:
    one = state.incidents.get(rank)
    if one is None:
        return
    own, instances = severity(state, rank), state.rules.instances
    for other in state.rules.suppressors.get(rank, ()) if one.suppressed else ():
        if standing(state, other) and severity(state, other) >= own:
            yield f"suppressed by {instances[other].id}"
    if one.out_ns is not None:
        yield f"out of service: {one.out_by}, {one.out_reason}"
    if one.shelved_ns is not None:
        yield f"shelved by {one.shelved_by}"
    flags = ((one.flapping, "it flaps"), (one.stormed, "part of a storm"), (one.quiet, "cooldown"))
    yield from (text for is_, text in flags if is_)


def _hours(state: State, instance: Instance) -> Iterator[Part]:
    if instance.during is not None:
        yield Part(0, HOURS, state.values[instance.during])


def _now(state: State, test: Predicate) -> Iterator[Part]:
    return parts(test, read(state, test))


def parts(test: Predicate, values: Sequence[Value | None]) -> Iterator[Part]:
    """The parts of a condition for `values` of its inputs."""
    places = _columns(parse(test.text)) if test.text else iter(())
    for part in _split(test.term, values, test.names, 0):
        joins = part.text in {ALL, ANY}
        yield part if joins else part._replace(column=next(places, 0))


def _columns(node: Node) -> Iterator[int]:
    """Where the parts begin, in their order: what is joined by `and` and `or`."""
    if isinstance(node, Binary) and node.op in {"and", "or"}:
        yield from _columns(node.left)
        yield from _columns(node.right)
    else:
        yield node.place.start + 1


def _split(
    term: Term, values: Sequence[Value | None], names: Sequence[str], depth: int
) -> Iterator[Part]:
    """`and` and `or` with what they join, one level deeper."""
    if not isinstance(term, Both | Either):
        yield Part(depth, words(term, names, values), kleene(term, values))
        return
    join = ALL if isinstance(term, Both) else ANY
    yield Part(depth, join, kleene(term, values))
    for one in _joined(term, type(term)):
        yield from _split(one, values, names, depth + 1)


def _joined(term: Term, join: type[Both] | type[Either]) -> Iterator[Term]:
    if isinstance(term, join):
        yield from _joined(term.left, join)
        yield from _joined(term.right, join)
    else:
        yield term


def words(term: Term, names: Sequence[str], values: Sequence[Value | None]) -> str:  # noqa: PLR0911 -- one case for each term
    """`term` as people write it, each input with its value: `elec.voltage.a (231.5) > 250`."""
    match term:
        case Const(value):
            return word(value)
        case Input(number):
            return f"{names[number]} ({word(values[number])})"
        case Not(operand):
            return f"not {words(operand, names, values)}"
        case Both(left, right):
            return f"({words(left, names, values)} and {words(right, names, values)})"
        case Either(left, right):
            return f"({words(left, names, values)} or {words(right, names, values)})"
        case Compare(op, left, right) | Sum(op, left, right):
            return f"{words(left, names, values)} {op} {words(right, names, values)}"
        case Quotient(left, right):
            return f"{words(left, names, values)} / {words(right, names, values)}"
        case Among(left, choices):
            return f"{words(left, names, values)} in [{', '.join(map(word, choices))}]"
        case Apply(name, arguments):
            return f"{name}({', '.join(words(one, names, values) for one in arguments)})"


def word(value: Value | None) -> str:
    """A value as it is written in rules, numbers with at most six digits; `unknown`."""
    if value is None:
        return "unknown"
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:.6g}" if isinstance(value, float) else str(value)

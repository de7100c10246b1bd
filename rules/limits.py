"""Whether a condition can be true at all, by the ranges of the points that it reads. Pure."""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from gateway.model import Value
from gateway.profile import Point
from rules.formula import Formula, Reading
from rules.quantity import Span, reach, span_of
from rules.term import Among, Both, Compare, Const, Either, Input, Not, Term

MOST_TERMS = 64  # of the disjunctive normal form; beyond nothing is said
_OPPOSITE = {"==": "!=", "!=": "==", "<": ">=", ">=": "<", ">": "<=", "<=": ">"}
_MIRROR = {"==": "==", "!=": "!=", "<": ">", ">": "<", "<=": ">=", ">=": "<="}


class Atom(NamedTuple):
    """`input <op> value`; `op` is a comparison."""

    number: int
    op: str
    value: Value


Conjunction = tuple[Atom, ...]


def never(
    formula: Formula, points: Mapping[tuple[str, str], Point], *, negated: bool = False
) -> bool:
    """No values of its points make the condition true (`negated`: false)."""
    own = {
        index: points[one.alias, one.point]
        for index, one in enumerate(formula.inputs)
        if isinstance(one, Reading)
    }
    return impossible(Not(formula.term) if negated else formula.term, own)


def impossible(term: Term, points: Mapping[int, Point]) -> bool:
    """No values make `term` true. `points`: which inputs are values of a point; of the others nothing
    is known.
    """
    terms = _normal(term, True)  # noqa: FBT003 -- the value that is wanted
    return terms is not None and not any(_possible(atoms, points) for atoms in terms)


def _normal(term: Term, wanted: bool) -> list[Conjunction] | None:  # noqa: FBT001, PLR0911 -- one case for each term
    """When `term` is `wanted`: a list of conjunctions; None: too many of them."""
    match term:
        case Const(value):
            return [()] if value is wanted else []
        case Input(index):
            return [(Atom(index, "==", wanted),)]
        case Not(operand):
            return _normal(operand, not wanted)
        case Both(left, right) | Either(left, right):
            both = isinstance(term, Both) is wanted
            return _joined(_normal(left, wanted), _normal(right, wanted), both=both)
        case Among(Input(index), choices):
            any_: list[Conjunction] = [(Atom(index, "==", value),) for value in choices]
            return any_ if wanted else [tuple(Atom(index, "!=", value) for value in choices)]
        case Compare(op, Input(index), Const(value)):
            return [(Atom(index, op if wanted else _OPPOSITE[op], value),)]
        case Compare(op, Const(value), Input(index)):
            turned = _MIRROR[op]
            return [(Atom(index, turned if wanted else _OPPOSITE[turned], value),)]
    return [()]


def _joined(
    left: list[Conjunction] | None, right: list[Conjunction] | None, *, both: bool
) -> list[Conjunction] | None:
    if left is None or right is None:
        return None
    found = [a + b for a in left for b in right] if both else left + right
    return found if len(found) <= MOST_TERMS else None


def _possible(atoms: Conjunction, points: Mapping[int, Point]) -> bool:
    by_input: dict[int, list[Atom]] = {}
    for atom in atoms:
        by_input.setdefault(atom.number, []).append(atom)
    return all(_some(own, points.get(index)) for index, own in by_input.items())


def _some(atoms: Sequence[Atom], point: Point | None) -> bool:
    """Some value fits all `atoms`, which are about one input."""
    if any(isinstance(atom.value, bool | str) for atom in atoms):
        choices: set[Value] = set(point.enum.values()) if point and point.enum else {True, False}
        for atom in atoms:
            choices = {c for c in choices if (c == atom.value) is (atom.op == "==")}
        return bool(choices)
    whole = Span(-math.inf, True, math.inf, True)  # noqa: FBT003 -- ends of an interval
    spans = [whole if point is None else span_of(point)]
    for atom in atoms:
        spans = [
            cut for a in spans for b in reach(atom.op, float(atom.value)) if (cut := _cut(a, b))
        ]
    return bool(spans)


def _cut(a: Span, b: Span) -> Span | None:
    low, low_out = max((span.low, not span.low_in) for span in (a, b))
    high, high_in = min((span.high, span.high_in) for span in (a, b))
    if low < high or (low == high and not low_out and high_in):
        return Span(low, not low_out, high, high_in)
    return None

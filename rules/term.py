"""What an expression means: typed terms over numbered inputs, and their Kleene value. Pure."""

import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

from gateway.model import Value

ORDER: Mapping[str, Callable[[Any, Any], bool]] = MappingProxyType({
    "==": operator.eq, "!=": operator.ne, "<": operator.lt, "<=": operator.le,
    ">": operator.gt, ">=": operator.ge,
})  # fmt: skip
SUMS: Mapping[str, Callable[[Any, Any], Any]] = MappingProxyType(
    {"+": operator.add, "-": operator.sub, "*": operator.mul}
)


class Type(NamedTuple):
    """`number` in UCUM `unit` (a `difference` of two such has no zero point), `bool`, or one of `texts`."""

    kind: Literal["number", "bool", "texts"]
    unit: str = "1"
    texts: tuple[str, ...] = ()
    difference: bool = False


BOOL = Type("bool")
NUMBER = Type("number")
UNKNOWN = object()  # an input is None: what that means says `kleene`
Run = Callable[..., Any]  # all values, and where among them each input is


class Const(NamedTuple):
    value: Value


class Input(NamedTuple):
    """The input with this number."""

    number: int


class Not(NamedTuple):
    operand: "Term"


class Both(NamedTuple):
    left: "Term"
    right: "Term"


class Either(NamedTuple):
    left: "Term"
    right: "Term"


class Compare(NamedTuple):
    op: str
    left: "Term"
    right: "Term"


class Among(NamedTuple):
    left: "Term"
    choices: tuple[Value, ...]


class Sum(NamedTuple):
    """`+`, `-` or `*`."""

    op: str
    left: "Term"
    right: "Term"


class Quotient(NamedTuple):
    left: "Term"
    right: "Term"


class Apply(NamedTuple):
    """`abs`, `round` or `clamp`."""

    name: str
    arguments: tuple["Term", ...]


Term = Const | Input | Not | Both | Either | Compare | Among | Sum | Quotient | Apply


def kleene(term: Term, inputs: Sequence[Value | None]) -> Value | None:  # noqa: PLR0911, C901 -- one case for each term
    """The value of `term`, None when it is unknown: it depends on an input that is None.

    Unknown and false is false, unknown or true is true; a division by zero is unknown.
    """
    match term:
        case Const(value):
            return value
        case Input(number):
            return inputs[number]
        case Not(operand):
            truth = kleene(operand, inputs)
            return None if truth is None else not truth
        case Both(left, right):
            first = kleene(left, inputs)
            if first is False:
                return False
            second = kleene(right, inputs)
            return False if second is False else None if first is None or second is None else True
        case Either(left, right):
            first = kleene(left, inputs)
            if first is True:
                return True
            second = kleene(right, inputs)
            return True if second is True else None if first is None or second is None else False
        case Compare(op, left, right):
            pair = kleene(left, inputs), kleene(right, inputs)
            return None if None in pair else ORDER[op](*pair)
        case Among(left, choices):
            chosen = kleene(left, inputs)
            return None if chosen is None else chosen in choices
        case Sum(op, left, right):
            pair = kleene(left, inputs), kleene(right, inputs)
            return None if None in pair else SUMS[op](*pair)
        case Quotient(left, right):
            a, b = kleene(left, inputs), kleene(right, inputs)
            return None if a is None or not b else float(a) / float(b)
        case Apply(name, arguments):
            values = [kleene(one, inputs) for one in arguments]
            return None if None in values else apply(name, values)


def renumbered(term: Term, numbers: Sequence[int]) -> Term:
    """`term` over other inputs: `numbers` says which stands for each of its own."""
    match term:
        case Input(number):
            return Input(numbers[number])
        case Const():
            return term
        case Not(operand):
            return Not(renumbered(operand, numbers))
        case Among():
            return term._replace(left=renumbered(term.left, numbers))
        case Apply(name, arguments):
            return Apply(name, tuple(renumbered(one, numbers) for one in arguments))
    return term._replace(left=renumbered(term.left, numbers), right=renumbered(term.right, numbers))


def within(term: Term) -> Iterator[Term]:
    """`term` and all that it is made of."""
    yield term
    match term:
        case Const() | Input():
            return
        case Not(operand):
            parts: tuple[Term, ...] = (operand,)
        case Among(left, _):
            parts = (left,)
        case Apply(_, arguments):
            parts = arguments
        case _:
            parts = (term.left, term.right)
    for part in parts:
        yield from within(part)


def apply(name: str, values: Sequence[Any]) -> Value:
    if name in {"abs", "round"}:
        plain: Value = abs(values[0]) if name == "abs" else round(values[0])
        return plain
    low, high = sorted(values[1:])
    clamped: Value = min(max(values[0], low), high)
    return clamped


def source(term: Term) -> str:  # noqa: PLR0911 -- one case for each term
    """`term` as Python over x0, x1, ..., for inputs that are all known. No name of a user is in it."""
    match term:
        case Const(value):
            return repr(value)
        case Input(number):
            return f"x{number}"
        case Not(operand):
            return f"(not {source(operand)})"
        case Both(left, right):
            return f"({source(left)} and {source(right)})"
        case Either(left, right):
            return f"({source(left)} or {source(right)})"
        case Compare(op, left, right) | Sum(op, left, right):
            return f"({source(left)} {op} {source(right)})"
        case Among(left, choices):
            return f"({source(left)} in {choices!r})"
        case Quotient(left, right):
            return f"({source(left)} / {source(right)})"
        case Apply(name, arguments):
            return f"{name}({', '.join(map(source, arguments))})"


def compiled(term: Term, inputs: int) -> Run:
    """The value of `term` over the first `inputs` inputs, given all values and where each input is
    among them; UNKNOWN if one is None. A division by zero raises ZeroDivisionError.
    """
    numbers = range(inputs)
    places = "".join(f", i{number}" for number in numbers)
    known = " and ".join(f"(x{number} := v[i{number}]) is not None" for number in numbers)
    return _made(f"lambda v{places}: {source(term)} if {known or True} else UNKNOWN")


@cache
def _made(code: str) -> Run:
    scope = {
        "__builtins__": {}, "abs": abs, "round": round, "UNKNOWN": UNKNOWN,
        "clamp": lambda x, a, b: min(max(x, min(a, b)), max(a, b)),
    }  # fmt: skip
    made: Run = eval(code, scope)  # noqa: S307 -- of our own making: numbers, repr of checked constants, no names
    return made

"""Types of expressions: what they are called, which fit together, how units convert. Pure."""

from gateway.amount import SECONDS
from gateway.profile import Point
from gateway.units import UNITS, code_of, convert
from gateway.words.text import Said, fault, text
from rules.parse import parse
from rules.quantity import dimension, near_unit
from rules.term import BOOL, Const, Sum, Term, Type
from rules.tree import Node, Number, Path, Place, RuleError

MAX_WINDOW_S = 86_400.0
MAX_QUANTITY = 200  # characters: keeps every number inside the range of a float
PLAIN_UNITS = frozenset({"", "1"})  # of a bare number, of a point without unit
Side = tuple[Term, Type, Node]


def numeric(point: Point) -> bool:
    """A state without unit is true/false or one of its texts: comparing it with a number is refused."""
    if point.enum is not None or point.bits is not None:
        return False
    return point.kind in {"gauge", "counter"} or point.unit != "1" or point.integer


def type_of(point: Point) -> Type:
    if point.enum is not None:
        return Type("texts", texts=tuple(point.enum.values()))
    return Type("number", point.unit) if numeric(point) else BOOL


def kind(type_: Type) -> Said:
    if type_.kind == "bool":
        return text("kind.state")
    if type_.kind == "texts":
        return text("kind.texts", texts=type_.texts)
    return dimension("1" if type_.unit in PLAIN_UNITS else type_.unit)


def comparable(type_: Type) -> Said:
    if type_.kind == "bool":
        return text("hint.state")
    if type_.kind == "texts":
        return text("hint.texts", texts=type_.texts)
    if type_.unit in PLAIN_UNITS:
        return text("hint.number")
    return text("hint.quantity", unit=type_.unit)


def unit_of(node: Number) -> str:
    if not node.unit:
        return ""
    code = code_of(node.unit)
    if code is None:
        unknown = fault("unit.unknown", unit=node.unit, fix=near_unit(node.unit))
        raise RuleError(*unknown, *node.place)
    return code


def quantity(text: str) -> tuple[int | float, str | None] | None:
    """Of `60 %` or `-16 A`: the number and the code of its unit, None without one; None if it is no
    number. Raises RuleError on a wrong unit.
    """
    try:
        node = parse(text) if len(text) <= MAX_QUANTITY else None
    except RuleError:
        return None
    return (node.value, unit_of(node) or None) if isinstance(node, Number) else None


def duration_ns(node: Node) -> int:
    """Nanoseconds of `30s`. In this place `m` is minutes."""
    if not isinstance(node, Number) or node.unit not in SECONDS:
        raise RuleError(*fault("expr.no_duration"), *node.place)
    seconds = node.value * SECONDS[node.unit]
    if not 0 < seconds <= MAX_WINDOW_S:
        raise RuleError(*fault("expr.duration_range", seconds=seconds), *node.place)
    return round(seconds * 1e9)


def check_text(word: str, type_: Type, place: Place, about: Node) -> None:
    if word not in type_.texts:
        name = about.point if isinstance(about, Path) else text("expr.this")
        never = fault("expr.never_text", text=word, name=name, texts=type_.texts)
        raise RuleError(*never, *place)


def same_unit(left: Side, right: Side) -> tuple[Term, Term, str]:
    """Both in the unit of the point among them; a bare number takes no unit but that of 0 or 1."""
    (a, have, _), (b, want, other) = left, right
    if not have.unit:
        b, a, unit = same_unit((b, want, other), (a, have, left[2])) if want.unit else (b, a, "")
        return a, b, unit
    if not want.unit:
        zero = isinstance(b, Const) and b.value == 0
        if zero or have.unit == "1":
            return a, b, have.unit
        shown = b.value if isinstance(b, Const) else "5"
        bare = fault("unit.missing", kind=dimension(have.unit), number=shown, unit=have.unit)
        raise RuleError(*bare, *other.place)
    if UNITS[have.unit].dimension != UNITS[want.unit].dimension:
        if have.unit == "1":
            raise RuleError(*fault("unit.unwanted", have=kind(want), want=kind(have)), *other.place)
        differs = fault("unit.differs", have=kind(want), want=kind(have), unit=have.unit)
        raise RuleError(*differs, *other.place)
    return a, _converted(b, want, have), have.unit


def _converted(term: Term, source: Type, target: Type) -> Term:
    if source.unit == target.unit:
        return term
    if isinstance(term, Const) and not target.difference:
        number = convert(float(term.value), source.unit, target.unit)
        rounded = float(f"{number:.12g}")  # 1.1 bar is 110 kPa, not 110.00000000000001
        return Const(int(rounded) if rounded.is_integer() else rounded)
    have, want = UNITS[source.unit], UNITS[target.unit]
    factor = have.factor / want.factor
    if isinstance(term, Const):
        return Const(float(f"{float(term.value) * factor:.12g}"))
    offset = 0.0 if target.difference else (have.offset - want.offset) / want.factor
    scaled: Term = Sum("*", term, Const(factor))
    return Sum("+", scaled, Const(offset)) if offset else scaled

"""Gives an expression its meaning among the points that it may read: types, units, names. Pure."""

from collections.abc import Mapping, Sequence

from gateway.document import suggest
from gateway.profile import Point
from gateway.site_limit import SiteLimit
from gateway.units import UNITS
from gateway.words.text import fault, text
from rules.formula import EVERY, Formula, Grouped, Reading, Running, Scope, Source, Stated, Windowed
from rules.kinds import (
    PLAIN_UNITS,
    check_text,
    comparable,
    duration_ns,
    kind,
    same_unit,
    type_of,
    unit_of,
)
from rules.points import LIMIT, paths, shared
from rules.term import (
    BOOL,
    NUMBER,
    ORDER,
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
    Type,
)
from rules.tree import Binary, Call, In, Node, Number, Path, RuleError, Text, Unary, Word

WINDOWS = ("avg", "min", "max", "sum", "count", "delta", "rise", "rises", "rate", "coverage")
AGES = ("stale", "changed")
STATES = ("known", "good", "prev")
GROUPS = ("any", "all", "count_of", "unknown_of")
TOTALS = ("sum_of", "max_of", "min_of", "avg_of")
PLAIN = {"abs": ("x",), "round": ("x",), "clamp": ("x", "low", "high")}
FUNCTIONS = (*WINDOWS, *AGES, *STATES, *GROUPS, *TOTALS, *PLAIN, "active")
# What a rate is counted in, and how many of it one base unit a second is: m3/s is 3,600 m3/h.
RATES = {"volume": ("m3/h", 3600.0), "energy": ("kW", 3600.0), "length": ("m/s", 1.0)}


def meaning(node: Node, scope: Scope, text: str) -> Formula:
    """A value, of whatever type. Raises RuleError: a name, type or unit that does not fit."""
    checker = _Checker(scope)
    term, type_ = checker.term(node)
    return Formula(term, tuple(checker.inputs), type_, text)


def meanings(
    parts: Sequence[tuple[Node, str]], scope: Scope, join: str
) -> tuple[Formula | None, list[tuple[int, RuleError]]]:
    """Conditions joined by `and` or `or`, and what is wrong with which of them."""
    checker, failed = _Checker(scope), list[tuple[int, RuleError]]()
    whole: Term | None = None
    for index, (node, _) in enumerate(parts):
        try:
            term = checker.condition(node)
        except RuleError as error:
            failed.append((index, error))
            continue
        joined = Both if join == "and" else Either
        whole = term if whole is None else joined(whole, term)
    if failed or whole is None:
        return None, failed
    text = f" {join} ".join(text if len(parts) == 1 else f"({text})" for _, text in parts)
    return Formula(whole, tuple(checker.inputs), BOOL, text), []


class _Checker:
    def __init__(self, scope: Scope, member: str | None = None) -> None:
        self._scope = scope
        self._member = member  # the group whose members are looked at one by one
        self.inputs: list[Source] = []

    def term(self, node: Node, beside: Type | None = None) -> tuple[Term, Type]:
        """`beside`: the type of the other side of a comparison, which an enum text needs."""
        match node:
            case Number():
                return Const(node.value), Type("number", unit_of(node))
            case Text() | Word():
                return self._word(node, beside)
            case Path() if node.alias == LIMIT and self._scope.limits is not None:
                return self._limit(node, beside, self._scope.limits)
            case Path():
                return self._input(Reading(node.alias, node.point)), type_of(self._point(node))
            case Call():
                return self._call(node)
        return self._joined(node)

    def _joined(self, node: Unary | Binary | In) -> tuple[Term, Type]:
        if isinstance(node, In):
            return self._among(node)
        if isinstance(node, Unary) and node.op == "not":
            return Not(self._truth(node.operand)), BOOL
        if isinstance(node, Unary):
            term, type_ = self._number(node.operand)
            return Sum("-", Const(0), term), type_
        if node.op in {"and", "or"}:
            join = Both if node.op == "and" else Either
            return join(self._truth(node.left), self._truth(node.right)), BOOL
        return self._comparison(node) if node.op in ORDER else self._arithmetic(node)

    def condition(self, node: Node) -> Term:
        """True or false."""
        term, type_ = self.term(node)
        if type_ != BOOL:
            example = (
                text("hint.equal", text=type_.texts[0]) if type_.texts else text("hint.compare")
            )
            raise RuleError(*fault("expr.no_condition", kind=kind(type_), fix=example), *node.place)
        return term

    def _input(self, one: Source) -> Input:
        if one not in self.inputs:
            self.inputs.append(one)
        return Input(self.inputs.index(one))

    def _truth(self, node: Node) -> Term:
        term, type_ = self.term(node)
        if type_ != BOOL:
            raise RuleError(*fault("expr.no_truth", kind=kind(type_)), *node.place)
        return term

    def _number(self, node: Node) -> tuple[Term, Type]:
        term, type_ = self.term(node)
        if type_.kind != "number":
            raise RuleError(*fault("expr.no_number", kind=kind(type_)), *node.place)
        return term, type_

    def _word(self, node: Text | Word, beside: Type | None) -> tuple[Term, Type]:
        word = node.value if isinstance(node, Text) else node.name
        if isinstance(node, Word) and word in {"true", "false"}:
            return Const(word == "true"), BOOL
        if beside is not None and beside.kind == "texts":
            return Const(word), beside
        if isinstance(node, Text):
            raise RuleError(*fault("expr.text", text=word), *node.place)
        if word in FUNCTIONS:
            raise RuleError(*fault("expr.function", name=word), *node.place)
        known = self._scope.aliases
        if word in known:
            raise RuleError(*fault("expr.device", name=word), *node.place)
        begin = text("expr.begin", names=list(known))
        fix = text("expr.point_of_it", name=word) if "it" in known else begin
        raise RuleError(*fault("expr.no_point", name=word, fix=fix), *node.place)

    def _limit(
        self, node: Path, beside: Type | None, limits: Mapping[str, SiteLimit]
    ) -> tuple[Term, Type]:
        if beside is None:
            raise RuleError(*fault("expr.limit_alone", name=node.point), *node.place)
        if node.point not in limits:
            return Const(0), beside if beside.kind == "number" else NUMBER
        limit = limits[node.point]
        return Const(limit.number), Type("number", limit.unit or "")

    # Points

    def _point(self, node: Path) -> Point:
        alias = self._scope.aliases.get(node.alias)
        if alias is None:
            whole, it = f"{node.alias}.{node.point}", self._scope.aliases.get("it")
            names = self._scope.aliases
            fix = suggest(node.alias, names) if names else text("expr.name_device")
            if it is not None and any(whole in profile.by_id for profile in it.profiles):
                fix = text("hint.write", example=f"it.{whole}")
            raise RuleError(*fault("expr.no_alias", name=node.alias, fix=fix), *node.place)
        if EVERY in node.point and self._scope.limits is None:
            one = f"{node.alias}.{node.point.replace(EVERY, '[1]')}"
            raise RuleError(*fault("expr.each_element", example=one), *node.place)
        if alias.group and node.alias != self._member:
            group = fault("expr.group", name=node.alias, point=node.point)
            raise RuleError(*group, *node.place)
        if not alias.group and self._member is not None:
            other = fault("expr.not_group", name=node.alias, group=self._member)
            raise RuleError(*other, *node.place)
        return shared(alias, node)

    def _comparison(self, node: Binary) -> tuple[Term, Type]:
        flip = _leans(node.left)
        first, second = (node.right, node.left) if flip else (node.left, node.right)
        left, have = self.term(first)
        right, want = self.term(second, have)
        if have.kind != want.kind:
            kinds = fault("expr.kinds", have=kind(have), want=kind(want), fix=comparable(have))
            raise RuleError(*kinds, *second.place)
        if have.kind != "number" and node.op not in {"==", "!="}:
            raise RuleError(*fault("expr.order", op=node.op, kind=kind(have)), *node.place)
        if isinstance(right, Const) and have.kind == "texts":
            check_text(str(right.value), have, second.place, first)
        if have.kind == "number":
            left, right, _ = same_unit((left, have, first), (right, want, second))
        pair = (right, left) if flip else (left, right)
        return Compare(node.op, *pair), BOOL

    def _among(self, node: In) -> tuple[Term, Type]:
        left, have = self.term(node.left)
        choices = []
        for one in node.choices:
            term, type_ = self.term(one, have)
            if type_.kind != have.kind or not isinstance(term, Const):
                raise RuleError(*fault("expr.choice", fix=comparable(have)), *one.place)
            if have.kind == "texts":
                check_text(str(term.value), have, one.place, node.left)
            if have.kind == "number":
                _, term, _ = same_unit((left, have, node.left), (term, type_, one))
            assert isinstance(term, Const)  # noqa: S101 -- a constant converts to a constant
            choices.append(term.value)
        return Among(left, tuple(choices)), BOOL

    def _arithmetic(self, node: Binary) -> tuple[Term, Type]:
        left, have = self._number(node.left)
        right, want = self._number(node.right)
        if node.op in {"+", "-"}:
            left, right, unit = same_unit((left, have, node.left), (right, want, node.right))
            difference = node.op == "-" and not want.difference
            return Sum(node.op, left, right), Type(
                "number", unit, (), difference or have.difference
            )
        if node.op == "*":
            if have.unit not in PLAIN_UNITS and want.unit not in PLAIN_UNITS:
                raise RuleError(*fault("expr.product"), *node.place)
            return Sum("*", left, right), have if want.unit in PLAIN_UNITS else want
        if want.unit in PLAIN_UNITS:
            return Quotient(left, right), have
        if have.unit in PLAIN_UNITS or UNITS[have.unit].dimension != UNITS[want.unit].dimension:
            raise RuleError(*fault("expr.quotient", have=kind(have), want=kind(want)), *node.place)
        left, right, _ = same_unit((left, have, node.left), (right, want, node.right))
        return Quotient(left, right), NUMBER

    # Functions

    def _call(self, node: Call) -> tuple[Term, Type]:
        if node.name not in FUNCTIONS:
            fix = suggest(node.name, FUNCTIONS)
            raise RuleError(*fault("expr.no_function", name=node.name, fix=fix), *node.place)
        if node.name in PLAIN:
            return self._plain(node)
        if self._member is not None:
            raise RuleError(*fault("expr.in_group", name=node.name), *node.place)
        if node.name == "active":
            return self._active(node)
        if node.name in GROUPS or node.name in TOTALS:
            return self._group(node)
        return self._point_function(node)

    def _plain(self, node: Call) -> tuple[Term, Type]:
        _arguments(node, len(PLAIN[node.name]), f"{node.name}({', '.join(PLAIN[node.name])})")
        terms: list[Term] = []
        first, type_ = self._number(node.arguments[0])
        terms.append(first)
        for one in node.arguments[1:]:
            term, other = self._number(one)
            _, term, _ = same_unit((first, type_, node.arguments[0]), (term, other, one))
            terms.append(term)
        return Apply(node.name, tuple(terms)), type_

    def _active(self, node: Call) -> tuple[Term, Type]:
        first = node.arguments[0] if node.arguments else None
        anywhere = len(node.arguments) == 2 and getattr(node.arguments[1], "name", "") == "any"
        if not isinstance(first, Text) or not (len(node.arguments) == 1 or anywhere):
            raise RuleError(*fault("expr.active"), *node.place)
        if first.value not in self._scope.rules:
            fix = suggest(first.value, self._scope.rules)
            raise RuleError(*fault("expr.no_rule", name=first.value, fix=fix), *first.place)
        return self._input(Running(first.value, anywhere)), BOOL

    def _group(self, node: Call) -> tuple[Term, Type]:
        example = f"{node.name}(members.alarm.smoke)"
        _arguments(node, 1, example)
        argument = node.arguments[0]
        aliases = sorted({path.alias for path in paths(argument)})
        groups = [name for name in aliases if (a := self._scope.aliases.get(name)) and a.group]
        if len(groups) != 1:
            known = [name for name, alias in self._scope.aliases.items() if alias.group]
            there = text("expr.groups", names=known) if known else text("expr.no_groups")
            one = fault("expr.one_group", name=node.name, example=example, groups=there)
            raise RuleError(*one, *node.place)
        if not self._scope.aliases[groups[0]].profiles and node.name in GROUPS:
            nobody = Formula(Const(value=False), (), BOOL, "")
            result = BOOL if node.name in {"any", "all"} else NUMBER
            return self._input(Grouped(node.name, groups[0], nobody)), result
        inner = _Checker(self._scope, member=groups[0])
        term, type_ = inner.term(argument)
        wanted = "number" if node.name in TOTALS else "bool"
        if type_.kind != wanted:
            fix = text("expr.give_number") if wanted == "number" else text("hint.compare")
            other = fault("expr.of_kind", name=node.name, kind=kind(type_), fix=fix)
            raise RuleError(*other, *argument.place)
        each = Formula(term, tuple(inner.inputs), type_, "")
        result = type_ if node.name in TOTALS else BOOL if node.name in {"any", "all"} else NUMBER
        return self._input(Grouped(node.name, groups[0], each)), result

    def _point_function(self, node: Call) -> tuple[Term, Type]:
        timed = node.name in WINDOWS or node.name in AGES
        example = f"{node.name}(it.water.flow, 1h)" if timed else f"{node.name}(it.water.flow)"
        _arguments(node, 2 if timed else 1, example)
        path = node.arguments[0]
        if not isinstance(path, Path):
            about = fault("expr.about_point", name=node.name, example=example)
            raise RuleError(*about, *path.place)
        point = self._point(path)
        ns = duration_ns(node.arguments[1]) if timed else 0
        if node.name in WINDOWS:
            type_, factor = _window_type(node, type_of(point), point)
            term: Term = self._input(Windowed(node.name, path.alias, path.point, ns))
            return (term if factor == 1 else Sum("*", term, Const(factor))), type_
        type_ = type_of(point) if node.name == "prev" else BOOL
        return self._input(Stated(node.name, path.alias, path.point, ns)), type_


def _window_type(node: Call, type_: Type, point: Point) -> tuple[Type, float]:
    """(type of a window function, factor from what the engine computes)."""
    name = node.name
    if name in {"count", "coverage"}:
        return (NUMBER if name == "count" else Type("number", "1")), 1
    if name == "rises":
        if type_ != BOOL:
            raise RuleError(*fault("expr.rises", kind=kind(type_)), *node.place)
        return NUMBER, 1
    if type_.kind != "number":
        other = fault("expr.of_kind", name=name, kind=kind(type_), fix=text("hint.numeric"))
        raise RuleError(*other, *node.place)
    if name in {"delta", "rise"}:
        return type_._replace(difference=True), 1
    if name != "rate":
        return type_, 1
    found = RATES.get(UNITS[type_.unit].dimension)
    if found is None:
        if point.unit == "1":
            return NUMBER, 1
        raise RuleError(*fault("expr.no_rate", kind=kind(type_), point=point.id), *node.place)
    unit, factor = found
    return Type("number", unit), factor * UNITS[type_.unit].factor


def _arguments(node: Call, count: int, example: str) -> None:
    if len(node.arguments) != count:
        given = len(node.arguments)
        wrong = fault("expr.arguments", name=node.name, count=given, example=example)
        raise RuleError(*wrong, *node.place)


def _leans(node: Node) -> bool:
    """What it is says the other side of a comparison only."""
    if isinstance(node, Path):
        return node.alias == LIMIT
    return isinstance(node, Text) or (isinstance(node, Word) and node.name not in {"true", "false"})

"""Gives an expression its meaning among the points that it may read: types, units, names. Pure."""

from collections.abc import Iterable, Sequence

from gateway.document import suggest
from gateway.profile import Point
from gateway.units import UNITS
from rules.formula import Alias, Formula, Grouped, Reading, Running, Scope, Source, Stated, Windowed
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
            raise RuleError(
                f"{kind(type_)}, not true or false", "compare it, e.g. with >", *node.place
            )
        return term

    def _input(self, one: Source) -> Input:
        if one not in self.inputs:
            self.inputs.append(one)
        return Input(self.inputs.index(one))

    def _truth(self, node: Node) -> Term:
        term, type_ = self.term(node)
        if type_ != BOOL:
            what = f"{kind(type_)} where true or false is needed"
            raise RuleError(what, "compare it, e.g. with >", *node.place)
        return term

    def _number(self, node: Node) -> tuple[Term, Type]:
        term, type_ = self.term(node)
        if type_.kind != "number":
            what = f"{kind(type_)} where a number is needed"
            raise RuleError(what, "use a point that is a number", *node.place)
        return term, type_

    def _word(self, node: Text | Word, beside: Type | None) -> tuple[Term, Type]:
        text = node.value if isinstance(node, Text) else node.name
        if isinstance(node, Word) and text in {"true", "false"}:
            return Const(text == "true"), BOOL
        if beside is not None and beside.kind == "texts":
            return Const(text), beside
        if isinstance(node, Text):
            raise RuleError(f'a text, "{text}"', "compare it with a point that has texts", *node.place)  # fmt: skip
        if text in FUNCTIONS:
            raise RuleError(f"'{text}' is a function", f"write {text}(...)", *node.place)
        known = self._scope.aliases
        if text in known:
            raise RuleError(
                f"'{text}' is a device", f"write a point of it: {text}.<point>", *node.place
            )
        fix = (
            f"write a point such as it.{text}"
            if "it" in known
            else f"begin with one of {', '.join(known)}"
        )
        raise RuleError(f"'{text}' is no point", fix, *node.place)

    # Points

    def _point(self, node: Path) -> Point:
        alias = self._scope.aliases.get(node.alias)
        if alias is None:
            whole, it = f"{node.alias}.{node.point}", self._scope.aliases.get("it")
            names = self._scope.aliases
            fix = suggest(node.alias, names) if names else "name a device in `with`"
            if it is not None and any(whole in profile.by_id for profile in it.profiles):
                fix = f"write it.{whole}"
            raise RuleError(f"'{node.alias}' is no alias", fix, *node.place)
        if alias.group and node.alias != self._member:
            fix = f"write any({node.alias}.{node.point}), all(...) or count_of(...)"
            raise RuleError(f"'{node.alias}' is a group of devices", fix, *node.place)
        if not alias.group and self._member is not None:
            fix = f"read only points of {self._member} inside, and join the rest with `and`"
            raise RuleError(f"'{node.alias}' is not the group", fix, *node.place)
        return _shared(alias, node)

    def _comparison(self, node: Binary) -> tuple[Term, Type]:
        flip = isinstance(node.left, Word | Text) and not _is_truth(node.left)
        first, second = (node.right, node.left) if flip else (node.left, node.right)
        left, have = self.term(first)
        right, want = self.term(second, have)
        if have.kind != want.kind:
            what = f"{kind(have)} is compared with {kind(want)}"
            raise RuleError(what, comparable(have), *second.place)
        if have.kind != "number" and node.op not in {"==", "!="}:
            raise RuleError(f"'{node.op}' of {kind(have)}", "use == or !=", *node.place)
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
                raise RuleError("a choice of another kind", comparable(have), *one.place)
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
                raise RuleError("a product of two quantities", "multiply by a plain number", *node.place)  # fmt: skip
            return Sum("*", left, right), have if want.unit in PLAIN_UNITS else want
        if want.unit in PLAIN_UNITS:
            return Quotient(left, right), have
        if have.unit in PLAIN_UNITS or UNITS[have.unit].dimension != UNITS[want.unit].dimension:
            what = f"{kind(have)} divided by {kind(want)}"
            raise RuleError(what, "divide by a plain number or the same quantity", *node.place)
        left, right, _ = same_unit((left, have, node.left), (right, want, node.right))
        return Quotient(left, right), NUMBER

    # Functions

    def _call(self, node: Call) -> tuple[Term, Type]:
        if node.name not in FUNCTIONS:
            raise RuleError(f"unknown function '{node.name}'", suggest(node.name, FUNCTIONS), *node.place)  # fmt: skip
        if node.name in PLAIN:
            return self._plain(node)
        if self._member is not None:
            what = f"'{node.name}' inside of a group function"
            raise RuleError(what, "read points of the group only", *node.place)
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
        example = 'active("rule-id") or active("rule-id", any)'
        first = node.arguments[0] if node.arguments else None
        anywhere = len(node.arguments) == 2 and getattr(node.arguments[1], "name", "") == "any"
        if not isinstance(first, Text) or not (len(node.arguments) == 1 or anywhere):
            raise RuleError("active() takes the id of a rule", f"write {example}", *node.place)
        if first.value not in self._scope.rules:
            fix = suggest(first.value, self._scope.rules)
            raise RuleError(f"unknown rule '{first.value}'", fix, *first.place)
        return self._input(Running(first.value, anywhere)), BOOL

    def _group(self, node: Call) -> tuple[Term, Type]:
        example = f"{node.name}(members.alarm.smoke)"
        _arguments(node, 1, example)
        argument = node.arguments[0]
        aliases = sorted({path.alias for path in _paths(argument)})
        groups = [name for name in aliases if (a := self._scope.aliases.get(name)) and a.group]
        if len(groups) != 1:
            what = f"{node.name}() is about the devices of one group"
            known = [name for name, alias in self._scope.aliases.items() if alias.group]
            there = f"there is {', '.join(known)}" if known else "name one in `with`"
            fix = f"write e.g. {example}; {there}"
            raise RuleError(what, fix, *node.place)
        if not self._scope.aliases[groups[0]].profiles and node.name in GROUPS:
            nobody = Formula(Const(value=False), (), BOOL, "")
            result = BOOL if node.name in {"any", "all"} else NUMBER
            return self._input(Grouped(node.name, groups[0], nobody)), result
        inner = _Checker(self._scope, member=groups[0])
        term, type_ = inner.term(argument)
        wanted = "number" if node.name in TOTALS else "bool"
        if type_.kind != wanted:
            what = f"{node.name}() of {kind(type_)}"
            fix = "give it a point that is a number" if wanted == "number" else "compare it, e.g. with >"  # fmt: skip
            raise RuleError(what, fix, *argument.place)
        each = Formula(term, tuple(inner.inputs), type_, "")
        result = type_ if node.name in TOTALS else BOOL if node.name in {"any", "all"} else NUMBER
        return self._input(Grouped(node.name, groups[0], each)), result

    def _point_function(self, node: Call) -> tuple[Term, Type]:
        timed = node.name in WINDOWS or node.name in AGES
        example = f"{node.name}(it.water.flow, 1h)" if timed else f"{node.name}(it.water.flow)"
        _arguments(node, 2 if timed else 1, example)
        path = node.arguments[0]
        if not isinstance(path, Path):
            raise RuleError(f"{node.name}() is about a point", f"write e.g. {example}", *path.place)
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
            what = f"rises() of {kind(type_)}"
            raise RuleError(what, "it counts how often a state becomes true", *node.place)
        return NUMBER, 1
    if type_.kind != "number":
        raise RuleError(f"{name}() of {kind(type_)}", "use a point that is a number", *node.place)
    if name in {"delta", "rise"}:
        return type_._replace(difference=True), 1
    if name != "rate":
        return type_, 1
    found = RATES.get(UNITS[type_.unit].dimension)
    if found is None:
        if point.unit == "1":
            return NUMBER, 1
        what = f"a rate of {kind(type_)} has no unit here"
        raise RuleError(what, f"write delta({point.id}, ...)", *node.place)
    unit, factor = found
    return Type("number", unit), factor * UNITS[type_.unit].factor


def _arguments(node: Call, count: int, example: str) -> None:
    if len(node.arguments) != count:
        what = f"{node.name}() with {len(node.arguments)} arguments"
        raise RuleError(what, f"write {example}", *node.place)


def _shared(alias: Alias, node: Path) -> Point:
    """The point in every profile of the alias, of one meaning."""
    found: Point | None = None
    for profile in alias.profiles:
        point = profile.by_id.get(node.point)
        if point is None:
            elsewhere = any(node.point in p.by_id for p in (*alias.profiles, *alias.others))
            what = f"profile '{profile.profile}' has no point '{node.point}'"
            fix = f"add `has: {node.point}` to its selector"
            raise RuleError(
                what, fix if elsewhere else suggest(node.point, profile.by_id), *node.place
            )
        if found is not None and type_of(found) != type_of(point):
            what = f"'{node.point}' is not the same in all profiles of '{node.alias}'"
            raise RuleError(what, "select one profile", *node.place)
        found = point
    if found is None:
        raise RuleError(f"'{node.alias}' has no device", "check its selector", *node.place)
    return found


def _paths(node: Node) -> Iterable[Path]:
    match node:
        case Path():
            yield node
        case Unary():
            yield from _paths(node.operand)
        case Binary():
            yield from _paths(node.left)
            yield from _paths(node.right)
        case In():
            yield from _paths(node.left)
        case Call():
            for one in node.arguments:
                yield from _paths(one)
        case Number() | Text() | Word():
            return


def _is_truth(node: Node) -> bool:
    return isinstance(node, Word) and node.name in {"true", "false"}

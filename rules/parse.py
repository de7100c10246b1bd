"""The grammar of the rule language, by precedence climbing. Pure.

or-expr  = and-expr {"or" and-expr}
and-expr = not-expr {"and" not-expr}
not-expr = "not" not-expr | comparison
comparison = sum [("=="|"!="|"<"|"<="|">"|">=") sum | "in" "[" literal {"," literal} "]"]
sum      = product {("+"|"-") product}
product  = unary {("*"|"/") unary}
unary    = "-" unary | number [unit] | text | name | name "(" [or-expr {"," or-expr}] ")" | "(" or-expr ")"
"""

from collections.abc import Callable

from gateway.words.text import fault
from gateway.words.text import text as text_
from rules.tokens import Token, tokens
from rules.tree import Binary, Call, In, Node, Number, Path, Place, RuleError, Text, Unary, Word

MAX_DEPTH = 40
MAX_NODES = 200
COMPARISONS = ("==", "!=", "<", "<=", ">", ">=")


def parse(text: str) -> Node:
    """Raises RuleError, whatever `text` is."""
    parser = _Parser(tokens(text))
    node = parser.either()
    parser.finish()
    return node


class _Parser:
    def __init__(self, found: list[Token]) -> None:
        self._tokens = found
        self._at = 0
        self._depth = 0
        self._nodes = 0

    @property
    def _next(self) -> Token:
        return self._tokens[self._at]

    def finish(self) -> None:
        token = self._next
        if token.kind == "end":
            return
        if token.text == "=":
            raise RuleError(*fault("expr.assignment"), token.start, token.end)
        if token.kind in {"name", "number", "text"}:
            raise RuleError(*fault("expr.unjoined", word=token.text), token.start, token.end)
        raise RuleError(*fault("expr.surplus", sign=token.text), token.start, token.end)

    def either(self) -> Node:
        return self._joined(("or",), self._both)

    def _both(self) -> Node:
        return self._joined(("and",), self._negated)

    def _negated(self) -> Node:
        token = self._next
        if not self._takes("not"):
            return self._comparison()
        with_ = self._deeper(self._negated)
        return self._count(Unary("not", with_, Place(token.start, with_.place.end)))

    def _comparison(self) -> Node:
        left = self._joined(("+", "-"), self._product)
        op = self._next
        if op.text == "in" and op.kind == "sign":
            return self._among(left)
        if op.kind != "sign" or op.text not in COMPARISONS:
            return left
        self._at += 1
        right = self._joined(("+", "-"), self._product)
        again = self._next
        if again.kind == "sign" and (again.text in COMPARISONS or again.text == "in"):
            raise RuleError(*fault("expr.chained"), again.start, again.end)
        return self._count(Binary(op.text, left, right, Place(left.place.start, right.place.end)))

    def _among(self, left: Node) -> Node:
        self._at += 1
        self._expect("[", "expr.no_list")
        choices = [self._unary()]
        while self._takes(","):
            choices.append(self._unary())
        end = self._expect("]", "expr.open_list")
        return self._count(In(left, tuple(choices), Place(left.place.start, end.end)))

    def _product(self) -> Node:
        return self._joined(("*", "/"), self._unary)

    def _unary(self) -> Node:
        token = self._next
        if self._takes("-"):
            operand = self._deeper(self._unary)
            if isinstance(operand, Number) and operand.value >= 0:
                return operand._replace(value=-operand.value, place=Place(token.start, operand.place.end))  # fmt: skip
            return self._count(Unary("-", operand, Place(token.start, operand.place.end)))
        if self._takes("("):
            node = self._deeper(self.either)
            self._expect(")", "expr.open_bracket")
            return node
        return self._atom(token)

    def _atom(self, token: Token) -> Node:
        place = Place(token.start, token.end)
        if token.kind == "end":
            raise RuleError(*fault("expr.short"), *place)
        if token.kind == "sign":
            if token.text == "=":
                raise RuleError(*fault("expr.assignment"), *place)
            raise RuleError(*fault("expr.no_value", sign=token.text), *place)
        self._at += 1
        if token.kind == "number":
            value = float(token.text) if "." in token.text else int(token.text[:300])
            return self._count(Number(value, token.unit, place))
        if token.kind == "text":
            return self._count(Text(token.text, place))
        if self._next.text == "(" and self._next.kind == "sign":
            return self._call(token)
        alias, dot, point = token.text.partition(".")
        return self._count(Path(alias, point, place) if dot else Word(token.text, place))

    def _call(self, name: Token) -> Node:
        self._at += 1
        arguments: list[Node] = []
        if self._next.text != ")":
            arguments.append(self._deeper(self.either))
            while self._takes(","):
                arguments.append(self._deeper(self.either))
        end = self._expect(")", "expr.open_bracket")
        return self._count(Call(name.text, tuple(arguments), Place(name.start, end.end)))

    def _joined(self, signs: tuple[str, ...], part: Callable[[], Node]) -> Node:
        left = part()
        while self._next.kind == "sign" and self._next.text in signs:
            op = self._next.text
            self._at += 1
            right = part()
            left = self._count(Binary(op, left, right, Place(left.place.start, right.place.end)))
        return left

    def _takes(self, sign: str) -> bool:
        if self._next.kind != "sign" or self._next.text != sign:
            return False
        self._at += 1
        return True

    def _expect(self, sign: str, missing: str) -> Token:
        """`missing`: what is said without `sign`."""
        token = self._next
        if not self._takes(sign):
            shown = f"'{token.text}'" if token.text else text_("expr.end")
            raise RuleError(*fault(missing, shown=shown), token.start, token.end)
        return token

    def _deeper(self, part: Callable[[], Node]) -> Node:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            token = self._next
            raise RuleError(*fault("expr.deep", most=MAX_DEPTH), token.start, token.end)
        node = part()
        self._depth -= 1
        return node

    def _count(self, node: Node) -> Node:
        self._nodes += 1
        if self._nodes > MAX_NODES:
            raise RuleError(*fault("expr.parts", most=MAX_NODES), *node.place)
        return node

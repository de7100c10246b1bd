"""What the naive reading of the rule language needs of its trees: operators, and what stands where."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from rules.tree import Binary, Call, In, Node, Number, Path, Unary

DURATIONS = {"ms": 1_000_000, "s": 10**9, "m": 60 * 10**9, "h": 3_600 * 10**9}


def kleene_or(a: bool | None, b: bool | None) -> bool | None:
    return True if True in (a, b) else None if None in (a, b) else False


def binary(op: str, a: Any, b: Any) -> Any:
    match op:
        case "and":
            return False if False in (a, b) and (a is False or b is False) else None if a is None or b is None else True  # fmt: skip
        case "or":
            return True if a is True or b is True else None if a is None or b is None else False
    if a is None or b is None:
        return None
    if op == "/":
        return a / b if b else None
    sums = {"+": a.__add__, "-": a.__sub__, "*": a.__mul__} if op in "+-*" else {}
    if sums:
        result = sums[op](b)
        return result if result is not NotImplemented else float(a) + b if op == "+" else float(a) - b if op == "-" else float(a) * b  # fmt: skip
    tests: Mapping[str, Callable[[], bool]] = {
        "==": lambda: a == b, "!=": lambda: a != b, "<": lambda: a < b, "<=": lambda: a <= b,
        ">": lambda: a > b, ">=": lambda: a >= b,
    }  # fmt: skip
    return tests[op]()


def ns_of(node: Node) -> int:
    assert isinstance(node, Number)
    return round(node.value * DURATIONS[node.unit])


def paths(node: Node) -> Iterator[Path]:
    for each in walk(node):
        if isinstance(each, Path):
            yield each


def calls(node: Node) -> Iterator[Call]:
    for each in walk(node):
        if isinstance(each, Call):
            yield each


def walk(node: Node) -> Iterator[Node]:
    yield node
    match node:
        case Unary():
            yield from walk(node.operand)
        case Binary():
            yield from walk(node.left)
            yield from walk(node.right)
        case In():
            yield from walk(node.left)
        case Call():
            for one in node.arguments:
                yield from walk(one)

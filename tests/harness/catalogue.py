"""Which texts of the catalogue a source file uses, and which it has beside the catalogue."""

import ast
from collections.abc import Iterator
from typing import NamedTuple

# Who takes what is said, and mostly how to mend it: in which arguments.
TAKERS = {
    **dict.fromkeys(("RuleError", "wrong", "Fault"), slice(0, 2)),
    **dict.fromkeys(("problem", "note", "_problem", "_note", "_tell"), slice(1, 3)),
    "Finding": slice(2, 3),  # its remedy is a command for the shell
}


class Use(NamedTuple):
    """`id` ends with `*` where its end is computed; `names` are None where they are."""

    line: int
    id: str
    names: frozenset[str] | None


def uses(source: str) -> Iterator[Use]:
    """The calls of `text` and `fault`."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and _name(node) in {"text", "text_", "fault"} and node.args:
            id_ = _id(node.args[0])
            names = {keyword.arg for keyword in node.keywords}
            known = None if None in names else frozenset(name for name in names if name)
            if id_:
                yield Use(node.lineno, id_, known)


def mentioned(source: str) -> set[str]:
    """Every text in the file: ids that are handed on are among them."""
    return {n.value for n in ast.walk(ast.parse(source)) if isinstance(n, ast.Constant) and isinstance(n.value, str)}  # fmt: skip


def plain(source: str) -> Iterator[tuple[int, str]]:
    """(line, text) of what is said in English only: given to a taker, or to a name given to one."""
    for function in ast.walk(ast.parse(source)):
        if not isinstance(function, ast.FunctionDef):
            continue
        told: dict[str, ast.expr] = {}
        for node in ast.walk(function):
            if isinstance(node, ast.Assign):
                for target in node.targets:
                    told |= _assigned(target, node.value)
        for node in ast.walk(function):
            if isinstance(node, ast.Call) and (said_in := TAKERS.get(_name(node))):
                for argument in node.args[said_in]:
                    value = told.get(argument.id) if isinstance(argument, ast.Name) else argument
                    if value is not None and (said := _literal(value)):
                        yield node.lineno, said


def yielded(source: str) -> Iterator[tuple[int, str]]:
    """As `plain`, of faults that a generator yields: (path, what is wrong, how to mend it)."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Yield) and isinstance(node.value, ast.Tuple):
            for part in node.value.elts[1:]:
                if said := _literal(part):
                    yield node.lineno, said


def _assigned(target: ast.expr, value: ast.expr) -> dict[str, ast.expr]:
    if isinstance(target, ast.Name):
        return {target.id: value}
    if isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple):
        names = (one.id if isinstance(one, ast.Name) else "" for one in target.elts)
        return dict(zip(names, value.elts, strict=True))
    return {}


def _literal(node: ast.expr) -> str:
    """The English words of a text, of a text with values in it, of a choice between texts."""
    if isinstance(node, ast.IfExp):
        return _literal(node.body) or _literal(node.orelse)
    if isinstance(node, ast.BoolOp):
        return next(filter(None, map(_literal, node.values)), "")
    if isinstance(node, ast.BinOp):
        return _literal(node.left) or _literal(node.right)
    parts = node.values if isinstance(node, ast.JoinedStr) else [node]
    words = "".join(p.value for p in parts if isinstance(p, ast.Constant) and isinstance(p.value, str))  # fmt: skip
    return words if any(char.isalpha() for char in words) else ""


def _name(call: ast.Call) -> str:
    function = call.func
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")


def _id(node: ast.expr) -> str:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr) and isinstance(node.values[0], ast.Constant):
        return f"{node.values[0].value!s}*"
    return ""

"""An expression of the rule language as it is written: what the parser makes and the checker reads."""

from typing import NamedTuple


class RuleError(Exception):
    """What is wrong with an expression, how to mend it, and which characters it is about."""

    def __init__(self, what: str, fix: str, start: int, end: int) -> None:
        super().__init__(f"{what}: {fix}")
        self.what = what
        self.fix = fix
        self.start = start
        self.end = end


class Place(NamedTuple):
    """Characters `start` to `end` (exclusive) of the expression."""

    start: int
    end: int


class Number(NamedTuple):
    """`unit` is as written, "" without one."""

    value: int | float
    unit: str
    place: Place


class Text(NamedTuple):
    value: str
    place: Place


class Word(NamedTuple):
    """`true`, `false`, or a value of an enum point."""

    name: str
    place: Place


class Path(NamedTuple):
    """`alias.point`."""

    alias: str
    point: str
    place: Place


class Unary(NamedTuple):
    """`op` is `not` or `-`."""

    op: str
    operand: "Node"
    place: Place


class Binary(NamedTuple):
    """`op` is `and`, `or`, a comparison or an arithmetic sign."""

    op: str
    left: "Node"
    right: "Node"
    place: Place


class In(NamedTuple):
    left: "Node"
    choices: tuple["Node", ...]
    place: Place


class Call(NamedTuple):
    name: str
    arguments: tuple["Node", ...]
    place: Place


Node = Number | Text | Word | Path | Unary | Binary | In | Call

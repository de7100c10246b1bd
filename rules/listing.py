"""A list of devices as a text for people: those of which a condition is true, and those nobody knows of."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

from gateway.model import Value
from rules.predicate import Predicate

MOST = 200  # devices
MAX_CHARACTERS = 3_500  # what a notification holds, less its heading


class Cell(NamedTuple):
    """`value` is the value of a tag, or what a point shows in `unit`."""

    name: str
    value: str | Predicate
    unit: str = ""


class Row(NamedTuple):
    device: str
    where: Predicate
    cells: tuple[Cell, ...]


class Digest(NamedTuple):
    """`rows` are in the order of device ids; at most `most` are told."""

    rows: tuple[Row, ...]
    most: int

    @property
    def reads(self) -> Iterator[Predicate]:
        """Everything that it looks at."""
        for row in self.rows:
            yield row.where
            yield from (one.value for one in row.cells if isinstance(one.value, Predicate))

    def placed(self, place: Callable[[Predicate], Predicate]) -> "Digest":
        """With every predicate replaced by what `place` makes of it."""

        def cell(one: Cell) -> Cell:
            found = one.value
            return one._replace(value=place(found)) if isinstance(found, Predicate) else one

        rows = (
            row._replace(where=place(row.where), cells=tuple(map(cell, row.cells)))
            for row in self.rows
        )
        return self._replace(rows=tuple(rows))


Truth = Callable[[Predicate], Value | None]
Show = Callable[[Value | None], str]


def listed(digest: Digest, truth: Truth, show: Show) -> str:
    """Line by line; "" where there is nothing to tell."""
    holds = [(row, truth(row.where)) for row in digest.rows]
    known = [row for row, found in holds if found is True]
    unknown = [row for row, found in holds if found is None]
    shown = known[: digest.most]
    lines = [_line(row, truth, show) for row in shown]
    rest = unknown[: digest.most - len(shown)]
    lines += ["unknown:"] * bool(rest) + [_line(row, truth, show) for row in rest]
    return "\n".join(_bounded(lines, len(known) + len(unknown) - len(shown) - len(rest)))


def _line(row: Row, truth: Truth, show: Show) -> str:
    cells = (f"{one.name} {_text(one, truth, show)}" for one in row.cells)
    return f"{row.device}: {', '.join(cells)}" if row.cells else row.device


def _text(cell: Cell, truth: Truth, show: Show) -> str:
    if isinstance(cell.value, str):
        return cell.value
    value = truth(cell.value)
    return show(value) if value is None or not cell.unit else f"{show(value)} {cell.unit}"


def _bounded(lines: list[str], left: int) -> Iterator[str]:
    """As many lines as fit, and how many there are besides."""
    size = 0
    for index, line in enumerate(lines):
        size += len(line) + 1
        if size > MAX_CHARACTERS:
            left += len(lines) - index
            break
        yield line
    if left:
        yield f"... {left} more"

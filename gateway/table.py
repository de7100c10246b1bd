"""Devices from a table: a CSV file with one row for each device and the keys of devices as columns."""

import csv
import io
from collections.abc import Iterator
from pathlib import Path

from gateway.document import MAX_BYTES, Document, Path_, Plain, plain_scalar
from gateway.errors import ConfigError, Problem
from gateway.words.text import fault, text

ID = "device"
TEXTS = ("tags", "labels", "decisions")  # what they hold is text, also where it looks like a number
NESTED = {
    "tag": "tags",
    "tags": "tags",
    "poll": "poll",
    "limits": "limits",
    "decisions": "decisions",
}


def read_table(path: Path) -> Document:
    """A document `{devices: {...}}` with the line and the number of the cell as positions.

    An empty cell is a key that is not there; rows that are empty or begin with `#` are skipped.
    Raises ConfigError that names every problem.
    """
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_BYTES + 1)
    except OSError as error:
        said = fault("table.unreadable", why=error.strerror or error)
        raise ConfigError([Problem(str(path), 0, 0, "", *said)]) from error
    reader = _Table(str(path), _decode(raw, str(path)))
    if reader.problems:
        raise ConfigError(reader.problems)
    return reader.document


def _decode(raw: bytes, name: str) -> str:
    """Excel marks UTF-8 with a byte order mark; what it calls CSV without more is GBK in China."""
    if len(raw) > MAX_BYTES:
        raise ConfigError([Problem(name, 0, 0, "", *fault("table.large", most=MAX_BYTES))])
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise ConfigError([Problem(name, line, 1, "", *fault("table.encoding"))]) from error


class _Table:
    def __init__(self, name: str, whole: str) -> None:
        self.document = Document(name, {"devices": {}})
        self.problems: list[Problem] = []
        self._devices: dict[str, Plain] = {}
        self.document.value = {"devices": dict[str, Plain]()}
        rows = self._rows(whole)
        self._columns = self._header(next(rows, None))
        if not self.problems:
            for line, row in rows:
                self._row(line, row)
        self.document.value = {"devices": self._devices}

    def _rows(self, whole: str) -> Iterator[tuple[int, list[str]]]:
        reader = csv.reader(io.StringIO(whole, newline=""), strict=True)
        before = 0
        while True:
            try:
                row = [cell.strip() for cell in next(reader)]
            except StopIteration:
                return
            except csv.Error as error:
                self._problem(before + 1, 1, "", *fault("table.syntax", why=error))
                return
            if any(row) and not row[0].startswith("#"):
                yield before + 1, row
            before = reader.line_num

    def _problem(self, line: int, column: int, path: str, what: str, fix: str) -> None:
        self.problems.append(Problem(self.document.name, line, column, path, what, fix))

    def _header(self, row: tuple[int, list[str]] | None) -> list[tuple[str, ...]]:
        """The path of each column below its device; () for the id."""
        if row is None:
            self._problem(1, 1, "", *fault("table.empty", id=ID))
            return []
        line, names = row
        for number, name in enumerate(names, 1):
            if not name or name in names[: number - 1]:
                said = fault("table.column_twice", name=name) if name else fault("table.unnamed")
                self._problem(line, number, "", *said)
        if ID not in names:
            wrong = next((sign for sign in ";\t" if sign in names[0]), None)
            fix = text("table.call_id", id=ID)
            if wrong is not None:
                fix = text("table.commas", sign=repr(wrong))
            self._problem(line, 1, "", *fault("table.no_id", id=ID, fix=fix))
        return [_path(name) for name in names]

    def _row(self, line: int, row: list[str]) -> None:
        if len(row) > len(self._columns):
            most = len(self._columns)
            said = fault("table.cells", cells=len(row), columns=most)
            self._problem(line, most + 1, "", *said)
            return
        cells = dict(zip(self._columns, row, strict=False))
        name = cells.get((), "")
        path = ("devices", name)
        column = self._columns.index(()) + 1
        if not name:
            self._problem(line, column, "", *fault("table.no_name", id=ID))
        elif name in self._devices:
            first = self.document.keys[path][0]
            said = fault("file.duplicate", line=first)
            self._problem(line, column, ".".join(path), *said)
        else:
            self.document.places[path] = self.document.keys[path] = (line, column)
            self._devices[name] = self._device(line, path, row)

    def _device(self, line: int, path: Path_, row: list[str]) -> Plain:
        device: dict[str, Plain] = {}
        for number, (keys, cell) in enumerate(zip(self._columns, row, strict=False), 1):
            if not keys or not cell:
                continue
            place = (*path, *keys)
            for at in {place, (*path, keys[0])}:
                self.document.places.setdefault(at, (line, number))
                self.document.keys.setdefault(at, (line, number))
            value = self._value(place, keys, cell)
            if len(keys) == 1:
                device[keys[0]] = value
            else:
                inner = device.setdefault(keys[0], {})
                if isinstance(inner, dict):
                    inner[keys[1]] = value
                else:
                    said = fault("table.both", one=keys[0], other=".".join(keys))
                    self._problem(line, number, ".".join(map(str, place)), *said)
        return device

    def _value(self, place: Path_, keys: tuple[str, ...], cell: str) -> Plain:
        if keys == ("groups",):
            return [name.strip() for name in cell.split(";") if name.strip()]
        if keys[0] in TEXTS:
            return cell
        value = plain_scalar(cell)
        if not isinstance(value, str):
            self.document.texts[place] = cell
        return value


def _path(name: str) -> tuple[str, ...]:
    if name == ID:
        return ()
    first, dot, rest = name.partition(".")
    return (NESTED[first], rest) if dot and rest and first in NESTED else (name,)

"""Devices from a table: a CSV file with one row for each device and the keys of devices as columns."""

import csv
import io
from collections.abc import Iterator
from pathlib import Path

from gateway.document import MAX_BYTES, Document, Path_, Plain, plain_scalar
from gateway.errors import ConfigError, Problem

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
        fix = "give the path of a readable CSV file"
        problem = Problem(str(path), 0, 0, "", error.strerror or str(error), fix)
        raise ConfigError([problem]) from error
    reader = _Table(str(path), _decode(raw, str(path)))
    if reader.problems:
        raise ConfigError(reader.problems)
    return reader.document


def _decode(raw: bytes, name: str) -> str:
    """Excel marks UTF-8 with a byte order mark; what it calls CSV without more is GBK in China."""
    if len(raw) > MAX_BYTES:
        raise ConfigError(
            [
                Problem(
                    name, 0, 0, "", f"larger than {MAX_BYTES} bytes", "split it into several files"
                )
            ]
        )
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        fix = "save it as UTF-8 (in Excel: CSV UTF-8)"
        raise ConfigError([Problem(name, line, 1, "", "not UTF-8", fix)]) from error


class _Table:
    def __init__(self, name: str, text: str) -> None:
        self.document = Document(name, {"devices": {}})
        self.problems: list[Problem] = []
        self._devices: dict[str, Plain] = {}
        self.document.value = {"devices": dict[str, Plain]()}
        rows = self._rows(text)
        self._columns = self._header(next(rows, None))
        if not self.problems:
            for line, row in rows:
                self._row(line, row)
        self.document.value = {"devices": self._devices}

    def _rows(self, text: str) -> Iterator[tuple[int, list[str]]]:
        reader = csv.reader(io.StringIO(text, newline=""), strict=True)
        before = 0
        while True:
            try:
                row = [cell.strip() for cell in next(reader)]
            except StopIteration:
                return
            except csv.Error as error:
                self._problem(
                    before + 1, 1, "", f"not CSV: {error}", "check the quotes of this row"
                )
                return
            if any(row) and not row[0].startswith("#"):
                yield before + 1, row
            before = reader.line_num

    def _problem(self, line: int, column: int, path: str, what: str, fix: str) -> None:
        self.problems.append(Problem(self.document.name, line, column, path, what, fix))

    def _header(self, row: tuple[int, list[str]] | None) -> list[tuple[str, ...]]:
        """The path of each column below its device; () for the id."""
        if row is None:
            self._problem(1, 1, "", "no header", f"begin with {ID},profile,link,...")
            return []
        line, names = row
        for number, name in enumerate(names, 1):
            if not name or name in names[: number - 1]:
                what = f"column '{name}' stands twice" if name else "a column without a name"
                self._problem(line, number, "", what, "give each column one name")
        if ID not in names:
            wrong = next((sign for sign in ";\t" if sign in names[0]), None)
            fix = f"call the column with the ids of the devices {ID}"
            if wrong is not None:
                fix = f"separate the cells with commas, not with {wrong!r}"
            self._problem(line, 1, "", f"no column '{ID}'", fix)
        return [_path(name) for name in names]

    def _row(self, line: int, row: list[str]) -> None:
        if len(row) > len(self._columns):
            what = f"{len(row)} cells under {len(self._columns)} columns"
            fix = "put a cell that holds a comma in quotes"
            self._problem(line, len(self._columns) + 1, "", what, fix)
            return
        cells = dict(zip(self._columns, row, strict=False))
        name = cells.get((), "")
        path = ("devices", name)
        column = self._columns.index(()) + 1
        if not name:
            self._problem(line, column, "", "a row without an id", f"fill in the column {ID}")
        elif name in self._devices:
            first = self.document.keys[path][0]
            fix = f"it stands in line {first} already"
            self._problem(line, column, f"devices.{name}", "duplicate key", fix)
        else:
            self.document.places[path] = self.document.keys[path] = (line, column)
            self._devices[name] = self._device(line, path, row)

    def _device(self, line: int, path: Path_, row: list[str]) -> Plain:
        device: dict[str, Plain] = {}
        for number, (keys, text) in enumerate(zip(self._columns, row, strict=False), 1):
            if not keys or not text:
                continue
            place = (*path, *keys)
            for at in {place, (*path, keys[0])}:
                self.document.places.setdefault(at, (line, number))
                self.document.keys.setdefault(at, (line, number))
            value = self._value(place, keys, text)
            if len(keys) == 1:
                device[keys[0]] = value
            else:
                inner = device.setdefault(keys[0], {})
                if isinstance(inner, dict):
                    inner[keys[1]] = value
                else:
                    what = f"columns '{keys[0]}' and '{'.'.join(keys)}'"
                    self._problem(line, number, ".".join(map(str, place)), what, "keep one of them")
        return device

    def _value(self, place: Path_, keys: tuple[str, ...], text: str) -> Plain:
        if keys == ("groups",):
            return [name.strip() for name in text.split(";") if name.strip()]
        if keys[0] in TEXTS:
            return text
        value = plain_scalar(text)
        if not isinstance(value, str):
            self.document.texts[place] = text
        return value


def _path(name: str) -> tuple[str, ...]:
    if name == ID:
        return ()
    first, dot, rest = name.partition(".")
    return (NESTED[first], rest) if dot and rest and first in NESTED else (name,)

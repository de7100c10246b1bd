"""Reads the CSV files of modpoll (github.com/gavinying/modpoll): `device`, `poll` and `ref` lines.

    device,NAME,UNIT
    poll,OBJECT_TYPE,START,SIZE,ENDIAN
    ref,NAME,ADDRESS,DTYPE,RW[,UNIT[,SCALE]]

Addresses are what goes on the wire. ENDIAN is byte order, then word order. A raw number is
multiplied by SCALE.
"""

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from gateway.cli.profile_draft import Draft, DraftPoint, SourceError, decimal_text, unit_code

TABLES = {
    "coil": "coil", "discrete_input": "discrete", "holding_register": "holding",
    "input_register": "input",
}  # fmt: skip
ORDERS = {"BE_BE": "ABCD", "BE_LE": "CDAB", "LE_BE": "BADC", "LE_LE": "DCBA"}
TYPES = {
    "uint16": "u16", "int16": "i16", "uint32": "u32", "int32": "i32", "uint64": "u64",
    "float32": "f32", "float64": "f64",
}  # fmt: skip
WIDTHS = {"u32": 2, "i32": 2, "f32": 2, "u64": 4, "f64": 4}


@dataclass(slots=True)
class _Poll:
    table: str
    start: int
    size: int
    order: str

    @property
    def bits(self) -> bool:
        return self.table in {"coil", "discrete"}


class _Line:
    """One line of the file; it knows how to complain about itself."""

    def __init__(self, path: Path, number: int, cells: Sequence[str]) -> None:
        self.place = f"{path}:{number}"
        self.cells = [cell.strip() for cell in cells]
        self.kind = self.cells[0].lower()

    def cell(self, index: int) -> str:
        return self.cells[index] if index < len(self.cells) else ""

    def number(self, index: int, what: str) -> int:
        try:
            return int(self.cell(index), 0)
        except ValueError:
            raise self.wrong(f"'{self.cell(index)}' is no {what}", "write a whole number") from None

    def wrong(self, what: str, fix: str) -> SourceError:
        return SourceError(f"{self.place}: {what}: {fix}")


def read(path: Path, device: str | None = None) -> Draft:
    """The draft of one `device` of the file. Raises SourceError, OSError."""
    blocks = _devices(list(_lines(path)))
    if not blocks:
        raise SourceError(f"{path}: no device line: give a CSV file of modpoll")
    names = list(blocks)
    if device is None and len(names) > 1:
        raise SourceError(f"{path}: several devices: choose one with --device: {', '.join(names)}")
    name = names[0] if device is None else device
    if name not in blocks:
        raise SourceError(f"{path}: no device '{name}': write one of {', '.join(names)}")
    draft = Draft(model=name, source=f"modpoll {path.name}")
    poll: _Poll | None = None
    for line in blocks[name]:
        if line.kind == "poll":
            poll = _poll(line)
            if not poll.bits:
                draft.max_regs = max(draft.max_regs, poll.size)
        elif line.kind == "ref":
            if poll is None:
                raise line.wrong("a ref before the first poll", "put its poll line before it")
            _ref(line, poll, draft)
        else:
            raise line.wrong(f"unknown line '{line.kind}'", "write device, poll or ref")
    if not draft.points:
        raise SourceError(f"{path}: device '{name}' has no ref that can be read: nothing to import")
    return draft


def _lines(path: Path) -> Iterator[_Line]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise SourceError(f"{path}: not UTF-8: save it as UTF-8") from None
    rows = csv.reader(text.splitlines())
    for row in rows:
        if any(cell.strip() for cell in row) and not row[0].lstrip().startswith("#"):
            yield _Line(path, rows.line_num, row)


def _devices(lines: Sequence[_Line]) -> dict[str, list[_Line]]:
    blocks: dict[str, list[_Line]] = {}
    inside: list[_Line] | None = None
    for line in lines:
        if line.kind == "device":
            inside = blocks.setdefault(line.cell(1) or "device", [])
        elif inside is None:
            raise line.wrong(f"'{line.kind}' before the first device", "begin with a device line")
        else:
            inside.append(line)
    return blocks


def _poll(line: _Line) -> _Poll:
    kind, endian = line.cell(1).lower(), line.cell(4).upper() or "BE_BE"
    if kind not in TABLES:
        raise line.wrong(f"unknown object type '{kind}'", f"write one of {', '.join(TABLES)}")
    if endian not in ORDERS:
        raise line.wrong(f"unknown order '{endian}'", f"write one of {', '.join(ORDERS)}")
    return _Poll(TABLES[kind], line.number(2, "address"), line.number(3, "size"), ORDERS[endian])


def _ref(line: _Line, poll: _Poll, draft: Draft) -> None:
    name, type_, access = line.cell(1), line.cell(3).lower() or "uint16", line.cell(4).lower()
    address = line.number(2, "address")
    if access and "r" not in access:
        draft.left_out.append(f"{name} at {address}: only written; see `commands:`")
        return
    if poll.bits:
        _bits(name, address, type_, poll, draft)
        return
    doubts = ["can be written: if that is wanted, add a command"] if "w" in access else []
    at = _address(address, type_, poll)
    if at is None:
        draft.left_out.append(f"{name} at {address}: type {type_} has no counterpart")
        return
    if type_ in {"bool8", "bool16", "bool"}:
        doubts.append(f"a field of bits ({type_}): see `bits:`")
    if type_.startswith("string"):
        doubts.append("how many registers the text takes")
    if unit_code(line.cell(5)) is None:
        doubts.append(f"unit '{line.cell(5)}' is not known")
    try:
        scale = decimal_text(line.cell(6)) if line.cell(6) else "1"
    except ArithmeticError:
        raise line.wrong(f"'{line.cell(6)}' is no scale", "write a number such as 0.1") from None
    if type_.startswith("string") or scale == "0":
        scale = "1"
    _add(draft, DraftPoint(name=name, address=at, unit=line.cell(5), scale=scale, doubts=doubts))


def _address(address: int, type_: str, poll: _Poll) -> dict[str, str | int] | None:
    at: dict[str, str | int] = {"table": poll.table, "addr": address}
    if type_.startswith("string"):
        digits = type_.removeprefix("string")
        words = int(digits) if digits.isdecimal() else 2
        return {**at, "type": "string", "words": max(1, words)}
    ours = "u16" if type_.startswith("bool") else TYPES.get(type_)
    if ours is None:
        return None
    at |= {"type": ours, "order": poll.order}
    return at


def _bits(name: str, address: int, type_: str, poll: _Poll, draft: Draft) -> None:
    """`bool8` at address start + k are the bits 8 k to 8 k + 7 of the poll, as modpoll reads them."""
    first = poll.start + 8 * (address - poll.start)
    last = min(first + (16 if type_ == "bool16" else 8), poll.start + poll.size)
    if last <= first:
        draft.left_out.append(f"{name} at {address}: outside its poll")
    for addr in range(first, last):
        suffix = f".b{addr - first}" if last - first > 1 else ""
        at: dict[str, str | int] = {"table": poll.table, "addr": addr, "type": "bool"}
        _add(draft, DraftPoint(name=name + suffix, address=at))


def _add(draft: Draft, point: DraftPoint) -> None:
    """What lies on registers that are taken already is left out: two names for one value."""
    first = int(point.address["addr"])
    end = first + _width(point)
    for other in draft.points:
        start = int(other.address["addr"])
        if other.address["table"] == point.address["table"] and start < end and first < start + _width(other):  # fmt: skip
            draft.left_out.append(f"{point.name} at {first}: its registers are those of {other.name}")  # fmt: skip
            return
    draft.points.append(point)


def _width(point: DraftPoint) -> int:
    words = point.address.get("words")
    return int(words) if words else WIDTHS.get(str(point.address.get("type")), 1)

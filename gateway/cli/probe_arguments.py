"""The words of a `gateway probe` command line as values; what is wrong raises UsageError."""

import argparse
from collections.abc import Sequence
from typing import NamedTuple

from drivers.modbus.address import Order, Table, Type
from drivers.modbus.plan import Block
from gateway.amount import AmountError, duration
from gateway.cli.probe_bus import UsageError

_MOST_REGISTERS, _MOST_BITS = 125, 2000  # Application Protocol 1.1b3, 6.1 and 6.3
_UNITS = (1, 247)  # MODBUS over Serial Line 1.02, 2.2
_LONGEST_S = 60.0


class Place(NamedTuple):
    unit: int
    table: Table
    addr: int

    def __str__(self) -> str:
        return f"unit {self.unit}, {self.table} {self.addr:#06x}"

    def block(self, count: int) -> Block:
        return Block(self.table, self.addr, count, ())


def number(name: str, text: str) -> int:
    try:
        return int(text, 0)
    except ValueError:
        raise UsageError(f"{name} {text}: write a whole number, 0x for hex") from None


def unit_of(value: int) -> int:
    if not 0 <= value <= _UNITS[1]:
        raise UsageError(f"UNIT {value}: write 0 to {_UNITS[1]}")
    return value


def place_of(words: Sequence[str]) -> Place:
    """UNIT TABLE ADDR."""
    unit, addr = unit_of(number("UNIT", words[0])), number("ADDR", words[2])
    if words[1] not in list(Table):
        raise UsageError(f"TABLE {words[1]}: write one of {', '.join(Table)}")
    if not 0 <= addr <= 0xFFFF:
        raise UsageError(f"ADDR {words[2]}: write 0 to 0xFFFF: what goes on the wire, not 40001")
    return Place(unit, Table(words[1]), addr)


def read_arguments(options: argparse.Namespace) -> tuple[Place, int]:
    """UNIT TABLE ADDR [COUNT]; the count is one value if it is left out."""
    words: list[str] = options.read
    if not 3 <= len(words) <= 4:
        raise UsageError("--read takes UNIT TABLE ADDR [COUNT]")
    place, (type_, _) = place_of(words), type_of(options, words[1])
    width = 1 if type_ is None else type_.width
    count = number("COUNT", words[3]) if len(words) == 4 else width
    most = _MOST_BITS if place.table.bits else _MOST_REGISTERS
    most = min(most, 0x10000 - place.addr)
    if not 1 <= count <= most:
        raise UsageError(f"COUNT {count}: write 1 to {most}")
    if count % width:
        raise UsageError(f"COUNT {count}: a {type_} takes {width} registers")
    return place, count


def type_of(options: argparse.Namespace, table: str) -> tuple[Type | None, Order | None]:
    type_ = Type(options.type) if options.type else None
    if type_ is not None and (type_ is Type.BOOL) is not Table(table).bits:
        raise UsageError(f"--type {type_} means nothing in table {table}")
    return type_, Order(options.order) if options.order else None


def range_of(text: str) -> range:
    """FROM-TO, or one unit."""
    low, _, high = text.partition("-")
    first, last = number("FROM", low), number("TO", high or low)
    if not _UNITS[0] <= first <= last <= _UNITS[1]:
        raise UsageError(f"--scan {text}: write e.g. {_UNITS[0]}-{_UNITS[1]}")
    return range(first, last + 1)


def timeout_s(options: argparse.Namespace, default_s: float) -> float:
    return time_s("--timeout", options.timeout, default_s, _LONGEST_S)


def time_s(option: str, text: str | None, default_s: float, longest_s: float) -> float:
    if text is None:
        return default_s
    try:
        seconds = duration(text)
    except AmountError:
        raise UsageError(f"{option} {text}: write e.g. 500ms or 2s") from None
    if not 0 < seconds <= longest_s:
        raise UsageError(f"{option} {text}: write 1ms to {longest_s:g}s")
    return seconds

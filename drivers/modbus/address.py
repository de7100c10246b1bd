"""Where a value lives in a Modbus device: the `at` of a profile.

Addresses are protocol addresses, zero-based: what goes on the wire, never 40001-style.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, NamedTuple

from gateway.document import suggest
from gateway.profile import Address as At
from gateway.words.text import Said, fault, text


class Table(StrEnum):
    """The four tables of the data model (Modbus Application Protocol 1.1b3, 4.3)."""

    COIL = "coil"
    DISCRETE = "discrete"
    HOLDING = "holding"
    INPUT = "input"

    @property
    def bits(self) -> bool:
        return self in {Table.COIL, Table.DISCRETE}

    @property
    def writable(self) -> bool:
        return self in {Table.COIL, Table.HOLDING}

    @property
    def read_function(self) -> int:
        """Function code that reads this table (ibid., 6.1 to 6.4)."""
        return list(Table).index(self) + 1


class Type(StrEnum):
    BOOL = "bool"
    U16 = "u16"
    I16 = "i16"
    U32 = "u32"
    I32 = "i32"
    U64 = "u64"
    F32 = "f32"
    F64 = "f64"
    BCD = "bcd"  # four decimal digits in each register
    STRING = "string"  # two characters in each register

    @property
    def width(self) -> int:
        """Registers (bits for `bool`) that one value takes, if its `at` does not say."""
        return int(self[1:]) // 16 if self[1:].isdigit() else 1

    @property
    def floating(self) -> bool:
        return self in {Type.F32, Type.F64}

    @property
    def limits(self) -> tuple[int, int]:
        """Smallest and largest raw number of an integer type."""
        if self is Type.BOOL:
            return 0, 1
        if self in {Type.BCD, Type.STRING}:
            return 0, 0
        bits = int(self[1:])
        return (-(1 << bits - 1), (1 << bits - 1) - 1) if self[0] == "i" else (0, (1 << bits) - 1)


class Order(StrEnum):
    """Order of the bytes of a value; A is the most significant one."""

    ABCD = "ABCD"
    CDAB = "CDAB"  # words swapped
    BADC = "BADC"  # bytes swapped in each word
    DCBA = "DCBA"  # both


# The same for types of 64 bits, with a letter for each byte.
_LONG = {"ABCDEFGH": Order.ABCD, "GHEFCDAB": Order.CDAB, "BADCFEHG": Order.BADC, "HGFEDCBA": Order.DCBA}  # fmt: skip


class Address(NamedTuple):
    table: Table
    addr: int
    type: Type
    order: Order = Order.ABCD
    words: int = 0  # of a BCD number or a string; 0: as the type says
    bit: int | None = None  # the value is this bit, 0 the least significant one

    @property
    def width(self) -> int:
        """Registers (or bits) that the value takes."""
        return self.words or self.type.width

    @property
    def end(self) -> int:
        """The first address behind this value."""
        return self.addr + self.width

    @property
    def is_bit(self) -> bool:
        return self.table.bits or self.bit is not None

    @property
    def limits(self) -> tuple[int, int]:
        """Smallest and largest raw number; (0, 0) for a text."""
        if self.bit is not None:
            return 0, 1
        return (0, 10 ** (4 * self.width) - 1) if self.type is Type.BCD else self.type.limits


class AddressError(ValueError):
    """An `at` that cannot be used: what is wrong at `key` ("" = the whole), and how to mend it."""

    def __init__(self, key: str, said: tuple[Said, Said]) -> None:
        self.key, (self.what, self.fix) = key, said
        super().__init__(f"{self.what}: {self.fix}")


KEYS = ("table", "addr", "type", "order", "words", "bit")
# A number of 16 digits is the longest that meters show; longer texts are no values.
MOST_WORDS = {Type.BCD: 4, Type.STRING: 32}


def parse(at: At, defaults: Mapping[str, Any]) -> Address:
    """Read one `at`; a number is short for `{addr: number}`, `defaults` fills what is missing.

    Raises AddressError.
    """
    if not isinstance(at, dict):
        if at is None:
            raise AddressError("", fault("at.none"))
        at = {"addr": at}
    merged = {**defaults, **at}
    for key in merged:
        if key not in KEYS:
            raise AddressError(key, fault("at.key", key=key, fix=suggest(key, KEYS)))
    type_ = _type(merged)
    table = _table(merged, type_)
    words = _words(merged, type_)
    addr = _addr(merged, type_, words or type_.width)
    return Address(table, addr, type_, _order(merged, type_), words, _bit(merged, type_))


def _words(merged: Mapping[str, Any], type_: Type) -> int:
    most, words = MOST_WORDS.get(type_), merged.get("words")
    if most is None:
        if words is not None:
            raise AddressError("words", fault("at.words", type=type_))
        return 0
    if isinstance(words, bool) or not isinstance(words, int) or not 1 <= words <= most:
        count = words or text("at.unknown_count")
        raise AddressError("words", fault("at.word_count", type=type_, count=count, most=most))
    return words


def _bit(merged: Mapping[str, Any], type_: Type) -> int | None:
    bit = merged.get("bit")
    if bit is None:
        return None
    if type_ not in {Type.U16, Type.U32, Type.U64}:
        raise AddressError("bit", fault("at.bit", type=type_))
    last = 16 * type_.width - 1
    if isinstance(bit, bool) or not isinstance(bit, int) or not 0 <= bit <= last:
        raise AddressError("bit", fault("at.bit_number", bit=repr(bit), type=type_, last=last))
    return bit


def _type(merged: Mapping[str, Any]) -> Type:
    name = merged.get("type")
    if name is None:
        raise AddressError("type", fault("at.no_type", known=[*map(str, Type)]))
    try:
        return Type(name)
    except ValueError:
        fix = suggest(str(name), Type)
        raise AddressError("type", fault("at.type", name=name, fix=fix)) from None


def _table(merged: Mapping[str, Any], type_: Type) -> Table:
    name = merged.get("table")
    if name is None:
        raise AddressError("table", fault("at.no_table", known=[*map(str, Table)]))
    try:
        table = Table(name)
    except ValueError:
        fix = suggest(str(name), Table)
        raise AddressError("table", fault("at.table", name=name, fix=fix)) from None
    if table.bits != (type_ is Type.BOOL):
        holds = "at.of_bits" if table.bits else "at.of_registers"
        raise AddressError("type", fault(holds, type=type_, table=table))
    return table


def _addr(merged: Mapping[str, Any], type_: Type, width: int) -> int:
    addr = merged.get("addr")
    if addr is None:
        raise AddressError("addr", fault("at.no_addr"))
    if isinstance(addr, bool) or not isinstance(addr, int):
        raise AddressError("addr", fault("at.addr", addr=repr(addr)))
    last = 0x10000 - width
    if not 0 <= addr <= last:
        raise AddressError("addr", fault("at.outside", addr=addr, type=type_, last=last))
    return addr


def _order(merged: Mapping[str, Any], type_: Type) -> Order:
    name = merged.get("order", Order.ABCD)
    long = _LONG if type_.width == 4 else {}
    try:
        order = long.get(str(name)) or Order(name)
    except ValueError:
        known = [*map(str, Order), *long]
        raise AddressError("order", fault("at.order", name=name, known=known)) from None
    if type_ is Type.STRING and order in {Order.CDAB, Order.DCBA}:
        raise AddressError("order", fault("at.text_order", order=order))
    return order

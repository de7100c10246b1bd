"""Registers to raw numbers and back. Pure; nothing here knows a profile."""

import math
import struct
from collections.abc import Sequence
from decimal import Decimal

from drivers.modbus.address import Address, Order, Type

Raw = int | float  # a bit is 0 or 1

_SWAPPED_WORDS = {Order.CDAB, Order.DCBA}
_SWAPPED_BYTES = {Order.BADC, Order.DCBA}


def raw(address: Address, words: Sequence[int]) -> Raw:
    """The number in `words` (registers, or one bit as 0 or 1), before scale and offset.

    A f32 becomes the double nearest to its shortest decimal form, so 230.2 stays 230.2. NaN for a BCD
    number with a digit above 9. Not for strings.
    """
    if address.type is Type.BOOL:
        return words[0]
    if address.bit is not None:
        return unsigned(address, words) >> address.bit & 1
    if address.type is Type.BCD:
        digits = _arranged(address.order, words).hex()
        return int(digits) if digits.isdecimal() else math.nan
    data = _arranged(address.order, words)
    if address.type is Type.F32:
        return shortest(data)
    if address.type is Type.F64:
        return float(struct.unpack(">d", data)[0])
    return int.from_bytes(data, "big", signed=address.type in {Type.I16, Type.I32})


def text(address: Address, words: Sequence[int]) -> str | None:
    """The characters in `words` up to the first NUL, without spaces around; None if they are not ASCII."""
    data = _arranged(address.order, words).partition(b"\0")[0]
    return data.decode("ascii").strip() if all(32 <= byte < 127 for byte in data) else None


def unsigned(address: Address, words: Sequence[int]) -> int:
    """All bits of the value as one whole number: sentinels may be written in this form."""
    return int.from_bytes(_arranged(address.order, words), "big")


def words(address: Address, number: Raw | Decimal) -> tuple[int, ...]:
    """The registers (or the bit) that hold raw `number`. Raises ValueError if it does not fit."""
    kind, count = address.type, address.width
    if kind.floating:
        data = _float_bytes(kind, float(number))
    else:
        if number != int(number):
            raise ValueError(f"{number} is no whole number")
        low, high = address.limits
        if not low <= number <= high:
            raise ValueError(f"{int(number)} does not fit a {kind}")
        if kind is Type.BOOL:
            return (int(number),)
        digits = f"{int(number):0{4 * count}d}"
        whole = int(digits, 16) if kind is Type.BCD else int(number)
        data = whole.to_bytes(2 * count, "big", signed=low < 0)
    # Each arrangement is its own inverse.
    data = _arranged(address.order, struct.unpack(f">{count}H", data))
    return struct.unpack(f">{count}H", data)


def shortest(data: bytes) -> float:
    """The double nearest to the shortest decimal that is the same IEEE 754 binary32 as `data`.

    9 significant digits are always enough, 6 always survive (IEEE 754-2019, 5.12.2).
    """
    number: float = struct.unpack(">f", data)[0]
    for digits in (6, 7, 8):
        short = float(f"{number:.{digits}g}")
        if struct.pack(">f", short) == data:
            return short
    return float(f"{number:.9g}")  # NaN and the infinities come here too


def _float_bytes(kind: Type, number: float) -> bytes:
    try:
        return struct.pack(">f" if kind is Type.F32 else ">d", number)
    except OverflowError:
        raise ValueError(f"{number} does not fit a {kind}") from None


def _arranged(order: Order, registers: Sequence[int]) -> bytes:
    if order in _SWAPPED_WORDS:
        registers = registers[::-1]
    form = "<" if order in _SWAPPED_BYTES else ">"
    return struct.pack(f"{form}{len(registers)}H", *registers)

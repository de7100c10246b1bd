"""What registers may mean when nothing is known about them but their bits. Pure."""

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from drivers.modbus import codec
from drivers.modbus.address import Address, Order, Table, Type

# What meters show: the mains in Hz and in V. A f32 in the wrong order is almost never in these.
_MAINS = ((45.0, 65.0, "Hz"), (180.0, 260.0, "V"))
# Outside of these a f32 is most likely not one at all.
_SMALLEST, _LARGEST = 1e-4, 1e9


class Decoding(NamedTuple):
    """`value` of the registers from `offset` on, read as `type` in `order`."""

    offset: int
    type: Type
    order: Order
    value: codec.Raw


def decodings(
    words: Sequence[int], wanted: Type | None = None, order: Order | None = None
) -> Iterator[Decoding]:
    """Every reading that makes sense; with `wanted` that type in `order` (default ABCD), sense or not."""
    if wanted is not None:
        yield from _row(words, wanted, order or Order.ABCD)
        return
    for type_ in (Type.U16, Type.I16, Type.U32, Type.I32, Type.F32, Type.F64):
        orders = (Order.ABCD,) if type_.width == 1 else (order,) if order else tuple(Order)
        for each in orders:
            yield from (d for d in _row(words, type_, each) if _makes_sense(d, words))


def mains(words: Sequence[int]) -> Iterator[tuple[Decoding, str]]:
    """f32 that look like mains voltage or frequency in exactly one order, with their unit."""
    for offset in range(len(words) - 1):
        pair = words[offset : offset + 2]
        found = [(d, u) for order in Order for d in _row(pair, Type.F32, order) if (u := _unit(d.value))]  # fmt: skip
        if len(found) == 1:
            decoding, unit = found[0]
            yield decoding._replace(offset=offset), unit


def other_order(address: Address, words: Sequence[int]) -> tuple[Order, codec.Raw, str] | None:
    """The order in which a f32 is mains voltage or frequency, with value and unit, if its own is not."""
    if address.type is not Type.F32 or _unit(codec.raw(address, words)):
        return None
    for order in Order:
        value = codec.raw(address._replace(order=order), words)
        unit = _unit(value)
        if unit:
            return order, value, unit
    return None


def _unit(value: codec.Raw) -> str:
    return next((unit for low, high, unit in _MAINS if low <= value <= high), "")


def _row(words: Sequence[int], type_: Type, order: Order) -> Iterator[Decoding]:
    """One value behind the other."""
    width = type_.width
    for offset in range(0, len(words) - width + 1, width):
        address = Address(Table.HOLDING, 0, type_, order)
        yield Decoding(offset, type_, order, codec.raw(address, words[offset : offset + width]))


def _makes_sense(found: Decoding, words: Sequence[int]) -> bool:
    """Leave out what repeats another reading, or is no number that anybody measures."""
    width = found.type.width
    if not any(words[found.offset : found.offset + width]):
        return found.order is Order.ABCD and found.type in {Type.U16, Type.U32, Type.F32}
    if found.type.floating:
        return math.isfinite(found.value) and _SMALLEST <= abs(found.value) <= _LARGEST
    if found.type in {Type.I16, Type.I32} and found.value >= 0:
        return False
    return width == 1 or found.order in {Order.ABCD, Order.CDAB}

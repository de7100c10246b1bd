"""From registers to points with quality, and from a command's value to registers. Pure."""

import math
from collections.abc import Sequence
from decimal import Context, Decimal

from drivers.modbus import codec
from drivers.modbus.address import Address, Type
from drivers.modbus.codec import Raw
from drivers.modbus.guess import other_order
from drivers.modbus.plan import Block, Target
from gateway.model import Level, Quality, Value
from gateway.profile import CommandSpec, Point

# Wide enough that a 64-bit number times any scale in use (and a double in full) stays exact.
_EXACT = Context(prec=60)
_ONE, _ZERO = Decimal(1), Decimal(0)

NOT_A_NUMBER = Quality(Level.BAD, "not_a_number")
SENTINEL = Quality(Level.BAD, "sentinel")
OUT_OF_RANGE = Quality(Level.BAD, "out_of_range")
IMPLAUSIBLE = Quality(Level.UNCERTAIN, "implausible")
NOT_TEXT = Quality(Level.BAD, "not_text")
# Implausible or out of range, and mains voltage or frequency in another byte order.
WORD_ORDER = "word_order"
MAINS = ("elec.voltage", "elec.frequency")


def block(
    read: Block, data: Sequence[int], values: dict[str, Value], quality: dict[str, Quality]
) -> None:
    """Decode every point of `read` from `data`, the registers or bits of its answer."""
    for target in read.targets:
        start = target.address.addr - read.addr
        words = data[start : start + target.address.width]
        value, reason = point(target, words)
        if value is not None:
            values[target.point.id] = value
        if reason is not None:
            quality[target.point.id] = reason


def point(target: Target, words: Sequence[int]) -> tuple[Value | None, Quality | None]:
    """(value, quality) of one point; no value when it is BAD, no quality when it is GOOD."""
    spec, address = target.point, target.address
    if address.type is Type.STRING:
        text = codec.text(address, words)
        return text, (None if text is not None else NOT_TEXT)
    raw = codec.raw(address, words)
    bad = _no_reading(spec, address, raw, words)
    if bad is not None:
        return None, bad
    if spec.enum is not None:
        text = spec.enum.get(str(raw))
        return text, (None if text is not None else Quality(Level.BAD, f"unknown_enum_{raw}"))
    if address.is_bit:
        return bool(raw), None
    value, quality = _judged(target, scaled(spec, raw))
    if (
        quality is not None
        and other_order(address, words) is not None
        and spec.id.startswith(MAINS)
    ):
        quality = quality._replace(reason=WORD_ORDER)
    return value, quality


def _no_reading(spec: Point, address: Address, raw: Raw, words: Sequence[int]) -> Quality | None:
    if isinstance(raw, float) and not math.isfinite(raw):
        return _sentinel(spec, address, words) or NOT_A_NUMBER
    if spec.sentinels and raw in spec.sentinels:
        return SENTINEL
    return _sentinel(spec, address, words) if spec.sentinels else None


def scaled(spec: Point, raw: Raw) -> Value:
    """`raw * scale + offset`, computed exactly before it becomes a float."""
    if spec.scale == _ONE and spec.offset == _ZERO:
        return round(raw) if spec.integer else raw
    # repr gives the shortest decimal of a float: what the device meant.
    number = Decimal(repr(raw))
    exact = _EXACT.add(_EXACT.multiply(number, spec.scale), spec.offset)
    return int(exact.to_integral_value(context=_EXACT)) if spec.integer else float(exact)


def _judged(target: Target, value: Value) -> tuple[Value | None, Quality | None]:
    spec, plausible = target.point, target.plausible
    if isinstance(value, float) and not math.isfinite(value):
        return None, NOT_A_NUMBER
    if not _inside(value, spec.min, spec.max):
        return None, OUT_OF_RANGE
    if plausible is not None and not _inside(value, plausible.min, plausible.max):
        return value, IMPLAUSIBLE
    return value, None


def _inside(value: Value, low: float | None, high: float | None) -> bool:
    number = float(value)
    return (low is None or number >= low) and (high is None or number <= high)


def _sentinel(spec: Point, address: Address, words: Sequence[int]) -> Quality | None:
    if address.table.bits or codec.unsigned(address, words) not in spec.sentinels:
        return None
    return SENTINEL


def encode(command: CommandSpec, spec: Point, address: Address, value: Value) -> tuple[int, ...]:
    """Registers (or one bit) for `value` in the unit of the point that the command writes.

    Raises ValueError if the command's range or enum, the register type or the point's resolution
    does not allow it.
    """
    why = command.refuse(value)
    if why is not None:
        raise ValueError(why)
    if command.enum is not None:
        numbers = {text: raw for raw, text in command.enum.items()}
        return codec.words(address, int(numbers[str(value)]))
    if isinstance(value, str):
        raise ValueError(f"'{value}' is not a number")  # noqa: TRY004 -- one error for every refusal
    if address.table.bits:
        return codec.words(address, value)
    if isinstance(value, bool) or not math.isfinite(value):
        raise ValueError(f"{value} is not a number")
    return codec.words(address, unscaled(spec, address, value))


def unscaled(spec: Point, address: Address, value: float) -> Decimal:
    """The raw number whose scaled form is `value`. Raises ValueError if no whole number is."""
    raw = _EXACT.divide(_EXACT.subtract(Decimal(repr(value)), spec.offset), spec.scale)
    if not address.type.floating and raw != raw.to_integral_value(context=_EXACT):
        raise ValueError(f"{value} is finer than the device's step of {spec.scale}")
    return raw

"""Fields of a binary payload: which bytes, which type, which bit. Pure."""

import struct
from typing import Literal, NamedTuple

TypeName = Literal["u8", "i8", "u16", "i16", "u24", "i24", "u32", "i32", "u64", "i64", "f32", "f64"]
Endian = Literal["big", "little"]
MAX_BYTES = 242  # LoRaWAN regional parameters RP002-1.0.3: the longest payload there is


class Field(NamedTuple):
    """`type` at byte `offset`, or its bit `bit` (0 is the least significant)."""

    offset: int
    type: TypeName = "u8"
    endian: Endian = "big"
    bit: int | None = None

    @property
    def size(self) -> int:
        """Bytes."""
        return int(self.type[1:]) // 8


def read(field: Field, payload: bytes) -> int | float | bool | None:
    """None if the payload ends before the field does. A float may be no number."""
    raw = payload[field.offset : field.offset + field.size]
    if len(raw) < field.size:
        return None
    if field.type[0] == "f":
        order = ">" if field.endian == "big" else "<"
        return float(struct.unpack(order + ("f" if field.size == 4 else "d"), raw)[0])
    number = int.from_bytes(raw, field.endian, signed=field.type[0] == "i")
    return number if field.bit is None else bool(number >> field.bit & 1)


def write(field: Field, number: int) -> bytes:
    """Raises ValueError if the number does not fit."""
    try:
        return number.to_bytes(field.size, field.endian, signed=field.type[0] == "i")
    except OverflowError:
        raise ValueError(f"{number} does not fit a {field.type}") from None

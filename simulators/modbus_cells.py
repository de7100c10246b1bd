"""From values to the registers that hold them: what a device does. Pure."""

from collections.abc import Sequence

from drivers.modbus import codec
from drivers.modbus.address import Address, Type
from drivers.modbus.plan import Target
from gateway.model import Value
from gateway.profile import Point

_TEXT = "SIM"


def idle(target: Target) -> Value:
    """A value for a point that nothing drives: the middle of its limits, its first state."""
    point = target.point
    if point.enum:
        return next(iter(point.enum.values()))
    if target.address.type is Type.STRING:
        return _TEXT
    if target.address.is_bit:
        return False
    return _middle(target)


def _middle(target: Target) -> float:
    point, limits = target.point, target.plausible
    if limits is not None:
        return (limits.min + limits.max) / 2
    if point.min is not None and point.max is not None:
        return (point.min + point.max) / 2
    return point.min or point.max or 0


def cells(target: Target, value: Value) -> tuple[int, ...]:
    """Registers (or the bit) that show `value`, or the nearest that they can; see `merged`.

    Raises KeyError for a text that is none of the point's.
    """
    point, place = target.point, target.address
    if place.type is Type.STRING:
        return spelled(place, str(value))
    if place.bit is not None:
        number = int(_state(point, value)) << place.bit
        return codec.words(place._replace(bit=None), number)
    return codec.words(place, raw(point, place, value))


def raw(point: Point, place: Address, value: Value) -> codec.Raw:
    """The raw number nearest to `value` that the register can hold and that is no sentinel."""
    if isinstance(value, str):
        return _state(point, value)
    number = (value - float(point.offset)) / float(point.scale)
    if place.type.floating:
        return number
    low, high = place.limits
    whole = min(max(round(number), low), high)
    return next(n for n in range(whole, whole + len(point.sentinels) + 1) if n not in point.sentinels)  # fmt: skip


def merged(place: Address, words: Sequence[int], image: dict[int, int]) -> None:
    """Put `words` into `image`; points that are single bits share their register."""
    for index, word in enumerate(words):
        at = place.addr + index
        image[at] = image.get(at, 0) | word if place.bit is not None else word


def _state(point: Point, value: Value) -> int:
    """The number of an enum's text, of a truth."""
    if not isinstance(value, str):
        return int(value)
    return int({text: number for number, text in (point.enum or {}).items()}[value])


def spelled(place: Address, text: str) -> tuple[int, ...]:
    """The registers of a string that show `text`, as much of it as they hold."""
    data = text.encode("ascii", "replace")[: 2 * place.width].ljust(2 * place.width, b"\0")
    plain = place._replace(type=Type.U16)
    # An arrangement of bytes is its own inverse, so reading it gives what is to be written.
    words = [int.from_bytes(data[i : i + 2], "big") for i in range(0, len(data), 2)]
    arranged = codec.unsigned(plain, words).to_bytes(len(data), "big")
    return tuple(int.from_bytes(arranged[i : i + 2], "big") for i in range(0, len(data), 2))

"""BTHome v2, plain and encrypted (bthome.io). Pure; never raises."""

from collections import Counter
from collections.abc import Iterator

from drivers.ble import ccm
from drivers.ble.bthome_objects import BUTTON_EVENTS, OBJECTS, PACKET, Kind, Kinds
from drivers.ble.frame import Frame, Object, Refusal, Wire, address_bytes
from gateway.model import Value

ENCRYPTED, WITH_MAC, TRIGGERED = 0x01, 0x02, 0x04
VERSION = 2
COUNTER = 4  # bytes
UUID = b"\xd2\xfc"  # 16-bit UUID as sent; part of the nonce


def parse(address: str, data: bytes, key: bytes | None) -> Frame:
    """The frame in service data FCD2, after the UUID. `key` has 16 bytes."""
    if not data:
        return Frame(Wire.BTHOME, refused=Refusal.TOO_SHORT)
    info, body = data[0], data[1:]
    if info >> 5 != VERSION:
        return Frame(Wire.BTHOME, refused=Refusal.VERSION)
    triggered, sender = bool(info & TRIGGERED), address_bytes(address)
    if info & WITH_MAC:
        if len(body) < 6:
            return Frame(Wire.BTHOME, refused=Refusal.TOO_SHORT, triggered=triggered)
        if body[5::-1] != sender:
            return Frame(Wire.BTHOME, refused=Refusal.ADDRESS, triggered=triggered)
        body = body[6:]
    if not info & ENCRYPTED:
        return _read(body, encrypted=False, counter=None, triggered=triggered)
    return _decrypt(sender, info, body, key)


def _decrypt(sender: bytes, info: int, body: bytes, key: bytes | None) -> Frame:
    triggered = bool(info & TRIGGERED)
    if len(body) <= COUNTER + ccm.TAG:  # nothing inside is no frame
        return Frame(Wire.BTHOME, refused=Refusal.TOO_SHORT, encrypted=True, triggered=triggered)
    if key is None:
        return Frame(Wire.BTHOME, refused=Refusal.NO_KEY, encrypted=True, triggered=triggered)
    text, counter, tag = body[: -COUNTER - ccm.TAG], body[-COUNTER - ccm.TAG : -ccm.TAG], body[-ccm.TAG :]  # fmt: skip
    plain = ccm.decrypt(key, sender + UUID + bytes((info,)) + counter, text + tag, None)
    if plain is None:
        return Frame(Wire.BTHOME, refused=Refusal.MIC, encrypted=True, triggered=triggered)
    return _read(plain, encrypted=True, counter=int.from_bytes(counter, "little"), triggered=triggered)  # fmt: skip


def _read(plain: bytes, *, encrypted: bool, counter: int | None, triggered: bool) -> Frame:
    objects: list[Object] = []
    refused, packet = None, None
    seen: Counter[int] = Counter()
    for found in _objects(plain):
        if isinstance(found, Refusal):
            refused = found
            break
        number, value = found
        if number == PACKET and isinstance(value, int):
            packet = value
            continue
        seen[number] += 1
        if value is not None:
            objects.append(Object(number, seen[number], value))
    return Frame(
        Wire.BTHOME, tuple(objects), refused, encrypted, counter, packet, triggered, plain
    )  # fmt: skip


def _objects(plain: bytes) -> Iterator[tuple[int, Value | None] | Refusal]:
    """Each object with its value, None for one that says nothing; a refusal ends it."""
    at = 0
    while at < len(plain):
        number = plain[at]
        kind = OBJECTS.get(number)
        if kind is None:
            yield Refusal.UNKNOWN_OBJECT
            return
        length, skip = _length(kind, plain, at + 1)
        body = plain[at + 1 + skip : at + 1 + skip + length]
        if len(body) < length or (skip and at + 1 >= len(plain)):
            yield Refusal.CUT
            return
        at += 1 + skip + length
        if body:
            yield number, _value(kind, body)


def _length(kind: Kinds, plain: bytes, at: int) -> tuple[int, int]:
    """Length of the object, and of what tells it."""
    if kind.length:
        return kind.length, 0
    told = plain[at] if at < len(plain) else 0
    if kind.kind is Kind.COMMAND:
        return (told & 0x1F) + 1, 1  # the operation, then its arguments
    return told, 1


def _value(kind: Kinds, body: bytes) -> Value | None:
    match kind.kind:
        case Kind.NUMBER:
            raw = int.from_bytes(body, "little", signed=kind.signed)
            return raw * kind.times if kind.by == 1 else raw * kind.times / kind.by
        case Kind.BINARY:
            return body[0] != 0
        case Kind.EVENT:
            return body[0] if body[0] in BUTTON_EVENTS else None
        case Kind.DIMMER:  # steps to the left count down
            return {0: 0, 1: -body[1], 2: body[1]}.get(body[0])
        case Kind.VERSION:
            return ".".join(str(part) for part in reversed(body))
        case _:
            return body.hex()

"""MiBeacon, versions 2 to 5 (service data FE95). Pure; never raises."""

from collections import Counter

from drivers.ble import ccm
from drivers.ble.frame import Frame, Object, Refusal, Wire, address_bytes
from gateway.model import Value

ENCRYPTED, WITH_MAC, CAPABLE, OBJECTS, MESH = 1 << 3, 1 << 4, 1 << 5, 1 << 6, 1 << 7
OLDEST = 2
TAGGED = 4  # versions 2 and 3 encrypt without a tag
IO = 1 << 5  # of the capability: one byte more
EXTENDED = 3  # bytes of the extended counter
EXTRA = b"\x11"  # associated data of the encryption

_SIGNED, _UNSIGNED, _BUTTON = "signed", "unsigned", "button"
# How the data of an object is a number: by length, what it is divided by.
NUMBERS: dict[int, tuple[str, int, int]] = {
    0x0003: (_UNSIGNED, 0, 1),  # motion, of any length
    0x0007: (_UNSIGNED, 1, 1),
    0x000F: (_UNSIGNED, 3, 1),
    0x1001: (_BUTTON, 3, 1),
    0x1004: (_SIGNED, 2, 10),
    0x1006: (_UNSIGNED, 2, 10),
    0x1007: (_UNSIGNED, 3, 1),
    0x100A: (_UNSIGNED, 1, 1),
    0x1014: (_UNSIGNED, 1, 1),
    0x1015: (_UNSIGNED, 1, 1),
    0x1017: (_UNSIGNED, 4, 1),
    0x1018: (_UNSIGNED, 1, 1),
    0x1019: (_UNSIGNED, 1, 1),
    0x101B: (_UNSIGNED, 4, 1),
    0x4803: (_UNSIGNED, 1, 1),
    0x4804: (_UNSIGNED, 1, 1),
    0x4806: (_UNSIGNED, 1, 1),
    0x4818: (_UNSIGNED, 2, 1),
    0x4A01: (_UNSIGNED, 1, 1),
    0x4A0C: (_UNSIGNED, 1, 1),
    0x4A0D: (_UNSIGNED, 1, 1),
    0x4A0E: (_UNSIGNED, 1, 1),
    0x4A0F: (_UNSIGNED, 1, 1),
    0x4A12: (_UNSIGNED, 1, 1),
    0x4A1A: (_UNSIGNED, 1, 1),
}
BOTH = 0x100D  # temperature and humidity; read as 1004 and 1006
EVENTS = frozenset({0x0003, 0x000F, 0x1001, 0x4A0C, 0x4A0D, 0x4A0E})  # happen at an instant


def parse(address: str, data: bytes, key: bytes | None) -> Frame:
    """The frame in service data FE95, after the UUID. `key` has 16 bytes."""
    if len(data) < 5:
        return Frame(Wire.MIBEACON, refused=Refusal.TOO_SHORT)
    control = int.from_bytes(data[:2], "little")
    frame = Frame(
        Wire.MIBEACON,
        encrypted=bool(control & ENCRYPTED),
        packet=data[4],
        product=int.from_bytes(data[2:4], "little"),
    )
    if control >> 12 < OLDEST or control & MESH:
        refused = Refusal.FOREIGN if control & MESH else Refusal.VERSION
        return frame._replace(refused=refused)
    sender = address_bytes(address)[::-1]
    rest = _after_head(control, sender, data[5:])
    if isinstance(rest, Refusal):
        return frame._replace(refused=rest)
    if not control & OBJECTS:
        return frame  # it is there, no more
    if control & ENCRYPTED:
        return _decrypt(frame, control >> 12, sender + data[2:5], rest, key)
    return _read(frame, rest)


def _after_head(control: int, sender: bytes, rest: bytes) -> bytes | Refusal:
    """What follows the address and the capability, if they are there."""
    if control & WITH_MAC:
        if len(rest) < 6:
            return Refusal.TOO_SHORT
        if rest[:6] != sender:
            return Refusal.ADDRESS
        rest = rest[6:]
    if not control & CAPABLE:
        return rest
    length = 2 if rest and rest[0] & IO else 1
    return rest[length:] if len(rest) >= length else Refusal.TOO_SHORT


def _decrypt(frame: Frame, version: int, head: bytes, rest: bytes, key: bytes | None) -> Frame:
    if version < TAGGED:
        return frame._replace(refused=Refusal.UNSAFE)
    if len(rest) <= EXTENDED + ccm.TAG:
        return frame._replace(refused=Refusal.TOO_SHORT)
    if key is None:
        return frame._replace(refused=Refusal.NO_KEY)
    text, extended, tag = rest[: -EXTENDED - ccm.TAG], rest[-EXTENDED - ccm.TAG : -ccm.TAG], rest[-ccm.TAG :]  # fmt: skip
    plain = ccm.decrypt(key, head + extended, text + tag, EXTRA)
    if plain is None:
        return frame._replace(refused=Refusal.MIC)
    counter = head[-1] + (int.from_bytes(extended, "little") << 8)
    return _read(frame._replace(counter=counter), plain)


def _read(frame: Frame, plain: bytes) -> Frame:
    objects: list[Object] = []
    seen: Counter[int] = Counter()
    refused, at = None, 0
    while at < len(plain):
        if at + 3 > len(plain) or at + 3 + plain[at + 2] > len(plain):
            refused = Refusal.CUT
            break
        number, length = int.from_bytes(plain[at : at + 2], "little"), plain[at + 2]
        body = plain[at + 3 : at + 3 + length]
        at += 3 + length
        for one, value in _values(number, body):
            seen[one] += 1
            objects.append(Object(one, seen[one], value))
    return frame._replace(objects=tuple(objects), refused=refused, payload=plain)


def _values(number: int, body: bytes) -> list[tuple[int, Value]]:
    """Nothing for an object that we do not know, or of another length than it should have."""
    if number == BOTH and len(body) == 4:
        return _values(0x1004, body[:2]) + _values(0x1006, body[2:])
    kind, length, by = NUMBERS.get(number, ("", -1, 1))
    if length and len(body) != length:
        return []
    if kind == _BUTTON:
        # press 0 single, 1 double, 2 long ...; button 0 is the first. One number for both.
        return [(number, body[2] if body[0] == 0 else body[0] << 8 | body[2])]
    if not length and not body:
        return [(number, 1)]
    raw = int.from_bytes(body, "little", signed=kind == _SIGNED)
    return [(number, raw if by == 1 else raw / by)]

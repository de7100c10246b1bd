"""MQTT 5 packets as bytes: takes what a socket gave apart, and makes acknowledgements. Pure.

Only what travels in numbers: PUBLISH (MQTT 5 3.3) and PUBACK (3.4). paho reads one byte at a time
and needs 50-70 us a message (`make bench`); these functions need about 2.
"""

from collections.abc import Iterable
from typing import NamedTuple

from gateway.errors import BadData

PUBLISH, PUBACK = 3, 4  # MQTT 5 2.1.2
TAKEN_OVER = 0x8E  # MQTT 5 3.14.2.1, in DISCONNECT: another client came with our identifier
_DUP, _QOS, _RETAIN = 0x08, 0x06, 0x01  # MQTT 5 3.3.1
_LENGTH_BYTES = 4  # MQTT 5 1.5.5: a longer variable byte integer is malformed


class Arrived(NamedTuple):
    """A PUBLISH. `mid` is 0 with QoS 0."""

    topic: bytes
    payload: bytes
    qos: int
    retain: bool
    dup: bool
    mid: int


class Other(NamedTuple):
    """Any other packet: its first byte, and what follows the length."""

    head: int
    body: bytes


Packet = Arrived | Other


def split(data: bytes, limit: int) -> tuple[list[Packet], int]:
    """The whole packets at the start of `data`, and how many bytes they take.

    Raises BadData: a packet longer than `limit` bytes, a PUBLISH that is malformed or of QoS 2,
    which we never ask for. Properties (2.2.2) are passed over: none changes what we do, and we
    allow no topic aliases (3.2.2.3.8).
    """
    packets: list[Packet] = []
    at, end = 0, len(data)
    while end - at >= 2:
        length = data[at + 1]
        start = at + 2
        if length & 0x80:
            found = _integer(data, at + 1, end)
            if found is None:
                break
            length, start = found
        stop = start + length
        if stop - at > limit:
            raise BadData(f"a packet of {stop - at} bytes, limit {limit}")
        if stop > end:
            break
        head = data[at]
        at = stop
        packets.append(
            _publish(data, head, start, stop)
            if head >> 4 == PUBLISH
            else Other(head, data[start:stop])
        )
    return packets, at


def _publish(data: bytes, head: int, start: int, stop: int) -> Arrived:
    qos = (head & _QOS) >> 1
    if qos > 1:
        raise BadData(f"a PUBLISH of QoS {qos}")
    at = start + 2 + (data[start] << 8 | data[start + 1]) if stop - start >= 2 else stop
    topic = data[start + 2 : at]
    mid = 0
    if qos:
        if at + 2 > stop:
            raise BadData("a PUBLISH that ends in its header")
        mid = data[at] << 8 | data[at + 1]
        at += 2
    if at >= stop:
        raise BadData("a PUBLISH that ends in its header")
    if data[at]:
        found = _integer(data, at, stop)
        at = stop + 1 if found is None else found[0] + found[1]
        if at > stop:
            raise BadData("a PUBLISH that ends in its properties")
    else:
        at += 1
    return Arrived(topic, data[at:stop], qos, bool(head & _RETAIN), bool(head & _DUP), mid)


def _integer(data: bytes, at: int, end: int) -> tuple[int, int] | None:
    """A variable byte integer (MQTT 5 1.5.5) and where it ends; None: not all of it is there."""
    value = 0
    for position in range(_LENGTH_BYTES):
        if at + position >= end:
            return None
        byte = data[at + position]
        value |= (byte & 0x7F) << 7 * position
        if byte < 0x80:
            return value, at + position + 1
    raise BadData("a length of more than four bytes")


def pubacks(mids: Iterable[int]) -> bytes:
    """A PUBACK of reason 0 (MQTT 5 3.4.2.1) for each of them."""
    return b"".join([b"\x40\x02" + mid.to_bytes(2, "big") for mid in mids])


def publish(topic: bytes, payload: bytes) -> bytes:
    """A PUBLISH of QoS 0 without properties."""
    rest = len(topic).to_bytes(2, "big") + topic + b"\0" + payload
    size, length = len(rest), b""
    while size > 0x7F:
        length += bytes((size & 0x7F | 0x80,))
        size >>= 7
    return b"\x30" + length + bytes((size,)) + rest

"""Modbus RTU frames, as golden vectors hold them (MODBUS over Serial Line 1.02, 2.5.1)."""

from typing import NamedTuple

from gateway.words.text import text as text_

READS = {1, 2, 3, 4}
WRITES = {5, 6, 15, 16}
EXCEPTION = 0x80  # set in the function code of an exception response (Application Protocol, 7)


class FrameError(ValueError):
    """These bytes are no valid RTU frame."""


class Request(NamedTuple):
    """A request: `size` is the number of registers or bits that it reads."""

    unit: int
    function: int
    addr: int
    size: int


def _shifted(byte: int) -> int:
    for _ in range(8):
        byte = byte >> 1 ^ 0xA001 if byte & 1 else byte >> 1
    return byte


_CRC = tuple(_shifted(byte) for byte in range(256))


def crc16(data: bytes) -> int:
    """CRC-16 of Modbus, reflected polynomial 0xA001 (ibid., 6.2.2); sent low byte first."""
    crc = 0xFFFF
    for byte in data:
        crc = crc >> 8 ^ _CRC[(crc ^ byte) & 0xFF]
    return crc


def pdu(text: str) -> tuple[int, bytes]:
    """(unit, PDU) of an RTU frame in hex digits. Raises FrameError."""
    try:
        frame = bytes.fromhex(text)
    except ValueError:
        raise FrameError(text_("frame.hex")) from None
    if len(frame) < 4:
        raise FrameError(text_("frame.short"))
    body, sent = frame[:-2], frame[-2:]
    right = crc16(body).to_bytes(2, "little")
    if sent != right:
        found, wanted = sent.hex(" ").upper(), right.hex(" ").upper()
        raise FrameError(text_("frame.crc", sent=found, right=wanted))
    return body[0], body[1:]


def request(text: str) -> Request:
    """Parse a request that reads. Raises FrameError."""
    unit, body = pdu(text)
    if body[0] not in READS or len(body) != 5:
        raise FrameError(text_("frame.no_request"))
    return Request(
        unit, body[0], int.from_bytes(body[1:3], "big"), int.from_bytes(body[3:5], "big")
    )


def is_write(text: str) -> bool:
    """The frame writes: function 5, 6, 15 or 16. Raises FrameError."""
    return pdu(text)[1][0] in WRITES


def check_echo(sent: str, answer: str) -> None:
    """Check that `answer` acknowledges the write `sent` (ibid., 6.5, 6.6, 6.12). Raises FrameError."""
    if pdu(answer)[1] != pdu(sent)[1][:5] or pdu(answer)[0] != pdu(sent)[0]:
        raise FrameError(text_("frame.echo"))


def data(asked: Request, text: str) -> list[int] | None:
    """Registers or bits in a response to `asked`; None for an exception. Raises FrameError."""
    unit, body = pdu(text)
    if unit != asked.unit:
        raise FrameError(text_("frame.unit", unit=unit, asked=asked.unit))
    if body[0] == asked.function | EXCEPTION and len(body) == 2:
        return None
    if body[0] != asked.function:
        raise FrameError(text_("frame.function", got=body[0], asked=asked.function))
    bits = asked.function <= 2
    size = (asked.size + 7) // 8 if bits else 2 * asked.size
    payload = body[2:]
    if body[1] != size or len(payload) != size:
        raise FrameError(text_("frame.size", got=len(payload), size=size))
    if bits:
        return [payload[i // 8] >> i % 8 & 1 for i in range(asked.size)]
    return [int.from_bytes(payload[i : i + 2], "big") for i in range(0, size, 2)]


def exception(sent: str, text: str) -> int | None:
    """The code in an exception response to `sent`, None in any other. Raises FrameError."""
    unit, body = pdu(text)
    fits = unit == pdu(sent)[0] and body[0] == pdu(sent)[1][0] | EXCEPTION
    return body[1] if fits and len(body) == 2 else None

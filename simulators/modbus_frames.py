"""How a simulated bus takes requests out of a stream of bytes, and wraps answers: MBAP and RTU.

Written a second time on purpose: the driver's own framing must not be tested against itself.
"""

from typing import NamedTuple, Protocol

from drivers.modbus.frame import crc16

_HEADER = 7  # transaction, protocol, length, unit (Modbus Messaging on TCP/IP 1.0b, 3.1.3)
_ONE = {1, 2, 3, 4, 5, 6}  # functions whose request has two 16-bit numbers
_SEVERAL = {15, 16}
_LONGEST_RTU = 256  # MODBUS over Serial Line 1.02, 2.5.1


class Request(NamedTuple):
    """One request: as it came, and what it means."""

    raw: bytes
    unit: int
    pdu: bytes


class NotModbusError(ValueError):
    """A stream that cannot be Modbus; a correct server closes the connection."""


class Framing(Protocol):
    def requests(self, buffer: bytes) -> tuple[list[Request], bytes]:
        """(whole requests, what is left of `buffer`). Raises NotModbusError."""
        ...

    def answer(self, request: Request, unit: int, pdu: bytes) -> bytes:
        """The frame of `pdu`, sent by `unit`."""
        ...

    def unprotected(self, frame: bytes) -> bytes:
        """`frame` with a wrong checksum or transaction id: whatever protects the answer."""
        ...


class Mbap:
    """Modbus TCP. `zero`: every answer has transaction id 0, as some devices send it."""

    def __init__(self, *, zero: bool = False) -> None:
        self._zero = zero

    def requests(self, buffer: bytes) -> tuple[list[Request], bytes]:
        found: list[Request] = []
        while len(buffer) > _HEADER:
            end = 6 + int.from_bytes(buffer[4:6], "big")
            if buffer[2:4] != b"\0\0" or end <= _HEADER:
                raise NotModbusError(buffer[:_HEADER].hex(" "))
            if len(buffer) < end:
                break
            raw, buffer = buffer[:end], buffer[end:]
            found.append(Request(raw, raw[6], raw[_HEADER:]))
        return found, buffer

    def answer(self, request: Request, unit: int, pdu: bytes) -> bytes:
        transaction = b"\0\0" if self._zero else request.raw[:2]
        return transaction + b"\0\0" + (len(pdu) + 1).to_bytes(2, "big") + bytes([unit]) + pdu

    def unprotected(self, frame: bytes) -> bytes:
        return bytes([frame[0] ^ 0x40]) + frame[1:]


class Rtu:
    """RTU frames. A length is known for functions 1 to 6, 15 and 16; else all that came is one."""

    def requests(self, buffer: bytes) -> tuple[list[Request], bytes]:
        found: list[Request] = []
        while len(buffer) >= 4:
            size = _size(buffer)
            if size is None or len(buffer) < size:
                break
            raw, buffer = buffer[:size], buffer[size:]
            if crc16(raw[:-2]).to_bytes(2, "little") != raw[-2:]:
                return found, b""  # where the next frame begins is unknown until it is silent
            found.append(Request(raw, raw[0], raw[1:-2]))
        return found, buffer[-_LONGEST_RTU:]

    def answer(self, request: Request, unit: int, pdu: bytes) -> bytes:
        del request
        body = bytes([unit]) + pdu
        return body + crc16(body).to_bytes(2, "little")

    def unprotected(self, frame: bytes) -> bytes:
        return frame[:-1] + bytes([frame[-1] ^ 0x40])


def _size(buffer: bytes) -> int | None:
    """Bytes of the request that begins here; None: not known yet."""
    function = buffer[1]
    if function in _ONE:
        return 8
    if function in _SEVERAL:
        return 9 + buffer[6] if len(buffer) > 6 else None
    return len(buffer)

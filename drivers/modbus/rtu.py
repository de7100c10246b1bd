"""Is what was received on a serial line an answer to what was sent? Pure.

An RTU frame carries no transaction id (MODBUS over Serial Line 1.02, 2.5.1), so everything else is
compared: unit, function, byte count or echoed address, checksum, and that nothing follows.
"""

from typing import NamedTuple

from drivers.modbus.frame import EXCEPTION, READS, WRITES, crc16

# What a driver chip that turns round leaves on the line. No device of a serial line has the address
# 0 or 255 (ibid., 2.2), so no frame begins with these.
_GLITCH = b"\x00\xff"
_EXCEPTION_BYTES, _WRITE_BYTES = 5, 8


class Seen(NamedTuple):
    """What has come so far: a whole answer (`frame`), a fault of this class, or neither yet."""

    frame: bytes = b""
    fault: str | None = None


MORE = Seen()


def seen(sent: bytes, data: bytes) -> Seen:
    """Judge `data`, all that has come since the request `sent`.

    Faults: `unit`, `function`, `count`, `echo` (a write answered for another place), `local_echo`
    (the adapter hears itself), `crc`, `surplus`.
    """
    data = data.lstrip(_GLITCH)
    if len(data) < 3:
        return Seen(fault="unit") if data[:1] not in {b"", sent[:1]} else MORE
    fault = _head_fault(sent, data)
    if fault is not None:
        heard_itself = data.startswith(sent) or sent.startswith(data)
        return Seen(fault="local_echo" if heard_itself else fault)
    size = _size(sent, data[1])
    return _whole(sent, data, size) if len(data) >= size else MORE


def stray(data: bytes) -> bool:
    """`data` came while nothing was asked, and is more than a glitch."""
    return bool(data.strip(_GLITCH))


def _head_fault(sent: bytes, data: bytes) -> str | None:
    if data[0] != sent[0]:
        return "unit"
    if data[1] & ~EXCEPTION != sent[1]:
        return "function"
    if data[1] in READS and data[2] != _data_bytes(sent):
        return "count"
    return None


def _whole(sent: bytes, data: bytes, size: int) -> Seen:
    frame, rest = data[:size], data[size:]
    if crc16(frame[:-2]) != int.from_bytes(frame[-2:], "little"):
        return Seen(fault="crc")
    if frame[1] in READS and frame == sent:
        return Seen(fault="local_echo")
    if frame[1] in WRITES and frame[2:6] != sent[2:6]:
        return Seen(fault="echo")
    return Seen(fault="surplus") if stray(rest) else Seen(frame)


def _size(sent: bytes, function: int) -> int:
    """Bytes of the whole answer."""
    if function & EXCEPTION:
        return _EXCEPTION_BYTES
    return 5 + _data_bytes(sent) if function in READS else _WRITE_BYTES


def _data_bytes(sent: bytes) -> int:
    """Data bytes that the answer to the read `sent` holds."""
    count = int.from_bytes(sent[4:6], "big")
    return (count + 7) // 8 if sent[1] <= 2 else 2 * count

"""A farm of simulated Modbus devices behind one TCP port, as behind a Modbus gateway.

It speaks MBAP itself rather than through pymodbus' server: half of what it is for are answers that
a correct server never gives (none, late, of another function, too short), and the driver's library
must not be tested against itself alone. tests/contract has pymodbus' own server as a second peer.
"""

import asyncio
import json
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from enum import StrEnum
from typing import NamedTuple, TextIO, cast

from drivers.modbus.address import Table
from gateway.model import Value
from simulators.modbus_meter import Registers, SimMeter

_HEADER = 7  # transaction, protocol, length, unit (Modbus Messaging on TCP/IP 1.0b, 3.1.3)
_TABLES = {table.read_function: table for table in Table}
_MOST = {Table.COIL: 2000, Table.DISCRETE: 2000, Table.HOLDING: 125, Table.INPUT: 125}
_ILLEGAL_FUNCTION, _ILLEGAL_ADDRESS, _ILLEGAL_VALUE = 1, 2, 3  # Application Protocol 1.1b3, 7


class Fault(StrEnum):
    SILENT = "silent"
    LATE = "late"  # answers after `delay_s`
    EXCEPTION = "exception"  # answers exception `code`
    WRONG_FUNCTION = "wrong_function"  # answers as if another table had been asked
    WRONG_COUNT = "wrong_count"  # answers one register only
    FOREIGN = "foreign"  # answers in the name of another unit
    GARBAGE = "garbage"
    CUT = "cut"  # closes the connection


class Misbehaviour(NamedTuple):
    fault: Fault
    code: int = 4
    delay_s: float = 1.0


class Farm:
    """The devices and their controls; `port` is where they listen."""

    def __init__(
        self, meters: Sequence[SimMeter], log: TextIO | None, seed: int, now: Callable[[], int]
    ) -> None:
        self.port = 0
        self.requests: Counter[str] = Counter()  # by device
        self.accepted = 0  # connections so far
        self.open: set[_Session] = set()
        self._units = {meter.unit: Registers(meter, seed) for meter in meters}
        if len(self._units) < len(meters):
            raise ValueError("a unit address is used twice")
        self._devices = {device.device: device for device in self._units.values()}
        self._faults: dict[str, Misbehaviour] = {}
        self._log, self._now = log, now

    def set_voltage(self, device: str, volts: float | None) -> None:
        """Every phase of `device` has this voltage from now on; None: normal again."""
        self._devices[device].voltage = volts

    def set_value(self, device: str, point: str, value: Value | None) -> None:
        """`point` shows `value` from now on; None: normal again."""
        forced = self._devices[device].forced
        if value is None:
            forced.pop(point, None)
        else:
            forced[point] = value

    def stop(self, device: str) -> None:
        """The device is dead until `start`."""
        self.misbehave(device, Misbehaviour(Fault.SILENT))

    def start(self, device: str) -> None:
        self._faults.pop(device, None)

    def misbehave(self, device: str, how: Misbehaviour) -> None:
        """Every answer of `device` has this fault until `start`."""
        self._faults[device] = how

    def cut(self) -> None:
        """Close every connection."""
        for session in list(self.open):
            session.close()

    def answer(self, unit: int, pdu: bytes) -> tuple[bytes, Misbehaviour | None] | None:
        """(PDU of the answer, fault to apply to it); None for a unit that does not exist."""
        device = self._units.get(unit)
        if device is None:
            return None
        self.requests[device.device] += 1
        how = self._faults.get(device.device)
        if how is not None and how.fault is not Fault.LATE:
            return _broken(pdu, how), how
        return self._correct(unit, device, pdu), how

    def _correct(self, unit: int, device: Registers, pdu: bytes) -> bytes:
        function = pdu[0]
        if function in _TABLES and len(pdu) == 5:
            addr, size = int.from_bytes(pdu[1:3], "big"), int.from_bytes(pdu[3:5], "big")
            return self._read(unit, device, function, addr, size)
        if function in {5, 6} and len(pdu) == 5:
            return _write_one(device, pdu)
        if function == 16 and len(pdu) >= 8 and len(pdu) == 6 + pdu[5]:
            return _write_several(device, pdu)
        return bytes([function | 0x80, _ILLEGAL_FUNCTION])

    def _read(self, unit: int, device: Registers, function: int, addr: int, size: int) -> bytes:
        table = _TABLES[function]
        if not 1 <= size <= _MOST[table]:
            return bytes([function | 0x80, _ILLEGAL_VALUE])
        time_ns = self._now()
        found = device.read(table, addr, size, time_ns)
        if found is None:
            return bytes([function | 0x80, _ILLEGAL_ADDRESS])
        data, values = found
        if self._log is not None and values:
            entry = {"unit": unit, "device": device.device, "time": str(time_ns), "values": values}
            self._log.write(json.dumps(entry) + "\n")
            self._log.flush()
        body = _packed(data) if table.bits else b"".join(word.to_bytes(2, "big") for word in data)
        return bytes([function, len(body)]) + body


@asynccontextmanager
async def serve(
    host: str,
    port: int,
    meters: Sequence[SimMeter],
    *,
    log: TextIO | None = None,
    seed: int = 0,
    now: Callable[[], int] = time.time_ns,
) -> AsyncIterator[Farm]:
    """Serve `meters` on one port (0: a free one, see `Farm.port`) until the block ends.

    `log` gets one JSON line per served read: unit, device, time (ns, decimal text) and the values
    that a correct reader must get from this very answer.
    """
    farm = Farm(meters, log, seed, now)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: _Session(farm), host, port)
    try:
        farm.port = server.sockets[0].getsockname()[1]
        yield farm
    finally:
        server.close()
        farm.cut()
        async with asyncio.timeout(2):
            await server.wait_closed()


class _Session(asyncio.Protocol):
    """One connection of a master."""

    def __init__(self, farm: Farm) -> None:
        self._farm = farm
        self._buffer = b""
        self._transport: asyncio.Transport | None = None
        self._late: set[asyncio.TimerHandle] = set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are asyncio.Transport in shape, not in class
        self._transport = cast("asyncio.Transport", transport)
        self._farm.accepted += 1
        self._farm.open.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        self._farm.open.discard(self)
        for handle in self._late:
            handle.cancel()

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while len(self._buffer) > _HEADER:
            end = 6 + int.from_bytes(self._buffer[4:6], "big")
            if self._buffer[2:4] != b"\0\0" or end <= _HEADER:
                self.close()
                return
            if len(self._buffer) < end:
                return
            frame, self._buffer = self._buffer[:end], self._buffer[end:]
            self._serve(frame)

    def _serve(self, frame: bytes) -> None:
        answer = self._farm.answer(frame[6], frame[_HEADER:])
        if answer is None:
            return
        pdu, how = answer
        unit = frame[6]
        match how.fault if how is not None else None:
            case Fault.SILENT:
                return
            case Fault.CUT:
                self.close()
                return
            case Fault.FOREIGN:
                unit = unit % 247 + 1
            case Fault.GARBAGE:
                self._send(b"\x55" * 32)
                return
            case _:
                pass
        whole = frame[:4] + (len(pdu) + 1).to_bytes(2, "big") + bytes([unit]) + pdu
        if how is not None and how.fault is Fault.LATE:
            loop = asyncio.get_running_loop()
            self._late.add(loop.call_later(how.delay_s, self._send, whole))
        else:
            self._send(whole)

    def _send(self, data: bytes) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)


def _broken(pdu: bytes, how: Misbehaviour) -> bytes:
    """An answer with a fault; it is well-formed where the fault is not in the form."""
    function = pdu[0]
    size = int.from_bytes(pdu[3:5], "big") if function in _TABLES else 1
    match how.fault:
        case Fault.EXCEPTION:
            return bytes([function | 0x80, how.code])
        case Fault.WRONG_FUNCTION:
            other = {1: 2, 2: 1, 3: 4, 4: 3}.get(function, 3)
            width = 2 * size if other > 2 else (size + 7) // 8
            return bytes([other, width]) + bytes(width)
        case Fault.WRONG_COUNT:
            return bytes([function, 2, 0, 1])
        case _:
            return bytes([function, 2 * size]) + bytes(2 * size)


def _write_one(device: Registers, pdu: bytes) -> bytes:
    """Write Single Coil, Write Single Register (Application Protocol 1.1b3, 6.5 and 6.6)."""
    function, addr = pdu[0], int.from_bytes(pdu[1:3], "big")
    word = int.from_bytes(pdu[3:5], "big")
    table = Table.COIL if function == 5 else Table.HOLDING
    if function == 5:
        if word not in {0x0000, 0xFF00}:
            return bytes([function | 0x80, _ILLEGAL_VALUE])
        word = word >> 15
    return pdu if device.write(table, addr, [word]) else bytes([function | 0x80, _ILLEGAL_ADDRESS])


def _write_several(device: Registers, pdu: bytes) -> bytes:
    """Write Multiple Registers (ibid., 6.12)."""
    addr, count = int.from_bytes(pdu[1:3], "big"), int.from_bytes(pdu[3:5], "big")
    words = [int.from_bytes(pdu[i : i + 2], "big") for i in range(6, len(pdu) - 1, 2)]
    if count != len(words):
        return bytes([pdu[0] | 0x80, _ILLEGAL_VALUE])
    fits = device.write(Table.HOLDING, addr, words)
    return pdu[:5] if fits else bytes([pdu[0] | 0x80, _ILLEGAL_ADDRESS])


def _packed(bits: list[int]) -> bytes:
    packed = bytearray((len(bits) + 7) // 8)
    for index, bit in enumerate(bits):
        packed[index // 8] |= bit << index % 8
    return bytes(packed)


__all__ = ["Farm", "Fault", "Misbehaviour", "SimMeter", "serve"]

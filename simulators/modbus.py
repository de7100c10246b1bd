"""A farm of simulated Modbus devices on one bus: Modbus TCP, RTU over TCP, or a serial port.

It speaks MBAP and RTU itself rather than through pymodbus' server: half of what it is for are
answers that a correct server never gives (none, late, of another function, too short), and the
driver's library must not be tested against itself alone. tests/contract has pymodbus' own server,
tests/integration pyModbusTCP and libmodbus as further peers.
"""

import json
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TextIO

from gateway.model import Value
from simulators.modbus_bus import (
    METERS_S,
    NO_TIME,
    Network,
    Peer,
    SerialServer,
    Timing,
    listening,
    plugged,
)
from simulators.modbus_faults import IN_PDU, Fault, Misbehaviour, Whims, spoiled
from simulators.modbus_frames import Mbap, Rtu
from simulators.modbus_meter import Registers, SimMeter
from simulators.modbus_pdu import Slave, answer

# With these faults the answer itself is right, and a reader may take it.
_READABLE = {Fault.LATE, Fault.TWICE, Fault.SLOW}


class Farm:
    """The devices and their controls; `port` is where they listen, if that is a TCP port."""

    def __init__(
        self,
        meters: Sequence[SimMeter],
        log: TextIO | None = None,
        seed: int = 0,
        now: Callable[[], int] = time.time_ns,
        others: Iterable[tuple[int, Slave]] = (),
    ) -> None:
        """`others`: (unit address, device) of any other devices on this bus."""
        self.port = 0
        self.requests: Counter[str] = Counter()  # by device
        self.accepted = 0  # connections so far
        self.open: set[Peer] = set()
        self._meters = {meter.device: Registers(meter, seed) for meter in meters}
        self._units: dict[int, Slave] = {m.unit: self._meters[m.device] for m in meters}
        self._units.update(others)
        if len(self._units) < len(meters):
            raise ValueError("a unit address is used twice")
        self._faults: dict[str, Misbehaviour] = {}
        self._whims: Whims | None = None
        self._log, self._now = log, now

    def set_voltage(self, device: str, volts: float | None) -> None:
        """Every phase of `device` has this voltage from now on; None: normal again."""
        self._meters[device].voltage = volts

    def set_value(self, device: str, point: str, value: Value | None) -> None:
        """`point` shows `value` from now on; None: normal again."""
        forced = self._meters[device].forced
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

    def be_whimsical(self, whims: Whims | None) -> None:
        """Devices without a fault of their own do what `whims` says; None: they behave again."""
        self._whims = whims

    def cut(self) -> None:
        """Close every connection."""
        for peer in list(self.open):
            peer.close()

    def answer(self, unit: int, pdu: bytes) -> tuple[bytes, Misbehaviour | None] | None:
        """(PDU of the answer, fault to apply to it); None for a unit that does not exist."""
        slave = self._units.get(unit)
        if slave is None:
            return None
        self.requests[slave.device] += 1
        how = self._faults.get(slave.device)
        if how is None and self._whims is not None:
            how = self._whims(slave.device)
        if how is not None and how.fault in IN_PDU:
            return spoiled(pdu, how), how
        time_ns = self._now()
        right = answer(slave, pdu, time_ns)
        if right.values and (how is None or how.fault in _READABLE):
            self._tell(unit, slave.device, time_ns, dict(right.values))
        return right.pdu, how

    def _tell(self, unit: int, device: str, time_ns: int, values: dict[str, Value]) -> None:
        if self._log is not None:
            entry = {"unit": unit, "device": device, "time": str(time_ns), "values": values}
            self._log.write(json.dumps(entry) + "\n")
            self._log.flush()


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
    """Serve `meters` on one Modbus TCP port (0: a free one, see `Farm.port`) until the block ends.

    `log` gets one JSON line per served read: unit, device, time (ns, decimal text) and the values
    that a correct reader must get from this very answer.
    """
    async with on_tcp(Farm(meters, log, seed, now), host, port) as farm:
        yield farm


@asynccontextmanager
async def on_tcp(
    farm: Farm, host: str, port: int, timing: Timing = NO_TIME, *, zero: bool = False
) -> AsyncIterator[Farm]:
    """Put `farm` on a Modbus TCP port. `zero`: it answers every transaction as number 0."""
    async with listening(host, port, Network(farm, Mbap(zero=zero), timing)) as farm.port:
        yield farm


@asynccontextmanager
async def on_serial_server(
    farm: Farm, host: str, port: int, timing: Timing = NO_TIME
) -> AsyncIterator[Farm]:
    """Put `farm` on a serial line behind a TCP port that carries RTU frames."""
    line = SerialServer(farm, Rtu(), timing)
    try:
        async with listening(host, port, line) as farm.port:
            yield farm
    finally:
        line.stop()


@asynccontextmanager
async def on_serial_port(farm: Farm, path: Path, timing: Timing = NO_TIME) -> AsyncIterator[Farm]:
    """Put `farm` on a serial line whose other end is the new serial port `path`.

    Raises `simulators.pty.PortError`.
    """
    async with plugged(path, farm, Rtu(), timing):
        yield farm


__all__ = [
    "METERS_S",
    "NO_TIME",
    "Farm",
    "Fault",
    "Misbehaviour",
    "SimMeter",
    "Timing",
    "Whims",
    "on_serial_port",
    "on_serial_server",
    "on_tcp",
    "serve",
]

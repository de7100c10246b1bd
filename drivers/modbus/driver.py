"""The Modbus driver: one owner task has the bus and polls its units, one request after the other.

What goes first: commands, then alarm-bearing points, then telemetry, then units that were silent.
A unit that does not answer backs off and hurts no other; when none answers, the link is down.
"""

import asyncio
import math
from collections.abc import Mapping, Sequence
from zlib import crc32

from drivers.modbus.link import Connection
from drivers.modbus.nap import Nap
from drivers.modbus.poller import Poller
from drivers.modbus.settings import ModbusLink
from drivers.modbus.unit import Reading, Unit, names_of
from drivers.modbus.writer import Writer
from gateway.clock import Clock
from gateway.driver import Device, Publisher
from gateway.errors import LinkDown, Refused
from gateway.health import DeviceHealth, LinkHealth
from gateway.model import Command, CommandResult

# A silent unit lets the others go first, but not for longer than this.
_STARVED_S = 10.0
_ALARMS, _TELEMETRY, _RETRY = range(3)


class ModbusDriver:
    """A `gateway.driver.Driver` for one bus and the units on it."""

    def __init__(
        self, name: str, link: ModbusLink, devices: Sequence[Device], clock: Clock
    ) -> None:
        self.name = name
        self.health = LinkHealth()
        self._clock = clock
        places = enumerate(devices)
        self._units = {d.id: Unit(d, _phase(name, i, len(devices))) for i, d in places}
        self.devices: Mapping[str, DeviceHealth] = {u.id: u.health for u in self._units.values()}
        self._nap = Nap()
        self._connection = Connection(link, self._nap.wake, self.health.counters)
        self._poller = Poller(name, self._connection, self.health, clock)
        self._writer = Writer(name, self._connection, self._poller, clock)
        self._running = False
        self._polls: list[tuple[Unit, Reading]] = []  # under way, the innermost last

    async def run(self, bus: Publisher) -> None:
        """Poll until cancelled. Raises LinkDown when the peer is gone or no unit answers."""
        try:
            await self._connection.open()
            self.health.connects += 1
            self._running = True
            now = asyncio.get_running_loop().time()
            for unit in self._units.values():
                unit.begin(now)
            while True:
                await self._idle()
                await self._write_all(bus)
                await self._poll_next(bus)
        except LinkDown as error:
            raise LinkDown(f"{self.name}: {error}") from error
        finally:
            self._running = False
            self._connection.close()
            self._writer.drop(f"{self.name}: the link went down")

    async def write(self, command: Command) -> CommandResult:
        """Write once, ahead of every poll, and read the feedback point back at once.

        Raises LinkDown (not connected, or no valid answer: the device may have obeyed) or Refused.
        """
        unit = self._units.get(command.device)
        if unit is None:
            raise Refused(f"{self.name}: {command.device} is not on this link")
        if not self._running:
            raise LinkDown(f"{self.name}: not connected")
        done = self._writer.submit(unit, command)
        self._nap.wake()
        return await done

    async def _idle(self) -> None:
        """Wait until something is due, a command comes or the port goes."""
        if not self._writer:
            due = min((unit.due_at for unit in self._units.values()), default=math.inf)
            await self._nap.until(due)
        self._connection.check()

    async def _poll_next(self, bus: Publisher) -> None:
        """Poll the unit that is due and comes first."""
        now = asyncio.get_running_loop().time()
        due = [unit for unit in self._units.values() if unit.due_at <= now]
        if not due:
            return
        await self._poll(min(due, key=lambda unit: _rank(unit, now)), bus)
        if all(u.silent for u in self._units.values()):
            peers = "the unit" if len(self._units) == 1 else f"none of {len(self._units)} units"
            verb = "does not answer" if len(self._units) == 1 else "answers"
            raise LinkDown(f"{peers} at {self._connection} {verb}")

    async def _poll(self, unit: Unit, bus: Publisher) -> None:
        """Read what is due of one unit; alarm-bearing points are a sample of their own, the first."""
        now = asyncio.get_running_loop().time()
        names, missed = unit.due(now)
        self.health.counters["missed_polls"] += missed
        if not unit.settled:
            if not await self._meet(unit, names, bus):
                return
            names = frozenset(unit.targets)
        left = names
        for blocks in unit.groups(names, now):
            reading = Reading(left)
            self._polls.append((unit, reading))
            try:
                good = await self._poller.read(unit, blocks, reading, lambda: self._first(bus))
            finally:
                self._polls.pop()
            await self._publish(unit, reading, bus)
            if not good:
                return
            left -= {name for block in blocks for name in names_of(block)}
            left -= reading.quality.keys()  # those that the unit is known not to have, too
        unit.polled(names)

    async def _meet(self, unit: Unit, names: frozenset[str], bus: Publisher) -> bool:
        """First contact with a unit of which only this tells what to read."""
        reading = Reading(names)
        good = await self._poller.read(unit, (), reading)
        if not good:
            await self._publish(unit, reading, bus)
        return good

    async def _first(self, bus: Publisher) -> None:
        """Between two requests of a poll: commands, and alarm-bearing points of other units."""
        await self._write_all(bus)
        if len(self._polls) > 1:  # alarms do not overtake alarms
            return
        now = asyncio.get_running_loop().time()
        polled = self._polls[0][0]
        for unit in self._units.values():
            if unit is not polled and unit.urgent(now):
                await self._poll(unit, bus)

    async def _write_all(self, bus: Publisher) -> None:
        if self._writer:
            await self._writer.work(lambda unit, names: self._read_back(unit, names, bus))

    async def _read_back(self, unit: Unit, names: frozenset[str], bus: Publisher) -> None:
        """Read the feedback point, so that the command can be confirmed without waiting for a poll."""
        reading = Reading(names)
        await self._poller.read(unit, unit.plan(names), reading)
        for polled, under_way in self._polls:
            if polled is unit:
                under_way.forget(names)
        await self._publish(unit, reading, bus)

    async def _publish(self, unit: Unit, reading: Reading, bus: Publisher) -> None:
        if reading.values or reading.quality:
            await bus.publish(unit.sample(reading, self._clock))


def _phase(link: str, index: int, count: int) -> float:
    """0 to 1: the units of a link evenly spread, the links among each other by their names."""
    return (crc32(link.encode()) / 2**32 + index / count) % 1


def _rank(unit: Unit, now: float) -> tuple[int, float]:
    """What is polled first: alarms, telemetry, silent units; then what is due for the longest time."""
    if unit.breaker.open and now - unit.due_at < _STARVED_S:
        return _RETRY, unit.due_at
    return _ALARMS if unit.urgent(now) else _TELEMETRY, unit.due_at

"""The Modbus TCP driver: one owner task polls every unit of a link, one request after the other.

A unit that does not answer backs off and hurts no other; when none answers, the link is down.
"""

import asyncio
import logging
import math
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import NamedTuple

from drivers.modbus import codec, decode
from drivers.modbus.address import Table
from drivers.modbus.link import BadFrame, Connection, Excepted, NoAnswer
from drivers.modbus.plan import Block
from drivers.modbus.settings import ModbusLink
from drivers.modbus.unit import Reading, Unit, names_of, probe_block
from drivers.modbus.vectors import accepts
from gateway.clock import Clock
from gateway.driver import Device, Publisher
from gateway.errors import GatewayError, LinkDown, Refused
from gateway.health import DeviceHealth, LinkHealth
from gateway.model import Command, CommandResult, Outcome

log = logging.getLogger(__name__)

# Application Protocol 1.1b3, 7: the request itself is wrong for this device ...
_UNKNOWN_HERE = {1, 2, 3}
# ... and: a gateway on the way says that the device behind it cannot be reached.
_UNREACHABLE = {10, 11}


class _UnavailableError(GatewayError):
    """The unit cannot be read now; `reason` is the quality of its points."""

    def __init__(
        self, reason: str, what: str, *, silent: bool = False, wrong: bool = False
    ) -> None:
        super().__init__(what)
        self.reason, self.silent, self.wrong = reason, silent, wrong


class _Write(NamedTuple):
    command: Command
    unit: Unit
    table: Table
    addr: int
    words: tuple[int, ...]
    feedback: str
    done: asyncio.Future[CommandResult]

    def finish(self, result: CommandResult) -> None:
        if not self.done.done():  # else its caller gave up
            self.done.set_result(result)

    def fail(self, error: GatewayError) -> None:
        if not self.done.done():
            self.done.set_exception(error)
            self.done.exception()  # the writer may be gone: nobody has to retrieve it


class ModbusDriver:
    """A `gateway.driver.Driver` for one TCP connection and the units behind it."""

    def __init__(
        self, name: str, link: ModbusLink, devices: Sequence[Device], clock: Clock
    ) -> None:
        self.name = name
        self.health = LinkHealth()
        self._clock = clock
        self._units = {device.id: Unit(device) for device in devices}
        self.devices: Mapping[str, DeviceHealth] = {u.id: u.health for u in self._units.values()}
        self._wake = asyncio.Event()
        self._connection = Connection(link.host, link.port, self._wake.set)
        self._writes: deque[_Write] = deque()
        self._running = False
        self._reading: tuple[Unit, Reading] | None = None  # the poll that is under way

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
            while self._writes:
                self._writes.popleft().fail(LinkDown(f"{self.name}: the link went down"))

    async def write(self, command: Command) -> CommandResult:
        """Write once, ahead of every poll, and read the feedback point back at once.

        Raises LinkDown (not connected, or no valid answer: the device may have obeyed) or Refused.
        """
        unit = self._units.get(command.device)
        found = unit.command(command.point) if unit is not None else None
        if unit is None or found is None:
            raise Refused(f"{self.name}: {command.device} has no command for {command.point}")
        spec, point, address = found
        try:
            words = decode.encode(spec, point, address, command.value)
        except ValueError as error:
            raise Refused(f"{command.device}: {command.point}: {error}") from error
        if not self._running:
            raise LinkDown(f"{self.name}: not connected")
        done: asyncio.Future[CommandResult] = asyncio.get_running_loop().create_future()
        self._writes.append(
            _Write(command, unit, address.table, address.addr, words, spec.feedback, done)
        )
        self._wake.set()
        return await done

    async def _idle(self) -> None:
        """Wait until something is due, a command comes or the peer goes."""
        self._wake.clear()
        self._connection.check()
        if self._writes:
            return
        due = min((unit.schedule.due for unit in self._units.values()), default=math.inf)
        with suppress(TimeoutError):
            async with asyncio.timeout_at(due if math.isfinite(due) else None):
                await self._wake.wait()
        self._connection.check()

    async def _poll_next(self, bus: Publisher) -> None:
        """Poll the unit that is due for the longest time, if one is due."""
        now = asyncio.get_running_loop().time()
        unit = min(self._units.values(), key=lambda u: u.schedule.due, default=None)
        if unit is None or unit.schedule.due > now:
            return
        names, missed = unit.due(now)
        self.health.counters["missed_polls"] += missed
        reading = Reading(names)
        self._reading = unit, reading
        try:
            await self._read(unit, reading, bus)
        finally:
            self._reading = None
        await self._publish(unit, reading, bus)
        if all(u.silent for u in self._units.values()):
            peers = "the unit" if len(self._units) == 1 else f"none of {len(self._units)} units"
            verb = "does not answer" if len(self._units) == 1 else "answers"
            raise LinkDown(f"{peers} at {self._connection} {verb}")

    async def _read(self, unit: Unit, reading: Reading, bus: Publisher | None) -> None:
        """Fill `reading`; with a `bus`, commands go between its requests. Raises LinkDown."""
        try:
            reading.answered = await self._identify(unit)
            for block in unit.plan(reading.wanted):
                if bus is not None:
                    await self._write_all(bus)
                await self._read_block(unit, block, reading)
        except _UnavailableError as error:
            self._failed(unit, reading, error)
            return
        if unit.health.note:
            log.info("%s answers again", unit.id, extra={"component": self.name})
        unit.worked(reading)
        if reading.values:
            unit.health.good += 1
            unit.health.last_good_ns = self._clock.boottime_ns()

    async def _publish(self, unit: Unit, reading: Reading, bus: Publisher) -> None:
        if reading.values or reading.quality:
            await bus.publish(unit.sample(reading, self._clock))

    def _failed(self, unit: Unit, reading: Reading, error: _UnavailableError) -> None:
        reading.rest_bad(error.reason)
        silent = error.silent and not reading.answered
        if not unit.health.note:  # the transition, not each attempt
            log.warning("%s: %s", unit.id, error, extra={"component": self.name})
        unit.health.errors[error.reason] += 1
        unit.health.note = str(error)
        now = asyncio.get_running_loop().time()
        unit.failed(now, silent=silent, wrong=error.wrong)

    async def _read_block(self, unit: Unit, block: Block, reading: Reading) -> None:
        answer = await self._ask(unit, block)
        reading.answered = True
        if not isinstance(answer, Excepted):
            decode.block(block, answer, reading.values, reading.quality)
            return
        reason = f"exception_{answer.code}"
        if answer.code in _UNREACHABLE:
            raise _UnavailableError(reason, f"unit {unit.number}: not reachable behind its gateway")
        unit.health.errors[reason] += 1
        reading.bad(names_of(block), reason)

    async def _identify(self, unit: Unit) -> bool:
        """Check, once, that this is the device that its profile describes; True if it answered.

        Raises _UnavailableError.
        """
        if unit.identified:
            return False
        for probe, address in unit.probes():
            answer = await self._ask(unit, probe_block(address))
            where = f"unit {unit.number}: identity register {address.addr:#06x}"
            if not isinstance(answer, Excepted):
                number = codec.raw(address, answer)
                if not accepts(probe, number):
                    what = f"{where} is {number}: not a {unit.profile.profile}"
                    raise _UnavailableError("wrong_device", what, wrong=True)
            elif answer.code not in _UNKNOWN_HERE:
                raise _UnavailableError(
                    f"exception_{answer.code}", f"{where}: exception {answer.code}"
                )
            elif not probe.optional:
                what = f"{where}: exception {answer.code}: not a {unit.profile.profile}"
                raise _UnavailableError("wrong_device", what, wrong=True)
        unit.identified = True
        return bool(unit.profile.identity)

    async def _ask(self, unit: Unit, block: Block) -> Sequence[int] | Excepted:
        """One read request, counted. Raises _UnavailableError or LinkDown."""
        self._sending()
        try:
            answer = await self._connection.read(unit.number, block, unit.timeout_s)
        except NoAnswer as error:
            self.health.counters["timeouts"] += 1
            raise _UnavailableError("timeout", str(error), silent=True) from error
        except BadFrame as error:
            self.health.counters[f"frame_errors_{error.kind}"] += 1
            raise _UnavailableError("bad_frame", str(error)) from error
        self._answered(answer)
        return answer

    def _sending(self) -> None:
        self.health.counters["requests"] += 1
        if not self._connection.is_open:  # closed after a request that went wrong
            self.health.counters["reopened"] += 1

    def _answered(self, answer: object) -> None:
        self.health.good(self._clock.boottime_ns())
        if isinstance(answer, Excepted):
            self.health.counters["exceptions"] += 1

    async def _write_all(self, bus: Publisher) -> None:
        while self._writes:
            job = self._writes.popleft()
            if job.done.done():  # its caller gave up
                continue
            try:
                result = await self._write(job)
            except (Refused, NoAnswer, BadFrame, _UnavailableError) as error:
                what = f"{job.unit.id}: {job.command.point}: {error}"
                job.fail(Refused(what) if isinstance(error, Refused) else LinkDown(what))
                continue
            except BaseException:
                job.fail(LinkDown(f"{self.name}: the link went down during the write"))
                raise
            job.finish(result)
            if result.outcome is Outcome.WRITTEN:
                await self._read_back(job, bus)

    async def _write(self, job: _Write) -> CommandResult:
        if self._clock.boottime_ns() > job.command.not_after_ns:
            return CommandResult(job.command, Outcome.EXPIRED, "waited for the link too long")
        unit = job.unit
        try:
            await self._identify(unit)
        except _UnavailableError as error:
            raise (Refused(str(error)) if error.wrong else error) from error
        self._sending()
        connection = self._connection
        try:
            answer = await connection.write(
                unit.number, job.table, job.addr, job.words, unit.timeout_s
            )
        except NoAnswer:
            self.health.counters["timeouts"] += 1
            raise
        except BadFrame as error:
            self.health.counters[f"frame_errors_{error.kind}"] += 1
            raise
        self._answered(answer)
        if answer is not None:
            raise Refused(f"exception {answer.code}")
        return CommandResult(job.command, Outcome.WRITTEN, attempts=1)

    async def _read_back(self, job: _Write, bus: Publisher) -> None:
        """Read the feedback point, so that the command can be confirmed without waiting for a poll."""
        names = frozenset({job.feedback})
        reading = Reading(names)
        await self._read(job.unit, reading, None)
        if self._reading is not None and self._reading[0] is job.unit:
            self._reading[1].forget(names)
        await self._publish(job.unit, reading, bus)

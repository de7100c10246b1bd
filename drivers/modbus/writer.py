"""The commands of a link: each is written once, ahead of every poll."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import NamedTuple

from drivers.modbus import decode
from drivers.modbus.address import Table
from drivers.modbus.link import BadFrame, Connection, NoAnswer
from drivers.modbus.poller import Poller, UnavailableError
from drivers.modbus.unit import Unit
from gateway.clock import Clock
from gateway.errors import GatewayError, LinkDown, Refused
from gateway.model import Command, CommandResult, Outcome


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


ReadBack = Callable[[Unit, frozenset[str]], Awaitable[None]]


class Writer:
    """The queue of commands; one task works it off between the requests that read."""

    def __init__(self, name: str, connection: Connection, poller: Poller, clock: Clock) -> None:
        self._name = name
        self._connection = connection
        self._poller = poller
        self._clock = clock
        self._queue: list[_Write] = []  # seldom more than one: a deque takes 0.6 KB on every link

    def __bool__(self) -> bool:
        """Something is to be written."""
        return bool(self._queue)

    def submit(self, unit: Unit, command: Command) -> asyncio.Future[CommandResult]:
        """The result to come. Raises Refused if the device has no such command or value."""
        found = unit.command(command.point)
        if found is None:
            raise Refused(f"{self._name}: {command.device} has no command for {command.point}")
        spec, point, address = found
        try:
            words = decode.encode(spec, point, address, command.value)
        except ValueError as error:
            raise Refused(f"{command.device}: {command.point}: {error}") from error
        done: asyncio.Future[CommandResult] = asyncio.get_running_loop().create_future()
        self._queue.append(
            _Write(command, unit, address.table, address.addr, words, spec.feedback, done)
        )
        return done

    def drop(self, why: str) -> None:
        """Fail what is still to be written."""
        while self._queue:
            self._queue.pop(0).fail(LinkDown(why))

    async def work(self, read_back: ReadBack) -> None:
        """Write everything in the queue; `read_back` is called after each write that was taken.

        Raises LinkDown.
        """
        while self._queue:
            job = self._queue.pop(0)
            if job.done.done():  # its caller gave up
                continue
            try:
                result = await self._write(job)
            except (Refused, NoAnswer, BadFrame, UnavailableError) as error:
                what = f"{job.unit.id}: {job.command.point}: {error}"
                job.fail(Refused(what) if isinstance(error, Refused) else LinkDown(what))
                continue
            except BaseException:
                job.fail(LinkDown(f"{self._name}: the link went down during the write"))
                raise
            job.finish(result)
            if result.outcome is Outcome.WRITTEN:
                await read_back(job.unit, frozenset({job.feedback}))

    async def _write(self, job: _Write) -> CommandResult:
        if self._clock.boottime_ns() > job.command.not_after_ns:
            return CommandResult(job.command, Outcome.EXPIRED, "waited for the link too long")
        unit = job.unit
        try:
            await self._poller.identify(unit)
        except UnavailableError as error:
            raise (Refused(str(error)) if error.wrong else error) from error
        self._poller.sending()
        try:
            answer = await self._connection.write(
                unit.number, job.table, job.addr, job.words, unit.timeout_s, unit.pause_s
            )
        except (NoAnswer, BadFrame) as error:
            self._poller.refused(error)
            raise
        self._poller.answered(answer)
        if answer is not None:
            raise Refused(f"exception {answer.code}")
        return CommandResult(job.command, Outcome.WRITTEN, attempts=1)

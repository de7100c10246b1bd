"""Reads one unit: is it the device of its profile, then one request after the other."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence

from drivers.modbus.answer import Excepted
from drivers.modbus.canary import canary, shape
from drivers.modbus.contact import Mismatch, Unready, contact
from drivers.modbus.isolate import SPLIT_ON
from drivers.modbus.link import BadFrame, Connection, NoAnswer
from drivers.modbus.plan import Block
from drivers.modbus.unit import Reading, Unit, names_of
from gateway.clock import Clock
from gateway.errors import GatewayError
from gateway.health import LinkHealth

log = logging.getLogger(__name__)

# Application Protocol 1.1b3, 7: a gateway on the way says that the device behind it cannot be reached.
_UNREACHABLE = {10, 11}

# What may go out between two requests: commands, alarm-bearing points.
Between = Callable[[], Awaitable[None]]


class UnavailableError(GatewayError):
    """The unit cannot be read now; `reason` is the quality of its points."""

    def __init__(
        self, reason: str, what: str, *, silent: bool = False, wrong: bool = False
    ) -> None:
        super().__init__(what)
        self.reason, self.silent, self.wrong = reason, silent, wrong


class Poller:
    """The requests of a link that read, with everything that is counted about them."""

    def __init__(self, name: str, connection: Connection, health: LinkHealth, clock: Clock) -> None:
        self._name = name
        self._connection = connection
        self._health = health
        self._clock = clock
        self._latest: tuple[int, Block] | None = None  # unit and block of the latest request

    async def read(
        self, unit: Unit, blocks: Sequence[Block], reading: Reading, between: Between | None = None
    ) -> bool:
        """Fill `reading` from `blocks`; False: the unit failed, what was wanted of it is BAD.

        `between` runs before each request. Raises LinkDown.
        """
        try:
            reading.answered = await self._contact(unit, blocks)
            for block in blocks:
                await self._read_block(unit, block, blocks, reading, between)
        except UnavailableError as error:
            self._failed(unit, reading, error)
            return False
        for name, missing in unit.isolation.missing.items():
            if name in reading.wanted and name not in reading.quality:
                reading.bad([name], f"exception_{missing.code}")
        if unit.health.note:
            log.info("%s answers again", unit.id, extra={"component": self._name})
        unit.answered()
        if reading.values:
            unit.health.good += 1
            unit.health.last_good_ns = self._clock.boottime_ns()
        return True

    async def identify(self, unit: Unit) -> bool:
        """Check, once, that this is the device that its profile describes; True if it answered.

        Raises UnavailableError or LinkDown.
        """
        if unit.identified:
            return False
        asked = False

        async def ask(block: Block) -> Sequence[int] | Excepted:
            nonlocal asked
            await self._tell_apart(unit, block, unit.plan(frozenset(unit.targets)))
            answer = await self._ask(unit, block)
            asked = True
            return answer

        try:
            before = unit.found.variants if unit.found is not None else ()
            unit.settle(await contact(unit.profile, unit.section, ask, before))
        except Mismatch as error:
            what = f"unit {unit.number}: {error}"
            raise UnavailableError(error.reason, what, wrong=True) from error
        except Unready as error:
            reason = f"exception_{error.code}"
            raise UnavailableError(reason, f"unit {unit.number}: {error}") from error
        return asked

    def sending(self) -> None:
        self._health.counters["requests"] += 1

    def refused(self, error: NoAnswer | BadFrame) -> None:
        """Count an answer that did not come or did not fit."""
        kind = f"frame_errors_{error.kind}" if isinstance(error, BadFrame) else "timeouts"
        self._health.counters[kind] += 1

    def answered(self, answer: object) -> None:
        self._health.good(self._clock.boottime_ns())
        if isinstance(answer, Excepted):
            self._health.counters["exceptions"] += 1

    async def _contact(self, unit: Unit, blocks: Sequence[Block]) -> bool:
        """Get past answers that may still be under way, then identify; True if it answered."""
        if unit.unanswered and self._connection.twofold:
            first = canary(blocks or unit.plan(frozenset(unit.targets)), unit.unanswered)
            if first is not None:
                await self._ask(unit, first)
        answered = await self.identify(unit)
        unit.unanswered.clear()
        return answered

    async def _read_block(
        self,
        unit: Unit,
        block: Block,
        blocks: Sequence[Block],
        reading: Reading,
        between: Between | None,
    ) -> None:
        """One request; one that the unit refuses for its registers is halved."""
        if between is not None:
            await between()
        await self._tell_apart(unit, block, (block, *blocks))
        answer = await self._ask(unit, block)
        reading.answered = True
        if not isinstance(answer, Excepted):
            unit.decoder(block)(answer, reading.values, reading.quality)
            unit.isolation.worked(block)
            return
        reason = f"exception_{answer.code}"
        if answer.code in _UNREACHABLE:
            raise UnavailableError(reason, f"unit {unit.number}: not reachable behind its gateway")
        now = asyncio.get_running_loop().time()
        halves = unit.isolation.refused(block, answer.code, now) if answer.code in SPLIT_ON else ()
        for half in halves:
            await self._read_block(unit, half, blocks, reading, between)
        if not halves:
            unit.health.errors[reason] += 1
            reading.bad(names_of(block), reason)

    async def _tell_apart(self, unit: Unit, block: Block, blocks: Sequence[Block]) -> None:
        """Put a request of another shape before `block` if the latest one looked like it."""
        if self._connection.twofold and self._alike(unit, block):
            other = canary(blocks, {shape(block)})
            if other is not None:
                await self._ask(unit, other)

    def _alike(self, unit: Unit, block: Block) -> bool:
        """The latest request was to other registers of this unit, and its answer looks the same."""
        if self._latest is None or self._latest[0] != unit.number:
            return False
        latest = self._latest[1]
        return shape(latest) == shape(block) and latest.addr != block.addr

    def _failed(self, unit: Unit, reading: Reading, error: UnavailableError) -> None:
        reading.rest_bad(error.reason)
        if not unit.health.note:  # the transition, not each attempt
            log.warning("%s: %s", unit.id, error, extra={"component": self._name})
        unit.health.errors[error.reason] += 1
        unit.health.note = str(error)
        unit.failed(
            asyncio.get_running_loop().time(), self._connection.cost_s(),
            silent=error.silent and not reading.answered, wrong=error.wrong,
        )  # fmt: skip

    async def _ask(self, unit: Unit, block: Block) -> Sequence[int] | Excepted:
        """One read request, counted. Raises UnavailableError or LinkDown."""
        self.sending()
        self._latest = unit.number, block
        try:
            answer = await self._connection.read(unit.number, block, unit.timeout_s, unit.pause_s)
        except NoAnswer as error:
            self.refused(error)
            unit.unanswered.add(shape(block))
            raise UnavailableError("timeout", str(error), silent=True) from error
        except BadFrame as error:
            self.refused(error)
            unit.unanswered.add(shape(block))
            raise UnavailableError("bad_frame", str(error)) from error
        self.answered(answer)
        return answer

"""Writes to devices: who may, until when, how it is confirmed, tried again and told.

Two ways in: `execute` for one-shot commands of people and platforms, `claim`/`release` for the
`set` actions of rules. Where several claims hold one point, the lowest level wins, then the rank
(BACnet priority array, ASHRAE 135-2020, 19.2).
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple, Protocol
from uuid import UUID

import orjson

from gateway.allow import CommandsSection
from gateway.clock import Clock
from gateway.driver import Device, stale_after_s
from gateway.errors import LinkDown, Refused, StoreFailed, StoreFull
from gateway.model import (
    RETAINED,
    Command,
    CommandResult,
    Event,
    EventKind,
    Outcome,
    Severity,
    Value,
    uuid7,
)
from gateway.profile import CommandSpec
from gateway.state import Reading, State

log = logging.getLogger(__name__)

WRITE_TIMEOUT_S = 5.0  # one attempt to write, confirmation apart
RETRIES = 2
BACKOFF_S = (0.5, 1.0, 2.0, 4.0, 8.0, 10.0)
COMMAND_LIFE_S = 60.0  # a claim that could not be written for so long is old news
MANUAL_LEVEL = 8  # where a person's command stands among claims
# Whose commands have new ids each time: what is idempotent of theirs may be done without an intent.
LOCAL = frozenset({"cli", "rules"})
LIFE_LEVEL = 2  # claims up to here ignore the shortest write interval


class Writer(Protocol):
    async def write(self, command: Command) -> CommandResult: ...


class Ledger(Protocol):
    """What at-most-once needs of the store."""

    def command_outcome(self, command_id: str) -> str | None: ...
    async def command_intent(self, command_id: str, body: bytes) -> None: ...
    def command_done(self, command_id: str, body: bytes) -> None: ...


class Emit(Protocol):
    def __call__(
        self,
        kind: EventKind,
        severity: Severity,
        device: str,
        attributes: dict[str, object],
        cause: UUID | None = None,
    ) -> Event: ...


class Claim(NamedTuple):
    """A rule instance wants a point to have a value for as long as it holds."""

    holder: str
    value: Value
    level: int
    rank: int
    cause: UUID | None


Place = tuple[str, str]  # device, point


class Commands:
    """Executes commands; one at a time for each point, the newest wins. Lives as long as `run`."""

    def __init__(
        self,
        section: CommandsSection,
        *,
        devices: Mapping[str, Device],
        writers: Mapping[str, Writer],
        state: State,
        ledger: Ledger,
        clock: Clock,
        emit: Emit,
        told: Callable[[CommandResult], None] | None = None,
    ) -> None:
        """`told` hears of every result, for the audit log."""
        self._section = section
        self._devices = devices
        self._writers = writers  # by link
        self._state = state
        self._ledger = ledger
        self._clock = clock
        self._emit = emit
        self._told = told
        self._group: asyncio.TaskGroup | None = None
        self._claims: dict[Place, dict[str, Claim]] = {}
        self._newest: dict[Place, str] = {}  # id of the command that may write there
        self._wrote: dict[Place, float] = {}  # loop time of the last write
        self.counters: Counter[str] = Counter()

    async def run(self) -> None:
        """Owns the tasks of claims; works until cancelled."""
        async with asyncio.TaskGroup() as self._group:
            await asyncio.Event().wait()

    # -- claims ---------------------------------------------------------------------------------

    def claim(self, device: str, point: str, claim: Claim) -> None:
        """Hold a point; if that changes the value that rules there, its command starts at once."""
        held = self._claims.setdefault((device, point), {})
        before = _strongest(held)
        held[claim.holder] = claim
        after = _strongest(held)
        if after is not None and (before is None or before.value != after.value):
            self._start(device, point, after)

    def release(self, device: str, point: str, holder: str) -> None:
        """Give a point back: the next claim rules, or the profile's `relinquish` value."""
        held = self._claims.get((device, point), {})
        before = _strongest(held)
        gone = held.pop(holder, None)
        if gone is None or before is not gone:
            return
        after = _strongest(held)
        if after is not None:
            if after.value != gone.value:
                self._start(device, point, after)
            return
        spec = self._devices[device].profile.by_command.get(point)
        if spec is not None and spec.relinquish != "leave":
            self._start(device, point, gone._replace(value=spec.relinquish), held=False)

    def order(self, device: str, point: str, value: Value, level: int, cause: UUID | None) -> None:
        """Write a point once for a rule of this level; starts at once."""
        self._start(device, point, Claim("", value, level, 0, cause), held=False)

    def _start(self, device: str, point: str, claim: Claim, *, held: bool = True) -> None:
        """Write the value of `claim`; if it is `held`, only for as long as that value rules."""
        if self._group is None:
            raise RuntimeError("claim before Commands.run")
        not_after_ns = self._clock.boottime_ns() + int(COMMAND_LIFE_S * 1e9)
        command_id = str(uuid7(self._clock.time_ns()))
        command = Command(command_id, device, point, claim.value, not_after_ns, "rules", None, claim.cause)  # fmt: skip
        self._group.create_task(
            self.execute(command, level=claim.level, held=held), name=f"command:{device}.{point}"
        )

    # -- one command ----------------------------------------------------------------------------

    async def execute(
        self,
        command: Command,
        *,
        level: int = MANUAL_LEVEL,
        held: bool = False,
        first: Writer | None = None,
    ) -> CommandResult:
        """Run one command to its end and tell the result as an event of lane 0.

        `held`: it comes from a claim, and ends as superseded when its value no longer rules.
        `first` makes the first attempt of an idempotent command instead of the device's driver.
        """
        why = self._refusal(command)
        if why is not None:
            result = CommandResult(command, Outcome.REFUSED, why)
        elif self._overruled(command, level):
            result = CommandResult(
                command, Outcome.OVERRIDDEN, "a claim of higher priority holds it"
            )
        else:
            result = await self._perform(command, level, held=held, first=first)
        self._tell(result)
        return result

    def takes(self, command: Command, level: int = MANUAL_LEVEL) -> bool:
        """It would be written now."""
        return self._refusal(command) is None and not self._overruled(command, level)

    def refuse(self, command: Command, outcome: Outcome, reason: str) -> CommandResult:
        """End a command before it began, and tell it as any other."""
        result = CommandResult(command, outcome, reason)
        self._tell(result)
        return result

    def settle(self, interrupted: Iterable[tuple[str, bytes]]) -> None:
        """Tell what a crash came between: written or not, nobody knows, and never written again."""
        for command_id, body in interrupted:
            command = _intended(command_id, body)
            if command is not None:
                why = "the gateway stopped before its end was known"
                self.refuse(command, Outcome.UNKNOWN, why)
            self._ledger.command_done(command_id, Outcome.UNKNOWN.encode())

    def _refusal(self, command: Command) -> str | None:
        device = self._devices.get(command.device)
        if device is None:
            return f"unknown device {command.device}"
        spec = device.profile.by_command.get(command.point)
        if spec is None:
            names = ", ".join(device.profile.by_command) or "nothing"
            return f"{command.point} cannot be written; {device.profile.profile} takes {names}"
        if not self._section.allows(command.origin, device, command.point):
            return f"{command.origin} may not write {command.point} of {command.device}: commands.allow has no such line"
        outcome = self._ledger.command_outcome(command.id)
        if outcome is not None:
            return f"command {command.id} was executed before: {outcome or 'it is under way'}"
        return spec.refuse(command.value) or self._unmet(command, device)

    def _unmet(self, command: Command, device: Device) -> str | None:
        """What is wrong with the precondition: only a fresh, good value can meet it."""
        if command.precondition is None:
            return None
        point, wanted = command.precondition
        now = self._state.reading(command.device, point)
        if now is None or not _same(now.value, wanted):
            return f"precondition: {point} is {None if now is None else now.value}, not {wanted}"
        if now.quality is not None:
            return f"precondition: {point} is {now.quality.level}: {now.quality.reason}"
        age_s = (self._clock.boottime_ns() - now.received_ns) / 1e9
        if age_s > stale_after_s(device):
            return f"precondition: {point} was last read {age_s:.0f} s ago"
        return None

    def _overruled(self, command: Command, level: int) -> bool:
        strongest = _strongest(self._claims.get((command.device, command.point), {}))
        return (
            strongest is not None and strongest.level < level and strongest.value != command.value
        )

    async def _perform(
        self, command: Command, level: int, *, held: bool, first: Writer | None
    ) -> CommandResult:
        spec = self._devices[command.device].profile.by_command[command.point]
        self._newest[command.device, command.point] = command.id
        attempts = RETRIES + 1 if spec.idempotent else 1
        if spec.idempotent and command.origin in LOCAL:
            return await self._try(command, spec, level, held=held, attempts=attempts, first=first)
        try:  # at most once: the intent is on disk before anything moves
            await self._ledger.command_intent(command.id, _intent(command))
        except (StoreFull, StoreFailed) as error:
            return CommandResult(command, Outcome.REFUSED, f"the intent cannot be stored: {error}")
        together = first if spec.idempotent else None
        result = await self._try(command, spec, level, held=held, attempts=attempts, first=together)
        self._ledger.command_done(command.id, result.outcome.encode())
        return result

    async def _try(
        self,
        command: Command,
        spec: CommandSpec,
        level: int,
        *,
        held: bool,
        attempts: int,
        first: Writer | None = None,
    ) -> CommandResult:
        """Write until the device reports the value, at most `attempts` times."""
        place = (command.device, command.point)
        writer = self._writers[self._devices[command.device].section.link]
        result = CommandResult(command, Outcome.FAILED)
        for attempt in range(1, attempts + 1):
            if attempt > 1:
                await asyncio.sleep(BACKOFF_S[min(attempt - 2, len(BACKOFF_S) - 1)])
            if level > LIFE_LEVEL:
                await self._wait_turn(place, spec)
            why = self._superseded(command, place, held=held)
            if why:
                return CommandResult(command, Outcome.SUPERSEDED, why, None, attempt - 1)
            if self._clock.boottime_ns() > command.not_after_ns:
                return CommandResult(command, Outcome.EXPIRED, result.reason, None, attempt - 1)
            by = first if first is not None and attempt == 1 else writer
            result = await self._attempt(command, spec, by, attempt)
            if result.outcome is Outcome.CONFIRMED:
                break
        return result

    def _superseded(self, command: Command, place: Place, *, held: bool) -> str:
        """Why it must not be written any more, "" if it may."""
        if self._newest.get(place) != command.id:
            return "a newer command took over"
        ruling = _strongest(self._claims.get(place, {}))
        if held and (ruling is None or ruling.value != command.value):
            return "the claim was given back"
        return ""

    async def _wait_turn(self, place: Place, spec: CommandSpec) -> None:
        """At most one write a `min_write_interval`; what became newer meanwhile wins."""
        loop = asyncio.get_running_loop()
        wait_s = self._wrote.get(place, float("-inf")) + spec.min_write_interval - loop.time()
        if wait_s > 0:
            await asyncio.sleep(wait_s)

    async def _attempt(
        self, command: Command, spec: CommandSpec, writer: Writer, attempt: int
    ) -> CommandResult:
        """Write once and wait for the device to report the value.

        Feedback counts from the moment the write is sent: a fast device answers before the write
        call has returned.
        """
        sent_ns = self._clock.boottime_ns()
        self._wrote[command.device, command.point] = asyncio.get_running_loop().time()

        def accept(reading: Reading) -> bool:
            live = reading.received_ns >= sent_ns and reading.quality != RETAINED
            return live and _equal(reading.value, command.value, spec)

        with self._state.watch(command.device, spec.feedback, accept) as reported:
            try:
                async with asyncio.timeout(WRITE_TIMEOUT_S):
                    written = await writer.write(command)
            except (LinkDown, Refused) as error:
                return CommandResult(command, Outcome.FAILED, str(error), None, attempt)
            except TimeoutError:
                reason = f"no answer to the write within {WRITE_TIMEOUT_S:g} s"
                return CommandResult(command, Outcome.FAILED, reason, None, attempt)
            if written.outcome is not Outcome.WRITTEN:
                return written._replace(attempts=attempt)
            try:
                async with asyncio.timeout(spec.confirm.within):
                    reading = await reported
            except TimeoutError:
                now = self._state.reading(command.device, spec.feedback)
                reason = f"{spec.feedback} did not become {command.value} within {spec.confirm.within:g} s"
                shown = None if now is None else now.value
                return CommandResult(command, Outcome.UNCONFIRMED, reason, shown, attempt)
        return CommandResult(command, Outcome.CONFIRMED, "", reading.value, attempt)

    def _tell(self, result: CommandResult) -> None:
        command = result.command
        self.counters[result.outcome.value] += 1
        if self._told is not None:
            self._told(result)
        good = result.outcome in _GOOD
        attributes: dict[str, object] = {
            "command": command.id, "point": command.point, "value": command.value,
            "origin": command.origin, "outcome": result.outcome, "reason": result.reason,
            "reported": result.value, "attempts": result.attempts,
        }  # fmt: skip
        severity = Severity.TELEMETRY if good else Severity.OPERATIONAL
        self._emit(EventKind.COMMAND_RESULT, severity, command.device, attributes, command.cause)
        if not good:
            log.warning(
                "%s of %s to %s: %s: %s", command.point, command.device, command.value,
                result.outcome, result.reason, extra={"component": "commands"},
            )  # fmt: skip


_GOOD = frozenset({Outcome.CONFIRMED, Outcome.SUPERSEDED})


def _strongest(claims: Mapping[str, Claim]) -> Claim | None:
    return min(claims.values(), key=lambda claim: (claim.level, claim.rank), default=None)


def _intent(command: Command) -> bytes:
    return orjson.dumps({
        "device": command.device, "point": command.point, "value": command.value,
        "origin": command.origin,
    })  # fmt: skip


def _intended(command_id: str, body: bytes) -> Command | None:
    """None for the intents of a version before: these were the name of the device."""
    try:
        fields = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    if not isinstance(fields, dict):
        return None
    device, point, origin = (str(fields.get(key)) for key in ("device", "point", "origin"))
    return Command(command_id, device, point, fields.get("value", ""), 0, origin)


def _same(shown: Value | None, wanted: Value) -> bool:
    """`True` is not 1 here."""
    return shown == wanted and isinstance(shown, bool) == isinstance(wanted, bool)


def _equal(shown: Value | None, wanted: Value, spec: CommandSpec) -> bool:
    if isinstance(shown, bool) or isinstance(wanted, bool | str):
        return shown == wanted
    return isinstance(shown, int | float) and abs(shown - wanted) <= spec.confirm.tolerance

"""One command from its check to its end: may it, is it written, is it confirmed, and who is told."""

import asyncio
import logging
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Protocol
from uuid import UUID

import orjson

from gateway.allow import CommandsSection
from gateway.attempt import Plan, Writer, attempt, plan
from gateway.claims import LIFE_LEVEL, MANUAL, MANUAL_LEVEL, SAFETY_LEVEL, Claims, Place, Told
from gateway.clock import Clock
from gateway.driver import Device, stale_after_s
from gateway.errors import StoreFailed, StoreFull
from gateway.guard import Watches
from gateway.holds import Holds
from gateway.model import Command, CommandResult, Event, EventKind, Outcome, Severity, Value
from gateway.profile import CommandSpec
from gateway.state import State
from gateway.terms import AS_USUAL, Terms

log = logging.getLogger(__name__)

# Whose commands have new ids each time: what is idempotent of theirs may be done without an intent.
LOCAL = frozenset({"cli", "rules"})


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


class Execution:
    """Executes commands; one at a time for each point, the newest wins."""

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
        told: Told | None = None,
        holds: Holds | None = None,
    ) -> None:
        """`told` hears of every result, for the audit log. `holds` keeps what people hold."""
        self._section = section
        self._devices = devices
        self._writers = writers  # by link
        self._state = state
        self._ledger = ledger
        self._clock = clock
        self._emit = emit
        self._told = told
        self._claims = Claims()
        self._holds = holds or Holds(clock)
        self._watches = Watches()
        self._newest: dict[Place, str] = {}  # id of the command that may write there
        self._wrote: dict[Place, float] = {}  # loop time of the last write
        self.counters: Counter[str] = Counter()

    def adopt(self, section: CommandsSection) -> None:
        """Another allow list; the devices are other ones already. What is held of those that are gone
        is dropped, and what is under way to them ends.
        """
        self._section = section
        for place in [place for place in self._newest if not self._takes(place)]:
            del self._newest[place]
            self._wrote.pop(place, None)
            self._watches.leave(place)
            self._drop_manual(place)

    def _drop_manual(self, place: Place) -> None:
        """What a person wants now takes the place of what one held."""
        if self._holds.drop(place):
            self._claims.give_back(place, MANUAL)

    def _takes(self, place: Place) -> bool:
        """The point can be written."""
        device = self._devices.get(place[0])
        return device is not None and place[1] in device.profile.by_command

    async def execute(
        self,
        command: Command,
        *,
        level: int = MANUAL_LEVEL,
        held: bool = False,
        first: Writer | None = None,
        terms: Terms = AS_USUAL,
        before: CommandResult | None = None,
    ) -> CommandResult:
        """Run one command to its end and tell the result as an event of lane 0.

        `held`: it comes from a claim, and ends as superseded when its value no longer rules.
        `first` makes the first attempt of an idempotent command instead of the device's driver.
        `before` is how the write ended that this one repeats: the same failure is told once.
        """
        why = self._refusal(command)
        if why is not None:
            result = CommandResult(command, Outcome.REFUSED, why)
        elif self._overruled(command, level):
            result = CommandResult(
                command, Outcome.OVERRIDDEN, "a claim of higher priority holds it"
            )
        else:
            result = await self._perform(command, level, held=held, first=first, terms=terms)
        if before is None or result.outcome in _GOOD or result.outcome is not before.outcome:
            self._tell(result, level)
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

    def _spec(self, place: Place) -> CommandSpec | None:
        """None: after a reload there is no such device, or it takes no such command."""
        device = self._devices.get(place[0])
        return None if device is None else device.profile.by_command.get(place[1])

    def _overruled(self, command: Command, level: int) -> bool:
        strongest = self._claims.ruling((command.device, command.point))
        return (
            strongest is not None and strongest.level < level and strongest.value != command.value
        )

    async def _perform(
        self, command: Command, level: int, *, held: bool, first: Writer | None, terms: Terms
    ) -> CommandResult:
        spec = self._devices[command.device].profile.by_command[command.point]
        place = (command.device, command.point)
        self._newest[place] = command.id
        if not held:
            self._watches.leave(place)
            if command.origin != "rules":
                self._drop_manual(place)
        repeatable = spec.idempotent or (held and command.origin == "rules")
        how = plan(command.value, spec, terms, repeatable=repeatable)
        interval = spec.min_write_interval if level > LIFE_LEVEL else 0.0
        if repeatable and command.origin in LOCAL:
            return await self._try(command, how, interval, held=held, first=first)
        try:  # at most once: the intent is on disk before anything moves
            await self._ledger.command_intent(command.id, _intent(command))
        except (StoreFull, StoreFailed) as error:
            return CommandResult(command, Outcome.REFUSED, f"the intent cannot be stored: {error}")
        together = first if spec.idempotent else None
        result = await self._try(command, how, interval, held=held, first=together)
        self._ledger.command_done(command.id, result.outcome.encode())
        return result

    async def _try(
        self,
        command: Command,
        how: Plan,
        interval: float,
        *,
        held: bool,
        first: Writer | None = None,
    ) -> CommandResult:
        """Write until the device reports the value, at most as often as planned."""
        place = (command.device, command.point)
        result = CommandResult(command, Outcome.FAILED)
        for number in range(1, how.attempts + 1):
            if number > 1:
                await asyncio.sleep(how.pause(number))
            await self._wait_turn(place, interval)
            why = self._superseded(command, place, held=held)
            if why:
                return CommandResult(command, Outcome.SUPERSEDED, why, None, number - 1)
            if self._clock.boottime_ns() > command.not_after_ns:
                return CommandResult(command, Outcome.EXPIRED, result.reason, None, number - 1)
            writer = self._writers[self._devices[command.device].section.link]
            by = first if first is not None and number == 1 else writer
            self._wrote[place] = asyncio.get_running_loop().time()
            result = await attempt(command, how, by, self._state, self._clock)
            result = result._replace(attempts=number)
            if result.outcome is Outcome.CONFIRMED:
                break
        return result

    def _superseded(self, command: Command, place: Place, *, held: bool) -> str:
        """Why it must not be written any more, "" if it may."""
        if self._spec(place) is None:
            return "it is configured no more"
        if self._newest.get(place) != command.id:
            known = self._takes(place)
            return "a newer command took over" if known else "no longer configured"
        if held and not self._claims.rules(place, command.value):
            return "the claim was given back"
        return ""

    async def _wait_turn(self, place: Place, interval: float) -> None:
        """At most one write an interval (s); what became newer meanwhile wins."""
        wait_s = (
            self._wrote.get(place, float("-inf")) + interval - asyncio.get_running_loop().time()
        )
        if wait_s > 0:
            await asyncio.sleep(wait_s)

    def _tell(self, result: CommandResult, level: int = MANUAL_LEVEL) -> None:
        command = result.command
        self.counters[result.outcome.value] += 1
        if self._told is not None:
            self._told(result)
        good = result.outcome in _GOOD
        attributes: dict[str, object] = {
            "command": command.id, "point": command.point, "value": command.value,
            "origin": command.origin, "outcome": result.outcome, "reason": result.reason,
            "reported": result.value, "attempts": result.attempts,
            **({"by": command.by} if command.by else {}),
        }  # fmt: skip
        severity = Severity.TELEMETRY if good else severity_of(level)
        self._emit(EventKind.COMMAND_RESULT, severity, command.device, attributes, command.cause)
        if not good:
            log.warning(
                "%s of %s to %s: %s: %s", command.point, command.device, command.value,
                result.outcome, result.reason, extra={"component": "commands"},
            )  # fmt: skip


_GOOD = frozenset({Outcome.CONFIRMED, Outcome.SUPERSEDED, Outcome.LATE_CONFIRMED})


def severity_of(level: int) -> Severity:
    """Of the failure of a write: what its rule is there for."""
    if level <= LIFE_LEVEL:
        return Severity.LIFE
    return Severity.SAFETY if level <= SAFETY_LEVEL else Severity.OPERATIONAL


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

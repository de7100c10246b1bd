"""A lamp and its commands: what the tests of commands and claims share."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

from gateway.allow import CommandsSection
from gateway.claims import Claim
from gateway.commands import Commands
from gateway.driver import Device, DeviceSection
from gateway.errors import GatewayError
from gateway.model import (
    Command,
    CommandResult,
    Event,
    EventKind,
    Outcome,
    Quality,
    Sample,
    Severity,
    Value,
    uuid7,
)
from gateway.profile import Profile
from gateway.state import State
from tests.harness.virtual import LoopClock

LEVEL, BARRIER, MODE, ON = "light.level", "gate.open", "light.mode", "light.on"
PROFILE = Profile.model_validate({
    "profile": "test-light", "type": "light", "facility": "lights", "protocol": "test",
    "sources": ["tests"], "status": "bench",
    "points": [{"id": LEVEL, "unit": "%"}, {"id": "light.shown", "unit": "%"}, {"id": BARRIER}, {"id": MODE, "enum": {"0": "auto", "1": "hand"}}, {"id": ON}],
    "commands": [
        {"id": "level", "point": LEVEL, "range": [0, 100], "idempotent": True, "relinquish": 10,
         "min_write_interval": "1s", "confirm": {"point": "light.shown", "within": "2s", "tolerance": 1}},
        {"id": "barrier", "point": BARRIER, "min_write_interval": "1s", "confirm": {"within": "2s"}},
        {"id": "mode", "point": MODE, "enum": {"0": "auto", "1": "hand"}, "idempotent": True, "confirm": {"within": "2s"}},
        {"id": "on", "point": ON, "idempotent": True, "confirm": {"within": "2s"}},
    ],
})  # fmt: skip
SHOWN = {LEVEL: "light.shown"}
EVERYONE = {"allow": [{"origin": "cli", "devices": "*", "points": "*"}, {"origin": "rules", "devices": "*", "points": "*"}]}  # fmt: skip


class Shelf:
    """A ledger in memory that keeps the order of what happens."""

    def __init__(self, story: list[str]) -> None:
        self.story = story
        self.known: set[str] = set()
        self.done: dict[str, bytes] = {}
        self.failure: GatewayError | None = None

    def command_outcome(self, command_id: str) -> str | None:
        known = "" if command_id in self.known else None
        return self.done[command_id].decode() if command_id in self.done else known

    async def command_intent(self, command_id: str, body: bytes) -> None:
        if self.failure is not None:
            raise self.failure
        self.known.add(command_id)
        await asyncio.sleep(0)
        self.story.append("intent durable")

    def command_done(self, command_id: str, body: bytes) -> None:
        self.done[command_id] = body


class Lamp:
    """The device: obeys and reports, unless a test gives it faults.

    `faults` are taken one a write: an error is raised; a number of seconds is the time the write
    takes; None obeys at once. `mute` reports nothing; `early` reports before the write returns.
    """

    def __init__(self, story: list[str], report: Callable[[str, Value], None]) -> None:
        self.story = story
        self.report = report
        self.writes: list[tuple[float, str, Value]] = []
        self.faults: list[GatewayError | float | None] = []
        self.mute = False
        self.early = False
        self.offset = 0

    async def write(self, command: Command) -> CommandResult:
        loop = asyncio.get_running_loop()
        self.story.append(f"write {command.value}")
        self.writes.append((loop.time(), command.point, command.value))
        fault = self.faults.pop(0) if self.faults else None
        if isinstance(fault, GatewayError):
            raise fault
        if self.early:
            self._show(command)
        await asyncio.sleep(fault or 0)
        if not self.early and not self.mute:
            loop.call_later(0.1, self._show, command)
        return CommandResult(command, Outcome.WRITTEN)

    def _show(self, command: Command) -> None:
        value = command.value
        if self.offset and not isinstance(value, str):
            value += self.offset
        self.report(SHOWN.get(command.point, command.point), value)


class Rig:
    def __init__(self, allow: dict[str, Any] = EVERYONE) -> None:
        self.clock = LoopClock()
        self.story: list[str] = []
        self.events: list[Event] = []
        section = DeviceSection(profile="test-light", link="l", tags={"use": "street"})
        self.devices = {name: Device(name, PROFILE, section) for name in ("lamp-1", "lamp-2")}
        self.state = State(dict.fromkeys(self.devices, PROFILE))
        self.shelf = Shelf(self.story)
        self.lamp = Lamp(self.story, self.report)
        self.commands = Commands(
            CommandsSection.model_validate(allow), devices=self.devices,
            writers={"l": self.lamp}, state=self.state, ledger=self.shelf, clock=self.clock,
            emit=self.emit,
        )  # fmt: skip

    def report(self, point: str, value: Value, quality: Quality | None = None) -> None:
        found = {} if quality is None else {point: quality}
        self.state.update(
            Sample("lamp-1", self.clock.time_ns(), self.clock.boottime_ns(), 1, True, {point: value}, found)
        )  # fmt: skip

    def emit(
        self,
        kind: EventKind,
        severity: Severity,
        device: str,
        attributes: dict[str, object],
        cause: UUID | None = None,
    ) -> Event:
        event = Event(uuid7(), kind, severity, device, 0, 0, 1, True, attributes, cause)
        self.events.append(event)
        return event

    def command(
        self, point: str = LEVEL, value: Value = 60, *, life_s: float = 60.0, **more: Any
    ) -> Command:
        not_after_ns = self.clock.boottime_ns() + round(life_s * 1e9)
        fields = {"id": str(uuid7()), "device": "lamp-1", "origin": "cli", **more}
        return Command(point=point, value=value, not_after_ns=not_after_ns, **fields)

    def outcomes(self) -> list[object]:
        return [event.attributes["outcome"] for event in self.events]

    @property
    def written(self) -> list[Value]:
        return [value for _, _, value in self.lamp.writes]

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """With the owner of the claims' tasks; ends them at the end."""
        task = asyncio.create_task(self.commands.run())
        await asyncio.sleep(0)
        try:
            yield
        finally:
            task.cancel()
            await asyncio.wait({task})


def claim(holder: str, value: Value, level: int = 12, rank: int = 0) -> Claim:
    return Claim(holder, value, level, rank, None)

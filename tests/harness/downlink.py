"""A lamp that a platform may command: real broker, journal, audit log and sink; the lamp is ours."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from gateway.allow import CommandsSection
from gateway.audit import AuditLog
from gateway.audit_hooks import telling
from gateway.claims import Claim
from gateway.clock import SystemClock
from gateway.commands import Commands
from gateway.driver import Device, DeviceSection
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
from gateway.sinks.downlink import Downlink
from gateway.sinks.meter import Meter
from gateway.sinks.settings import DownlinkSection, UpstreamSection
from gateway.sinks.upstream import UpstreamSink
from gateway.state import State
from rules.trace import Traces
from simulators.platform import Platform, platform
from tests.harness.broker import HOST, Mosquitto
from tests.harness.site import FAST, GATEWAY, Site, running, site
from tests.unit.commands_site import LEVEL, ON, PROFILE, SHOWN

ORIGIN = "platform"
ALLOW = [
    {"origin": ORIGIN, "devices": ["lamp-1", "lamp-2"], "points": [LEVEL, ON, "light.mode"]},
    {"origin": "cli", "devices": "*", "points": "*"},
    {"origin": "elsewhere", "devices": "*", "points": "*"},
]


class Wall(SystemClock):
    """The machine's clock; `ahead_ns` sets the wall time alone, as a time server does."""

    ahead_ns = 0

    def time_ns(self) -> int:
        return super().time_ns() + self.ahead_ns


class Lamp:
    """Obeys and reports at once, unless it is held."""

    def __init__(self, state: State, clock: SystemClock) -> None:
        self.writes: list[tuple[str, str, Value]] = []
        self.go = asyncio.Event()
        self.go.set()
        self._state, self._clock = state, clock

    async def write(self, command: Command) -> CommandResult:
        self.writes.append((command.device, command.point, command.value))
        await self.go.wait()
        point = SHOWN.get(command.point, command.point)
        asyncio.get_running_loop().call_later(0.01, self.show, command.device, point, command.value)
        return CommandResult(command, Outcome.WRITTEN)

    def show(
        self,
        device: str,
        point: str,
        value: Value,
        quality: Quality | None = None,
        *,
        age_s: float = 0,
    ) -> None:
        received_ns = self._clock.boottime_ns() - round(age_s * 1e9)
        found = {} if quality is None else {point: quality}
        self._state.update(
            Sample(device, self._clock.time_ns(), received_ns, 1, True, {point: value}, found)
        )


class Back:
    """What a test of the way back looks at."""

    def __init__(self, place: Site, clock: Wall, section: dict[str, Any]) -> None:
        self.place, self.clock = place, clock
        lamps = {
            n: DeviceSection(profile="test-light", link="l") for n in ("lamp-1", "lamp-2", "lamp-3")
        }
        devices = {name: Device(name, PROFILE, each) for name, each in lamps.items()}
        self.state = State(dict.fromkeys(devices, PROFILE))
        self.lamp = Lamp(self.state, clock)
        self.audit = AuditLog(place.directory, clock)
        self.events: list[Event] = []
        self.commands = Commands(
            CommandsSection.model_validate({"allow": ALLOW}), devices=devices, writers={"l": self.lamp},
            state=self.state, ledger=place.store, clock=clock, emit=self._emit, told=telling(self.audit, Traces()),
        )  # fmt: skip
        self.downlink = Downlink(
            ORIGIN, DownlinkSection.model_validate(section), gateway_id=GATEWAY, commands=self.commands,
            ledger=place.store, audit=self.audit, clock=clock,
        )  # fmt: skip
        self.platform: Platform
        self.port = 0  # of the broker

    def _emit(
        self, kind: EventKind, severity: Severity, device: str, attributes: dict[str, object],
        cause: UUID | None = None,
    ) -> Event:  # fmt: skip
        now_ns = self.clock.time_ns()
        event = Event(
            uuid7(now_ns), kind, severity, device, now_ns, self.clock.boottime_ns(), 1, True, attributes, cause
        )  # fmt: skip
        self.events.append(event)
        self.place._append(event)
        return event

    def hold(self, point: str, value: Value, level: int) -> None:
        """A rule holds a point of lamp-1."""
        self.commands._claims.hold(("lamp-1", point), Claim("rule", value, level, 0, None))

    async def answers(self, count: int, within_s: float = 5) -> list[dict[str, Any]]:
        """The first `count` results that the platform got."""
        async with asyncio.timeout(within_s):
            await self.platform.until(lambda p: len(p.results) >= count)
        return list(self.platform.results)

    async def ask(self, device: str, point: str, value: object, **more: object) -> dict[str, Any]:
        """Send one command and get its answer."""
        had = len(self.platform.results)
        await self.platform.command(device, point, value, **more)
        return (await self.answers(had + 1))[had]


@asynccontextmanager
async def back(folder: Path, *, acl: Path | None = None, **section: object) -> AsyncIterator[Back]:
    """Everything up and connected. A second one in the same folder goes on where the first ended.

    `acl` is an access list for the broker, at which the gateway logs in by its id.
    """
    async with AsyncExitStack() as stack:
        lines = [f"acl_file {acl}"] if acl else []
        broker = await stack.enter_async_context(Mosquitto(folder / "broker", extra=lines))
        place = await stack.enter_async_context(site(folder / "state"))
        clock = await asyncio.to_thread(Wall)
        one = Back(place, clock, section)
        one.port = broker.port
        one.audit.start()
        stack.push_async_callback(one.audit.close, 5)
        one.platform = await stack.enter_async_context(
            platform(HOST, broker.port, GATEWAY, log=folder / "platform.jsonl")
        )
        owners = [asyncio.create_task(one.commands.run()), asyncio.create_task(one.downlink.run())]
        stack.push_async_callback(_end, owners)
        sink = UpstreamSink(
            ORIGIN, UpstreamSection.model_validate({"url": broker.url, "username": GATEWAY}), gateway_id=GATEWAY,
            store=place.store, clock=clock, tell=lambda *_: None, timing=FAST, downlink=one.downlink,
            meter=Meter(folder / "state", ORIGIN, ZoneInfo("UTC"), clock),
        )  # fmt: skip
        await stack.enter_async_context(running(sink))
        async with asyncio.timeout(10):
            await one.platform.until(lambda p: p.connected and p.gateway.get("online") is True)
        yield one


async def _end(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)

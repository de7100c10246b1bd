"""A real store that a test fills with alarms, events and samples, and a sink kept running."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from zoneinfo import ZoneInfo

from gateway.clock import SystemClock
from gateway.errors import LinkDown
from gateway.model import (
    EMPTY,
    Event,
    EventKind,
    Item,
    Level,
    Quality,
    Sample,
    Severity,
    Value,
    uuid7,
)
from gateway.sinks.meter import Meter
from gateway.sinks.settings import UpstreamSection
from gateway.sinks.sink import Sink
from gateway.sinks.upstream import UpstreamSink
from gateway.sinks.window import Timing
from gateway.store.points import Descriptions
from gateway.store.settings import StoreSettings
from gateway.store.store import Store

GATEWAY = "gw-test-01"
FAST = Timing(ack_timeout_s=0.4, backoff_s=0.1, longest_s=0.8, parked_s=2)


class Site:
    def __init__(self, directory: Path) -> None:
        self.clock = SystemClock()
        self.directory = directory
        self.store = Store(
            directory,
            gateway_id=GATEWAY,
            settings=StoreSettings.model_validate({"group_commit": "1s"}),
            clock=self.clock,
        )
        self.items: list[Item] = []
        self.told: list[tuple[EventKind, Severity, dict[str, object]]] = []  # by the sinks
        self._n = 0
        self._next_ns = 0

    async def open(self) -> None:
        await asyncio.to_thread(self.store.open)
        await self.store.start()
        self._n = self.store.last_n

    async def close(self) -> None:
        await self.store.close()

    def event(self, severity: Severity = Severity.LIFE, **attributes: object) -> Event:
        now_ns = self.clock.time_ns()
        event = Event(
            uuid7(now_ns), EventKind.POINT_ALARM, severity, "smoke-1", now_ns,
            self.clock.boottime_ns(), self.clock.boot, True, attributes,
        )  # fmt: skip
        self._append(event)
        return event

    def events(self, count: int, severity: Severity = Severity.LIFE) -> None:
        for number in range(count):
            self.event(severity, number=number)

    async def samples(self, count: int, *, points: int = 6, bad: bool = False) -> None:
        """One each ms, none twice; `bad`: with a point that could not be read."""
        start_ns = max(self.clock.time_ns() // 1_000_000 * 1_000_000, self._next_ns)
        self._next_ns = start_ns + count * 1_000_000
        values = {f"elec.voltage.l{number}": 230.0 + number for number in range(points)}
        quality = {"elec.power.total": Quality(Level.BAD, "timeout")} if bad else EMPTY
        for number in range(count):
            sample = Sample(
                f"meter-{number % 25}", start_ns + number * 1_000_000, self.clock.boottime_ns(),
                self.clock.boot, True, {**values, "elec.energy.total": float(number)}, quality,
            )  # fmt: skip
            while not self._append(sample):
                await self.store.room()

    async def sample(self, device: str, values: Mapping[str, Value]) -> None:
        """One, behind those that are there."""
        at = self._next_ns = max(self.clock.time_ns(), self._next_ns) + 1_000_000
        sample = Sample(device, at, self.clock.boottime_ns(), self.clock.boot, True, values)
        while not self._append(sample):
            await self.store.room()

    def unread(self, count: int) -> None:
        """Samples none of whose points could be read."""
        for _ in range(count):
            now_ns = self.clock.time_ns()
            quality = {"elec.power.total": Quality(Level.BAD, "timeout")}
            self._append(
                Sample(
                    "meter-1", now_ns, self.clock.boottime_ns(), self.clock.boot, True, {}, quality
                )
            )

    async def durable(self) -> None:
        await self.store.durable(self._n)

    def sink(
        self, url: str, timing: Timing = FAST, name: str = "platform", **section: object
    ) -> UpstreamSink:
        settings = UpstreamSection.model_validate({"url": url, **section})
        return UpstreamSink(
            name,
            settings,
            gateway_id=GATEWAY,
            store=self.store,
            clock=self.clock,
            tell=lambda *what: self.told.append(what),
            timing=timing,
            meter=Meter(self.directory, name, ZoneInfo("Asia/Shanghai"), self.clock),
        )

    def _append(self, item: Item) -> bool:
        numbered = item.numbered(self._n + 1)
        if not self.store.append(numbered):
            return False
        self._n += 1
        self.items.append(numbered)
        return True


@asynccontextmanager
async def site(directory: Path, infos: Descriptions | None = None) -> AsyncIterator[Site]:
    one = await asyncio.to_thread(Site, directory)  # the clock asks the file system
    if infos is not None:
        one.store.describe(infos)
    await one.open()
    try:
        yield one
    finally:
        await one.close()


@asynccontextmanager
async def running(sink: Sink) -> AsyncIterator[None]:
    """Start it again whenever its link goes down; any other error fails the test."""

    async def for_ever() -> None:
        while True:
            try:
                await sink.run()
            except LinkDown:
                await asyncio.sleep(0.05)

    task = asyncio.create_task(for_ever())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait({task})
        if not task.cancelled():
            task.result()

"""A whole simulated compound: meters, streetlights, brokers and platforms, as a plan asks for."""

import asyncio
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO

from simulators.broker import Broker, broker
from simulators.lights import Lights, Place
from simulators.modbus import Farm, serve
from simulators.modbus_meter import SimMeter
from simulators.platform import Platform, platform

INCIDENT_EVERY_S = 45.0
INCIDENT_FOR_S = 15.0
OVERVOLTAGE_V = 258.0  # a lost neutral somewhere upstream


@dataclass(frozen=True, slots=True)
class MeterBus:
    """Meters behind one Modbus TCP address."""

    host: str
    port: int
    meters: Sequence[SimMeter]


@dataclass(frozen=True, slots=True)
class LampStreet:
    """Streetlights on one broker."""

    host: str
    port: int
    lamps: Sequence[Place]
    interval_s: float = 5.0


@dataclass(frozen=True, slots=True)
class PlatformSite:
    """A community platform behind one broker."""

    host: str
    port: int
    gateway_id: str
    log: Path | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    buses: Sequence[MeterBus] = ()
    streets: Sequence[LampStreet] = ()
    platforms: Sequence[PlatformSite] = ()
    device_log: TextIO | None = None  # what every device showed, as JSON lines


@dataclass(slots=True)
class Compound:
    """What runs, for those who want to disturb it."""

    plan: Plan
    farms: list[Farm] = field(default_factory=list)
    lights: list[Lights] = field(default_factory=list)
    platforms: list[Platform] = field(default_factory=list)
    brokers: list[Broker] = field(default_factory=list)

    async def play(self, *, incidents: bool = False) -> None:
        """Let the lamps live, until cancelled.

        `incidents`: every 45 s the first meter of each bus shows 258 V for 15 s.
        """
        async with asyncio.TaskGroup() as group:
            for index, lights in enumerate(self.lights):
                group.create_task(lights.run(), name=f"lights:{index}")
            if incidents:
                group.create_task(self._incidents(), name="incidents")

    async def _incidents(self) -> None:
        while True:
            await asyncio.sleep(INCIDENT_EVERY_S - INCIDENT_FOR_S)
            self._set_voltage(OVERVOLTAGE_V)
            await asyncio.sleep(INCIDENT_FOR_S)
            self._set_voltage(None)

    def _set_voltage(self, volts: float | None) -> None:
        for bus, farm in zip(self.plan.buses, self.farms, strict=True):
            farm.set_voltage(bus.meters[0].device, volts)


@asynccontextmanager
async def compound(plan: Plan, *, seed: int = 1) -> AsyncIterator[Compound]:
    """Serve a plan for the time of the block, `Compound.play` apart; its files are temporary."""
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="compound-")))
        running = Compound(plan)
        await _start_servers(plan, seed, running, folder, stack)
        yield running


async def _start_servers(
    plan: Plan, seed: int, running: Compound, folder: Path, stack: AsyncExitStack
) -> None:
    addresses = {(street.host, street.port) for street in plan.streets}
    addresses |= {(site.host, site.port) for site in plan.platforms}
    for host, port in sorted(addresses):
        place = folder / f"broker-{port}"
        place.mkdir()
        running.brokers.append(await stack.enter_async_context(broker(host, port, place)))
    for index, site in enumerate(plan.platforms):
        log = site.log or folder / f"platform-{index}.jsonl"
        one = platform(site.host, site.port, site.gateway_id, log=log)
        running.platforms.append(await stack.enter_async_context(one))
    for bus in plan.buses:
        farm = serve(bus.host, bus.port, bus.meters, log=plan.device_log, seed=seed)
        running.farms.append(await stack.enter_async_context(farm))
    for street in plan.streets:
        lights = Lights(
            street.host, street.port, street.lamps, interval_s=street.interval_s, seed=seed,
            log=plan.device_log,
        )  # fmt: skip
        running.lights.append(lights)

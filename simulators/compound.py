"""A whole simulated compound, as a plan asks for: meters, streetlights, home alarms, platforms."""

import asyncio
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Literal, TextIO

import aiomqtt

from simulators.broker import Broker, broker
from simulators.home import Home, HomeRadio, home
from simulators.lights import Lights, Place
from simulators.modbus import (
    NO_TIME,
    Farm,
    Timing,
    Whims,
    on_serial_port,
    on_serial_server,
    on_tcp,
)
from simulators.modbus_meter import SimMeter
from simulators.platform import Platform, platform
from simulators.tasmota import TasmotaLamp, lamps_of
from simulators.zigbee2mqtt import Bridge, bridges_of

MQTT_PROFILES = frozenset(
    {"tasmota-light", "zigbee2mqtt-light"}
)  # beside those of the native dialect
DIM_EVERY_S = 10.0
INCIDENT_EVERY_S = 45.0
INCIDENT_FOR_S = 15.0
OVERVOLTAGE_V = 258.0  # a lost neutral somewhere upstream


@dataclass(frozen=True, slots=True)
class MeterBus:
    """Meters on one bus: Modbus TCP or a serial server at `host`, or a new serial port `path`."""

    host: str
    port: int
    meters: Sequence[SimMeter]
    transport: Literal["tcp", "rtu_over_tcp", "rtu"] = "tcp"
    path: Path = Path()
    timing: Timing = NO_TIME


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
    radios: Sequence[HomeRadio] = ()
    device_log: TextIO | None = None  # what every device showed, as JSON lines
    faults: float = 0.0  # the part (0 to 1) of the requests to meters that meets a fault


@dataclass(slots=True)
class Compound:
    """What runs, for those who want to disturb it."""

    plan: Plan
    farms: list[Farm] = field(default_factory=list)
    lights: list[Lights] = field(default_factory=list)
    tasmotas: list[tuple[TasmotaLamp, float]] = field(default_factory=list)  # with their interval
    bridges: list[tuple[Bridge, float]] = field(default_factory=list)
    platforms: list[Platform] = field(default_factory=list)
    brokers: list[Broker] = field(default_factory=list)
    home: Home | None = None

    async def play(self, *, incidents: bool = False) -> None:
        """Let the lamps and home alarms live, until cancelled.

        `incidents`: every 45 s the first meter of each bus shows 258 V for 15 s; doors open, somebody
        moves, help is called, water leaks, smoke rises; every 10 s the platforms dim a lamp.
        """
        async with asyncio.TaskGroup() as group:
            for index, lights in enumerate(self.lights):
                group.create_task(lights.run(), name=f"lights:{index}")
            if self.home is not None:
                group.create_task(self.home.air.run(incidents=incidents), name="home")
            for lamp, interval_s in self.tasmotas:
                group.create_task(lamp.run(interval_s), name="tasmota")
            for bridge, interval_s in self.bridges:
                group.create_task(bridge.run(interval_s), name="zigbee2mqtt")
            if incidents:
                group.create_task(self._incidents(), name="incidents")
                group.create_task(self._dim(), name="dim")

    async def _incidents(self) -> None:
        while True:
            await asyncio.sleep(INCIDENT_EVERY_S - INCIDENT_FOR_S)
            self._set_voltage(OVERVOLTAGE_V)
            await asyncio.sleep(INCIDENT_FOR_S)
            self._set_voltage(None)

    async def _dim(self) -> None:
        lamps = [lamp.device for street in self.plan.streets for lamp in street.lamps]
        for number in count():
            await asyncio.sleep(DIM_EVERY_S)
            for one in self.platforms if lamps else ():
                with suppress(aiomqtt.MqttError):  # not connected just now
                    lamp = lamps[number % len(lamps)]
                    await one.command(lamp, "light.level", 40 + number * 7 % 60)

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
    for index, bus in enumerate(plan.buses):
        farm = Farm(bus.meters, plan.device_log, seed)
        if plan.faults:
            farm.be_whimsical(Whims(f"{seed}/{index}", plan.faults))
        running.farms.append(await stack.enter_async_context(_served(bus, farm)))
    for street in plan.streets:
        _add_street(plan, street, seed, running)
    if plan.radios:
        at_home = home(plan.radios, seed=seed, log=plan.device_log)
        running.home = await stack.enter_async_context(at_home)


def _add_street(plan: Plan, street: LampStreet, seed: int, running: Compound) -> None:
    """Each lamp in the words of its profile."""
    where = street.host, street.port
    native = [place for place in street.lamps if place.profile.dialect == "native"]
    lights = Lights(*where, native, interval_s=street.interval_s, seed=seed, log=plan.device_log)
    running.lights.append(lights)
    tasmotas = lamps_of(*where, _with(street, "tasmota-light"), seed)
    bridges = bridges_of(*where, _with(street, "zigbee2mqtt-light"), seed)
    running.tasmotas += [(lamp, street.interval_s) for lamp in tasmotas]
    running.bridges += [(bridge, street.interval_s) for bridge in bridges]


def _with(street: LampStreet, profile: str) -> list[Place]:
    return [place for place in street.lamps if place.profile.profile == profile]


def _served(bus: MeterBus, farm: Farm) -> AbstractAsyncContextManager[Farm]:
    match bus.transport:
        case "rtu":
            return on_serial_port(farm, bus.path, bus.timing)
        case "rtu_over_tcp":
            return on_serial_server(farm, bus.host, bus.port, bus.timing)
        case "tcp":
            return on_tcp(farm, bus.host, bus.port, bus.timing)

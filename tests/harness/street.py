"""Lamps of several makes on a real broker: driver, state and commands of the gateway, without its disk."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

from drivers.mqtt.dialect import captures
from drivers.mqtt.driver import MqttDriver
from drivers.mqtt.settings import MqttDevice, MqttLink
from drivers.mqtt.spec import SPEC
from gateway.allow import CommandsSection
from gateway.clock import SystemClock
from gateway.commands import Commands
from gateway.document import load, mapping_at
from gateway.driver import Device
from gateway.group import Groups
from gateway.model import Command, CommandResult, Item, Outcome, Sample, Value, uuid7
from gateway.profile import Profile, find
from gateway.state import State
from simulators.lights import Place
from tests.harness.broker import Mosquitto, until
from tests.harness.recorder import Recorder
from tests.unit.commands_site import EVERYONE, Shelf

CLOCK = SystemClock()  # made before a loop runs: it asks the file system


def quick(name: str, **changes: object) -> Profile:
    """A shipped profile that confirms within a second and knows a failed lamp after 0.2 s."""
    path = find(name, [])
    assert path is not None
    raw: dict[str, Any] = {**mapping_at(load(path).value), **changes}
    raw["points"] = [
        {**p, "at": {**p["at"], "hold": "200ms"}} if "lit" in (p.get("at") or ()) and isinstance(p["at"], dict) else p for p in raw["points"]
    ]  # fmt: skip
    raw["commands"] = [
        {**c, "min_write_interval": "1ms", "confirm": {**c["confirm"], "within": "700ms"}} for c in raw["commands"]
    ]  # fmt: skip
    return Profile.model_validate(raw)


class _Bus(Recorder):
    """Tells the state, as the bus does."""

    def __init__(self, state: State) -> None:
        super().__init__()
        self.state = state

    async def publish(self, item: Item, *, held: bool = False) -> Item:
        numbered = await super().publish(item, held=held)
        if isinstance(item, Sample) and numbered.n == len(self.items):
            self.state.update(item)
        return numbered


class Street:
    """`devices` are configured on one broker; `bus` remembers what they said."""

    def __init__(self, broker: Mosquitto, devices: Sequence[Device]) -> None:
        self.clock = CLOCK
        self.devices = {device.id: device for device in devices}
        link = MqttLink.model_validate({"driver": "mqtt", "url": broker.url})
        driver = SPEC.build("field", link, devices, self.clock)
        assert isinstance(driver, MqttDriver)
        self.driver = driver
        self.bus = _Bus(State({device.id: device.profile for device in devices}))
        self.commands = Commands(
            CommandsSection.model_validate(EVERYONE), devices=self.devices, writers={"field": driver},
            state=self.bus.state, ledger=Shelf([]), clock=self.clock, emit=lambda *_: None,  # type: ignore[arg-type] # nobody looks at events here
        )  # fmt: skip
        self.groups = Groups(self.devices, {"field": driver}, self.commands)

    def place(self, name: str) -> Place:
        """For its simulator."""
        device = self.devices[name]
        section = device.section
        assert isinstance(section, MqttDevice)
        places = captures(device.profile, section)
        return Place(name, section.topic_id, device.profile, places, section.groups)

    def order(self, device: str, point: str, value: Value) -> Command:
        ident = str(uuid7(self.clock.time_ns()))
        return Command(ident, device, point, value, self.clock.boottime_ns() + 10**10, "cli")

    async def tell(self, device: str, point: str, value: Value) -> CommandResult:
        return await self.commands.execute(self.order(device, point, value))

    async def tell_group(self, group: str, point: str, value: Value) -> dict[str, Outcome]:
        results = await self.groups.execute(self.order(group, point, value))
        return {result.command.device: result.outcome for result in results}

    def value(self, device: str, point: str) -> Value | None:
        reading = self.bus.state.reading(device, point)
        return None if reading is None else reading.value


def device(name: str, profile: Profile, **section: object) -> Device:
    keys = {"profile": profile.profile, "link": "field", "topic_id": name, **section}
    return Device(name, profile, MqttDevice.model_validate(keys))


@asynccontextmanager
async def running(street: Street) -> AsyncIterator[Street]:
    """The driver is connected for the time of the block."""
    connects = street.driver.health.connects
    async with asyncio.TaskGroup() as group:
        tasks = [
            group.create_task(street.driver.run(street.bus)),
            group.create_task(street.commands.run()),
        ]
        try:
            await until(lambda: street.driver.health.connects > connects)
            yield street
        finally:
            for task in tasks:
                task.cancel()


@asynccontextmanager
async def living(*lives: Callable[[], Any]) -> AsyncIterator[None]:
    """Simulators at work for the time of the block."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(life()) for life in lives]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()

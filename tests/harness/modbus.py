"""What the tests of the Modbus driver share: profiles, a farm, a driver that runs."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from typing import TextIO

from drivers.modbus.driver import ModbusDriver
from drivers.modbus.settings import ModbusDevice, ModbusLink
from drivers.modbus.spec import SPEC
from gateway.clock import Clock
from gateway.driver import Device, Publisher
from gateway.errors import LinkDown
from gateway.model import Command, Value
from gateway.profile import Profile, load_profile, shipped_folder
from simulators.modbus import Farm, SimMeter, serve
from tests.harness.clock import FakeClock

FAST = {"fast": "100ms", "slow": "10m"}


def shipped(name: str) -> Profile:
    return load_profile(shipped_folder() / f"{name}.yaml")[0]


SDM120, SDM630 = shipped("eastron-sdm120"), shipped("eastron-sdm630")

ACTUATORS = Profile.model_validate({
    "profile": "actuators", "type": "test", "facility": "lights", "protocol": "modbus",
    "sources": ["this test"], "status": "code",
    "limits": {"timeout": "200ms", "max_gap": 4},
    "defaults": {"at": {"table": "holding", "type": "u16"}},
    "points": [
        {"id": "light.level", "unit": "%", "at": 0, "scale": "0.5", "min": 0, "max": 100},
        {"id": "heat.target", "unit": "Cel", "at": {"addr": 2, "type": "f32", "order": "CDAB"}},
        {"id": "door.lock", "kind": "state", "at": {"table": "coil", "addr": 7, "type": "bool"},
         "enum": {"0": "unlocked", "1": "locked"}},
        {"id": "pump.on", "kind": "state", "at": {"table": "coil", "addr": 8, "type": "bool"}},
    ],
    "commands": [
        {"id": "light.level", "point": "light.level", "at": 0, "range": [0, 100]},
        {"id": "heat.target", "point": "heat.target", "at": {"addr": 2, "type": "f32", "order": "CDAB"}, "range": [5, 30]},
        {"id": "door.lock", "point": "door.lock", "at": {"table": "coil", "addr": 7, "type": "bool"},
         "enum": {"0": "unlocked", "1": "locked"}},
        {"id": "pump.on", "point": "pump.on", "at": {"table": "coil", "addr": 8, "type": "bool"}},
    ],
})  # fmt: skip


def device(name: str, profile: Profile, unit: int, poll: object = FAST) -> Device:
    section = {"profile": profile.profile, "link": "meters", "unit": unit, "poll": poll}
    return Device(name, profile, ModbusDevice.model_validate(section))


def driver_for(port: int, devices: Sequence[Device], clock: Clock | None = None) -> ModbusDriver:
    link = ModbusLink(driver="modbus", host="127.0.0.1", port=port)
    built = SPEC.build("meters", link, devices, clock or FakeClock())
    assert isinstance(built, ModbusDriver)
    return built


@asynccontextmanager
async def running(driver: ModbusDriver, bus: Publisher) -> AsyncIterator[asyncio.Task[None]]:
    task = asyncio.create_task(driver.run(bus))
    try:
        yield task
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError, LinkDown):
            await task


def farm_of(
    *meters: tuple[str, Profile, int], log: TextIO | None = None
) -> AbstractAsyncContextManager[Farm]:
    return serve("127.0.0.1", 0, [SimMeter(*meter) for meter in meters], log=log)


def command(name: str, point: str, value: Value, *, not_after_ns: int = 1 << 62) -> Command:
    return Command("c-1", name, point, value, not_after_ns, "test")


async def eventually(fact: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not fact():
            await asyncio.sleep(0.01)

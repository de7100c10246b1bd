"""The scripts of tests/qemu on the simulated BlueZ; `make test-ble-real` runs them on the real one."""

import asyncio
import itertools
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from simulators.bluez.alert import Alert
from simulators.bluez.bluez import Bluez
from simulators.bluez.controller import Duplicates, Policy
from simulators.bluez.peripheral import Advert
from tests.harness.bluez import bluez, needs_dbus
from tests.qemu.all import ALL
from tests.qemu.scenarios import BATTERY_LEVEL, FULL, SCENARIOS, Stack

pytestmark = needs_dbus

INTERVAL_S = 0.01


class Simulated:
    """The simulated stack as the scripts want it."""

    address = "F0:F1:F2:F3:F4:02"
    patience_s, quiet_s, burst_s = 3.0, 0.1, 0.05

    def __init__(self, running: Bluez) -> None:
        self.running = running
        self.pendant = Alert(running, self.address)
        self.button = self.pendant.peripheral
        self.button.characteristic(BATTERY_LEVEL).value = FULL

    @asynccontextmanager
    async def advertising(self, data: bytes) -> AsyncIterator[None]:
        async with asyncio.TaskGroup() as group:
            repeating = group.create_task(self._repeat(data))
            try:
                yield
            finally:
                repeating.cancel()

    async def _repeat(self, data: bytes) -> None:
        for number in itertools.count():
            self.running.advertise(self.button, Advert({"fcd2": data}, rssi=-60 - number % 2))
            await asyncio.sleep(INTERVAL_S)

    async def notify(self, value: bytes) -> None:
        self.running.notify(self.button, BATTERY_LEVEL, value)

    async def alert(self, *, on: bool) -> None:
        (self.pendant.raise_alert if on else self.pendant.clear)()

    async def drop(self) -> None:
        self.running.drop(self.button)

    async def set_powered(self, *, on: bool) -> None:
        self.running.set_powered(on=on)

    async def kill(self) -> None:
        await self.running.crash(still_discovering=True)

    async def start(self, *, experimental: bool = True) -> None:
        await self.running.start(experimental=experimental)

    async def unplug(self) -> None:
        self.running.unplug()


@pytest.mark.parametrize("scenario", ALL)
async def test_the_simulated_stack_does_as_the_real_one(
    scenario: Callable[[Stack], Awaitable[None]],
) -> None:
    async with bluez() as running:
        await scenario(Simulated(running))


async def test_a_simulator_that_hides_nothing_would_be_noticed() -> None:
    async with bluez(Policy(duplicates=Duplicates.NONE)) as running:
        with pytest.raises(AssertionError):
            await SCENARIOS[0](Simulated(running))


async def test_without_qemu_the_real_stack_is_skipped_with_a_reason() -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.qemu", env={"PATH": ""}, stdout=asyncio.subprocess.PIPE
    )
    output, _ = await process.communicate()
    assert output.startswith(b"skipped: no qemu-system-x86_64. Install it with:")
    assert process.returncode == 0

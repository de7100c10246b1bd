"""What the gateway's own driver promises, as scripts that run on the simulated and on the real stack."""

import asyncio
import time
from collections.abc import Awaitable, Callable

from bleak import BleakClient

from drivers.ble.driver import BleDriver
from simulators.bluez.sensor import Kind, Sensor
from tests.harness.ble import KEY, device, driver_for, running, values
from tests.harness.bluez import until
from tests.harness.recorder import Recorder
from tests.qemu.scenarios import FULL, Stack

PRESSES = 20
AT_REST = bytes([0x40, 0x00, 0x00])


async def each_of_20_presses_is_told_once_although_the_controller_hides_repeats(
    stack: Stack,
) -> None:
    bus, driver, sos = _button(stack)
    async with running(driver, bus):
        for _ in range(PRESSES):
            await _press(stack, sos)
        await until(lambda: _presses(bus) >= PRESSES, stack.patience_s)
        await asyncio.sleep(stack.quiet_s)
    assert values(bus, "sos-1", "alarm.sos") == [True, False] * PRESSES


async def a_press_and_then_a_connection_is_one_event(stack: Stack) -> None:
    bus, driver, sos = _button(stack)
    async with running(driver, bus):
        sos.press()
        async with stack.advertising(sos.frame):
            await until(lambda: _presses(bus), stack.patience_s)
            found = await driver.fresh(stack.address)
            async with driver.paused(), BleakClient(found, timeout=stack.patience_s):
                pass
        await asyncio.sleep(stack.quiet_s)
    assert _presses(bus) == 1


async def a_recorded_press_is_no_press(stack: Stack) -> None:
    bus, driver, sos = _button(stack)
    async with running(driver, bus):
        sos.press()
        recorded = sos.frame
        sos.renew()
        for frame in (recorded, sos.frame, recorded):
            async with stack.advertising(frame):
                await asyncio.sleep(stack.burst_s)
        await asyncio.sleep(stack.quiet_s)
    assert _presses(bus) == 1


async def a_press_is_heard_again_after_bluetoothd_was_killed(stack: Stack) -> None:
    bus, driver, sos = _button(stack)
    async with running(driver, bus):
        await stack.kill()
        await stack.start()
        await _heard_again(stack, bus, sos)


async def a_press_is_heard_again_after_the_adapter_was_switched_off(stack: Stack) -> None:
    bus, driver, sos = _button(stack)
    async with running(driver, bus):
        await stack.set_powered(on=False)
        await _heard_again(stack, bus, sos)


async def a_connected_pendant_is_heard_and_asked_again_after_its_link_broke(stack: Stack) -> None:
    bus = Recorder()
    pendant = device("pendant-1", "ble-alert", stack.address, None, act_on_plain=True)

    def shown() -> list[object]:
        return values(bus, "pendant-1", "alarm.sos")

    async with running(driver_for([pendant], silence="5s"), bus):
        async with stack.advertising(AT_REST):
            await until(lambda: values(bus, "pendant-1", "battery.level"), stack.patience_s)
        await stack.alert(on=True)
        await until(lambda: shown()[-1:] == [True], stack.patience_s)
        await stack.drop()
        await stack.alert(on=False)  # nobody hears this
        async with stack.advertising(AT_REST):
            await until(lambda: shown()[-1:] == [False], stack.patience_s)
    assert values(bus, "pendant-1", "battery.level")[-1] == FULL[0]


DRIVER_SCENARIOS: tuple[Callable[[Stack], Awaitable[None]], ...] = (
    each_of_20_presses_is_told_once_although_the_controller_hides_repeats,
    a_press_and_then_a_connection_is_one_event,
    a_recorded_press_is_no_press,
    a_press_is_heard_again_after_bluetoothd_was_killed,
    a_press_is_heard_again_after_the_adapter_was_switched_off,
    a_connected_pendant_is_heard_and_asked_again_after_its_link_broke,
)


def _button(stack: Stack) -> tuple[Recorder, BleDriver, Sensor]:
    driver = driver_for([device("sos-1", "bthome-button", stack.address)], silence="5s")
    return Recorder(), driver, Sensor("sos-1", Kind.BUTTON, stack.address, KEY)


def _presses(bus: Recorder) -> int:
    return values(bus, "sos-1", "alarm.sos").count(True)


async def _press(stack: Stack, sos: Sensor) -> None:
    sos.press()
    async with stack.advertising(sos.frame):
        await asyncio.sleep(stack.burst_s)


async def _heard_again(stack: Stack, bus: Recorder, sos: Sensor) -> None:
    """Somebody presses until it is heard."""
    started, before = time.monotonic(), _presses(bus)
    async with asyncio.timeout(2 * stack.patience_s):
        while _presses(bus) == before:
            await _press(stack, sos)
    print(f"heard again after {time.monotonic() - started:.1f} s")

"""Connected alarms and advertising ones on one adapter, kept by the driver itself."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import NamedTuple

import pytest

from drivers.ble import gatt, link
from drivers.ble.driver import BleDriver
from drivers.ble.settings import BleDevice
from gateway.driver import Device
from gateway.model import EventKind, Level
from simulators.bluez.bluez import Bluez
from simulators.bluez.faults import Fault
from simulators.bluez.sensor import Kind, Sensor
from tests.harness.ble import (
    SMOKE,
    air,
    driver_for,
    events,
    running,
    sensor,
    shipped,
    smoke,
    values,
)
from tests.harness.bluez import bluez, needs_dbus, until
from tests.harness.gatt import ADDRESS, ID, Pendant
from tests.harness.recorder import Recorder

pytestmark = needs_dbus

ALERT = shipped("ble-alert")


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(link, "CONNECT_S", 0.5)
    monkeypatch.setattr(link, "REQUEST_S", 0.5)
    monkeypatch.setattr(link, "DISCONNECT_S", 0.5)
    monkeypatch.setattr(gatt, "BACKOFF_S", (0.01, 0.02))


class Home(NamedTuple):
    bluez: Bluez
    pendant: Pendant
    smoke: Sensor
    driver: BleDriver
    bus: Recorder

    async def burn(self) -> None:
        """The smoke detector tells of smoke, more than once, as it does."""
        self.smoke.show(on=True)
        await air(self.bluez, self.smoke)


@asynccontextmanager
async def home(*, grace: str = "1m") -> AsyncIterator[Home]:
    section = {"profile": "ble-alert", "link": "radio", "address": ADDRESS, "grace": grace}
    pendant_device = Device(ID, ALERT, BleDevice.model_validate(section))
    driver, bus = driver_for([pendant_device, smoke()]), Recorder()
    async with bluez() as daemon, asyncio.TaskGroup() as tasks:
        pendant = Pendant(daemon)
        pendant.peripheral.bonded = True
        sending = tasks.create_task(pendant.advertise())
        try:
            async with running(driver, bus):
                await bus.sample(ID, lambda sample: sample.values.get("alarm.sos") is False)
                await until(lambda: daemon.discovering)
                yield Home(daemon, pendant, sensor(Kind.SMOKE, SMOKE), driver, bus)
        finally:
            sending.cancel()


async def test_a_connected_and_an_advertising_alarm_are_told_side_by_side() -> None:
    async with home() as site:
        site.pendant.press()
        await site.burn()

        await site.bus.sample(ID, lambda sample: sample.values.get("alarm.sos") is True)
        await site.bus.sample("smoke-1", lambda sample: sample.values.get("alarm.smoke") is True)


async def test_without_the_adapter_a_connected_alarm_is_lost_at_once_and_missed_after_the_grace_time() -> (
    None
):
    async with home(grace="500ms") as site:
        after = len(site.bus.items)

        site.bluez.unplug()

        lost = await site.bus.sample(ID, lambda sample: "alarm.sos" in sample.quality, after=after)
        assert lost.quality["alarm.sos"] == (Level.BAD, "link_lost")
        down = [event for event in events(site.bus, EventKind.LINK_DOWN) if event.device == ID]
        assert down[0].attributes["reason"] in {"the adapter was lost", "it disconnected"}
        await site.bus.sample(ID, lambda sample: sample.values.get("alarm.silent") is True, after=after)  # fmt: skip
        site.pendant.unread = 1
        site.bluez.plug()
        await site.bus.sample(ID, lambda sample: sample.values.get("alarm.silent") is False, after=lost.n)  # fmt: skip
        await site.bus.sample(ID, lambda sample: sample.values.get("alarm.sos") is True, after=lost.n)  # fmt: skip


async def test_after_a_crash_of_bluetoothd_both_are_told_again() -> None:
    async with home() as site:
        after = len(site.bus.items)

        await site.bluez.crash()
        site.pendant.unread = 1
        await site.bluez.start()

        await site.bus.sample(ID, lambda sample: sample.values.get("alarm.sos") is True, after=after)  # fmt: skip
        await until(lambda: site.bluez.discovering)
        await site.burn()
        await site.bus.sample("smoke-1", lambda sample: sample.values.get("alarm.smoke") is True)


async def test_a_device_that_never_answers_a_connect_keeps_the_others_deaf_for_a_bounded_time() -> (
    None
):
    async with home() as site:
        site.bluez.faults.inject("Connect", Fault(hangs=True))
        site.bluez.drop(site.pendant.peripheral)
        calls = site.bluez.calls["Connect"]
        await until(lambda: site.bluez.calls["Connect"] > calls)

        await until(lambda: site.bluez.discovering, 2 * link.CONNECT_S)
        await site.burn()

        await site.bus.sample("smoke-1", lambda sample: sample.values.get("alarm.smoke") is True)


async def test_attempts_that_fail_leave_most_of_the_time_to_the_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(link, "CONNECT_S", 0.1)
    async with home() as site:
        site.bluez.faults.inject("Connect", Fault(hangs=True))
        site.bluez.drop(site.pendant.peripheral)
        calls = site.bluez.calls["Connect"]
        await until(lambda: site.bluez.calls["Connect"] > calls)
        begin = time.monotonic()

        await until(lambda: site.bluez.calls["Connect"] > calls + 1)

        assert time.monotonic() - begin >= 0.1 + gatt.HEARING * 0.1


async def test_a_device_that_comes_and_goes_leaves_most_of_the_time_to_the_others() -> None:
    async with home() as site:
        site.pendant.peripheral.connect_s = 0.2
        first = await next_connect(site)
        await until(lambda: site.bluez.connected(site.pendant.peripheral))

        assert await next_connect(site) - first >= 0.2 + gatt.HEARING * 0.2


async def next_connect(site: Home) -> float:
    """When the gateway tries again after the link broke."""
    calls = site.bluez.calls["Connect"]
    site.bluez.drop(site.pendant.peripheral)
    await until(lambda: site.bluez.calls["Connect"] > calls)
    return time.monotonic()


async def test_a_battery_change_is_refused_until_a_person_says_that_it_is_right() -> None:
    async with home() as site:
        await site.burn()
        await until(lambda: True in values(site.bus, "smoke-1", "alarm.smoke"))
        restarted = sensor(Kind.SMOKE, SMOKE, counter=2_000)
        restarted.show(on=False)
        await air(site.bluez, restarted)
        await until(lambda: events(site.bus, EventKind.SUSPICION))
        assert "rekey smoke-1" in site.driver.devices["smoke-1"].note
        assert False not in values(site.bus, "smoke-1", "alarm.smoke")

        site.driver.rekey("smoke-1")
        del site.bus.counters["smoke-1"]  # as the control verb does

        restarted.show(on=False)
        await air(site.bluez, restarted)
        await site.bus.sample("smoke-1", lambda sample: sample.values.get("alarm.smoke") is False)
        with pytest.raises(ValueError, match="it has no key"):
            site.driver.rekey(ID)

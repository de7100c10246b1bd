"""Adverts through a real message bus and unmodified bleak: each press once, no forgery at all."""

import asyncio

import pytest
from bleak import BleakClient

from drivers.ble import scan
from drivers.ble.scan import Scan
from gateway.health import LinkState
from gateway.model import EventKind
from simulators.bluez.controller import Duplicates, Policy
from simulators.bluez.peripheral import Advert, Peripheral
from simulators.bluez.sensor import Kind, Press
from tests.harness.ble import (
    KEY,
    SMOKE,
    SOS,
    air,
    button,
    driver_for,
    events,
    running,
    sensor,
    smoke,
    values,
)
from tests.harness.bluez import FCD2, bluez, needs_dbus, until
from tests.harness.recorder import Recorder

pytestmark = needs_dbus

PRESSES = 20


async def presses(policy: Policy, key: bytes | None) -> list[object]:
    """What the driver makes of 20 bursts of presses."""
    bus, driver = Recorder(), driver_for([button(key)])
    async with bluez(policy) as daemon, running(driver, bus):
        sos = sensor(Kind.BUTTON, SOS, key)
        for number in range(PRESSES):
            sos.press(Press(1 + number % 4))
            await air(daemon, sos)
        await until(lambda: driver.health.counters["adverts"] + daemon.hidden >= 6 * PRESSES)
        return values(bus, "sos-1", "alarm.sos")


@pytest.mark.parametrize("duplicates", [Duplicates.ADDRESS, Duplicates.ADDRESS_AND_DATA])
@pytest.mark.parametrize("rssi_step", [0, 8])
@pytest.mark.parametrize("key", [KEY, None])
async def test_of_20_bursts_of_presses_each_is_told_once_although_the_controller_filters(
    duplicates: Duplicates, rssi_step: int, key: bytes | None
) -> None:
    found = await presses(Policy(duplicates=duplicates, rssi_step=rssi_step), key)
    assert found == [True, False] * PRESSES


async def test_without_the_monitor_presses_are_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    """The sabotage of the test above."""

    async def no_monitor(self: Scan) -> None:
        self._lacking("sabotage")

    monkeypatch.setattr(Scan, "_watch", no_monitor)
    assert (await presses(Policy(duplicates=Duplicates.ADDRESS), KEY)).count(True) < PRESSES


@pytest.mark.parametrize("key", [KEY, None])
async def test_a_press_and_then_a_connection_is_one_event(key: bytes | None) -> None:
    bus, driver = Recorder(), driver_for([button(key)])
    async with bluez() as daemon, running(driver, bus):
        sos = sensor(Kind.BUTTON, SOS, key)
        sos.press()
        await air(daemon, sos, 1)
        await until(lambda: values(bus, "sos-1", "alarm.sos"))
        found = asyncio.ensure_future(driver.fresh(SOS))
        await asyncio.sleep(0)
        await air(daemon, sos, 1)
        async with driver.paused(), BleakClient(await found):
            assert daemon.connected(sos.peripheral)
        sos.renew()
        await air(daemon, sos, 1)
        await until(lambda: driver.health.counters["adverts"] == 3)
        assert values(bus, "sos-1", "alarm.sos") == [True, False]


async def test_a_press_while_another_device_is_being_connected_is_heard() -> None:
    bus, driver = Recorder(), driver_for([button()])
    async with bluez() as daemon, running(driver, bus):
        sos = sensor(Kind.BUTTON, SOS)
        async with driver.paused():
            assert not daemon.discovering
            sos.press()
            await air(daemon, sos)
            await until(lambda: values(bus, "sos-1", "alarm.sos") == [True, False])
        await until(lambda: daemon.discovering)
        sos.press()
        await air(daemon, sos)
        await until(lambda: values(bus, "sos-1", "alarm.sos") == [True, False] * 2)


async def test_a_press_again_after_the_hold_is_another_event_although_it_looks_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A button that counts nothing and forgets its packet number while it sleeps."""
    monkeypatch.setattr("drivers.ble.recent.HOLD_NS", 50_000_000)
    bus, driver = Recorder(), driver_for([button(None)])
    async with bluez() as daemon, running(driver, bus):
        sos = sensor(Kind.BUTTON, SOS, None)
        sos.press()
        for _ in range(3):
            await air(daemon, sos, 3)
            await asyncio.sleep(0.1)
        await until(lambda: driver.health.counters["adverts"] == 9)
        assert values(bus, "sos-1", "alarm.sos").count(True) == 3


async def test_a_forgery_has_no_effect_and_is_told_once() -> None:
    bus, driver = Recorder(), driver_for([smoke()])
    async with bluez() as daemon, running(driver, bus) as told:
        real = sensor(Kind.SMOKE, SMOKE)
        real.show(on=True)
        recorded = Advert({FCD2: real.frame})
        await air(daemon, real, 1)
        real.show(on=False)
        await air(daemon, real, 1)
        await until(lambda: values(bus, "smoke-1", "alarm.smoke") == [True, False])
        wrong = sensor(Kind.SMOKE, SMOKE, bytes(16), counter=9000)
        wrong.show(on=True)
        plain = sensor(Kind.SMOKE, SMOKE, None)
        plain.show(on=True)
        for _ in range(10):
            daemon.advertise(real.peripheral, recorded)
            for other in (wrong, plain):
                daemon.advertise(real.peripheral, other.advert())
        await until(lambda: driver.health.counters["adverts"] == 32)
        assert values(bus, "smoke-1", "alarm.smoke") == [True, False]
        suspicions = [one.attributes["reason"] for one in events(bus, EventKind.SUSPICION)]
        assert sorted(map(str, suspicions)) == ["downgrade", "replay_suspected", "wrong_key"]
        errors = driver.devices["smoke-1"].errors
        assert (errors["old_counter"], errors["mic"], errors["plain"]) == (10, 10, 10)
        assert told == [(LinkState.UP, "")]


async def test_recorded_frames_are_refused_by_the_next_process_too() -> None:
    bus = Recorder()
    async with bluez() as daemon:
        real = sensor(Kind.SMOKE, SMOKE)
        recorded = []
        async with running(driver_for([smoke()]), bus):
            for on in (True, False):
                real.show(on=on)
                recorded.append(Advert({FCD2: real.frame}))
                await air(daemon, real, 1)
            await until(lambda: values(bus, "smoke-1", "alarm.smoke") == [True, False])
        again = driver_for([smoke()])
        async with running(again, bus):
            for one in recorded:
                daemon.advertise(real.peripheral, one)
            await until(lambda: again.health.counters["adverts"] == 2)
            assert again.devices["smoke-1"].errors == {"old_counter": 1}
            assert again.health.counters["copies"] == 1
            assert values(bus, "smoke-1", "alarm.smoke") == [True, False]
            assert again.devices["smoke-1"].note.startswith("needs_rekey")
            again.rekey("smoke-1")
            del bus.counters["smoke-1"]  # as `gateway devices rekey` does
            daemon.advertise(real.peripheral, recorded[0])
            await until(lambda: len(values(bus, "smoke-1", "alarm.smoke")) == 3)


async def test_a_detector_that_falls_silent_is_missing_and_comes_back() -> None:
    bus, driver = Recorder(), driver_for([smoke(supervise="300ms")])
    async with bluez() as daemon, running(driver, bus):
        real = sensor(Kind.SMOKE, SMOKE)
        real.renew()
        await air(daemon, real, 1)
        await until(lambda: values(bus, "smoke-1", "alarm.silent") == [False, True])
        real.renew()
        await air(daemon, real, 1)
        await until(lambda: values(bus, "smoke-1", "alarm.silent") == [False, True, False])


async def test_without_experimental_interface_the_link_says_what_it_lacks_and_hears_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(scan, "CLEAR_S", 0.05)
    bus, driver = Recorder(), driver_for([button()])
    async with bluez(Policy(monitors=False)) as daemon, running(driver, bus):
        await until(lambda: "--experimental" in driver.health.note)
        sos = sensor(Kind.BUTTON, SOS)
        for _ in range(5):
            sos.press()
            count = values(bus, "sos-1", "alarm.sos").count(True)
            async with asyncio.timeout(5):
                while values(bus, "sos-1", "alarm.sos").count(True) == count:
                    await air(daemon, sos, 1)
        assert driver.health.state is LinkState.UP


async def test_a_monitor_that_was_given_back_is_registered_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(scan, "CLEAR_S", 0.02)
    monkeypatch.setattr(scan, "MONITOR_S", 0.1)
    driver = driver_for([button()])
    async with bluez() as daemon, running(driver, Recorder()):
        assert daemon.monitored
        daemon.release_monitors()
        await until(lambda: "gave the advertisement monitor back" in driver.health.note)
        await until(lambda: daemon.monitored and not driver.health.note)


async def test_a_gateway_with_several_adapters_needs_to_be_told_which() -> None:
    two = {"hci0": "00:11:22:33:44:00", "hci1": "00:11:22:33:44:01"}
    bus = Recorder()
    async with bluez(adapters=two) as daemon:
        lost = driver_for([smoke()])
        with pytest.raises(Exception, match="2 Bluetooth adapters: write which one"):
            await lost.run(bus)
        one = driver_for([smoke()], adapter=two["hci1"])
        async with running(one, bus):
            real = sensor(Kind.SMOKE, SMOKE)
            daemon.advertise(real.peripheral, real.advert(), "hci0")
            daemon.advertise(real.peripheral, real.advert(), "hci1")
            await until(lambda: bus.of("smoke-1"))
            assert one.health.counters["adverts"] == 1


async def test_a_crowd_of_strangers_takes_no_memory_and_hides_nobody() -> None:
    bus, driver = Recorder(), driver_for([button()])
    async with bluez() as daemon, running(driver, bus):
        sos = sensor(Kind.BUTTON, SOS)
        for number in range(500):
            stranger = Peripheral(f"C0:00:00:00:{number // 256:02X}:{number % 256:02X}")
            daemon.advertise(stranger, Advert({FCD2: sos.frame}))
            if number % 100 == 0:
                sos.press()
                await air(daemon, sos, 1)
        await until(lambda: values(bus, "sos-1", "alarm.sos") == [True, False] * 5)
        scanned = driver._scan
        assert scanned is not None
        await until(lambda: scanned.foreign >= 500)
        assert list(scanned._seen) == [SOS]
        assert {item.device for item in bus.items} == {"sos-1"}

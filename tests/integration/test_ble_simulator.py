"""The simulated BlueZ as unmodified bleak sees it: what is in the air, faults, and large crowds."""

import asyncio
import time

import pytest
from bleak import BleakClient
from bleak.exc import BleakError

from simulators.bluez.air import Air
from simulators.bluez.alert import ALERT_LEVEL, BATTERY_LEVEL, CONTROL_POINT, NEW_ALERT, Alert
from simulators.bluez.bluez import simulated
from simulators.bluez.bthome import UUID
from simulators.bluez.bus import private_bus
from simulators.bluez.controller import Duplicates, Policy
from simulators.bluez.faults import ALL, Fault
from simulators.bluez.peripheral import Advert, Peripheral
from simulators.bluez.sensor import Kind, Sensor
from simulators.compound import Plan, compound
from simulators.home import BUS, CONNECTED, HomeAlarm, HomeRadio
from tests.harness.bluez import Ear, bluez, monitor, needs_dbus, until

pytestmark = needs_dbus

KEY = bytes(range(16))


async def test_a_press_is_heard_although_three_of_four_copies_are_lost() -> None:
    async with bluez() as running, monitor():
        await until(lambda: running.monitored)
        button = Sensor("sos-1", Kind.BUTTON, "54:48:E6:8F:80:A5", KEY)
        air = Air(running, [button], loss=0.75, seed=3)
        ear = Ear()
        async with ear.scanner():
            button.press()
            await air.send(button)
            await ear.hears(button.frame)
        assert 0 < air.lost < 6
        assert len(ear.calls) == 6 - air.lost


@pytest.mark.parametrize(
    ("policy", "heard"),
    [(Duplicates.NONE, 4), (Duplicates.ADDRESS, 1), (Duplicates.ADDRESS_AND_DATA, 2)],
)
async def test_without_monitor_the_controller_hides_what_it_takes_for_repeats(
    policy: Duplicates, heard: int
) -> None:
    async with bluez(Policy(duplicates=policy)) as running:
        ear = Ear()
        async with ear.scanner():
            some = Peripheral("54:48:E6:8F:80:A5")
            told = [
                running.advertise(some, Advert({UUID: one})) for one in (b"a", b"a", b"b", b"b")
            ]
        assert sum(told) == heard
        assert running.hidden == 4 - heard


async def test_a_monitor_that_is_given_back_lets_the_controller_hide_repeats_again() -> None:
    async with bluez() as running, monitor():
        await until(lambda: running.monitored)
        some = Peripheral("54:48:E6:8F:80:A5")
        async with Ear().scanner():
            assert all(running.advertise(some, Advert({UUID: b"a"})) for _ in range(3))
            running.release_monitors()
            assert [running.advertise(some, Advert({UUID: b"a"})) for _ in range(3)] == [
                True,
                False,
                False,
            ]


async def test_a_thousand_new_devices_at_once_and_4000_more_adverts_arrive_whole() -> None:
    """Without back-pressure dbus-fast ends its connection at about 200 objects."""
    async with bluez(Policy(duplicates=Duplicates.NONE)) as running:
        ear = Ear()
        crowd = [Peripheral(f"C0:00:00:00:{n // 256:02X}:{n % 256:02X}") for n in range(1000)]
        async with ear.scanner():
            for one in crowd:
                assert running.advertise(one, Advert({UUID: b"first"}))
            await until(lambda: len(ear.calls) == 1000, 10)
            assert len(ear.devices) == 1000
            for number in range(4000):
                running.advertise(crowd[number % 1000], Advert({UUID: number.to_bytes(4)}))
            await until(lambda: len(ear.calls) == 5000, 10)
        assert ear.calls[1000:] == [number.to_bytes(4) for number in range(4000)]


async def test_after_a_crash_in_a_scan_the_kernel_may_go_on_until_its_power_is_cycled() -> None:
    async with bluez() as running:
        await Ear().scanner().start()
        await running.crash(still_discovering=True)
        await running.start()
        for _ in range(2):
            with pytest.raises(BleakError, match="InProgress"):
                await Ear().scanner().start()
        running.set_powered(on=False)
        running.set_powered(on=True)
        async with Ear().scanner():
            assert running.discovering


async def test_a_dongle_comes_back_under_another_name() -> None:
    async with bluez() as running:
        ear, old = Ear(), Ear().scanner()
        await old.start()
        running.unplug("hci0")
        running.plug("hci1")
        with pytest.raises(BleakError, match="UnknownObject"):
            await old.stop()
        async with ear.scanner(adapter="hci1"):
            running.advertise(Peripheral("54:48:E6:8F:80:A5"), Advert({UUID: b"a"}))
            await ear.hears(b"a")
        with pytest.raises(BleakError, match="hci0"):
            await Ear().scanner(adapter="hci0").start()


async def test_slow_answers_and_answers_that_fail_once_are_those_that_were_asked_for() -> None:
    async with bluez() as running:
        running.faults.inject(ALL, Fault(delay_s=0.05))
        started = time.monotonic()
        async with Ear().scanner():
            assert time.monotonic() - started >= 0.1, "SetDiscoveryFilter and StartDiscovery"
            running.faults.heal()
        assert running.calls["StartDiscovery"] == 1


async def test_an_alert_is_notified_acknowledged_and_sounds() -> None:
    heard: list[bytes] = []
    async with bluez() as running, monitor():
        alert = Alert(running, "C4:7C:8D:6A:00:01")
        ear = Ear()
        async with ear.scanner():
            running.advertise(alert.peripheral, alert.advert())
            await until(lambda: ear.devices)
        async with BleakClient(ear.devices[alert.address]) as client:
            assert running.connected(alert.peripheral)
            await client.start_notify(NEW_ALERT, lambda _one, value: heard.append(bytes(value)))
            assert alert.raise_alert()
            await until(lambda: heard == [b"\x08\x01SOS"])
            await client.write_gatt_char(CONTROL_POINT, b"\x04\xff", response=True)
            await until(lambda: len(heard) == 2)
            await client.write_gatt_char(ALERT_LEVEL, b"\x02", response=False)
            assert await client.read_gatt_char(BATTERY_LEVEL) == b"\x58"
        assert (alert.level, alert.commands) == (2, [b"\x04\xff"])
        await until(lambda: not running.connected(alert.peripheral))


async def test_a_device_that_was_paired_once_stays_bonded() -> None:
    async with bluez() as running, monitor():
        alert = Alert(running, "C4:7C:8D:6A:00:01")
        for _ in range(2):
            ear = Ear()
            async with ear.scanner():
                running.advertise(alert.peripheral, alert.advert())
                await ear.hears(b"")
            async with BleakClient(ear.devices[alert.address], pair=True):
                assert running.connected(alert.peripheral)
        assert running.calls["Pair"] == 1
        assert alert.peripheral.bonded


async def test_the_air_lives_until_it_is_cancelled() -> None:
    async with bluez() as running, monitor():
        await until(lambda: running.monitored)
        sensors = [
            Sensor(kind, kind, f"54:48:E6:8F:80:{n:02X}", KEY) for n, kind in enumerate(Kind)
        ]
        air = Air(running, sensors, [Alert(running, "C4:7C:8D:6A:00:01")])
        ear = Ear()
        async with ear.scanner(), asyncio.TaskGroup() as group:
            living = group.create_task(air.run(incidents=True))
            await until(lambda: len(ear.devices) == 5)
            living.cancel()
        assert not ear.devices.keys() & {sensors[-1].address}, (
            "a button is silent until it is pressed"
        )


async def test_a_plan_puts_its_home_alarms_on_a_bus_of_its_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv(BUS, raising=False)
    alarms = [
        HomeAlarm("smoke-1", "bthome-smoke", "54:48:E6:8F:80:A5", KEY),
        HomeAlarm("alert-1", CONNECTED, "C4:7C:8D:6A:00:01", None),
    ]
    async with compound(Plan(radios=[HomeRadio("DC:A6:32:11:22:33", alarms)])) as running:
        assert running.home is not None
        monkeypatch.setenv(BUS, running.home.bus)
        ear = Ear()
        async with ear.scanner(), asyncio.TaskGroup() as group:
            playing = group.create_task(running.play())
            await until(lambda: len(ear.devices) == 2)
            playing.cancel()


async def test_a_second_bluez_on_a_bus_is_refused() -> None:
    async with private_bus() as address, simulated(address):
        with pytest.raises(OSError, match="there is a BlueZ at unix:path="):
            async with simulated(address):
                pytest.fail("it started")

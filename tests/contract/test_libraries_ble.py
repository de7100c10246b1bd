"""What drivers/ble relies on in bleak 3.1 and BlueZ, and what it has to make good.

The BlueZ is simulated (simulators/bluez), bleak, dbus-fast and dbus-daemon are real. Numbers as in
docs/libraries.md. A test marked xfail(strict) states the behaviour we would like: when a new version
turns it green, the workaround named in the reason can go.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from bleak import BleakClient
from bleak.backends.device import BLEDevice
from bleak.backends.scanner import AdvertisementData
from bleak.exc import BleakError
from bthome_ble.parser import BTHomeBluetoothDeviceData
from habluetooth import BluetoothServiceInfoBleak

from simulators.bluez.bluez import Bluez
from simulators.bluez.controller import Cure, Duplicates, Policy
from simulators.bluez.faults import Fault
from simulators.bluez.names import bluez_error, in_progress
from simulators.bluez.peripheral import Advert, Characteristic, Peripheral, Service
from simulators.bluez.sensor import Kind, Sensor
from tests.harness.bluez import FCD2, Ear, bluez, monitor, needs_dbus, until

pytestmark = needs_dbus

SOS, KEY = "54:48:E6:8F:80:A5", bytes(range(16))
BATTERY, BATTERY_LEVEL = "180f", "2a19"
QUIET_S = 0.1  # more than ten times what a callback takes: nothing came
NEWER = Policy(rssi_step=8)  # BlueZ after 5.87


def button() -> Peripheral:
    level = Characteristic(BATTERY_LEVEL, ["read", "notify"], b"\x57")
    return Peripheral(SOS, "SOS", services=[Service(BATTERY, [level])])


def press(packet: int, rssi: int = -60) -> Advert:
    return Advert({"fcd2": payload(packet)}, rssi=rssi)


def payload(packet: int) -> bytes:
    return bytes([0x44, 0x00, packet, 0x3A, 0x01])


async def silence(ear: Ear) -> bool:
    """True if no callback comes for QUIET_S."""
    before = len(ear.calls)
    await asyncio.sleep(QUIET_S)
    return len(ear.calls) == before


def sealed(counter: int) -> bytes:
    """A smoke detector's frame under KEY."""
    smoke = Sensor("smoke-1", Kind.SMOKE, SOS, KEY, counter=counter - 1)
    return smoke.frame


def accepts(parser: BTHomeBluetoothDeviceData, data: bytes) -> bool:
    """True if the parser of others takes values out of it."""
    advert = AdvertisementData(None, {}, {FCD2: data}, [], None, -60, ())
    found = parser.update(
        BluetoothServiceInfoBleak.from_device_and_advertisement_data(
            BLEDevice(SOS, None, {}), advert, "test", 0.0, connectable=False
        )
    )
    return bool(found.binary_entity_values)


@asynccontextmanager
async def scanning(running: Bluez, *, monitored: bool = True) -> AsyncIterator[Ear]:
    """An active scanner beside a monitor, stopped whatever has become of bluetoothd."""
    ear = Ear()
    passive, active = monitor(), ear.scanner()
    if monitored:
        await passive.start()
        await until(lambda: running.monitored)
    await active.start()
    try:
        yield ear
    finally:
        for scanner in (active, passive):
            with contextlib.suppress(BleakError):
                await scanner.stop()


@asynccontextmanager
async def connected(running: Bluez, sos: Peripheral) -> AsyncIterator[BleakClient]:
    async with scanning(running) as ear:
        running.advertise(sos, press(1))
        await ear.hears(payload(1))
    client = BleakClient(ear.devices[sos.address])
    await client.connect()
    try:
        yield client
    finally:
        with contextlib.suppress(BleakError, EOFError):
            await client.disconnect()


@pytest.mark.xfail(
    strict=True,
    raises=TimeoutError,
    reason="T40: nobody tells; drivers/ble watches NameOwnerChanged",
)
async def test_t40_a_client_is_told_that_bluetoothd_is_gone() -> None:
    async with bluez() as running, connected(running, button()) as client:
        await running.crash()
        await until(lambda: not client.is_connected, 0.3)


@pytest.mark.xfail(
    strict=True, raises=TimeoutError, reason="T40: deaf for ever; drivers/ble starts a new scanner"
)
async def test_t40_a_scanner_hears_again_after_a_restart_of_bluetoothd() -> None:
    async with bluez() as running, scanning(running) as ear:
        await running.crash()
        await running.start()
        running.advertise(button(), press(1))
        await ear.hears(payload(1), 0.3)


async def test_t40_after_a_restart_a_new_scanner_hears_and_the_old_one_cannot_be_stopped() -> None:
    async with bluez() as running:
        old, new = Ear().scanner(), Ear()
        await old.start()
        await running.crash()
        await running.start()
        with pytest.raises(BleakError, match="No discovery started"):
            await old.stop()
        async with new.scanner():
            running.advertise(button(), press(2))
            await new.hears(payload(2))


async def test_t40_a_read_while_bluetoothd_is_gone_fails_at_once() -> None:
    async with bluez() as running, connected(running, button()) as client:
        await running.crash()
        with pytest.raises(BleakError, match="ServiceUnknown"):
            await client.read_gatt_char(BATTERY_LEVEL)


@pytest.mark.xfail(
    strict=True,
    raises=TimeoutError,
    reason="T41: no error and no advert; drivers/ble watches Powered",
)
async def test_t41_a_scanner_hears_again_after_the_adapter_was_off() -> None:
    async with bluez() as running, scanning(running, monitored=False) as ear:
        running.set_powered(on=False)
        running.set_powered(on=True)
        running.advertise(button(), press(1))
        await ear.hears(payload(1), 0.3)


async def test_t41_a_scan_on_an_adapter_that_is_off_or_missing_is_refused() -> None:
    async with bluez() as running:
        running.set_powered(on=False)
        with pytest.raises(BleakError, match="NotReady"):
            await Ear().scanner().start()
        running.unplug()
        await asyncio.sleep(QUIET_S)  # bleak has to hear of it
        with pytest.raises(BleakError, match="hci0"):
            await Ear().scanner().start()


@pytest.mark.xfail(
    strict=True,
    raises=TimeoutError,
    reason="T42: nothing says so; drivers/ble has a silence watchdog",
)
async def test_t42_a_stalled_radio_is_noticed() -> None:
    async with bluez() as running, scanning(running) as ear:
        running.stall(Cure.DISCOVERY)
        running.advertise(button(), press(1))
        await ear.hears(payload(1), 0.3)


async def test_t42_a_new_scanner_ends_a_stall_of_discovery_and_a_power_cycle_the_deeper_one() -> (
    None
):
    async with bluez() as running:
        for cure in Cure:
            running.stall(cure)
            if cure is Cure.POWER:
                running.set_powered(on=False)
                running.set_powered(on=True)
            async with scanning(running) as ear:
                running.advertise(button(), press(1))
                await ear.hears(payload(1))


@pytest.mark.xfail(
    strict=True,
    raises=TimeoutError,
    reason="T43: the controller hides them; drivers/ble has a monitor",
)
async def test_t43_duplicate_data_alone_brings_every_press() -> None:
    async with bluez() as running, scanning(running, monitored=False) as ear:
        for packet in range(4):
            running.advertise(button(), press(packet))
        await ear.hears(payload(3), 0.3)


@pytest.mark.parametrize("rssi_step", [0, 8], ids=["5.66", "after 5.87"])
@pytest.mark.parametrize("duplicates", list(Duplicates))
async def test_t43_a_monitor_beside_the_scanner_brings_every_report_in_order(
    duplicates: Duplicates, rssi_step: int
) -> None:
    policy = Policy(duplicates=duplicates, rssi_step=rssi_step)
    async with bluez(policy) as running, scanning(running) as ear:
        sos = button()
        for packet in (1, 2, 2, 2, 3):
            assert running.advertise(sos, press(packet)), "signalled although nothing changed"
        await until(lambda: len(ear.calls) == 5)
        assert ear.calls == [payload(packet) for packet in (1, 2, 2, 2, 3)]


@pytest.mark.parametrize(
    ("policy", "told"), [(Policy(), True), (NEWER, False)], ids=["5.66", "after 5.87"]
)
async def test_t43_without_duplicate_data_newer_versions_hide_an_unchanged_advert(
    policy: Policy, *, told: bool
) -> None:
    async with bluez(policy) as running, monitor():
        ear = Ear()
        async with ear.scanner(duplicates=False):
            await until(lambda: running.monitored)
            sos = button()
            assert running.advertise(sos, press(1))
            assert running.advertise(sos, press(1, rssi=-63)) is told


async def test_t43_a_monitor_alone_calls_back_once_for_an_unchanged_advert() -> None:
    async with bluez() as running, monitor():
        await until(lambda: running.monitored)
        sos = button()
        assert [running.advertise(sos, press(1)) for _ in range(3)] == [True, False, False]


async def test_t43_without_experimental_the_monitor_is_refused_with_a_clear_text() -> None:
    async with bluez(Policy(monitors=False)):
        with pytest.raises(BleakError, match="requires BlueZ"):
            await monitor().start()


@pytest.mark.xfail(
    strict=True, reason="T44: old data again; drivers/ble goes by packet and counter"
)
async def test_t44_one_press_is_one_callback() -> None:
    async with bluez() as running, scanning(running) as ear:
        sos = button()
        running.advertise(sos, press(1))
        await ear.hears(payload(1))
        async with BleakClient(ear.devices[sos.address]):
            pass
        await silence(ear)
        assert ear.calls == [payload(1)]


async def test_t45_start_and_connect_hang_for_as_long_as_bluetoothd_does_and_can_be_cancelled() -> (
    None
):
    async with bluez() as running:
        running.faults.inject("StartDiscovery", Fault(hangs=True))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(QUIET_S):
                await Ear().scanner().start()
        running.faults.heal()
        async with scanning(running) as ear:
            running.advertise(button(), press(1))
            await ear.hears(payload(1))
            running.faults.inject("Connect", Fault(hangs=True))
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(QUIET_S):
                    await BleakClient(ear.devices[button().address]).connect()


async def test_t45_in_progress_and_failed_stops_are_errors_of_bleak() -> None:
    async with bluez() as running:
        running.faults.inject("StartDiscovery", Fault(in_progress()), times=1)
        with pytest.raises(BleakError, match="InProgress"):
            await Ear().scanner().start()
        scanner = Ear().scanner()
        await scanner.start()
        running.faults.inject("StopDiscovery", Fault(bluez_error("Failed", "tx timeout")), times=1)
        with pytest.raises(BleakError, match="tx timeout"):
            await scanner.stop()


async def test_t46_a_second_active_scanner_of_one_process_is_in_progress() -> None:
    async with bluez() as running, scanning(running):
        with pytest.raises(BleakError, match="InProgress"):
            await Ear().scanner().start()


async def test_t46_a_device_is_unknown_once_it_was_silent_for_long() -> None:
    async with bluez(Policy(forget_s=0.1)) as running:
        sos = button()
        async with scanning(running) as ear:
            running.advertise(sos, press(1))
            await ear.hears(payload(1))
            await until(lambda: not running.known(sos))
        with pytest.raises(BleakError, match="not found"):
            await BleakClient(ear.devices[sos.address]).connect()


async def test_t47_notifications_do_not_come_back_by_themselves() -> None:
    heard: list[bytes] = []
    sos = button()
    async with bluez() as running, connected(running, sos) as client:
        await client.start_notify(
            BATTERY_LEVEL,
            lambda _one, value: heard.append(bytes(value)),
            bluez={"use_start_notify": True},
        )
        assert running.notify(sos, BATTERY_LEVEL, b"\x50")
        await until(lambda: heard == [b"\x50"])
        running.drop(sos)
        await until(lambda: not client.is_connected)
        await client.connect()
        assert not running.notify(sos, BATTERY_LEVEL, b"\x40"), "nobody has subscribed"
        await asyncio.sleep(QUIET_S)
        assert heard == [b"\x50"]


async def test_t47_notifications_through_a_descriptor_arrive_as_well() -> None:
    heard: list[bytes] = []
    sos = button()
    async with bluez() as running, connected(running, sos) as client:
        await client.start_notify(
            BATTERY_LEVEL,
            lambda _one, value: heard.append(bytes(value)),
            bluez={"use_start_notify": False},
        )
        for level in (b"\x50", b"\x4f"):
            assert running.notify(sos, BATTERY_LEVEL, level)
        await until(lambda: heard == [b"\x50", b"\x4f"])


async def test_t47_a_device_that_has_fallen_silent_still_counts_as_connected() -> None:
    sos = button()
    async with bluez(Policy(att_timeout_s=0.3)) as running, connected(running, sos) as client:
        sos.mute = True
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(QUIET_S):
                await client.read_gatt_char(BATTERY_LEVEL)
        assert client.is_connected
        await until(lambda: not client.is_connected)


@pytest.mark.xfail(
    strict=True, raises=AssertionError, reason="T48: kept in memory; drivers/ble stores it"
)
async def test_t48_bthome_ble_refuses_an_old_frame_after_a_restart() -> None:
    old, new = (sealed(counter) for counter in (5000, 5001))
    before, after = (BTHomeBluetoothDeviceData(bindkey=KEY) for _ in range(2))
    assert accepts(before, new)
    assert not accepts(after, old)


@pytest.mark.xfail(
    strict=True,
    raises=AssertionError,
    reason="T48: any counter < 100; drivers/ble asks for silence",
)
async def test_t48_bthome_ble_refuses_a_low_counter_of_an_attacker() -> None:
    parser = BTHomeBluetoothDeviceData(bindkey=KEY)
    assert accepts(parser, sealed(5000))
    assert not accepts(parser, sealed(99))

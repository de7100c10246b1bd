"""Alarms that are connected: bleak and D-Bus are real, bluetoothd and the devices simulated."""

import asyncio
import time

import pytest

from drivers.ble import gatt, link
from gateway.errors import LinkDown, Refused
from gateway.model import Command, Event, EventKind, Level, Outcome, Severity
from simulators.bluez.faults import Fault
from tests.harness.bluez import needs_dbus, until
from tests.harness.gatt import ASK_UNREAD, BATTERY, Kept, kept

pytestmark = needs_dbus


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bounds and back-off in tenths of seconds."""
    monkeypatch.setattr(link, "CONNECT_S", 1.0)
    monkeypatch.setattr(link, "REQUEST_S", 0.3)
    monkeypatch.setattr(link, "DISCONNECT_S", 0.5)
    monkeypatch.setattr(gatt, "BACKOFF_S", (0.01, 0.02))
    monkeypatch.setattr(gatt, "HEARING", 0.1)


def command(value: str = "high", *, late: bool = False, point: str = "alert.level") -> Command:
    now_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
    return Command("c1", "sos-1", point, value, now_ns + (-1 if late else 10**10), "cli")


async def test_a_press_is_an_alarm_within_a_tenth_of_a_second() -> None:
    async with kept() as site:
        site.mark()
        begin = time.monotonic()

        site.pendant.press()

        sample = await site.alarm(on=True)
        assert time.monotonic() - begin < 0.1
        assert sample.values == {"alarm.sos": True, "alert.unread": 1}
        assert sample.quality == {}


async def test_each_of_twenty_presses_is_told_once() -> None:
    async with kept() as site:
        site.mark()

        for _ in range(20):
            site.pendant.press()

        await site.sample(lambda sample: sample.values.get("alert.unread") == 20)
        told = [s.values["alert.unread"] for s in site.bus.samples if s.values.get("alarm.sos")]
        assert told == list(range(1, 21))


async def test_after_a_lost_link_presses_are_told_again() -> None:
    async with kept() as site:
        for _ in range(3):
            await reconnected(site)

            site.mark()
            site.pendant.press()

            await site.alarm(on=True)


async def test_a_press_while_the_link_is_down_is_read_after_the_reconnect() -> None:
    async with kept() as site:
        site.mark()
        site.bluez.drop(site.pendant.peripheral)
        assert not site.pendant.press()

        await site.alarm(on=True)

        assert site.pendant.commands.count(ASK_UNREAD) == 2


async def test_a_lost_link_is_an_event_at_once_and_its_points_are_bad() -> None:
    async with kept() as site:
        site.mark()
        begin = time.monotonic()

        site.bluez.drop(site.pendant.peripheral)

        event = await site.event(EventKind.LINK_DOWN)
        assert time.monotonic() - begin < 0.1
        assert event.device == "sos-1"
        assert event.attributes["reason"] == "it disconnected"
        sample = await site.sample(lambda sample: "alarm.sos" in sample.quality)
        assert sample.quality["alarm.sos"] == (Level.BAD, "link_lost")
        await site.event(EventKind.LINK_UP)


async def test_a_device_that_stays_away_is_an_alarm_after_the_grace_time() -> None:
    async with kept(grace_s=0.5) as site:
        site.mark()
        site.pendant.peripheral.connectable = False
        begin = time.monotonic()
        site.bluez.drop(site.pendant.peripheral)

        await site.lost(lost=True)

        assert 0.5 <= time.monotonic() - begin < 1.5
        assert "not connected" in site.health.note
        site.pendant.peripheral.connectable = True
        await site.lost(lost=False)
        assert site.health.note == ""


async def test_a_device_that_is_back_within_the_grace_time_is_no_alarm() -> None:
    async with kept(grace_s=1) as site:
        for _ in range(5):
            await reconnected(site)

        assert not any(sample.values.get("alarm.silent") for sample in site.bus.samples)


async def test_a_device_that_never_comes_is_an_alarm_too() -> None:
    async with kept(grace_s=0.3, start=False) as site:
        site.pendant.peripheral.connectable = False

        await site.lost(lost=True)


async def test_a_dead_link_that_bleak_calls_connected_is_found_by_the_heartbeat() -> None:
    async with kept(heartbeat_s=0.1) as site:
        site.mark()

        site.pendant.peripheral.mute = True

        event = await site.event(EventKind.LINK_DOWN)
        assert event.attributes["reason"] == "reading 2a19: no answer in time"
        site.pendant.peripheral.mute = False
        site.pendant.press()
        await site.alarm(on=True)


async def test_a_heartbeat_keeps_the_battery_level_fresh() -> None:
    async with kept(heartbeat_s=0.1) as site:
        site.mark()
        site.pendant.peripheral.characteristic(BATTERY).value = bytes([12])

        await site.sample(lambda sample: sample.values.get("battery.level") == 12)


async def test_a_press_does_not_wait_for_a_heartbeat_that_hangs() -> None:
    async with kept(heartbeat_s=0.1) as site:
        site.bluez.faults.inject("ReadValue", Fault(hangs=True))
        site.mark()
        calls = site.bluez.calls["ReadValue"]
        await until(lambda: site.bluez.calls["ReadValue"] > calls)

        site.pendant.press()

        async with asyncio.timeout(0.2):
            await site.alarm(on=True)


async def test_bluetoothd_killed_is_a_lost_link_and_the_state_is_read_when_it_is_back() -> None:
    async with kept(heartbeat_s=0.1) as site:
        site.mark()
        await site.bluez.crash()
        await site.event(EventKind.LINK_DOWN)
        site.pendant.unread = 1

        await site.bluez.start()
        await site.radio.stop()  # as the driver starts its scan anew
        await site.radio.start()

        await site.alarm(on=True)


@pytest.mark.parametrize("member", ["Connect", "StartNotify", "WriteValue", "ReadValue"])
async def test_a_call_that_is_never_answered_ends_in_bounded_time(member: str) -> None:
    async with kept(start=False) as site:
        site.bluez.faults.inject(member, Fault(hangs=True), times=1)

        await site.alarm(on=False)

        assert site.health.errors["link_down"] >= 1
        assert site.radio.pauses >= 2


async def test_the_active_scan_is_paused_while_it_connects_and_then_goes_on() -> None:
    async with kept(start=False) as site:
        site.bluez.faults.inject("Connect", Fault(delay_s=0.2))
        await until(lambda: site.bluez.calls["Connect"])

        assert not site.bluez.discovering

        await site.alarm(on=False)
        await until(lambda: site.bluez.discovering)


async def test_an_alarm_of_a_device_that_is_not_bonded_is_told_to_people_and_acts_on_nothing() -> (
    None
):
    async with kept(bonded=False, start=False) as site:
        await site.lost(lost=False)
        await site.sample(lambda sample: "alarm.sos" in sample.quality)
        site.mark()
        site.pendant.press()
        site.pendant.press()

        event = await site.event(EventKind.SUSPICION)
        assert event.severity is Severity.LIFE
        assert event.attributes == {"reason": "not_bonded", "points": ["alarm.sos"]}
        sample = await site.sample(lambda sample: sample.values.get("alert.unread") == 2)
        assert sample.quality == {"alarm.sos": (Level.BAD, "not_bonded")}
        assert "not bonded" in site.health.note
        assert not any("alarm.sos" in one.values for one in site.bus.samples)
        assert sum(isinstance(x, Event) and x.kind is EventKind.SUSPICION for x in site.bus.items) == 1  # fmt: skip


async def test_the_configuration_may_trust_a_device_that_is_not_bonded() -> None:
    async with kept(bonded=False, plain=True) as site:
        site.mark()
        site.pendant.press()

        assert (await site.alarm(on=True)).quality == {}


async def test_a_command_reaches_the_device() -> None:
    async with kept() as site:
        await until(lambda: site.bluez.discovering)

        result = await site.device.write(command())

        assert result.outcome is Outcome.WRITTEN
        assert site.pendant.level == b"\x02"
        assert (await site.device.write(command(late=True))).outcome is Outcome.EXPIRED
        with pytest.raises(Refused, match="no command writes"):
            await site.device.write(command(point="alarm.sos"))


async def test_a_command_to_a_device_that_is_away_says_so() -> None:
    async with kept(start=False) as site:
        site.pendant.peripheral.connectable = False

        with pytest.raises(LinkDown, match="it is not connected"):
            await site.device.write(command())


async def test_a_flood_of_notifications_is_no_flood_of_memory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(link, "MAX_WAITING", 8)
    async with kept() as site:
        site.mark()
        for _ in range(50):
            site.pendant.press()

        event = await site.event(EventKind.LINK_DOWN)

        assert "more than can be taken" in str(event.attributes["reason"])
        await site.sample(lambda sample: sample.values.get("alert.unread") == 50)


async def test_sabotage_without_subscriptions_presses_are_lost(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with kept() as site:
        monkeypatch.setattr(link.Link, "subscribe", lambda _self, *_place: asyncio.sleep(0))
        await reconnected(site)

        assert not site.pendant.press()


async def test_sabotage_without_heartbeat_a_dead_link_stays_unknown(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(gatt.GattDevice, "_beat", lambda _self, *_args: asyncio.sleep(0))
    async with kept(heartbeat_s=0.1) as site:
        site.mark()
        site.pendant.peripheral.mute = True

        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1):
                await site.event(EventKind.LINK_DOWN)


async def reconnected(site: Kept) -> None:
    """The link breaks, and is there again."""
    site.mark()
    site.bluez.drop(site.pendant.peripheral)
    await site.event(EventKind.LINK_DOWN)
    await site.lost(lost=False)

"""Bluetooth fails in every way that the simulator knows: heard again without a restart of anything."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest

from drivers.ble import adapter, driver, scan
from drivers.ble.adapter import Adapter
from drivers.ble.driver import BleDriver
from gateway.errors import Refused
from gateway.health import LinkState
from gateway.model import EventKind, Severity
from simulators.bluez.bluez import ADDRESS, Bluez
from simulators.bluez.controller import Cure
from simulators.bluez.faults import Fault
from simulators.bluez.names import BluezError, in_progress
from simulators.bluez.sensor import Kind, Sensor
from tests.harness.ble import SMOKE, driver_for, events, running, sensor, smoke
from tests.harness.bluez import bluez, needs_dbus, until
from tests.harness.recorder import Recorder

pytestmark = needs_dbus

SILENCE_S = 0.4
EVERY_S = 0.02  # how often the detector of these tests advertises


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """A radio that settles at once, calls that are given up early, a tenth of the back-off."""
    monkeypatch.setattr(adapter, "SETTLE_S", 0.1)
    monkeypatch.setattr(scan, "START_S", 0.5)
    monkeypatch.setattr(driver, "INTERVALS", 0.0)  # `silence` alone counts
    monkeypatch.setattr("gateway.supervise.FIRST_DELAY_S", 0.1)


@dataclass
class Site:
    daemon: Bluez
    driver: BleDriver
    bus: Recorder
    told: list[tuple[LinkState, str]]
    detector: Sensor

    async def heard_again(self, within_s: float) -> float:
        """Seconds until a frame is heard that was sent later than now."""
        began, counter = time.monotonic(), self.detector.counter
        await until(lambda: self.bus.counters.get("smoke-1", 0) > counter + 1, within_s)
        return time.monotonic() - began

    @property
    def reasons(self) -> str:
        return " / ".join(reason for _, reason in self.told)


@asynccontextmanager
async def site(silence_s: float = SILENCE_S, **link: object) -> AsyncIterator[Site]:
    bus, one = Recorder(), driver_for([smoke()], **link)
    one._link = one._link.model_copy(update={"silence": silence_s})
    async with bluez() as daemon, running(one, bus) as told:
        detector = sensor(Kind.SMOKE, SMOKE)
        task = asyncio.create_task(advertise(daemon, detector))
        found = Site(daemon, one, bus, told, detector)
        try:
            await found.heard_again(5)
            yield found
        finally:
            task.cancel()
            await asyncio.wait({task})


async def advertise(daemon: Bluez, detector: Sensor) -> None:
    while True:
        detector.renew()
        daemon.advertise(detector.peripheral, detector.advert())
        await asyncio.sleep(EVERY_S)


async def crash(one: Site) -> None:
    await one.daemon.crash()
    await asyncio.sleep(0.3)
    await one.daemon.start()


async def crash_while_scanning(one: Site) -> None:
    await one.daemon.crash(still_discovering=True)
    await one.daemon.start()


async def switched(one: Site) -> None:
    one.daemon.set_powered(on=False)
    await asyncio.sleep(0.2)
    one.daemon.set_powered(on=True)


async def switched_off(one: Site) -> None:
    one.daemon.set_powered(on=False)


async def replugged(one: Site) -> None:
    one.daemon.unplug()
    await asyncio.sleep(0.2)
    one.daemon.plug("hci1", ADDRESS)


async def stalled(one: Site) -> None:
    one.daemon.stall(Cure.DISCOVERY)


async def stalled_for_good(one: Site) -> None:
    one.daemon.stall(Cure.POWER)


async def busy(one: Site) -> None:
    one.daemon.faults.inject("StartDiscovery", Fault(in_progress()), 2)
    one.daemon.stall(Cure.DISCOVERY)


async def hanging(one: Site) -> None:
    one.daemon.faults.inject("StartDiscovery", Fault(hangs=True), 1)
    one.daemon.stall(Cure.DISCOVERY)


async def stop_fails(one: Site) -> None:
    one.daemon.faults.inject("StopDiscovery", Fault(BluezError("org.bluez.Error.Failed", "no")), 1)
    one.daemon.stall(Cure.POWER)


async def disconnected(one: Site) -> None:
    """As when dbus-fast ends its own connection because the socket is full."""
    assert one.driver._scan is not None
    one.driver._scan._adapter.bus.disconnect()


# The longest time to recover; measured: a third of it. Back-off up to 1 s, silence 0.4 s.
FAULTS: dict[str, tuple[Callable[[Site], Awaitable[None]], float, str]] = {
    "bluetoothd crashes": (crash, 3.0, "bluetoothd is gone"),
    "the kernel scans on after the crash": (crash_while_scanning, 4.0, "InProgress"),
    "somebody switches it off and on": (switched, 3.0, "was switched off"),
    "somebody switches it off": (switched_off, 3.0, "was switched off"),
    "the dongle comes back under another number": (replugged, 3.0, "hci0 is gone"),
    "the scan dies silently": (stalled, 3.0, "nothing heard"),
    "only a power cycle helps": (stalled_for_good, 5.0, "nothing heard"),
    "InProgress at every start": (busy, 6.0, "InProgress"),
    "a call is never answered": (hanging, 5.0, "no answer in time"),
    "our connection to D-Bus dies": (disconnected, 3.0, "D-Bus"),
    "the scan cannot be stopped": (stop_fails, 5.0, "nothing heard"),
}


@pytest.mark.parametrize("name", FAULTS)
async def test_bluetooth_that_fails_is_heard_again_by_itself(name: str) -> None:
    fault, within_s, reason = FAULTS[name]
    async with site() as one:
        await fault(one)
        seconds = await one.heard_again(within_s)
        assert reason in one.reasons + one.driver.health.reason, (seconds, one.told)
        assert one.driver.health.state is LinkState.UP


async def test_a_quiet_night_is_no_fault() -> None:
    """Nobody is expected at intervals: silence says nothing."""
    bus, one = Recorder(), driver_for([smoke(supervise="1h")])
    one._link = one._link.model_copy(update={"silence": SILENCE_S})
    one._peers[SMOKE].interval_s = None
    async with bluez(), running(one, bus) as told:
        await asyncio.sleep(1.0)
        assert told == [(LinkState.UP, "")]


async def test_an_adapter_that_shall_stay_off_is_left_alone() -> None:
    async with site(adapter_power="respect") as one:
        one.daemon.set_powered(on=False)
        await until(lambda: one.driver.health.state is LinkState.DOWN)
        calls = one.daemon.calls["Set"]
        await asyncio.sleep(0.5)
        assert one.daemon.calls["Set"] == calls
        one.daemon.set_powered(on=True)
        await one.heard_again(4)


async def test_after_six_failures_people_are_told_as_if_it_were_an_alarm(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("gateway.supervise.FIRST_DELAY_S", 0.01)
    bus, one = Recorder(), driver_for([smoke()])
    async with bluez() as daemon:
        daemon.faults.inject("StartDiscovery", Fault(BluezError("org.bluez.Error.NotReady", "no")))
        task = asyncio.create_task(_run(one, bus))
        try:
            await until(lambda: events(bus, EventKind.LINK_DOWN), 10)
        finally:
            task.cancel()
            await asyncio.wait({task})
    (told,) = events(bus, EventKind.LINK_DOWN)
    assert told.severity is Severity.LIFE
    assert "failed 6 times" in str(told.attributes["reason"])
    assert daemon.calls["StartDiscovery"] == 6


async def _run(one: BleDriver, bus: Recorder) -> None:
    async with running(one, bus, longest_s=0.01):
        await asyncio.Event().wait()


async def test_bluetooth_service_is_restarted_only_where_the_site_allows_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[str] = []

    async def restart(self: Adapter) -> None:
        asked.append(self.name)

    monkeypatch.setattr(Adapter, "restart_bluetooth", restart)
    for allowed in (True, False):
        one = driver_for([smoke()], restart_bluetooth=allowed)
        async with bluez() as daemon:
            daemon.faults.inject("StartDiscovery", Fault(BluezError("org.bluez.Error.Failed", "")))
            for _ in range(5):
                with pytest.raises(Exception, match="starting the scan"):
                    await one.run(Recorder())
    assert asked == ["hci0"]


async def test_without_the_right_to_use_bluetooth_the_link_says_which_group_helps() -> None:
    denied = BluezError("org.freedesktop.DBus.Error.AccessDenied", "no")
    async with bluez() as daemon:
        daemon.faults.inject("GetManagedObjects", Fault(denied))
        with pytest.raises(Refused, match="group bluetooth"):
            await driver_for([smoke()]).run(Recorder())


async def test_without_the_watch_a_crash_of_bluetoothd_leaves_the_link_deaf(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The sabotage of the crash: the library itself notices nothing."""
    monkeypatch.setattr(Adapter, "end", lambda _self, _cause: None)
    async with site(silence_s=3600.0) as one:
        await crash(one)
        with pytest.raises(TimeoutError):
            await one.heard_again(1.5)

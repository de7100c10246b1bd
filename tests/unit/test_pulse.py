"""What the gateway tells of itself: which points, when, and how little of it is kept."""

import asyncio
from collections.abc import Mapping
from contextlib import suppress

import pytest

import gateway.pulse
from gateway.bus import Bus
from gateway.health import LinkState
from gateway.model import Sample, Value
from gateway.own import own_device, uplink_point
from gateway.pulse import Machine, Pulse, measured
from gateway.report import Reports
from gateway.sections import File
from gateway.state import State
from gateway.status import Lane
from tests.harness.journal import MemoryJournal
from tests.unit.status_site import Site

OWN = own_device(["cloud-2", "influxdb"])
HOUR_S = 3600


class Rules:
    """A decider that keeps what it saw."""

    def __init__(self) -> None:
        self.seen: list[Mapping[str, Value]] = []

    def decide(self, sample: Sample | None, now_ns: int, bus: Bus) -> None:
        assert sample is not None
        assert sample.device == "gateway"
        self.seen.append(sample.values)

    def next_due_ns(self) -> int | None:
        return None


class Rig:
    def __init__(self) -> None:
        self.site = Site()
        self.journal = MemoryJournal()
        self.rules = Rules()
        self.bus = Bus(
            store=self.journal, state=State({OWN.id: OWN.profile}), clock=self.site.clock,
            decider=self.rules, reports=Reports([OWN]),
        )  # fmt: skip

    def pulse(self) -> Pulse:
        return Pulse(self.site, self.bus)

    def sink(self, name: str, state: LinkState, backlog: int = 0) -> None:
        self.site.upstream(name, state, "", Lane(0, backlog, None, 0, 0, 0), Lane(2, 7, None, 0, 0, 0))  # fmt: skip


@pytest.fixture
def rig() -> Rig:
    return Rig()


def test_the_platform_is_reached_while_one_upstream_is(rig: Rig) -> None:
    rig.sink("cloud-2", LinkState.DOWN)
    rig.sink("cloud-3", LinkState.UP)
    rig.sink("influxdb", LinkState.UP)
    states = rig.pulse().states()
    assert states["uplink.connected"] is True
    assert states["uplink.cloud_2.connected"] is False
    rig.sink("cloud-3", LinkState.REFUSED)
    assert rig.pulse().states()["uplink.connected"] is False, "InfluxDB is no platform"


def test_without_a_platform_nothing_is_said_of_one(rig: Rig) -> None:
    assert "uplink.connected" not in rig.pulse().states()


def test_every_point_that_is_told_is_in_the_profile(rig: Rig) -> None:
    rig.sink("cloud-2", LinkState.UP)
    rig.sink("influxdb", LinkState.UP)
    rig.site.link("ble-1")
    pulse = rig.pulse()
    told = pulse.states() | pulse.figures(Machine(51.2, 80.0))
    assert told.keys() == OWN.profile.by_id.keys()


def test_names_of_upstreams_become_names_of_points() -> None:
    assert uplink_point("cloud-2") == "uplink.cloud_2.connected"
    assert uplink_point("2nd") == "uplink.n2nd.connected"
    section = {"version": 1, "gateway": {"id": "g", "timezone": "Asia/Shanghai"}}
    assert File.model_validate(section).sinks == []


def test_the_backlog_is_that_of_the_slowest_and_links_and_devices_are_counted(rig: Rig) -> None:
    rig.sink("cloud-2", LinkState.UP, 5)
    rig.sink("cloud-3", LinkState.UP, 90)
    rig.site.link("bus-1", LinkState.DOWN)
    rig.site.link("bus-2", LinkState.STARTING)
    rig.site.device("meter-1")
    rig.site.device("meter-2")
    rig.site.show("meter-1", {"elec.voltage.a": 230.0})
    pulse = rig.pulse()
    assert pulse.figures(Machine(None, None))["devices.silent"] == 0, "they have their time"
    rig.site.clock.advance(31)
    rig.site.show("meter-1", {"elec.voltage.a": 230.0})
    figures = pulse.figures(Machine(None, None))
    assert (figures["store.backlog"], figures["links.down"], figures["devices.silent"]) == (
        97,
        1,
        1,
    )
    assert figures["disk.free"] == 5000.0
    assert "cpu.temperature" not in figures


def test_a_radio_that_hears_nobody_for_a_minute_is_silent(rig: Rig) -> None:
    link = rig.site.link("ble-1")
    pulse = rig.pulse()
    assert pulse.states()["radio.silent"] is False, "it has just begun"
    rig.site.clock.advance(60)
    assert pulse.states()["radio.silent"] is True
    link.health.last_good_ns = rig.site.clock.boottime_ns()
    assert pulse.states()["radio.silent"] is False


def test_the_kernel_tells_how_much_memory_the_daemon_has() -> None:
    assert 10 < (measured().rss or 0) < 10_000


async def test_what_changes_is_told_at_once_and_the_rest_once_a_minute(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gateway.pulse, "LOOK_S", 0.01)
    monkeypatch.setattr(gateway.pulse, "PERIOD_S", 60.0)
    rig.sink("cloud-2", LinkState.UP)
    running = asyncio.create_task(rig.pulse().run())
    async with asyncio.timeout(5):
        while not rig.rules.seen:
            await asyncio.sleep(0.001)
        rig.sink("cloud-2", LinkState.DOWN)
        while len(rig.rules.seen) < 2:
            await asyncio.sleep(0.001)
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running
    first, second = rig.rules.seen
    assert first.keys() > {"uplink.connected", "store.backlog", "loop.lag"}
    assert second == {"uplink.connected": False, "uplink.cloud_2.connected": False}


async def test_a_quiet_day_leaves_some_tens_of_records(rig: Rig) -> None:
    rig.sink("cloud-2", LinkState.UP)
    pulse = rig.pulse()
    for minute in range(24 * 60):
        rig.site.clock.advance(60)
        machine = Machine(50 + minute % 3, 80 + minute % 5)
        await pulse.publish(pulse.states() | pulse.figures(machine))
    assert len(rig.rules.seen) == 24 * 60, "rules see everything"
    assert len(rig.journal.samples) <= 2 * 24 + 1

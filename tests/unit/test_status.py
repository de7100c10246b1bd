"""The status: one word and why, and one word for every device."""

from typing import Any

import orjson
import pytest
from rich.console import Console

from gateway.cli.render import page
from gateway.driver import stale_after_s
from gateway.health import DeviceHealth, LinkState, Word
from gateway.model import RETAINED, Level, Quality, Value
from gateway.snapshot import VERSION, DevicePart
from gateway.status import Lane, readings, snapshot
from tests.unit.status_site import SENSOR, Site, healthy

VOLTAGE, POWER = "elec.voltage.a", "elec.power.total"
BAD = Quality(Level.BAD, "timeout")
ODD = Quality(Level.UNCERTAIN, "implausible")


def health(site: Site) -> dict[str, Any]:
    found = snapshot(site)["health"]
    return {"word": found["word"], "reasons": found["reasons"]}


def device(site: Site, name: str = "meter-1") -> DevicePart:
    return next(part for part in snapshot(site)["devices"] if part["id"] == name)


# -- the whole ----------------------------------------------------------------------------------


def test_what_is_well_is_healthy_without_a_reason() -> None:
    assert health(healthy()) == {"word": "healthy", "reasons": []}


def test_a_gateway_without_links_is_healthy() -> None:
    assert health(Site()) == {"word": "healthy", "reasons": []}


def test_the_words_are_the_exit_codes_of_monitoring_plugins() -> None:
    assert [Word(word).code for word in ("healthy", "degraded", "critical")] == [0, 1, 2]


def test_failed_storage_is_critical() -> None:
    site = healthy()
    site.storage["state"], site.storage["reason"] = "failed", "writing core.db: EIO"
    assert health(site) == {"word": "critical", "reasons": ["storage: writing core.db: EIO"]}


def test_one_link_down_of_two_is_degraded_with_its_reason() -> None:
    site = healthy()
    site.link("lights", LinkState.DOWN, "lights: no answer from 192.0.2.1:1883")
    assert health(site) == {
        "word": "degraded",
        "reasons": ["link lights down: lights: no answer from 192.0.2.1:1883"],
    }


@pytest.mark.parametrize("state", [LinkState.DOWN, LinkState.REFUSED])
def test_no_link_up_is_critical(state: LinkState) -> None:
    site = healthy()
    site.link("meters", state, "cut")
    found = health(site)
    assert found["word"] == "critical"
    assert found["reasons"] == ["no link to any device is up", f"link meters {state.value}: cut"]


def test_a_link_that_is_starting_is_not_critical_yet() -> None:
    site = healthy()
    site.link("meters", LinkState.STARTING)
    assert health(site) == {"word": "degraded", "reasons": ["link meters is starting"]}


@pytest.mark.parametrize(
    ("state", "reason", "text"),
    [
        (LinkState.DOWN, "no route to host", "upstream platform down: no route to host"),
        (LinkState.REFUSED, "not authorized", "upstream platform refused: not authorized"),
        (LinkState.STARTING, "", "upstream platform starting"),
    ],
)
def test_an_upstream_that_is_not_up_is_degraded(state: LinkState, reason: str, text: str) -> None:
    site = healthy()
    site.upstream("platform", state, reason)
    assert health(site) == {"word": "degraded", "reasons": [text]}


@pytest.mark.parametrize(("waits_s", "degraded"), [(59, False), (61, True)])
def test_alarms_that_wait_for_the_platform_for_a_minute_are_told(
    waits_s: float, degraded: bool
) -> None:
    site = healthy()
    oldest_ns = site.clock.time_ns() - round(waits_s * 1e9)
    site.upstream("platform", LinkState.UP, "", Lane(0, 1, oldest_ns, 0.0, 7, 0))
    assert health(site)["reasons"] == (["alarms wait for platform since 61 s"] if degraded else [])


def test_samples_may_wait_for_the_platform() -> None:
    site = healthy()
    old_ns = site.clock.time_ns() - 3_600_000_000_000
    site.upstream("platform", LinkState.UP, "", Lane(2, 9000, old_ns, 0.0, 7, 0))
    assert health(site)["word"] == "healthy"


def test_devices_that_are_silent_are_named_but_not_all_of_many() -> None:
    site = healthy()
    for number in range(5):
        site.device(f"new-{number}")
    assert health(site) == {
        "word": "degraded",
        "reasons": ["5 of 7 devices not live: new-0, new-1, new-2 and 2 more"],
    }


def test_every_reason_is_told_with_the_critical_ones_first() -> None:
    site = healthy()
    site.device("new")
    site.upstream("platform", LinkState.DOWN, "cut")
    site.storage["state"] = "failed"
    found = health(site)
    assert found["word"] == "critical"
    assert len(found["reasons"]) == 3
    assert found["reasons"][0].startswith("storage")


# -- devices ------------------------------------------------------------------------------------


def test_a_device_that_never_spoke_is_never() -> None:
    site = healthy()
    site.device("new")
    part = device(site, "new")
    assert (part["quality"], part["live"], part["age_s"]) == ("never", False, None)


def test_a_device_that_never_gave_a_value_is_bad_with_its_reasons() -> None:
    site = healthy()
    site.device("new")
    site.show("new", {}, {VOLTAGE: BAD})
    part = device(site, "new")
    assert (part["quality"], part["live"], part["bad"]) == ("bad", False, {VOLTAGE: "timeout"})


@pytest.mark.parametrize(
    ("values", "quality", "word"),
    [
        ({VOLTAGE: 230.0, POWER: 1.0}, {}, "good"),
        ({VOLTAGE: 230.0}, {POWER: BAD}, "bad"),
        ({VOLTAGE: 230.0, POWER: 1.0}, {POWER: ODD}, "uncertain"),
        ({VOLTAGE: 230.0, POWER: 1.0}, {POWER: RETAINED}, "uncertain"),
        ({VOLTAGE: 230.0}, {VOLTAGE: ODD, POWER: BAD}, "bad"),
    ],
)
def test_the_worst_point_names_the_quality_of_a_device(
    values: dict[str, Value], quality: dict[str, Quality], word: str
) -> None:
    site = healthy()
    site.show("meter-1", values, quality)
    part = device(site)
    assert (part["quality"], part["live"]) == (word, True)
    assert set(part["bad"]) == set(quality)


@pytest.mark.parametrize(("silent_s", "word"), [(30, "good"), (30.1, "stale")])
def test_a_device_is_stale_after_three_poll_periods(silent_s: float, word: str) -> None:
    site = healthy()
    site.clock.advance(silent_s)
    part = device(site)
    assert (part["quality"], part["live"]) == (word, word == "good")
    assert part["age_s"] == pytest.approx(silent_s)


def test_a_stale_device_that_answers_only_with_errors_stays_stale() -> None:
    site = healthy()
    site.clock.advance(31)
    site.show("meter-1", {}, {VOLTAGE: BAD})
    part = device(site)
    assert (part["quality"], part["live"], part["bad"]) == ("stale", False, {VOLTAGE: "timeout"})


def test_a_profile_may_allow_a_longer_silence() -> None:
    site = healthy()
    sensor = site.device("sensor-1", profile=SENSOR)
    assert stale_after_s(sensor) == 300
    assert stale_after_s(site.devices["meter-1"]) == 30


def test_what_the_driver_counted_is_shown() -> None:
    site = healthy()
    told = DeviceHealth(good=7, note="no message ids: at least once")
    told.errors["timeout"] = 2
    site.drivers["meters"].devices["meter-1"] = told
    part = device(site)
    assert (part["good"], part["errors"], part["note"]) == (7, {"timeout": 2}, told.note)
    assert device(site, "meter-2")["good"] == 0


# -- the snapshot -------------------------------------------------------------------------------


def test_a_snapshot_survives_json() -> None:
    site = healthy()
    site.device("new", link="lights", title="东门路灯")
    site.link("lights", LinkState.REFUSED, "no")
    site.show("meter-1", {VOLTAGE: 230.0}, {POWER: BAD, VOLTAGE: ODD})
    site.alarm("meter-1")
    found = snapshot(site)
    assert orjson.loads(orjson.dumps(found)) == found
    assert found["v"] == VERSION


def test_a_snapshot_tells_ages_not_clock_readings() -> None:
    site = healthy()
    site.alarm("meter-1", "过压")
    site.drivers["meters"].health.good(site.clock.boottime_ns())
    site.clock.advance(20)
    found = snapshot(site)
    assert found["uptime_s"] == pytest.approx(20)
    assert found["alarms"] == [
        {"instance": "over[meter-1]", "rule": "over", "device": "meter-1", "severity": "safety",
         "title": "过压", "since_s": pytest.approx(20), "latched": False,
         "letter": "B", "acked_by": "", "raises": 1, "muted": False, "left_s": None, "by": "", "reason": ""},
    ]  # fmt: skip
    (link,) = found["links"]
    assert link["since_s"] == pytest.approx(20)
    assert link["last_good_s"] == pytest.approx(20)
    assert found["clock"] == {"ok": True, "boot": 1, "time": "2026-03-01T19:17:00+00:00"}


def test_what_never_was_has_no_age() -> None:
    site = healthy()
    (link,) = snapshot(site)["links"]
    assert link["last_good_s"] is None
    assert snapshot(site)["upstream"][0]["lanes"][0]["oldest_s"] is None


def test_an_item_from_the_future_waits_no_negative_time() -> None:
    site = healthy()
    ahead_ns = site.clock.time_ns() + 10**12
    site.upstream("platform", LinkState.UP, "", Lane(0, 1, ahead_ns, 0.0, 7, 0))
    assert snapshot(site)["upstream"][0]["lanes"][0]["oldest_s"] == 0.0


def test_readings_come_in_the_order_of_the_profile_with_quality_and_age() -> None:
    site = healthy()
    site.device("meter-3", title="总表")
    site.show("meter-3", {POWER: 5.0, VOLTAGE: 230.0, "unknown.point": 1}, {POWER: ODD})
    site.show("meter-3", {}, {"alarm.tamper": BAD})
    site.clock.advance(2)
    assert readings(site, site.devices["meter-3"]) == {
        "id": "meter-3", "name": "总表",
        "points": [
            {"point": VOLTAGE, "unit": "V", "value": 230.0, "age_s": 2.0, "quality": "good"},
            {"point": POWER, "unit": "W", "value": 5.0, "age_s": 2.0, "quality": "uncertain: implausible"},
            {"point": "alarm.tamper", "unit": "1", "value": None, "age_s": 2.0, "quality": "bad: timeout"},
        ],
    }  # fmt: skip
    site.device("new")
    assert readings(site, site.devices["new"])["points"] == []


def test_a_lane_that_the_broker_refuses_is_degraded_and_tells_why() -> None:
    site = Site()
    site.upstream("platform", LinkState.UP, "", Lane(1, 9, None, 0.0, 7, 0, "Not authorized", 12))
    taken = snapshot(site)
    lane = taken["upstream"][0]["lanes"][0]
    assert (lane["parked"], lane["bytes_today"]) == ("Not authorized", 12)
    assert taken["health"]["reasons"][0] == (
        "upstream platform: lane 1 is refused by the broker: Not authorized"
    )


def test_a_notification_that_waits_for_more_than_a_minute_is_degraded_with_its_reason() -> None:
    site = healthy()
    site.notice("guard-room", "Smoke", 59, "nobody listens there")
    assert health(site)["word"] == "healthy"
    site.notice("siren", "Smoke", 61, "nobody listens there")
    assert health(site) == {
        "word": "degraded",
        "reasons": ["notification to siren waits since 61 s: nobody listens there"],
    }


def test_the_page_shows_who_was_not_reached_and_why() -> None:
    site = healthy()
    site.notice("guard-room", "3 号楼烟雾", 12, "nobody listens there")
    site.notices["counters"] = {"delivered": 4}
    with (console := Console(width=160)).capture() as shown:
        console.print(page(snapshot(site), height=None))
    text = shown.get()
    assert "Notifications: 1 open  delivered 4" in text
    assert "3 号楼烟雾" in text
    assert "nobody listens there" in text

"""Report strategies: what of a sample goes into the journal; state and rules see everything."""

import asyncio
from collections.abc import Sequence

import pytest
from pydantic import ValidationError

from gateway.bus import Bus
from gateway.driver import Device, DeviceSection
from gateway.model import EventKind, Level, Quality, Sample, Value
from gateway.profile import Profile
from gateway.report import Reports, faults
from gateway.state import State
from gateway.strategy import Strategy
from tests.harness.clock import FakeClock
from tests.harness.journal import MemoryJournal

SECOND = 1_000_000_000
VOLTAGE, POWER, MODE, SMOKE, SERIAL = (
    "elec.voltage.a", "elec.power.total", "door.mode", "alarm.smoke", "meter.serial",
)  # fmt: skip
TIMEOUT = Quality(Level.BAD, "timeout")
IMPLAUSIBLE = Quality(Level.UNCERTAIN, "implausible")


def profile(**reports: object) -> Profile:
    points: list[dict[str, object]] = [
        {"id": VOLTAGE, "unit": "V"}, {"id": POWER, "unit": "W"},
        {"id": MODE, "kind": "state", "enum": {"0": "day", "1": "night"}}, {"id": SMOKE}, {"id": SERIAL},
    ]  # fmt: skip
    for point in points:
        key = str(point["id"]).split(".")[1]
        if key in reports:
            point["report"] = reports[key]
    return Profile.model_validate({
        "profile": "test-mix", "type": "meter", "facility": "utilities", "protocol": "test",
        "sources": ["tests"], "status": "bench", "points": points,
    })  # fmt: skip


def device(report: dict[str, object] | None = None, **reports: object) -> Device:
    section = DeviceSection.model_validate({"profile": "p", "link": "l", "report": report or {}})
    return Device("mix-1", profile(**reports), section)


def sample(
    at_s: float, values: dict[str, Value], quality: dict[str, Quality] | None = None
) -> Sample:
    time_ns = round(at_s * SECOND)
    return Sample("mix-1", time_ns, time_ns, 1, True, values, quality or {})


def reported(reports: Reports, name: str, series: Sequence[tuple[float, Value]]) -> list[Value]:
    news = [reports.news(sample(at, {name: value})) for at, value in series]
    return [item.values[name] for item in news if item is not None]


def test_a_sample_of_a_device_without_strategies_is_the_same_object() -> None:
    reports = Reports([device()])
    one = sample(0, {VOLTAGE: 230.0})
    assert reports.news(one) is one
    stranger = one._replace(device="nobody")
    assert reports.news(stranger) is stranger


def test_on_change_reports_the_first_value_and_every_other_one() -> None:
    reports = Reports([device(mode={"on_change": True})])
    series = [(0, "day"), (1, "day"), (2, "night"), (3, "night"), (4, "day")]
    assert reported(reports, MODE, series) == ["day", "night", "day"]


def test_a_deadband_is_measured_from_the_value_reported_last() -> None:
    reports = Reports([device(voltage={"deadband": 0.5})])
    series = [(0, 230.0), (1, 230.5), (2, 230.25), (3, 230.75), (4, 230.5), (5, 229.0)]
    assert reported(reports, VOLTAGE, series) == [230.0, 230.75, 229.0]


def test_a_slow_drift_is_reported_when_it_has_left_the_deadband() -> None:
    reports = Reports([device(voltage={"deadband": 1})])
    series = [(second, 230 + second / 4) for second in range(12)]
    assert reported(reports, VOLTAGE, series) == [230, 231.25, 232.5]


def test_a_deadband_in_percent_is_of_the_value_reported_last() -> None:
    reports = Reports([device(power={"deadband_percent": 10})])
    series = [(0, 100), (1, 110), (2, 111), (3, 100), (4, 99), (5, -99), (6, 0), (7, 0), (8, 1)]
    assert reported(reports, POWER, series) == [100, 111, 99, -99, 0, 1]


def test_no_news_goes_out_before_the_minimum_interval_and_what_lasts_is_not_forgotten() -> None:
    reports = Reports([device(mode={"on_change": True, "min_interval": "10s"})])
    series = [(0, "day"), (1, "night"), (9, "night"), (10, "night"), (11, "day"), (20, "night")]
    assert reported(reports, MODE, series) == ["day", "night"]


def test_a_minimum_interval_alone_thins_out() -> None:
    reports = Reports([device(voltage={"min_interval": "5s"})])
    series = [(second, 230.0) for second in range(12)]
    found = [item for at, value in series if (item := reports.news(sample(at, {VOLTAGE: value})))]
    assert [item.time_ns // SECOND for item in found] == [0, 5, 10]


def test_after_the_longest_silence_the_next_value_is_reported_with_its_own_time() -> None:
    reports = Reports([device(voltage={"on_change": True, "max_silence": "1m"})])
    found = [item for at in (0, 59, 61, 100, 121) if (item := reports.news(sample(at, {VOLTAGE: 230.0})))]  # fmt: skip
    assert [item.time_ns // SECOND for item in found] == [0, 61, 121]


def test_a_change_of_quality_always_passes() -> None:
    reports = Reports([device(voltage={"deadband": 50, "min_interval": "1h"})])
    assert reports.news(sample(0, {VOLTAGE: 230.0}))
    assert reports.news(sample(1, {VOLTAGE: 230.0}, {VOLTAGE: IMPLAUSIBLE}))
    assert reports.news(sample(2, {VOLTAGE: 230.0}, {VOLTAGE: IMPLAUSIBLE})) is None
    assert reports.news(sample(3, {}, {VOLTAGE: TIMEOUT}))
    assert reports.news(sample(4, {}, {VOLTAGE: TIMEOUT})) is None
    assert reports.news(sample(5, {}, {VOLTAGE: Quality(Level.BAD, "crc")}))
    assert reports.news(sample(6, {VOLTAGE: 230.0}))


def test_only_what_is_held_back_is_taken_out_of_a_sample() -> None:
    reports = Reports([device(voltage={"deadband": 1}, mode={"on_change": True})])
    reports.news(sample(0, {VOLTAGE: 230.0, POWER: 10, MODE: "day"}, {POWER: IMPLAUSIBLE}))
    news = reports.news(sample(1, {VOLTAGE: 230.5, POWER: 10, MODE: "night"}, {POWER: IMPLAUSIBLE}))
    assert news is not None
    assert news.values == {POWER: 10, MODE: "night"}
    assert news.quality == {POWER: IMPLAUSIBLE}
    assert (news.time_ns, news.received_ns, news.device) == (SECOND, SECOND, "mix-1")


def test_a_late_value_and_one_after_the_clock_was_set_back_are_reported() -> None:
    reports = Reports([device(voltage={"on_change": True, "min_interval": "10s"})])
    assert reports.news(sample(100, {VOLTAGE: 230.0}))
    assert reports.news(sample(50, {VOLTAGE: 230.0}))
    assert reports.news(sample(51, {VOLTAGE: 230.0})) is None


def test_the_strategy_of_the_device_goes_before_that_of_the_profile() -> None:
    report: dict[str, object] = {
        VOLTAGE: "all", "elec.*": {"deadband": 100}, "*": {"on_change": True},
    }  # fmt: skip
    reports = Reports([device(report, voltage={"deadband": 50}, mode={"min_interval": "1h"})])
    assert reported(reports, VOLTAGE, [(0, 230), (1, 230)]) == [230, 230], "by its own name: all"
    assert reported(reports, POWER, [(0, 0), (1, 100), (2, 101)]) == [0, 101], "the first pattern"
    assert reported(reports, MODE, [(0, "day"), (1, "day"), (2, "night")]) == ["day", "night"]
    assert reported(reports, SMOKE, [(0, False), (1, False)]) == [False, False], "bears an alarm"


@pytest.mark.parametrize(
    ("report", "told"),
    [
        ({"elec.voltage.b": {"on_change": True}}, "no point 'elec.voltage.b'"),
        ({"gas.*": {"on_change": True}}, "no point 'gas.*'"),
        ({SMOKE: {"on_change": True}}, "always reported"),
        ({MODE: {"deadband": 1}}, "is a state"),
    ],
)
def test_what_fits_no_point_is_told(report: dict[str, object], told: str) -> None:
    ((path, what, _fix),) = faults(device(report))
    assert path == ("report", next(iter(report)))
    assert told in what


def test_a_good_report_section_has_no_faults() -> None:
    assert not list(faults(device({"elec.*": {"deadband": 1}, "*": {"on_change": True}, SERIAL: "all"})))  # fmt: skip


@pytest.mark.parametrize(
    ("written", "told"),
    [
        ({}, "nothing that holds a value back"),
        ({"max_silence": "1m"}, "nothing that holds a value back"),
        ({"on_change": True, "deadband": 1}, "several criteria"),
        ({"deadband": 1, "deadband_percent": 1}, "several criteria"),
        ({"min_interval": "1m", "max_silence": "1m"}, "max_silence within min_interval"),
        ({"deadband": 0}, "greater than 0"),
        ({"deadband_percent": 101}, "less than or equal to 100"),
        ({"min_interval": 5}, "no unit"),
    ],
)
def test_a_strategy_that_means_nothing_is_refused(written: dict[str, object], told: str) -> None:
    with pytest.raises(ValidationError, match=told):
        Strategy.model_validate(written)


class Watcher:
    """A decider that only looks."""

    def __init__(self) -> None:
        self.seen: list[Sample | None] = []

    def decide(self, sample: Sample | None, _now_ns: int, _bus: Bus) -> None:
        self.seen.append(sample)

    def next_due_ns(self) -> int | None:
        return None


class Rig:
    def __init__(self) -> None:
        meter = device(voltage={"deadband": 1}, mode={"on_change": True})
        self.journal = MemoryJournal()
        self.rules = Watcher()
        self.state = State({"mix-1": meter.profile})
        self.bus = Bus(
            store=self.journal, state=self.state, clock=FakeClock(), decider=self.rules,
            reports=Reports([meter]),
        )  # fmt: skip


async def test_state_and_rules_see_what_the_journal_does_not_get() -> None:
    rig = Rig()
    for at, volts in enumerate((230.0, 230.5, 230.75)):
        await rig.bus.publish(sample(at, {VOLTAGE: volts}))
    assert [item.values[VOLTAGE] for item in rig.journal.samples] == [230.0]
    assert [seen.values[VOLTAGE] for seen in rig.rules.seen if seen] == [230.0, 230.5, 230.75]
    reading = rig.state.reading("mix-1", VOLTAGE)
    assert reading is not None
    assert reading.value == 230.75
    assert rig.bus.counters["suppressed"] == 2
    assert rig.bus.counters["samples"] == 1
    rig.bus.report_losses()
    assert rig.journal.events == [], "what is held back is not lost"


async def test_suppressed_counts_values_not_samples() -> None:
    rig = Rig()
    await rig.bus.publish(sample(0, {VOLTAGE: 230.0, MODE: "day", POWER: 1}))
    await rig.bus.publish(sample(1, {VOLTAGE: 230.0, MODE: "day", POWER: 1}))
    assert rig.bus.counters["suppressed"] == 2
    await rig.bus.publish(sample(2, {VOLTAGE: 230.0, MODE: "day"}))
    assert rig.bus.counters["suppressed"] == 4


async def test_an_alarm_in_a_sample_that_is_held_back_otherwise_is_stored_and_is_an_event() -> None:
    rig = Rig()
    await rig.bus.publish(sample(0, {VOLTAGE: 230.0, SMOKE: False}))
    await rig.bus.publish(sample(1, {VOLTAGE: 230.0, SMOKE: True}))
    assert rig.journal.samples[1].values == {SMOKE: True}
    assert [event.kind for event in rig.journal.events] == [EventKind.POINT_ALARM]


async def test_a_message_that_is_held_back_whole_is_acknowledged_and_its_repeat_known() -> None:
    rig = Rig()
    first = sample(0, {VOLTAGE: 230.0})._replace(source_id=b"1")
    second = sample(1, {VOLTAGE: 230.0})._replace(source_id=b"2")
    await rig.bus.publish(first, held=True)
    published = await rig.bus.publish(second, held=True)
    async with asyncio.timeout(1):
        await rig.bus.commit(published)
    again = await rig.bus.publish(second, held=True)
    assert again.n == published.n == 2
    assert rig.bus.counters["duplicates"] == 1
    assert len(rig.rules.seen) == 2
    async with asyncio.timeout(1):
        await rig.bus.commit(again)


async def test_a_value_that_the_full_store_refused_is_news_until_it_is_stored() -> None:
    rig = Rig()
    rig.journal.full = True
    await rig.bus.publish(sample(0, {VOLTAGE: 230.0}))
    await rig.bus.publish(sample(1, {VOLTAGE: 230.0}))
    assert rig.bus.counters["store_stalled"] == 2
    rig.journal.full = False
    await rig.bus.publish(sample(2, {VOLTAGE: 230.0}))
    await rig.bus.publish(sample(3, {VOLTAGE: 230.0}))
    assert [item.time_ns // SECOND for item in rig.journal.samples] == [2]

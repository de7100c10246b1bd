"""Counters that step back: one event for each occurrence, before and after a restart."""

from pathlib import Path

import pytest

from gateway.bus import Bus
from gateway.counter import Counters, Range, Step
from gateway.model import Event, EventKind, Level, Quality, Sample, Severity, Value, lane_of, uuid7
from gateway.state import State
from tests.harness.clock import FakeClock
from tests.harness.journal import MemoryJournal
from tests.harness.rollups import COUNTER, GAUGE, KINDS, START, Rolled, reading

SECOND = 1_000_000_000
ENERGY = "elec.energy.import"
KEY = ("meter-1", ENERGY)


def sample(
    at_s: float, value: Value, *, quality: Quality | None = None, clock_ok: bool = True
) -> Sample:
    time_ns = round(at_s * SECOND)
    worse = {} if quality is None else {ENERGY: quality}
    return Sample("meter-1", time_ns, time_ns, 1, clock_ok, {ENERGY: value}, worse)


def counters(low: float | None = None, high: float = 0) -> Counters:
    ranges = {} if low is None else {KEY: Range(low, high)}
    return Counters({"meter-1": [ENERGY]}, ranges)


def kinds(known: Counters, values: list[float]) -> list[EventKind]:
    found = [known.steps(sample(at, value)) for at, value in enumerate(values)]
    return [step.kind for steps in found for step in steps]


def test_a_counter_that_rises_or_stands_still_is_nothing_to_tell_of() -> None:
    assert kinds(counters(), [0, 0, 1, 1.5, 1.5, 100_000]) == []


@pytest.mark.parametrize(
    ("was", "value", "kind"),
    [
        (65_535, 0, EventKind.COUNTER_WRAP),
        (64_000, 3_000, EventKind.COUNTER_WRAP),
        (62_000, 100, EventKind.COUNTER_RESET),
        (65_000, 5_000, EventKind.METER_REPLACED),
        (30_000, 0, EventKind.COUNTER_RESET),
        (30_000, 250, EventKind.COUNTER_RESET),
        (30_000, 12_000, EventKind.METER_REPLACED),
    ],
)
def test_a_step_back_is_a_wrap_a_reset_or_another_meter(
    was: float, value: float, kind: EventKind
) -> None:
    known = counters(0, 65_535)
    known.steps(sample(0, was))
    assert known.steps(sample(1, value)) == [Step(ENERGY, kind, was, value)]


def test_a_signed_register_wraps_to_its_lowest_number() -> None:
    known = counters(-(2.0**31), 2.0**31 - 1)
    assert kinds(known, [2.0**31 - 10, -(2.0**31) + 5]) == [EventKind.COUNTER_WRAP]


def test_nothing_wraps_that_is_not_known_to() -> None:
    assert kinds(counters(), [4_294_967_295, 1]) == [EventKind.COUNTER_RESET]


def test_each_step_is_told_once() -> None:
    values: list[float] = [500, 3, 4, 700, 2, 2, 3]
    assert kinds(counters(), values) == [EventKind.COUNTER_RESET, EventKind.COUNTER_RESET]


def test_the_last_digit_of_a_float_is_no_step() -> None:
    assert kinds(counters(), [167_772.17, 167_772.15, 167_772.17]) == []
    assert len(kinds(counters(), [167_772.17, 167_771.0])) == 1


@pytest.mark.parametrize("level", list(Level))
def test_only_good_values_count(level: Level) -> None:
    known = counters()
    known.steps(sample(0, 500))
    assert known.steps(sample(1, 0, quality=Quality(level, "x"))) == []
    assert known.steps(sample(2, 501)) == []


@pytest.mark.parametrize("value", [True, "12"])
def test_what_is_no_number_is_left_to_others(value: Value) -> None:
    known = counters()
    known.steps(sample(0, 500))
    assert known.steps(sample(1, value)) == []


def test_a_late_sample_is_no_step_back_and_hides_none() -> None:
    known = counters()
    known.steps(sample(10, 500))
    assert known.steps(sample(5, 480)) == []
    assert [step.was for step in known.steps(sample(11, 3))] == [500]
    assert known.steps(sample(9, 499)) == [], "of before the reset"
    assert known.steps(sample(12, 4)) == []


def test_without_a_trusted_clock_the_order_of_arrival_counts() -> None:
    known = counters()
    known.steps(sample(10, 500))
    assert len(known.steps(sample(5, 480, clock_ok=False))) == 1


def test_other_devices_and_points_are_not_looked_at() -> None:
    known = counters()
    other = sample(0, 500)._replace(values={"elec.power.total": 500})
    assert known.steps(other) == []
    assert known.steps(other._replace(values={"elec.power.total": 5})) == []
    assert known.steps(other._replace(device="meter-2")) == []


class Idle:
    def decide(self, _sample: Sample | None, _now_ns: int, _bus: Bus) -> None:
        return

    def next_due_ns(self) -> int | None:
        return None


async def test_a_step_is_an_event_of_its_sample_beside_it() -> None:
    journal = MemoryJournal()
    bus = Bus(store=journal, state=State({}), clock=FakeClock(), decider=Idle(), counted=counters())
    await bus.publish(sample(0, 500))
    replaced = await bus.publish(sample(1, 120))
    (event,) = journal.events
    assert (event.kind, event.severity, event.device) == (EventKind.METER_REPLACED, Severity.OPERATIONAL, "meter-1")  # fmt: skip
    assert event.attributes == {"point": ENERGY, "value": 120, "was": 500}
    assert (event.n, event.time_ns, lane_of(event)) == (replaced.n, replaced.time_ns, 1)
    assert journal.items.index(replaced) < journal.items.index(event)


def told(value: object, at_s: float, *, clock_ok: bool = True) -> Event:
    attributes = {"point": ENERGY, "value": value, "was": 500}
    return Event(
        uuid7(), EventKind.COUNTER_RESET, Severity.OPERATIONAL, "meter-1", round(at_s * SECOND), 0,
        1, clock_ok, attributes,
    )  # fmt: skip


def test_a_step_while_the_gateway_was_off_is_told_at_its_start() -> None:
    known = counters()
    known.restore({KEY: (500.0, 300)}, [])
    assert [step.was for step in known.steps(sample(900, 3))] == [500]


def test_a_step_that_was_told_before_the_restart_is_not_told_again() -> None:
    known = counters()
    known.restore({KEY: (500.0, 300)}, [told(3, 700)])  # the rollups know only what was before it
    assert known.steps(sample(900, 4)) == []
    assert len(known.steps(sample(901, 0))) == 1


def test_what_the_rollups_know_of_after_the_last_step_counts() -> None:
    known = counters()
    known.restore({KEY: (800.0, 9_000)}, [told(3, 700)])
    assert [step.was for step in known.steps(sample(9_900, 5))] == [800]


def test_without_a_trusted_clock_a_step_is_rather_not_told_than_twice() -> None:
    known = counters()
    known.restore({KEY: (800.0, 9_000)}, [told(3, 700, clock_ok=False)])
    assert known.steps(sample(9_900, 5)) == []


@pytest.mark.parametrize("value", [None, True, "3", [3]])
def test_a_strange_event_restores_nothing(value: object) -> None:
    known = counters()
    known.restore({}, [told(value, 700)])
    assert known.steps(sample(900, 5)) == []


def test_without_anything_known_the_first_value_is_only_remembered() -> None:
    known = counters()
    known.restore({}, [])
    assert known.steps(sample(0, 3)) == []


def test_the_journal_knows_the_last_value_of_each_counter(tmp_path: Path) -> None:
    rolled = Rolled(tmp_path / "s")
    hours = [(0, 10.0), (3_600, 20.0), (90_000, 30.0), (90_310, 31.0), (90_650, 32.0)]
    rolled.commit([reading(at, {COUNTER[1]: value, GAUGE[1]: 5.0}) for at, value in hours])
    old = reading(-600_000, {COUNTER[1]: 7.0}, device="meter-2")
    rolled.files.journal.describe({**KINDS, ("meter-2", COUNTER[1]): KINDS[COUNTER]})
    rolled.commit([old])
    rolled.clock.advance(90_000)
    rolled.settle()
    rolled.stop()
    assert rolled.files.counted == {COUNTER: (32.0, START + 90_600)}, "what is older began anew"
    rolled.close()


def test_a_counter_that_was_silent_for_hours_is_found_in_the_hours(tmp_path: Path) -> None:
    other = ("meter-2", COUNTER[1])
    rolled = Rolled(tmp_path / "s", clock=FakeClock(time_ns=(START + 200_000) * 10**9))
    rolled.journal.describe({**KINDS, other: KINDS[COUNTER]})
    rolled.commit([reading(3_700, {COUNTER[1]: 7.0}, device="meter-2")])
    rolled.commit([reading(90_000, {COUNTER[1]: 30.0})])
    rolled.settle()
    rolled.stop()
    assert rolled.files.counted == {COUNTER: (30.0, START + 90_000), other: (7.0, START + 3_600)}
    rolled.close()

import math

import pytest

from drivers.modbus.breaker import PATIENCE_S, Breaker
from drivers.modbus.schedule import SLOT_S, Schedule


def test_everything_is_due_at_the_start_and_ticks_do_not_drift() -> None:
    schedule = Schedule([10.0, 60.0])
    schedule.start(1000.0)
    assert schedule.due == 1000.0
    assert schedule.take(1000.0) == (frozenset({10.0, 60.0}), 0)
    for tick in range(1, 6):
        assert schedule.due == 1000.0 + 10 * tick
        assert schedule.take(1000.3 + 10 * tick) == (
            frozenset({10.0}),
            0,
        )  # each poll is 0.3 s late
    assert schedule.take(1060.0) == (frozenset({10.0, 60.0}), 0), "one tick for both"


def test_classes_whose_ticks_differ_by_rounding_only_are_read_together() -> None:
    schedule = Schedule([0.1, 0.3])
    schedule.start(0.0)
    schedule.take(0.0)
    for _ in range(2):
        schedule.take(schedule.due)
    assert schedule.take(schedule.due)[0] == {0.1, 0.3}


def test_missed_ticks_are_counted_and_not_made_up_for() -> None:
    schedule = Schedule([10.0])
    schedule.start(0.0)
    schedule.take(0.0)
    assert schedule.take(35.0) == (frozenset({10.0}), 2)
    assert schedule.due == 40.0


@pytest.mark.parametrize("count", [2, 7, 32, 247])
def test_devices_are_spread_over_both_periods_and_still_read_both_together(count: int) -> None:
    fast, slow = list[float](), list[float]()
    for index in range(count):
        schedule = Schedule([10.0, 60.0], index / count)
        schedule.start(0.0)
        assert schedule.take(0.0) == (frozenset({10.0, 60.0}), 0)
        fast.append(schedule.due)
        while 60.0 not in schedule.periods(schedule.due):
            schedule.take(schedule.due)
        assert schedule.periods(schedule.due) == {10.0, 60.0}
        slow.append(schedule.due)
    gaps = [b - a for a, b in zip(sorted(fast), sorted(fast)[1:], strict=False)]
    assert min(gaps) > 10.0 / count - SLOT_S
    assert all(
        at % SLOT_S == pytest.approx(0) or at % SLOT_S == pytest.approx(SLOT_S) for at in fast
    )
    per_minute = [sum(10 * i <= at % 60 < 10 * i + 10 for at in slow) for i in range(6)]
    assert max(per_minute) <= 1.2 * count / 6 + 2


def test_a_phase_makes_the_first_tick_neither_late_nor_missed() -> None:
    for step in range(20):
        schedule = Schedule([10.0], step / 20)
        schedule.start(100.0)
        schedule.take(100.0)
        assert 100.0 < schedule.due <= 110.0
        assert schedule.take(schedule.due) == (frozenset({10.0}), 0)


def test_a_failing_device_backs_off_from_1_s_to_at_most_60_s() -> None:
    breaker = Breaker()
    for failures in range(1, 20):
        breaker.failed(100.0, 0.5)
        assert 101.0 <= breaker.retry_at <= 100.0 + min(60.0, 2.0**failures)
    states = [breaker.open]
    breaker.worked()
    assert [*states, breaker.open] == [True, False]
    breaker.failed(100.0, 0.5, longest=True)
    assert breaker.retry_at == 160.0


@pytest.mark.parametrize("cost", [0.2, 1.5, 6.0])
def test_after_its_first_minute_a_dead_device_takes_at_most_5_percent_of_the_bus(
    cost: float,
) -> None:
    for _ in range(20):
        breaker, now, spent, counted_from = Breaker(), 0.0, 0.0, math.inf
        while now < 3600.0:
            now += cost
            breaker.failed(now, cost)
            if now - cost > PATIENCE_S:  # the first minute is over
                counted_from = min(counted_from, now - cost)
                spent += cost
            now = breaker.retry_at
        assert spent / (now - counted_from) <= 0.05 + 1e-9


def test_a_device_that_is_read_once_only_is_never_due_again() -> None:
    schedule = Schedule([])
    schedule.start(0.0)
    assert schedule.due == math.inf

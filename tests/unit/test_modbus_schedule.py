import math

from drivers.modbus.schedule import Schedule


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


def test_a_failing_device_backs_off_from_1_s_to_at_most_60_s() -> None:
    schedule = Schedule([10.0])
    schedule.start(0.0)
    for failures in range(1, 20):
        schedule.failed(100.0)
        assert 101.0 <= schedule.due <= 100.0 + min(60.0, 2.0**failures)
    schedule.take(100.0)
    schedule.worked()
    assert schedule.due == 110.0
    schedule.failed(100.0, longest=True)
    assert schedule.due == 160.0


def test_a_device_that_is_read_once_only_is_never_due_again() -> None:
    schedule = Schedule([])
    schedule.start(0.0)
    assert schedule.due == math.inf

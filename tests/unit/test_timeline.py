"""Engine time over restarts and reboots, with and without a wall clock that is right."""

from collections.abc import Mapping
from typing import Any

import orjson
import pytest

from gateway.timeline import Mark, Timeline, mark_of, offset
from tests.harness.clock import FakeClock

SECOND = 1_000_000_000


def booted(before: FakeClock, off_s: float, *, ok: bool = True, wrong_s: float = 0.0) -> FakeClock:
    """The machine `off_s` later; its wall clock is wrong by `wrong_s` if it is not ok."""
    later = FakeClock(time_ns=before.time_ns() + round((off_s + wrong_s) * SECOND), ok=ok)
    later.boot = before.boot + 1
    return later


def kept(timeline: Timeline, clock: FakeClock) -> Mark:
    mark = mark_of(timeline.mark(clock.boottime_ns(), offset(clock)))
    assert mark is not None
    return mark


def run(clock: FakeClock, seconds: float, mark: Mark | None = None) -> tuple[int, Mark]:
    """A life of a gateway: engine time at its end, and what it notes then."""
    timeline = Timeline(mark, clock)
    clock.advance(seconds)
    return timeline.at(clock.boottime_ns()), kept(timeline, clock)


def test_after_a_restart_on_the_same_boot_the_same_time_goes_on() -> None:
    clock = FakeClock(ok=False)
    now, mark = run(clock, 100)
    clock.advance(30)
    again = Timeline(mark, clock)
    assert again.at(clock.boottime_ns()) - now == 30 * SECOND == again.off_ns


def test_after_a_reboot_the_wall_clock_tells_how_long_it_was_off() -> None:
    clock = FakeClock()
    now, mark = run(clock, 100)
    later = booted(clock, 3600)
    again = Timeline(mark, later)
    assert again.off_ns == 3600 * SECOND
    assert again.at(later.boottime_ns()) - now == 3600 * SECOND
    assert again.owed(later.boottime_ns(), offset(later)) == 0


@pytest.mark.parametrize("wrong_s", [-1e9, 0.0, 1e9])
def test_a_wall_clock_that_is_not_right_tells_nothing_until_it_is(wrong_s: float) -> None:
    clock = FakeClock()
    now, mark = run(clock, 100)
    later = booted(clock, 3600, ok=False, wrong_s=wrong_s)
    again = Timeline(mark, later)
    assert again.at(later.boottime_ns()) == now, "nobody knows of the time off"
    later.advance(50)
    assert again.owed(later.boottime_ns(), offset(later)) == 0
    later.step(-wrong_s)
    later.ok = True
    assert again.owed(later.boottime_ns(), offset(later)) == 3600 * SECOND
    assert again.owed(later.boottime_ns(), offset(later)) == 0, "once"


def test_a_third_life_knows_what_the_second_could_not_tell() -> None:
    clock = FakeClock()
    now, mark = run(clock, 100)
    second = booted(clock, 3600, ok=False)
    _, mark = run(second, 50, mark)
    third = booted(second, 200)
    assert Timeline(mark, third).at(third.boottime_ns()) - now == (3600 + 50 + 200) * SECOND


def test_engine_time_never_goes_back_whatever_the_wall_clock_says() -> None:
    clock = FakeClock()
    now, mark = run(clock, 100)
    earlier = booted(clock, -5000)
    again = Timeline(mark, earlier)
    assert (again.at(earlier.boottime_ns()), again.off_ns) == (now, 0)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'{"now": 1}',
        b'{"now": "x", "wall": 1, "boot": 1, "bases": {}}',
    ],
)
def test_a_mark_that_is_not_understood_is_none(body: bytes) -> None:
    assert mark_of(body) is None


def test_a_mark_says_what_is_needed_to_go_on() -> None:
    clock = FakeClock()
    found: Mapping[str, Any] = orjson.loads(Timeline(None, clock).mark(5, 7))
    assert found == {"now": 5, "wall": 7, "boot": 1, "bases": {"1": 0}}

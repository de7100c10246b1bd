"""How much an upstream lets travel at once, against a line and a platform that are computed."""

import pytest

from gateway.sinks.encode import MAX_PAYLOAD
from gateway.sinks.flow import LEAST, MOST, SMALLEST, WIDEST, Drain, Line
from gateway.sinks.lane import Lane
from gateway.sinks.window import Timing, Window
from tests.harness.clock import FakeClock


def test_a_fast_line_carries_the_largest_batches_several_at_once() -> None:
    line = Line()
    for _ in range(20):
        line.took(0.01)
    assert (line.size, line.width) == (MAX_PAYLOAD, WIDEST)


@pytest.mark.parametrize("bytes_per_s", [1_000, 3_000, 10_000, 30_000, 100_000])
def test_on_a_slow_line_an_alarm_waits_for_hardly_more_than_two_seconds(bytes_per_s: int) -> None:
    line = Line()
    line.begin(200 / bytes_per_s)
    for _ in range(100):
        line.took(0.05 + line.width * line.size / bytes_per_s)
    worst = 0
    for _ in range(20):
        line.took(line.size / bytes_per_s)
        worst = max(worst, line.width * line.size)
    assert worst / bytes_per_s <= 2.1 or line.size == SMALLEST


def test_a_long_way_is_no_slow_line() -> None:
    line = Line()
    line.begin(2.5)
    for _ in range(20):
        line.took(2.7)
    assert (line.size, line.width) == (MAX_PAYLOAD, WIDEST)


def test_a_connection_that_breaks_begins_carefully() -> None:
    line = Line()
    for _ in range(20):
        line.took(0.01)
    line.failed()
    assert (line.size, line.width) == (MAX_PAYLOAD // 2, 1)


class Peer:
    """A platform that takes `per_s` bytes a second, one batch after the other."""

    def __init__(self, per_s: float) -> None:
        self.per_s = per_s
        self.drain = Drain()
        self.now = 0.0
        self.free_at = 0.0
        self.flying: list[tuple[float, int, float, int]] = []  # (done, size, sent at, mark)
        self.way_s = 0.01
        self.queued_s = 0.0  # the longest time that something waited for its ack

    def run(self, seconds: float) -> float:
        """Offer as much as goes; returns bytes/s that were acknowledged."""
        end, before = self.now + seconds, self.drain.acked
        while self.now < end:
            self.now += 0.002
            while self.flying and self.flying[0][0] <= self.now:
                done, size, sent_at, mark = self.flying.pop(0)
                self.queued_s = max(self.queued_s, done - sent_at)
                self.drain.measure(self.now, size, done - sent_at, mark)
            if self.drain.may(self.now, sum(f[1] for f in self.flying), MAX_PAYLOAD):
                self.free_at = max(self.free_at, self.now) + MAX_PAYLOAD / self.per_s
                self.drain.spend(MAX_PAYLOAD)
                self.flying.append(
                    (self.free_at + self.way_s, MAX_PAYLOAD, self.now, self.drain.acked)
                )
        return (self.drain.acked - before) / seconds


def test_the_drain_uses_what_the_platform_takes_and_keeps_its_queue_short() -> None:
    peer = Peer(2_000_000)
    peer.run(5)
    peer.queued_s = 0
    assert peer.run(20) >= 0.75 * 2_000_000
    assert peer.queued_s <= 1


def test_a_platform_that_slows_down_is_not_pressed_and_one_that_recovers_is_used_again() -> None:
    peer = Peer(4_000_000)
    peer.run(5)
    peer.per_s = 200_000
    peer.run(10)
    peer.queued_s = 0
    assert peer.run(20) >= 0.6 * 200_000
    assert peer.queued_s <= 1
    peer.per_s = 4_000_000
    peer.run(5)
    assert peer.run(10) >= 0.75 * 4_000_000


def test_a_way_that_becomes_longer_is_no_queue_after_a_minute() -> None:
    peer = Peer(400_000)
    peer.run(5)
    peer.way_s = 0.9
    peer.run(90)
    assert peer.run(20) >= 0.25 * 400_000, "a window of half a second over a way of 0.9 s"


def test_the_rate_stays_within_its_bounds_whatever_the_acks_say() -> None:
    drain = Drain()
    for turn in range(200):
        drain.may(turn, 10**9, MAX_PAYLOAD)
        drain.measure(turn, 10**6, 0.001, 0)
    assert drain.rate == MOST
    for turn in range(200, 400):
        drain.measure(turn, 1, 100, drain.acked)
    assert drain.rate == LEAST


def lane(number: int) -> Lane:
    return Lane(Window(number, None, Timing()), FakeClock())


def test_telemetry_waits_for_company_and_a_full_batch_or_an_event_does_not() -> None:
    samples, events = lane(2), lane(1)
    assert samples.ripe_at(10, 0, 500, 0.25) is None
    assert samples.ripe_at(10, 3, 500, 0.25) == 10.25
    assert samples.ripe_at(10.2, 499, 500, 0.25) == 10.25
    assert samples.ripe_at(10.2, 500, 500, 0.25) == 10.2
    samples.picked()
    assert samples.ripe_at(11, 1, 500, 0.25) == 11.25
    assert events.ripe_at(10, 1, 500, 0.25) <= 10  # type: ignore[operator]  # None would raise

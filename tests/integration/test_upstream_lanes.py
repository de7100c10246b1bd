"""Alarms beside telemetry on real connections: fast ones, slow ones, ones that refuse a lane."""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from gateway.model import EventKind, Severity
from gateway.sinks.upstream import UpstreamSink
from gateway.sinks.window import Timing
from gateway.store.reader import Slice
from gateway.store.store import Position
from simulators.ledger import arrivals
from simulators.platform import Platform, platform
from tests.harness import sabotage_mqtt as sabotage
from tests.harness.broker import HOST, Mosquitto
from tests.harness.picky import LOST, SWALLOWED, picky
from tests.harness.ports import free_port
from tests.harness.proxy import proxy
from tests.harness.site import FAST, GATEWAY, Site, running, site

SLOW_S = 2.5  # a batch of 8,000 bytes at 8 KB/s, the alarm's own way, and a busy machine

QUEUE_S = 1.2  # half a second of queue, the batch before it and its own


@pytest.fixture
async def broker(tmp_path: Path) -> AsyncIterator[Mosquitto]:
    async with Mosquitto(tmp_path / "broker") as one:
        yield one


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Site]:
    async with site(tmp_path / "state") as one:
        yield one


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "platform.jsonl"


class Arrivals:
    """When each event was with the platform, in seconds of CLOCK_MONOTONIC."""

    def __init__(self, far: Platform) -> None:
        self.at: dict[str, float] = {}
        self._far = far
        far.refuse(self._note)

    def _note(self, item: Mapping[str, Any]) -> None:
        if "event_id" in item:
            self.at.setdefault(item["event_id"], time.monotonic())

    async def of(self, event_id: object, within_s: float) -> float:
        async with asyncio.timeout(within_s):
            await self._far.until(lambda _far: str(event_id) in self.at)
        return self.at[str(event_id)]


async def waits(place: Site, seen: Arrivals, alarms: int, *, samples: int) -> list[float]:
    """Seconds from each of some alarms to the platform, with `samples` beside each; sorted."""
    taken = []
    for _ in range(alarms):
        await place.samples(samples)
        started = time.monotonic()
        taken.append(await seen.of(place.event().event_id, 10) - started)
        await asyncio.sleep(0.02)  # not waiting: it is the load that goes on
    return sorted(taken)


async def until(condition: Callable[[], object], within_s: float = 10) -> None:
    async with asyncio.timeout(within_s):
        while not condition():
            await asyncio.sleep(0.01)


def reached(place: Site, sink: UpstreamSink, lane: int) -> bool:
    cursor, last = place.store.cursor(sink.name, lane), place.store.last(lane)
    return last > 0 and cursor is not None and cursor.seq == last


async def test_an_alarm_beside_telemetry_takes_milliseconds(
    broker: Mosquitto, place: Site, log: Path
) -> None:
    sink = place.sink(broker.url, lanes=[0, 2])
    async with platform(HOST, broker.port, GATEWAY, log=log) as far, running(sink):
        seen = Arrivals(far)
        await until(lambda: far.connected)
        await waits(place, seen, 10, samples=10)
        taken = await waits(place, seen, 40, samples=10)
    p50, p99 = taken[20], taken[38]
    print(f"alarm from commit request to platform: p50 {p50 * 1e3:.1f} ms, p99 {p99 * 1e3:.1f} ms")
    assert p50 < 0.03
    assert p99 < 0.3


async def slow_line(broker: Mosquitto, place: Site, log: Path) -> float:
    """How long an alarm takes over a line of 8 KB/s with a minute of telemetry before it."""
    await place.samples(1_500)
    await place.durable()
    async with (
        proxy(HOST, broker.port) as line,
        platform(HOST, broker.port, GATEWAY, log=log) as far,
    ):
        line.per_s = 8_000
        seen = Arrivals(far)
        sink = place.sink(f"mqtt://{HOST}:{line.port}", lanes=[0, 2])
        async with running(sink):
            await until(lambda: sink.lanes()[1].sent > 0)
            started = time.monotonic()
            return await seen.of(place.event().event_id, SLOW_S) - started


async def test_on_a_slow_line_an_alarm_overtakes_the_telemetry(
    broker: Mosquitto, place: Site, log: Path
) -> None:
    assert await slow_line(broker, place, log) < SLOW_S


@pytest.mark.chaos
async def test_on_a_line_of_1_kb_per_second_alarms_come_within_seconds(
    broker: Mosquitto, place: Site, log: Path
) -> None:
    await place.samples(3_000)
    await place.durable()
    async with (
        proxy(HOST, broker.port) as line,
        platform(HOST, broker.port, GATEWAY, log=log) as far,
    ):
        line.per_s = 1_000
        seen, taken = Arrivals(far), []
        sink = place.sink(f"mqtt://{HOST}:{line.port}", Timing(), lanes=[0, 2])
        async with running(sink):
            await until(lambda: sink.lanes()[1].sent > 0)
            for _ in range(10):
                started = time.monotonic()
                taken.append(await seen.of(place.event().event_id, 20) - started)
                await asyncio.sleep(max(0, started + 9 - time.monotonic()))
        assert sink.lanes()[1].acked > 100, "telemetry gets on, too"
    print(f"alarms over 1 KB/s took {', '.join(f'{s:.1f}' for s in taken)} s")
    assert max(taken) < 10
    assert max(taken[3:]) < 5
    assert sink.health.connects == 1


async def test_without_a_slot_for_alarms_they_wait_on_a_slow_line(
    broker: Mosquitto, place: Site, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Teeth: lane 0 is one of the others, and everything that is there travels at once."""
    sabotage.lane_0_is_one_of_the_others(monkeypatch.setattr)
    with pytest.raises(TimeoutError):
        await slow_line(broker, place, log)


async def slow_platform(broker: Mosquitto, place: Site, log: Path) -> float:
    """How long an alarm takes to a platform that thinks for 200 ms about each batch of a backlog."""
    await place.samples(6_000)
    await place.durable()
    async with platform(HOST, broker.port, GATEWAY, log=log) as far:
        seen = Arrivals(far)
        await until(lambda: far.connected)
        far.slow(0.2)
        async with running(place.sink(broker.url, lanes=[0, 2])):
            async with asyncio.timeout(10):
                await far.until(lambda p: p.batches >= 10)
            started = time.monotonic()
            return await seen.of(place.event().event_id, QUEUE_S) - started


async def test_an_alarm_does_not_wait_in_the_queue_of_a_slow_platform(
    broker: Mosquitto, place: Site, log: Path
) -> None:
    assert await slow_platform(broker, place, log) < QUEUE_S


async def test_without_the_back_off_alarms_wait_in_the_queue_of_a_slow_platform(
    broker: Mosquitto, place: Site, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Teeth: the drain lets everything through."""
    sabotage.no_bound(monkeypatch.setattr)
    with pytest.raises(TimeoutError):
        await slow_platform(broker, place, log)


async def test_an_alarm_has_a_slot_of_its_own_though_nothing_else_is_answered(
    broker: Mosquitto, place: Site, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of two publishes that this broker lets be under way, one."""
    sabotage.no_bound(monkeypatch.setattr)  # no sabotage of this promise: nothing else holds back
    taken, stuck = 0, 0

    def judge(packet: bytes) -> int:
        nonlocal taken, stuck
        if b"/up/2" not in packet:
            return 0
        if sink._traffic.line.width < 3:
            taken += 1
            return 0
        stuck += 1
        return LOST

    await place.samples(6_000)
    await place.durable()
    broker.extra = ["max_inflight_messages 2"]
    await broker.kill()
    await broker.start()
    async with (
        picky(HOST, broker.port, judge) as port,
        platform(HOST, broker.port, GATEWAY, log=log) as far,
    ):
        sink = place.sink(f"mqtt://{HOST}:{port}", Timing(), lanes=[0, 2])
        async with running(sink):
            await until(lambda: stuck)
            seen = Arrivals(far)
            for _ in range(10):  # after each of them another publish could begin
                await seen.of(place.event().event_id, 5)
            assert (stuck, sink.health.connects) == (1, 1)


async def test_a_lane_0_that_gets_no_acks_holds_up_nobody_for_long(
    broker: Mosquitto, place: Site, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.sinks.courier.GRACE_S", 0.2)
    place.events(1_000)
    await place.samples(10)
    await place.durable()
    sink = place.sink(broker.url, Timing(ack_timeout_s=600), lanes=[0, 2])
    async with platform(HOST, broker.port, GATEWAY, log=log) as far:
        far.hold_acks()
        await until(lambda: far.connected)
        async with running(sink):
            await until(lambda: len(arrivals(log, 2)) == 10)
            assert sink.lanes()[0].backlog == 1_000


async def test_what_is_given_up_while_the_journal_is_read_is_not_passed_over(
    broker: Mosquitto, place: Site, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A refusal may come in the middle of a read: the lane begins at its cursor all the same."""
    monkeypatch.setattr("gateway.mqtt.PUBACK_S", 0.5)
    sabotage.no_bound(monkeypatch.setattr)  # no sabotage of this promise: it goes on reading
    proper, lost, given_up = place.store.read, 0, 0

    def judge(packet: bytes) -> int:
        """One publish stays without an answer, so that there is something to go back to."""
        nonlocal lost
        first = b"/up/2" in packet and sink._traffic.line.width >= 3 and not lost
        lost += first
        return SWALLOWED if first else 0

    async def read(lane: int, after: Position | None, **limits: int) -> Slice | None:
        nonlocal given_up
        part, window = await proper(lane, after, **limits), sink._traffic.lanes[2].window
        if lost and not given_up:
            given_up += 1
            assert after != window.cursor
            window.again()
        return part

    await place.samples(10_000)
    await place.durable()
    monkeypatch.setattr(place.store, "read", read)
    async with (
        picky(HOST, broker.port, judge) as port,
        platform(HOST, broker.port, GATEWAY, log=log) as far,
    ):
        await until(lambda: far.connected)
        sink = place.sink(f"mqtt://{HOST}:{port}", ack="broker", lanes=[2])
        async with running(sink):
            await until(lambda: reached(place, sink, 2))
            await until(lambda: far.items == 10_000)
    assert given_up == 1


def acl(path: Path, lanes: str) -> Path:
    """The gateway may publish these lanes (topic filter levels) and read everything."""
    allowed = "".join(f"topic readwrite gw/{GATEWAY}/up/{lane}\n" for lane in lanes)
    path.write_text(
        f"{allowed}topic read gw/{GATEWAY}/up/#\ntopic readwrite gw/{GATEWAY}/ack\n"
        f"topic readwrite gw/{GATEWAY}/state\n"
    )
    return path


async def test_a_lane_that_the_broker_refuses_is_parked_told_and_tried_again(
    place: Site, tmp_path: Path, log: Path
) -> None:
    rights = acl(tmp_path / "acl", "0")
    timing = FAST._replace(ack_timeout_s=5)
    async with Mosquitto(tmp_path / "strict", [f"acl_file {rights}"]) as strict:
        sink = place.sink(strict.url, timing)
        async with platform(HOST, strict.port, GATEWAY, log=log), running(sink):
            place.events(20, Severity.OPERATIONAL)
            await until(lambda: place.told)
            assert sink.lanes()[1].parked == "Not authorized"
            place.events(30)
            await until(lambda: reached(place, sink, 0))
            assert place.store.cursor(sink.name, 1) is None
            acl(rights, "01")
            assert strict.process
            os.kill(strict.process.pid, signal.SIGHUP)
            await until(lambda: reached(place, sink, 1))
            assert sink.lanes()[1].parked == ""
    what = {"upstream": "platform", "lane": 1, "reason": "Not authorized"}
    assert place.told == [
        (EventKind.UPSTREAM_PARKED, Severity.OPERATIONAL, what),
        (EventKind.UPSTREAM_RESUMED, Severity.OPERATIONAL, what),
    ]
    assert [item["attributes"]["number"] for item in arrivals(log, 1)] == list(range(20))
    assert sink.health.connects >= 3, "this broker drops the connection over a refusal"


async def test_of_two_platforms_a_dead_one_holds_nothing_up_and_gets_its_lanes_later(
    place: Site, tmp_path: Path
) -> None:
    logs = tmp_path / "one.jsonl", tmp_path / "two.jsonl"
    port = free_port()
    one, two = Mosquitto(tmp_path / "one"), Mosquitto(tmp_path / "two", port=port)
    async with one, platform(HOST, one.port, GATEWAY, log=logs[0]) as near:
        here = place.sink(one.url, name="near", lanes=[0, 2])
        there = place.sink(f"mqtt://{HOST}:{port}", name="far", lanes=[0, 1])
        async with running(here), running(there):
            await place.samples(1_000)
            place.events(100)
            place.events(50, Severity.OPERATIONAL)
            async with asyncio.timeout(10):
                await near.until(lambda p: p.items == 1_100)
            assert [lane.backlog for lane in there.lanes()] == [100, 50]
            async with two, platform(HOST, port, GATEWAY, log=logs[1]) as late:
                async with asyncio.timeout(10):
                    await late.until(lambda p: p.items == 150)
                await until(lambda: reached(place, there, 1))
    assert {item["lane"] for item in arrivals(logs[0])} == {0, 2}
    assert [len(arrivals(logs[1], lane)) for lane in range(4)] == [100, 50, 0, 0]
    assert (near.duplicates, late.duplicates) == (0, 0)


@pytest.mark.parametrize("window", [1, 2])
async def test_a_broker_that_takes_one_or_two_publishes_at_once_is_obeyed(
    place: Site, tmp_path: Path, log: Path, window: int
) -> None:
    """Its receive maximum (MQTT 5, 3.2.2.3.3); whoever sends more is disconnected."""
    async with Mosquitto(tmp_path / "narrow", [f"max_inflight_messages {window}"]) as narrow:
        sink = place.sink(narrow.url, lanes=[0, 1, 2])
        await place.samples(3_000)
        place.events(100, Severity.OPERATIONAL)
        async with platform(HOST, narrow.port, GATEWAY, log=log) as far, running(sink):
            seen = Arrivals(far)
            await until(lambda: far.items > 0)
            await seen.of(place.event().event_id, 2)
            await until(lambda: far.items == 3_101)
    assert sink.health.connects == 1

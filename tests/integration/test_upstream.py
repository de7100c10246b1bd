"""The upstream sink against a real broker, a real store and a platform that behaves and misbehaves."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import closing
from pathlib import Path

import pytest

from gateway.model import Event, Severity
from gateway.sinks.encode import MAX_PAYLOAD
from gateway.sinks.upstream import UpstreamSink
from gateway.sinks.window import Timing
from gateway.store.store import Position
from simulators.ledger import arrivals, read
from simulators.platform import Platform, platform
from tests.harness.broker import HOST, Mosquitto
from tests.harness.proxy import Mode, proxy
from tests.harness.site import GATEWAY, Site, running, site

ALL = [0, 1, 2, 3]


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


async def until(condition: Callable[[], object], within_s: float = 10) -> None:
    async with asyncio.timeout(within_s):
        while not condition():
            await asyncio.sleep(0.01)


async def received(one: Platform, count: int, within_s: float = 15) -> None:
    async with asyncio.timeout(within_s):
        await one.until(lambda p: p.items >= count)


def dead_letters(state: Path) -> list[tuple[int, int, int, str, bytes]]:
    with closing(sqlite3.connect(f"file:{state}/core.db?mode=ro", uri=True)) as db:
        return db.execute("SELECT lane, seq, status, error, body FROM dead ORDER BY seq").fetchall()


def caught_up(place: Site, sink: UpstreamSink, lane: int) -> bool:
    cursor, last = place.store.cursor(sink.name, lane), place.store.last(lane)
    return last > 0 and cursor is not None and cursor.seq == last


@pytest.mark.both_loops
async def test_everything_arrives_once_and_in_order(
    broker: Mosquitto, place: Site, log: Path
) -> None:
    place.events(700)
    place.events(300, Severity.OPERATIONAL)
    place.events(20, Severity.TELEMETRY)
    await place.samples(1500, bad=True)
    sink = place.sink(broker.url, lanes=ALL)
    async with platform(HOST, broker.port, GATEWAY, log=log) as far, running(sink):
        await received(far, 2520)
        await until(lambda: all(caught_up(place, sink, lane) for lane in ALL))
        status = {lane.lane: lane for lane in sink.lanes()}
    assert [lane.backlog for lane in status.values()] == [0, 0, 0, 0]
    assert [lane.acked for lane in status.values()] == [700, 300, 1500, 20]
    assert status[2].rate_per_s == 25
    assert status[2].oldest_time_ns is None
    for lane in ALL:
        seqs = [item["seq"] for item in arrivals(log, lane)]
        assert seqs == sorted(seqs)
    sent = [i for i in place.items if isinstance(i, Event) and i.severity is Severity.LIFE]
    assert [item["event_id"] for item in arrivals(log, 0)] == [
        str(event.event_id) for event in sent
    ]
    assert [item["attributes"]["number"] for item in arrivals(log, 0)] == list(range(700))
    assert arrivals(log, 2)[0]["quality"] == {"elec.power.total": ["bad", "timeout"]}
    assert sink.health.counters["acks_refused"] == 0
    assert sink.health.connects == 1


async def test_a_platform_that_vanishes_and_returns_misses_nothing(
    broker: Mosquitto, place: Site, log: Path
) -> None:
    sink = place.sink(broker.url)
    async with platform(HOST, broker.port, GATEWAY, log=log) as far, running(sink):
        place.events(50)
        await received(far, 50)
        far.vanish()
        await until(lambda: not far.connected)
        place.events(100)
        await until(lambda: sink.health.counters["no_subscriber"] >= 2)
        before = place.store.cursor(sink.name, 0)
        assert before is not None
        assert sink.lanes()[0].backlog == 100
        far.come_back()
        await received(far, 150)
        await until(lambda: caught_up(place, sink, 0))
    assert [item["attributes"]["number"] for item in arrivals(log, 0)] == [*range(50), *range(100)]


async def test_a_platform_that_returns_is_served_at_once(
    broker: Mosquitto, place: Site, log: Path
) -> None:
    sink = place.sink(broker.url, Timing(ack_timeout_s=600, backoff_s=600, longest_s=600))
    async with platform(HOST, broker.port, GATEWAY, log=log) as far:
        await until(lambda: far.connected)
        async with running(sink):
            place.events(1)
            await until(lambda: caught_up(place, sink, 0))
            far.vanish()
            await until(lambda: not far.connected)
            place.events(1)
            await until(lambda: sink.health.counters["no_subscriber"] == 1)
            far.come_back()
            await received(far, 2, within_s=5)


async def test_lane_0_goes_first_and_the_others_share_by_weight(
    broker: Mosquitto, place: Site, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a line that is full and carries one batch at a time, as large as can be."""
    monkeypatch.setattr("gateway.sinks.flow.WIDEST", 1)
    monkeypatch.setattr("gateway.sinks.flow.FIRST", MAX_PAYLOAD)
    await place.samples(4000)
    place.events(1500, Severity.OPERATIONAL)
    place.events(700)
    await place.durable()
    sink = place.sink(broker.url, ack="broker", lanes=[0, 1, 2])
    async with platform(HOST, broker.port, GATEWAY, log=log) as far:
        await until(lambda: far.connected)
        async with running(sink):
            await received(far, 6200)
    order = [line["batch"]["lane"] for line in read(log) if "batch" in line]
    others = order.index(1)
    assert 0 not in order[others:]
    assert set(order[:others]) == {0}
    assert 5 <= order[others : others + 9].count(1) <= 7, "8 to 4 of 9 is 6 to 3"


async def test_a_platform_that_restarts_goes_on_where_its_log_ends(
    broker: Mosquitto, place: Site, log: Path
) -> None:
    sink = place.sink(broker.url)
    async with running(sink):
        place.events(30)
        async with platform(HOST, broker.port, GATEWAY, log=log) as far:
            await received(far, 30)
        place.events(30)
        async with platform(HOST, broker.port, GATEWAY, log=log) as far:
            await received(far, 60)
            await until(lambda: caught_up(place, sink, 0))
    assert len(arrivals(log, 0)) == 60


@pytest.mark.both_loops
async def test_a_broker_that_is_killed_and_started_again_costs_nothing(
    broker: Mosquitto, place: Site, log: Path
) -> None:
    sink = place.sink(broker.url)
    async with platform(HOST, broker.port, GATEWAY, log=log) as far, running(sink):
        place.events(400)
        await received(far, 1)
        await broker.kill()
        place.events(400)
        await place.durable()
        await broker.start()
        await received(far, 800)
        await until(lambda: caught_up(place, sink, 0))
    ids = [item["event_id"] for item in arrivals(log, 0)]
    assert sorted(ids) == sorted(str(i.event_id) for i in place.items if isinstance(i, Event))
    assert sink.health.connects >= 2


async def test_an_ack_beyond_what_was_sent_or_of_an_unknown_epoch_is_refused(
    broker: Mosquitto, place: Site, log: Path
) -> None:
    sink = place.sink(broker.url)
    async with platform(HOST, broker.port, GATEWAY, log=log) as far:
        far.hold_acks()
        async with running(sink):
            place.events(5)
            await received(far, 5)
            epoch, last = place.store.epoch, place.store.last(0)
            for wrong in (
                {"epoch": epoch, "lane": 0, "seq": last + 1},
                {"epoch": epoch + 1, "lane": 0, "seq": last},
                {"epoch": epoch - 1, "lane": 0, "seq": last},
            ):
                await far.acknowledge(wrong)
            await far.acknowledge({"epoch": epoch, "lane": 3, "seq": 1})
            await far.acknowledge({"nonsense": True})
            await until(lambda: sink.health.counters["acks_bad"] == 2)
            assert sink.health.counters["acks_refused"] == 3
            assert place.store.cursor(sink.name, 0) is None
            await far.release_acks()
            await until(lambda: caught_up(place, sink, 0))


async def test_a_missing_ack_sends_the_same_items_again_and_a_late_one_counts(
    broker: Mosquitto, place: Site, log: Path
) -> None:
    sink = place.sink(broker.url)
    async with platform(HOST, broker.port, GATEWAY, log=log) as far:
        far.hold_acks()
        async with running(sink):
            place.events(20)
            async with asyncio.timeout(10):
                await far.until(lambda p: p.items == 20 and p.duplicates >= 40)
            assert sink.health.counters["acks_missing"] >= 2
            assert place.store.cursor(sink.name, 0) is None
            await far.release_acks()
            await until(lambda: caught_up(place, sink, 0))
    assert [item["attributes"]["number"] for item in arrivals(log, 0)] == list(range(20))


async def test_a_rejected_item_becomes_a_dead_letter_and_the_rest_goes_on(
    broker: Mosquitto, place: Site, log: Path
) -> None:
    sink = place.sink(broker.url)
    async with platform(HOST, broker.port, GATEWAY, log=log) as far:
        far.refuse(lambda i: "no such device" if i["attributes"]["number"] in {3, 7} else None)
        async with running(sink):
            place.events(10)
            await until(lambda: caught_up(place, sink, 0))
            assert sink.lanes()[0].dead == 2
    await place.close()
    letters = dead_letters(place.directory)
    assert [letter[:1] + letter[2:4] for letter in letters] == [(0, 422, "no such device")] * 2
    assert b'"number":3' in letters[0][4]
    assert b'"number":7' in letters[1][4]
    assert len(arrivals(log, 0)) == 8


async def test_a_reject_of_what_is_not_acknowledged_with_it_is_refused(
    broker: Mosquitto, place: Site, log: Path
) -> None:
    """Of what comes later, and of what was acknowledged before."""
    sink = place.sink(broker.url, Timing(ack_timeout_s=600))
    async with platform(HOST, broker.port, GATEWAY, log=log) as far:
        far.hold_acks()
        async with running(sink):
            place.events(10)
            await received(far, 10)
            epoch, last = place.store.epoch, place.store.last(0)
            for seq, rejected in ((last - 4, last - 1), (last - 2, last - 6)):
                rejects = [{"seq": rejected, "reason": "no"}]
                await far.acknowledge({"epoch": epoch, "lane": 0, "seq": seq, "rejects": rejects})
            await until(lambda: place.store.cursor(sink.name, 0) == Position(epoch, last - 2))
            assert sink.health.counters["rejects_refused"] == 2
            assert sink.lanes()[0].dead == 0


async def test_an_item_too_large_for_the_broker_becomes_a_dead_letter(
    broker: Mosquitto, place: Site, log: Path
) -> None:
    sink = place.sink(broker.url)
    async with platform(HOST, broker.port, GATEWAY, log=log) as far, running(sink):
        place.event(number=0)
        place.event(number=1, text="x" * MAX_PAYLOAD)
        place.event(number=2)
        await received(far, 2)
        await until(lambda: caught_up(place, sink, 0))
    await place.close()
    assert [letter[2:4] for letter in dead_letters(place.directory)] == [(413, "too_large")]


async def test_with_ack_broker_only_a_broker_that_has_a_subscriber_moves_the_cursor(
    broker: Mosquitto, place: Site, log: Path
) -> None:
    sink = place.sink(broker.url, ack="broker")
    async with running(sink):
        place.events(10)
        await until(lambda: sink.health.counters["no_subscriber"] >= 2)
        assert place.store.cursor(sink.name, 0) is None
        assert sink.lanes()[0].acked == 0
        async with platform(HOST, broker.port, GATEWAY, log=log) as far:
            far.hold_acks()
            await until(lambda: caught_up(place, sink, 0))
            await received(far, 10)


async def test_a_broker_that_forbids_a_lane_holds_that_lane_only(
    place: Site, tmp_path: Path, log: Path
) -> None:
    acl = tmp_path / "acl"
    acl.write_text(
        f"topic readwrite gw/{GATEWAY}/up/0\ntopic read gw/{GATEWAY}/up/#\n"
        f"topic readwrite gw/{GATEWAY}/ack\ntopic readwrite gw/{GATEWAY}/state\n"
    )
    async with Mosquitto(tmp_path / "strict", [f"acl_file {acl}"]) as strict:
        sink = place.sink(strict.url)
        async with platform(HOST, strict.port, GATEWAY, log=log) as far, running(sink):
            place.events(5, Severity.OPERATIONAL)
            place.events(5)
            await received(far, 5)
            await until(lambda: caught_up(place, sink, 0))
            await until(lambda: sink.health.counters["publishes_refused"] >= 2)
            assert place.store.cursor(sink.name, 1) is None
            assert [lane.backlog for lane in sink.lanes()] == [0, 5]


async def test_an_alarm_overtakes_a_backlog_of_samples(
    broker: Mosquitto, place: Site, log: Path
) -> None:
    sink = place.sink(broker.url, lanes=[0, 2])
    await place.samples(20_000)
    await place.durable()
    async with platform(HOST, broker.port, GATEWAY, log=log) as far, running(sink):
        await received(far, 1)
        started = asyncio.get_running_loop().time()
        alarm = place.event()
        async with asyncio.timeout(5):
            await far.until(
                lambda p: p.ledger is not None and (place.store.epoch, 0) in p.ledger.received
            )
        waited = asyncio.get_running_loop().time() - started
        assert far.items < 20_001
        await received(far, 20_001)
        took = asyncio.get_running_loop().time() - started
    lines = arrivals(log)
    place_of_alarm = next(n for n, line in enumerate(lines) if "event_id" in line)
    assert lines[place_of_alarm]["event_id"] == str(alarm.event_id)
    assert place_of_alarm < 10_000
    assert waited < 1
    print(
        f"20,000 samples in {took:.1f} s, {20_000 / took:,.0f}/s; the alarm took {waited * 1000:.0f} ms"
    )


async def test_what_was_acknowledged_is_not_sent_again_after_a_restart(
    broker: Mosquitto, tmp_path: Path, log: Path
) -> None:
    async with platform(HOST, broker.port, GATEWAY, log=log) as far:
        async with site(tmp_path / "state") as place:
            sink = place.sink(broker.url)
            place.events(100)
            async with running(sink):
                await until(lambda: caught_up(place, sink, 0))
            before = place.store.cursor(sink.name, 0)
            metered = sum(sink.lanes()[0].bytes_by_day.values())
        assert metered > 100 * 200, "of 200 bytes and more each"
        async with site(tmp_path / "state") as place:
            sink = place.sink(broker.url)
            assert place.store.cursor(sink.name, 0) == before
            place.events(10)
            async with running(sink):
                await received(far, 110)
                await until(lambda: caught_up(place, sink, 0))
                assert sink.lanes()[0].sent == 10
                today = sum(sink.lanes()[0].bytes_by_day.values())
                assert metered < today < 1.5 * metered, "the books are carried on"
        assert far.duplicates == 0


async def test_the_platform_is_told_that_the_gateway_comes_goes_and_is_cut_off(
    broker: Mosquitto, place: Site, log: Path
) -> None:
    sink = place.sink(broker.url)
    async with platform(HOST, broker.port, GATEWAY, log=log) as far:
        await until(lambda: far.connected)
        async with running(sink):
            await until(lambda: far.gateway.get("online") is True)
        await until(lambda: far.gateway["online"] is False)
        async with (
            proxy(HOST, broker.port) as line,
            running(place.sink(f"mqtt://{HOST}:{line.port}")),
        ):
            await until(lambda: far.gateway["online"] is True)
            line.mode = Mode.REFUSE
            await until(lambda: far.gateway["online"] is False)


async def test_after_storage_has_failed_the_sink_begins_at_its_cursors_once(
    broker: Mosquitto, place: Site, log: Path
) -> None:
    sink = place.sink(broker.url, Timing(ack_timeout_s=600))
    async with platform(HOST, broker.port, GATEWAY, log=log) as far:
        await until(lambda: far.connected)
        async with running(sink):
            for failures in range(3):
                place.store._books.outage.generation += failures
                place.events(10)
                await place.durable()
                await until(lambda: caught_up(place, sink, 0))
    assert (far.items, far.duplicates, sink.health.counters["acks_refused"]) == (30, 0, 0)


async def test_drain_waits_for_what_is_there_now_and_no_longer_than_it_may(
    broker: Mosquitto, place: Site, log: Path
) -> None:
    sink = place.sink(broker.url)
    async with running(sink):
        assert await sink.drain(5), "nothing is there"
        place.events(20)
        place.events(20, Severity.OPERATIONAL)
        await place.durable()
        assert not await sink.drain(0.1)
        async with platform(HOST, broker.port, GATEWAY, log=log):
            assert await sink.drain(5)
    assert len(arrivals(log)) == 40


async def test_a_slow_platform_gets_no_more_than_a_window_and_loses_nothing(
    broker: Mosquitto, place: Site, log: Path
) -> None:
    sink = place.sink(broker.url)
    async with platform(HOST, broker.port, GATEWAY, log=log) as far:
        far.slow(0.1)
        async with running(sink):
            place.events(3000)
            await place.durable()
            await received(far, 500)
            assert sink.lanes()[0].sent <= 9 * 500
            far.slow(0)
            await received(far, 3000)
            await until(lambda: caught_up(place, sink, 0))
    assert [item["attributes"]["number"] for item in arrivals(log, 0)] == list(range(3000))


async def test_positions_move_only_forward(broker: Mosquitto, place: Site, log: Path) -> None:
    sink = place.sink(broker.url)
    async with platform(HOST, broker.port, GATEWAY, log=log) as far, running(sink):
        place.events(10)
        await until(lambda: caught_up(place, sink, 0))
        cursor = place.store.cursor(sink.name, 0)
        assert cursor is not None
        await far.acknowledge({"epoch": cursor.epoch, "lane": 0, "seq": cursor.seq - 5})
        await until(lambda: sink.health.counters["acks_stale"] >= 1)
        assert place.store.cursor(sink.name, 0) == cursor
        assert cursor > Position(cursor.epoch, cursor.seq - 5)

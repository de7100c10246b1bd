"""A broker that refuses single publishes, for their content or for a while."""

import re
import sqlite3
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path

import pytest

from gateway.model import EventKind, Severity
from gateway.sinks.upstream import UpstreamSink
from gateway.sinks.window import Timing
from simulators.ledger import arrivals
from simulators.platform import Platform, platform
from tests.harness import sabotage_mqtt as sabotage
from tests.harness.broker import HOST, Mosquitto
from tests.harness.broker import until as holds
from tests.harness.picky import LOST, Judge, picky
from tests.harness.site import FAST, GATEWAY, Site, running, site

NOT_AUTHORIZED, QUOTA, INVALID = 0x87, 0x97, 0x99


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Site]:
    async with site(tmp_path / "state") as one:
        yield one


@asynccontextmanager
async def behind(
    tmp_path: Path, place: Site, judge: Judge, ack: str = "platform", timing: Timing = FAST
) -> AsyncIterator[tuple[UpstreamSink, Platform]]:
    log = tmp_path / "platform.jsonl"
    async with (
        Mosquitto(tmp_path / "broker") as broker,
        picky(HOST, broker.port, judge) as port,
        platform(HOST, broker.port, GATEWAY, log=log) as far,
    ):
        await holds(lambda: far.connected)
        sink = place.sink(f"mqtt://{HOST}:{port}", timing, ack=ack)
        async with running(sink):
            yield sink, far


def delivered(place: Site, sink: UpstreamSink, lane: int) -> bool:
    cursor, last = place.store.cursor(sink.name, lane), place.store.last(lane)
    return last > 0 and cursor is not None and cursor.seq == last


def dead(state: Path) -> list[tuple[int, int, str]]:
    with closing(sqlite3.connect(f"file:{state}/core.db?mode=ro", uri=True)) as db:
        return db.execute("SELECT seq, status, error FROM dead ORDER BY seq").fetchall()


POISON = 50, 123, 222, 404, 555  # more than are put aside one after the other


async def test_a_single_message_that_the_broker_never_takes_is_found_and_put_aside(
    tmp_path: Path, place: Site
) -> None:
    marks = [b'"number":%d}' % number for number in POISON]

    def judge(packet: bytes) -> int:
        return INVALID if b"/up/0" in packet and any(mark in packet for mark in marks) else 0

    place.events(600)
    place.events(50, Severity.OPERATIONAL)
    await place.durable()
    async with behind(tmp_path, place, judge) as (sink, far):
        await holds(lambda: delivered(place, sink, 0) and delivered(place, sink, 1), 10)
        assert far.items == 645
        assert [lane.dead for lane in sink.lanes()] == [5, 0]
        assert [lane.parked for lane in sink.lanes()] == ["", ""]
    numbers = [x["attributes"]["number"] for x in arrivals(tmp_path / "platform.jsonl", 0)]
    assert numbers == [n for n in range(600) if n not in POISON]
    await place.close()
    why = "Payload format invalid"
    assert dead(place.directory) == [(n + 1, 422, why) for n in POISON]
    assert [what["seq"] for kind, severity, what in place.told] == [n + 1 for n in POISON]
    assert {told[:2] for told in place.told} == {(EventKind.UPSTREAM_PARKED, Severity.SAFETY)}


async def test_a_broker_that_calls_everything_invalid_gets_no_more_than_three_items_put_aside(
    tmp_path: Path, place: Site
) -> None:
    place.events(40)
    await place.durable()
    async with behind(tmp_path, place, lambda packet: INVALID * (b"/up/0" in packet)) as (sink, _):
        await holds(lambda: sink.lanes()[0].parked != "")
        assert place.store.cursor(sink.name, 0) is None
        assert sink.lanes()[0].dead == 0, "not before the platform knows of the gaps"
    assert len([what for _kind, _severity, what in place.told if "seq" in what]) <= 3


async def test_without_a_look_at_the_reason_what_nobody_heard_would_be_lost(
    tmp_path: Path, place: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Teeth: PUBACK 0x10, no subscriber, counts as delivery."""
    sabotage.any_answer_is_delivery(monkeypatch.setattr)
    async with Mosquitto(tmp_path / "broker") as broker:
        sink = place.sink(broker.url, ack="broker")
        place.events(10)
        async with running(sink):
            await holds(lambda: delivered(place, sink, 0))
            assert sink.lanes()[0].backlog == 0, "and nobody has any of them"


async def test_a_quota_that_is_exceeded_for_a_while_parks_the_lane_and_loses_nothing(
    tmp_path: Path, place: Site
) -> None:
    left = 6

    def judge(packet: bytes) -> int:
        nonlocal left
        if b"/up/1" not in packet or left == 0:
            return 0
        left -= 1
        return QUOTA

    place.events(30)
    place.events(30, Severity.OPERATIONAL)
    await place.durable()
    async with behind(tmp_path, place, judge) as (sink, far):
        await holds(lambda: far.items == 60 and delivered(place, sink, 1))
        assert sink.health.counters["publishes_refused"] == 6
        assert sink.health.connects == 1
    assert [told[0] for told in place.told] == [
        EventKind.UPSTREAM_PARKED, EventKind.UPSTREAM_RESUMED,
    ]  # fmt: skip
    assert far.duplicates == 0
    for lane in (0, 1):
        numbers = [x["attributes"]["number"] for x in arrivals(tmp_path / "platform.jsonl", lane)]
        assert numbers == list(range(30))


async def test_a_refusal_now_and_then_parks_nothing(tmp_path: Path, place: Site) -> None:
    """It may be a restart of the broker under way: three in a row are more."""
    publishes = 0

    def judge(packet: bytes) -> int:
        nonlocal publishes
        publishes += b"/up/1" in packet
        return QUOTA if b"/up/1" in packet and publishes % 2 else 0

    place.events(1_500, Severity.OPERATIONAL)
    await place.durable()
    async with behind(tmp_path, place, judge) as (sink, far):
        await holds(lambda: delivered(place, sink, 1), 10)
        assert sink.health.counters["publishes_refused"] > 3
        assert far.items == 1_500
    assert place.told == []


async def test_what_the_broker_will_not_take_for_long_is_tried_rarely(
    tmp_path: Path, place: Site
) -> None:
    """Brokers drop the connection over a topic that is forbidden, and the other lanes wait."""
    code = NOT_AUTHORIZED
    place.events(5, Severity.OPERATIONAL)
    await place.durable()
    rare = FAST._replace(parked_s=600)
    async with behind(tmp_path, place, lambda p: code * (b"/up/1" in p), timing=rare) as (sink, _):
        await holds(lambda: sink.lanes()[1].parked != "")
        assert sink._traffic.lanes[1].window.retry_at - sink._traffic.now() > 200


async def test_the_books_have_each_byte_that_was_written_to_the_line(
    tmp_path: Path, place: Site
) -> None:
    """Of PUBLISH packets, what was refused and sent again too."""
    written: Counter[int] = Counter()
    refused: Counter[int] = Counter()

    def judge(packet: bytes) -> int:
        found = re.search(rb"/up/([0-3])", packet)
        if found is None:
            return 0
        written[int(found[1])] += len(packet)
        refused[int(found[1])] += 1
        return QUOTA if refused[int(found[1])] <= 2 else 0

    place.events(100)
    place.events(40, Severity.OPERATIONAL)
    await place.durable()
    patient = FAST._replace(ack_timeout_s=600)  # nothing is under way at the end
    async with behind(tmp_path, place, judge, timing=patient) as (sink, _far):
        await holds(lambda: delivered(place, sink, 0) and delivered(place, sink, 1))
        books = {lane.lane: sum(lane.bytes_by_day.values()) for lane in sink.lanes()}
    assert books == written


async def test_a_lost_answer_of_the_broker_sends_the_batch_again_and_nothing_twice(
    tmp_path: Path, place: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And the next one is half as large: perhaps it was too much for the line."""
    monkeypatch.setattr("gateway.mqtt.PUBACK_S", 0.5)
    sizes: list[int] = []

    def judge(packet: bytes) -> int:
        if b"/up/0" not in packet:
            return 0
        sizes.append(len(packet))
        return LOST if len(sizes) <= 2 else 0

    place.events(60)
    await place.durable()
    async with behind(tmp_path, place, judge, "broker") as (sink, far):
        await holds(lambda: delivered(place, sink, 0) and far.items == 60)
        assert sink.health.connects == 3, "no answer in time ends a connection"
    numbers = [x["attributes"]["number"] for x in arrivals(tmp_path / "platform.jsonl", 0)]
    assert numbers == list(range(60))
    assert far.duplicates >= 1
    assert 8_000 > sizes[0] > 1.5 * sizes[1] > 1.5 * 1.5 * sizes[2]

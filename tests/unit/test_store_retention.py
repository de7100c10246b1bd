"""Quotas and ages: what goes first, what never goes, and that every gap is accounted for."""

import asyncio
import os
from pathlib import Path

import pytest

from gateway.errors import StoreFull
from gateway.model import Event, EventKind, Severity
from gateway.store import retention, stock, writer
from gateway.store.retention import Keeper
from gateway.store.store import Position, Store
from tests.harness import sabotage
from tests.harness.clock import FakeClock
from tests.harness.stores import event, items, opened, sample
from tests.harness.telemetry import gaps_of, noise, ranges, tidy, until

DAY_S = 86_400.0
HOUR_S = 3_600.0


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "RETRY_S", 0.05)
    monkeypatch.setattr(retention, "LOOK_S", 0.02)
    monkeypatch.setattr(retention, "SETTLE_S", 0.0)


async def fill(store: Store, first: int, last: int, *, size: int = 100) -> None:
    """Samples that compress badly, about 50 KB in a hundred."""
    for start in range(first, last + 1, size):
        end = min(start + size - 1, last)
        for n in range(start, end + 1):
            assert store.append(sample(n, noise(n)))
        await store.durable(end)


async def looks(store: Store, turns: int) -> None:
    """Until the clean-up has looked so many times."""
    upkeep = store._upkeep
    for _ in range(turns):
        due = upkeep.due
        await until(lambda due=due: upkeep.due > due)  # type: ignore[misc] # bound at once


def losses(found: list[object]) -> list[dict[str, object]]:
    events = [one for one in found if isinstance(one, Event)]
    return [dict(e.attributes) for e in events if e.kind is EventKind.DATA_LOSS]


async def the_oldest_telemetry_goes_first(path: Path) -> None:
    async with opened(path, telemetry_quota="1MB") as store:
        store.sinks({"platform": (0, 1, 2)})
        for n in range(1, 51):
            store.append(event(n))
        await store.durable(50)
        await fill(store, 51, 4_050)
        await tidy(store)
        assert store.stats().telemetry_bytes <= 1_000_000
        evicted = store.stats().evicted
        assert evicted.keys() == {"lane 2 quota"}
        gone = evicted["lane 2 quota"]
        assert gone > 1_000
        assert await gaps_of(store, 2) == [(1, gone, "evicted")]
        assert [one.n for one in await items(store, 2)] == list(range(51 + gone, 4_051))
        assert [one.n for one in await items(store, 0)] == list(range(1, 51))
        told = losses(list(await items(store, 1)))
        assert ranges(told, store.epoch) == [(1, gone)]
        assert {(one["lane"], one["reason"]) for one in told} == {(2, "quota")}
        assert store.backlog(2, None) == 4_000 - gone
        assert store.stats().undelivered == gone
        assert store.stats().written == 4_050 + len(told)


async def test_the_oldest_telemetry_goes_first_and_alarms_never(tmp_path: Path) -> None:
    await the_oldest_telemetry_goes_first(tmp_path / "s")


async def test_sabotage_alarms_first_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Keeper, "_drop_segment", Keeper._drop_segment)  # put back after the test
    sabotage.evict_alarms_first()
    with pytest.raises(AssertionError):
        await the_oldest_telemetry_goes_first(tmp_path / "s")


async def test_what_every_sink_has_taken_goes_without_a_word(tmp_path: Path) -> None:
    async with opened(tmp_path / "s", telemetry_quota="1MB") as store:
        store.sinks({"platform": (2,), "influx": (2,)})
        await fill(store, 1, 600)
        store.advance("platform", 2, Position(store.epoch, 600))
        store.advance("influx", 2, Position(store.epoch, 600))
        await fill(store, 601, 3_000)
        await tidy(store)
        gone = store.stats().evicted["lane 2 quota"]
        assert gone > 1_000
        told = losses(list(await items(store, 1)))
        assert ranges(told, store.epoch) == [(601, gone)]
        assert store.stats().undelivered == gone - 600


async def test_a_cursor_inside_an_evicted_range_is_told_of_the_rest_of_it(tmp_path: Path) -> None:
    async with opened(tmp_path / "s", telemetry_quota="1MB") as store:
        store.sinks({"platform": (2,)})
        await fill(store, 1, 2_000)
        await tidy(store)
        gone = store.stats().evicted["lane 2 quota"]
        part = await store.read(2, Position(store.epoch, 40), max_items=5, max_bytes=10**6)
        assert part is not None
        assert (part.base, part.first, part.gaps) == (1, 41, ((41, gone, "evicted"),))
        assert part.items[0][0] == gone + 1
        assert store.backlog(2, Position(store.epoch, 40)) == 2_000 - gone
        first = next(iter(await items(store, 2)))
        assert store.oldest_time_ns(2, Position(store.epoch, 40)) is not None
        assert first.n == gone + 1


async def test_a_restart_knows_what_was_evicted(tmp_path: Path) -> None:
    async with opened(tmp_path / "s", telemetry_quota="1MB") as store:
        store.sinks({"platform": (2,)})
        await fill(store, 1, 2_000)
        await tidy(store)
        gone = store.stats().evicted["lane 2 quota"]
        epoch = store.epoch
    async with opened(tmp_path / "s", telemetry_quota="1MB") as store:
        assert store.epoch == epoch
        assert store.stats().damage == {}
        assert await gaps_of(store, 2) == [(1, gone, "evicted")]
        assert store.backlog(2, None) == 2_000 - gone
        assert store.last_n == 2_000
        await fill(store, 2_001, 2_001)
        assert store.last(2) == 2_001


async def test_a_segment_that_outlives_its_eviction_is_removed_at_the_next_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def crash(_directory: Path, _first: int) -> None:
        """The power fails when the eviction is written and the file is still there."""

    monkeypatch.setattr(stock, "unlink_segment", crash)
    async with opened(tmp_path / "s", telemetry_quota="1MB") as store:
        store.sinks({"platform": (2,)})
        await fill(store, 1, 2_000)
        await tidy(store)
        gone = store.stats().evicted["lane 2 quota"]
    before = len(list((tmp_path / "s" / "ts").glob("*.db")))
    async with opened(tmp_path / "s", telemetry_quota="1MB") as store:
        assert await gaps_of(store, 2) == [(1, gone, "evicted")]
        assert len(list((tmp_path / "s" / "ts").glob("*.db"))) < before
        assert store.stats().damage == {}


async def test_events_of_lower_lanes_have_a_quota_and_diagnostics_go_first(tmp_path: Path) -> None:
    body: dict[str, object] = {"text": "x" * 5_000}
    async with opened(tmp_path / "s", alarm_quota="1MB") as store:
        store.sinks({"platform": (0, 1, 3)})
        for n in range(1, 101):
            store.append(event(n, Severity.OPERATIONAL, {**body, "point": f"p{n}"}))
            trace = event(n, Severity.TELEMETRY, dict(body))
            store.append(trace._replace(kind=EventKind.LINK_UP))
        await store.durable(100)
        await until(lambda: store.stats().evicted == {"lane 3 quota": 100})
        assert await gaps_of(store, 3) == [(1, 100, "evicted")]
        assert ranges(losses(list(await items(store, 1))), store.epoch) == [(1, 100)]
        assert await gaps_of(store, 1) == []


async def test_a_lane_0_that_is_full_of_undelivered_alarms_takes_no_more(tmp_path: Path) -> None:
    body: dict[str, object] = {"text": "x" * 20_000}
    async with opened(tmp_path / "s", alarm_quota="1MB") as store:
        store.sinks({"platform": (0, 1)})
        n = 0
        while store.stats().event_bytes[0] < 1_000_000:
            n += 1
            store.append(event(n, attributes={**body, "point": f"p{n % 3}"}))
            await store.durable(n)
            await looks(store, 1)
        full = n + 1
        store.append(event(full, attributes=body))
        with pytest.raises(StoreFull, match="alarm_quota"):
            await store.durable(full)
        assert store.last(0) == full - 1
        store.append(sample(61), held=True)  # telemetry goes on
        await until(lambda: store.last(2) == 1)
        assert store.stats().state == "failed"
        assert await gaps_of(store, 0) == []
        store.advance("platform", 0, Position(store.epoch, 40))
        async with asyncio.timeout(5):
            await until(lambda: store.stats().state == "ok" and not store.stats().queued)
        kept = [one.n for one in await items(store, 0) if one.n > 40]
        assert kept == list(range(41, full + 1))
        assert store.stats().undelivered == 0


async def aged(store: Store) -> None:
    """Alarms 1 to 30 of which 20 are delivered, links up and down, and two old segments."""
    store.sinks({"platform": (0, 2)})
    for n in range(1, 31):
        store.append(event(n))
        store.append(event(n, Severity.OPERATIONAL)._replace(kind=EventKind.LINK_UP))
    await store.durable(30)
    for n in (31, 32, 33):
        store.append(sample(n))
        await store.durable(n)
    store.advance("platform", 0, Position(store.epoch, 20))
    store.advance("platform", 2, Position(store.epoch, 2))
    store.append(event(34, Severity.OPERATIONAL)._replace(kind=EventKind.LINK_UP))
    await store.durable(34)


@pytest.fixture
def one_sample_a_segment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.store.segment.MAX_BYTES", 1)


@pytest.mark.usefixtures("one_sample_a_segment")
async def test_what_is_delivered_goes_at_its_age(tmp_path: Path) -> None:
    clock = FakeClock()
    async with opened(tmp_path / "s", clock=clock) as store:
        await aged(store)
        clock.advance(8 * DAY_S)
        await until(lambda: store.stats().evicted["lane 2 age"] == 2)
        assert await gaps_of(store, 2) == [(1, 2, "evicted")]
        clock.advance(83 * DAY_S)
        # Nobody takes lane 1. The newest event of the alarm, 30, is what a restart continues from.
        await until(lambda: store.stats().evicted == {"lane 2 age": 2, "lane 0 age": 20, "lane 1 age": 31})  # fmt: skip
        assert await gaps_of(store, 0) == [(1, 20, "evicted")]
        assert store.stats().undelivered == 0
        assert losses(list(await items(store, 1))) == []
        epoch = store.epoch
    async with opened(tmp_path / "s", clock=clock) as store:
        assert store.epoch == epoch
        assert [alarm.n for alarm in store.alarms] == [30]
        store.append(event(35, Severity.OPERATIONAL))
        await store.durable(35)
        assert store.last(1) == 32
        assert await gaps_of(store, 1) == [(1, 31, "evicted")]


@pytest.mark.usefixtures("one_sample_a_segment")
async def test_the_newest_event_of_an_alarm_outlives_its_age(tmp_path: Path) -> None:
    clock = FakeClock()
    async with opened(tmp_path / "s", clock=clock) as store:
        for n in range(1, 6):
            store.append(event(n))
        store.append(event(6, attributes={"point": "alarm.other", "value": True}))
        for n in range(7, 9):
            store.append(event(n))
        await store.durable(8)
        clock.advance(91 * DAY_S)
        await until(lambda: store.stats().evicted == {"lane 0 age": 6})
        assert await gaps_of(store, 0) == [(1, 5, "evicted"), (7, 7, "evicted")]
        assert [one.n for one in await items(store, 0)] == [6, 8]
        assert store.backlog(0, None) == 2


@pytest.mark.usefixtures("one_sample_a_segment")
@pytest.mark.parametrize("fault", ["not ok", "56 years", "1970"])
async def test_a_clock_that_cannot_be_believed_deletes_nothing(tmp_path: Path, fault: str) -> None:
    clock = FakeClock()
    async with opened(tmp_path / "s", clock=clock) as store:
        await aged(store)
        await looks(store, 2)
        match fault:
            case "not ok":
                clock.ok = False
                clock.advance(200 * DAY_S)
            case "56 years":
                clock.advance(2 * HOUR_S)
                await looks(store, 2)
                clock._time_ns += round(56 * 365 * DAY_S * 1e9)
            case _:
                clock.advance(2 * HOUR_S)
                await looks(store, 2)
                clock._time_ns = 0
        await looks(store, 3)
        assert store.stats().evicted == {}
        if fault == "not ok":  # and once it is right again, it has to be so for an hour
            clock.ok = True
            await looks(store, 2)
            assert store.stats().evicted == {}
            clock.advance(2 * HOUR_S)
            await until(lambda: store.stats().evicted["lane 0 age"] == 20)


def test_the_disk_that_ran_these_tests_had_room() -> None:
    """Else the clean-up would have had other reasons than the ones tested here."""
    statistics = os.statvfs("/tmp")
    assert statistics.f_bavail * statistics.f_frsize > 256_000_000

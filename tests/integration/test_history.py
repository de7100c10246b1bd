"""History out of a real store, while it is being written."""

import asyncio
import sqlite3
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, closing
from pathlib import Path

import pytest

from gateway.errors import StoreFailed
from gateway.model import Sample
from gateway.store import segment
from gateway.store.rollup import Rollups
from gateway.store.store import Store
from gateway.store.window import HOUR_S, WINDOW_S
from tests.harness.clock import FakeClock
from tests.harness.rollups import COUNTER, GAUGE, KINDS, START, naive, reading
from tests.harness.stores import make_store

DAY_S = 86_400
NS = 10**9


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Rollups, "linger_s", 0.05)


@asynccontextmanager
async def site(directory: Path, clock: FakeClock) -> AsyncIterator[Store]:
    store = make_store(directory, clock=clock)
    store.describe(KINDS)
    await asyncio.to_thread(store.open)
    await store.start()
    try:
        yield store
    finally:
        await store.close()


def polls(first_s: int, last_s: int, every_s: int, n: int = 0) -> list[Sample]:
    """A meter with a load that goes up and down and a counter that is reset every 7 hours."""
    return [
        reading(at, {GAUGE[1]: float(at % 77), COUNTER[1]: float(at % 25_200)}, n=n + k)
        for k, at in enumerate(range(first_s, last_s, every_s), 1)
    ]


async def store_all(store: Store, samples: Sequence[Sample]) -> None:
    for begin in range(0, len(samples), 500):
        part = samples[begin : begin + 500]
        for sample in part:
            store.append(sample)
        await store.durable(part[-1].n)


async def rolled_up(store: Store, directory: Path, width: int, count: int) -> None:
    """Until so many rows of the width are there."""
    query = "SELECT count(*) FROM rollup WHERE w=?"
    async with asyncio.timeout(10):
        while True:
            with closing(sqlite3.connect(directory / "core.db")) as db:
                if db.execute(query, (width,)).fetchone()[0] >= count:
                    return
            await asyncio.sleep(0.02)


def expected(samples: Sequence[Sample], key: tuple[str, str], step_s: int) -> list[object]:
    rows = naive(samples, step_s)
    return [
        (t * NS, row.n, row.mn, row.mx, None, row.la, row.sm)
        if key == COUNTER
        else (t * NS, row.n, row.mn, row.mx, pytest.approx(row.sm / row.n), row.la, None)
        for (t, *here), row in sorted(rows.items())
        if tuple(here) == key
    ]


async def test_each_range_is_read_from_where_it_is_and_says_so(tmp_path: Path) -> None:
    clock = FakeClock(time_ns=(START + 2 * DAY_S) * NS)
    samples = polls(0, 2 * DAY_S, 60)
    async with site(tmp_path / "s", clock) as store:
        await store_all(store, samples)
        await rolled_up(store, tmp_path / "s", HOUR_S, 2 * 47)
        for key in (GAUGE, COUNTER):
            day = await store.history(*key, START * NS, (START + DAY_S) * NS, 600)
            assert (day.source, day.counter) == ("raw", key == COUNTER)
            part = [s for s in samples if s.time_ns < (START + DAY_S) * NS]
            assert list(day.rows) == expected(part, key, 600)
            five = await store.history(*key, START * NS, (START + 2 * DAY_S) * NS, 1_800)
            assert five.source == "5m"
            assert list(five.rows) == expected(samples, key, 1_800)
            hours = await store.history(*key, START * NS, (START + 2 * DAY_S) * NS, 7_200)
            assert hours.source == "1h"
            assert list(hours.rows) == expected(samples, key, 7_200)
            old = await store.history(*key, (START - 95 * DAY_S) * NS, (START + DAY_S) * NS, 3_600)
            assert old.source == "1h"
            assert list(old.rows) == expected(part, key, 3_600)
        middle = await store.history(*COUNTER, (START + 3_605) * NS, (START + 3_905) * NS, 60)
        assert sum(row.rise or 0 for row in middle.rows) == 300  # the step into the range included


async def test_what_was_committed_last_is_in_every_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No window is written yet, or only the older ones are."""
    clock = FakeClock(time_ns=(START + 30 * HOUR_S) * NS)
    samples = polls(0, 30 * HOUR_S, 60)
    async with site(tmp_path / "s", clock) as store:
        await store_all(store, samples)
        await rolled_up(store, tmp_path / "s", HOUR_S, 2 * 29)
    monkeypatch.setattr(Rollups, "linger_s", 3_600.0)
    async with site(tmp_path / "s", clock) as store:
        late = [reading(7_210, {GAUGE[1]: 500.0}, n=len(samples) + 1)]
        fresh = polls(30 * HOUR_S, 31 * HOUR_S, 60, n=len(samples) + 1)
        clock.advance(HOUR_S)
        await store_all(store, [*late, *fresh])
        everything = [*samples, *late, *fresh]
        for key in (GAUGE, COUNTER):
            until = (START + 31 * HOUR_S) * NS
            five = await store.history(*key, START * NS, until, 1_800)
            assert list(five.rows) == expected(everything, key, 1_800)
            hours = await store.history(*key, START * NS, until, 3_600)
            assert hours.source == "1h"
            assert list(hours.rows) == expected(everything, key, 3_600)
            raw = await store.history(*key, (START + 10 * HOUR_S) * NS, until, 300)
            assert raw.source == "raw"
            assert list(raw.rows) == expected(everything, key, 300)[120:]


async def test_questions_that_cannot_be_answered_say_what_to_ask_instead(tmp_path: Path) -> None:
    clock = FakeClock(time_ns=(START + DAY_S) * NS)
    async with site(tmp_path / "s", clock) as store:
        await store_all(store, polls(0, 600, 60))
        end = (START + DAY_S) * NS
        with pytest.raises(ValueError, match=r"864000 rows .* use a step of at least 87 s"):
            await store.history(*GAUGE, end - 10 * DAY_S * NS, end, 1)
        with pytest.raises(ValueError, match="use a step of 600 s or another multiple of 300"):
            await store.history(*GAUGE, end - 10 * DAY_S * NS, end, 400)
        with pytest.raises(ValueError, match="use 1 s or more"):
            await store.history(*GAUGE, end - NS, end, 0)
        with pytest.raises(ValueError, match="must be later"):
            await store.history(*GAUGE, end, end, 60)
        nothing = await store.history("meter-1", "elec.voltage.a", START * NS, end, 60)
        assert (nothing.source, nothing.rows) == ("raw", ())


async def test_a_range_whose_oldest_segment_is_gone_comes_from_rollups(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(segment, "MAX_BYTES", 40_000)
    clock = FakeClock(time_ns=(START + DAY_S) * NS)
    samples = polls(0, DAY_S, 20)
    async with site(tmp_path / "s", clock) as store:
        await store_all(store, samples)
        await rolled_up(store, tmp_path / "s", WINDOW_S, 2 * 288)
        files = sorted((tmp_path / "s" / "ts").glob("*.db"))
        assert len(files) > 2
        files[0].unlink()
        day = await store.history(*GAUGE, START * NS, (START + DAY_S) * NS, 600)
        assert day.source == "5m"
        assert list(day.rows) == expected(samples, GAUGE, 600)
        evening = await store.history(*GAUGE, (START + DAY_S // 2) * NS, (START + DAY_S) * NS, 600)
        assert evening.source == "raw"


async def test_history_over_segments_never_keeps_the_writer_from_its_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Commits stay quick, and the write-ahead logs are checkpointed while queries run all the time."""
    monkeypatch.setattr(segment, "MAX_BYTES", 300_000)
    directory = tmp_path / "s"
    clock = FakeClock(time_ns=(START + DAY_S) * NS)
    samples = polls(0, DAY_S, 10)
    done = asyncio.Event()
    answers = 0

    async def ask() -> None:
        nonlocal answers
        while not done.is_set():
            found = await store.history(*COUNTER, START * NS, (START + DAY_S) * NS, 600)
            answers += len(found.rows) > 0

    async with site(directory, clock) as store, asyncio.TaskGroup() as group:
        group.create_task(ask())
        longest_s, wal = 0.0, 0
        for begin in range(0, len(samples), 60):
            started = time.monotonic()
            await store_all(store, samples[begin : begin + 60])
            longest_s = max(longest_s, time.monotonic() - started)
            wal = max(wal, *(p.stat().st_size for p in directory.rglob("*.db-wal")))
        done.set()
    assert answers > 3
    assert len(list((directory / "ts").glob("*.db"))) > 1
    # 250 pages are checkpointed; a reader that holds a snapshot would let the log grow on.
    assert wal < 2_500_000
    assert longest_s < 2.0


async def test_closing_ends_a_query_that_runs(tmp_path: Path) -> None:
    clock = FakeClock(time_ns=(START + DAY_S) * NS)
    async with site(tmp_path / "s", clock) as store, asyncio.TaskGroup() as group:
        await store_all(store, polls(0, 600, 60))

        async def ask() -> None:
            while True:
                await store.history(*GAUGE, START * NS, (START + DAY_S) * NS, 60)

        async def expect_the_end() -> None:
            with pytest.raises(StoreFailed, match="the store is closed"):
                await ask()

        group.create_task(expect_the_end())
        await asyncio.sleep(0)
        await store.close()

"""Full disks, damaged records, bugs: what is told, what is kept, what is given back."""

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from gateway.errors import StoreFailed, StoreFull
from gateway.model import Event, Severity
from gateway.store import intake, segment, writer
from gateway.store.inbox import Bucket
from gateway.store.journal import Journal
from gateway.store.schema import CORE_PAGES, SEGMENT_PAGES
from gateway.store.store import Store
from tests.harness.stores import event, items, make_store, opened, sample, slices


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "RETRY_S", 0.05)


def journal(store: Store) -> Journal:
    assert store._files is not None
    return store._files.journal


def limit(db: sqlite3.Connection, pages: int) -> None:
    """SQLite answers SQLITE_FULL beyond this size, as on a full disk."""
    db.execute(f"PRAGMA max_page_count={pages}")


async def until_ok(store: Store) -> None:
    committed = store.subscribe()
    async with asyncio.timeout(5):
        while store.stats().state != "ok" or store.stats().queued:
            await committed.wait()
            committed.clear()


async def test_alarms_are_kept_while_the_disk_is_full(tmp_path: Path) -> None:
    big: dict[str, object] = {"text": "x" * 50_000}
    async with opened(tmp_path / "s") as store:
        limit(journal(store)._db, 1)
        store.append(event(1, attributes=big))
        with pytest.raises(StoreFull, match="SQLITE_FULL"):
            await store.durable(1)
        assert store.stats().state == "failed"
        assert "full" in store.stats().reason
        store.append(event(2, attributes=big))
        with pytest.raises(StoreFull):
            await store.durable(2)
        assert store.last(0) == 0
        limit(journal(store)._db, CORE_PAGES)
        await until_ok(store)
        await store.durable(2)
        assert [(item.n) for item in await items(store, 0)] == [1, 2]
        assert [part.gaps for part in await slices(store, 0)] == [()]


async def test_samples_whose_commit_failed_stay_and_are_stored_when_it_works(
    tmp_path: Path,
) -> None:
    text = "x" * 60_000
    async with opened(tmp_path / "s") as store:
        store.append(sample(1))
        await store.durable(1)
        current = journal(store)._segment
        assert current is not None
        limit(current._db, 1)
        noise = {f"p{i}": f"{hash((i, text))}" for i in range(2_000)}
        store.append(sample(2, dict(noise), source_id=b"2"), held=True)
        assert store.append(sample(3, dict(noise)))
        with pytest.raises(StoreFull):
            await store.durable(2)
        assert not store.append(sample(4)), "polled while storage fails"
        assert store.stats().dropped == {"storage_failed": 1}
        limit(current._db, SEGMENT_PAGES)
        await until_ok(store)
        await store.durable(2)
        assert [item.n for item in await items(store, 2)] == [1, 2, 3]
        assert [part.gaps for part in await slices(store, 2)] == [()]


async def test_a_segment_that_cannot_be_made_is_made_later(tmp_path: Path) -> None:
    async with opened(tmp_path / "s") as store:
        (tmp_path / "s" / "ts").rmdir()
        (tmp_path / "s" / "ts").touch()
        store.append(sample(1))
        with pytest.raises(StoreFailed, match="not a directory"):
            await store.durable(1)
        store.append(event(2))
        (tmp_path / "s" / "ts").unlink()
        await until_ok(store)
        assert await items(store, 2) == [sample(1)]
        assert [item.n for item in await items(store, 0)] == [2]


async def test_a_command_whose_intent_cannot_be_stored_is_unknown_again(tmp_path: Path) -> None:
    async with opened(tmp_path / "s") as store:
        limit(journal(store)._db, 1)
        with pytest.raises(StoreFull):
            await store.command_intent("c-1", b"x" * 50_000)
        assert store.command_outcome("c-1") is None
        limit(journal(store)._db, CORE_PAGES)
        await until_ok(store)
        await store.command_intent("c-1", b"{}")
        assert store.command_outcome("c-1") is not None


async def test_a_store_that_is_full_when_it_closes_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with opened(tmp_path / "s") as store:
        limit(journal(store)._db, 1)
        store.append(event(1, attributes={"text": "x" * 50_000}))
        epoch = store.epoch
    assert "stopped with 1 records not stored" in caplog.text
    async with opened(tmp_path / "s") as store:
        assert store.epoch == epoch + 1


async def test_polled_samples_are_refused_when_too_many_wait(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(intake, "TELEMETRY_BYTES", 1_000)
    store = make_store(tmp_path / "s")
    await asyncio.to_thread(store.open)
    assert [store.append(sample(n)) for n in (1, 2, 3, 4)] == [True, True, True, False]
    assert store.append(sample(5), held=True)
    assert store.append(event(6))
    waiting = asyncio.create_task(store.room())
    await asyncio.sleep(0)
    assert not waiting.done()
    await store.start()
    await store.durable(6)
    await waiting
    assert store.append(sample(7))
    await store.close()
    assert store.stats().queued_bytes == 0


async def test_a_bug_in_the_writer_thread_surfaces(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError

    async with opened(tmp_path / "s") as store:
        monkeypatch.setattr(Journal, "commit_core", broken)
        store.append(event(1))
        with pytest.raises(ZeroDivisionError):
            await store.durable(1)
        with pytest.raises(ZeroDivisionError):
            await store.watch()
        with pytest.raises(ZeroDivisionError):
            await store.durable(1)
        with pytest.raises(ZeroDivisionError):
            await store.command_intent("c", b"")
    monkeypatch.undo()
    async with opened(tmp_path / "s"):  # nothing holds the directory any more
        pass


async def test_watch_returns_when_the_store_closes(tmp_path: Path) -> None:
    async with opened(tmp_path / "s") as store:
        watching = asyncio.create_task(store.watch())
    await watching
    store.append(event(1))
    with pytest.raises(StoreFailed, match="closed"):
        await store.durable(1)


async def test_a_hanging_device_does_not_hold_the_stop_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("gateway.store.store.STOP_S", 0.1)
    async with opened(tmp_path / "s") as store:
        with closing(sqlite3.connect(tmp_path / "s" / "core.db")) as stranger:
            stranger.execute("BEGIN IMMEDIATE")  # the writer waits up to 5 s for this lock
            store.append(event(1))
            await store.close()
    assert "storage hangs" in caplog.text
    assert store._thread is not None
    async with asyncio.timeout(5):
        await store._thread.ended()


def damage(path: Path, table: str, key: int) -> None:
    """Flip one bit in the middle of a body, in the file."""
    select, update = {
        "event": ("SELECT body FROM event WHERE id=?", "UPDATE event SET body=? WHERE id=?"),
        "chunk": ("SELECT body FROM chunk WHERE first=?", "UPDATE chunk SET body=? WHERE first=?"),
    }[table]
    with closing(sqlite3.connect(path)) as db:
        (body,) = db.execute(select, (key,)).fetchone()
        flipped = bytearray(body)
        flipped[len(flipped) // 2] ^= 4
        db.execute(update, (bytes(flipped), key))
        db.commit()


async def test_a_damaged_event_is_a_gap_and_the_reader_goes_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with opened(tmp_path / "s") as store:
        for n in range(1, 7):
            store.append(event(n))
        await store.durable(6)
    for id_ in (2, 3, 6):
        damage(tmp_path / "s" / "core.db", "event", id_)
    async with opened(tmp_path / "s") as store:
        for _ in range(2):
            (part,) = await slices(store, 0)
            assert part.gaps == ((2, 3, "corrupt"), (6, 6, "corrupt"))
            assert [seq for seq, _ in part.items] == [1, 4, 5]
            assert (part.first, part.last) == (1, 6)
        assert store.stats().damage == {"corrupt": 3}  # each counted once
    assert "lane 0: the record at 2 is damaged" in caplog.text


async def test_a_damaged_chunk_is_a_gap_and_the_reader_goes_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with opened(tmp_path / "s") as store:
        for n in range(1, 10):
            store.append(sample(n))
            if n % 3 == 0:
                await store.durable(n)
        epoch = store.epoch
    (path,) = (tmp_path / "s" / "ts").glob("*.db")
    damage(path, "chunk", 4)
    async with opened(tmp_path / "s") as store:
        (part,) = await slices(store, 2)
        assert part.gaps == ((4, 6, "corrupt"),)
        assert [seq for seq, _ in part.items] == [1, 2, 3, 7, 8, 9]
        assert store.epoch == epoch  # nothing of the tail is missing
    assert "chunk 4: crc" in caplog.text
    damage(path, "chunk", 7)
    async with opened(tmp_path / "s") as store:
        (part,) = await slices(store, 2)
        assert (part.gaps, part.last) == (((4, 9, "corrupt"),), 9)


async def test_a_segment_that_is_no_database_is_a_gap(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(segment, "MAX_BYTES", 1)
    async with opened(tmp_path / "s") as store:
        for n in (1, 2, 3):
            store.append(sample(n))
            await store.durable(n)
    paths = sorted((tmp_path / "s" / "ts").glob("*.db"))
    paths[1].write_bytes(b"garbage!" * 4_000)
    async with opened(tmp_path / "s") as store:
        (part,) = await slices(store, 2)
        assert part.gaps == ((2, 2, "missing"),)
        assert store.stats().damage == {"segment_quarantined": 1}
    assert [path.name for path in paths[1].parent.glob("*corrupt.1")] == [f"{paths[1].name}.corrupt.1"]  # fmt: skip
    assert not paths[1].exists()
    paths[2].write_bytes(b"garbage!" * 4_000)
    async with opened(tmp_path / "s") as store:  # the newest one: a new file is begun
        assert store.stats().damage["tail_lost"] == 1
        store.append(sample(4))
        await store.durable(4)
        assert (await items(store, 2)) == [sample(1), sample(4)]


async def test_what_is_good_in_a_core_db_with_zeroed_pages_is_taken_over(tmp_path: Path) -> None:
    text = {"text": "x" * 900}
    async with opened(tmp_path / "s") as store:
        for n in range(1, 201):
            store.append(event(n, Severity.OPERATIONAL, dict(text)))
        await store.durable(200)
    path = tmp_path / "s" / "core.db"
    content = bytearray(path.read_bytes())
    middle = len(content) // 8192 * 4096
    content[middle : middle + 4096] = bytes(4096)
    path.write_bytes(content)
    async with opened(tmp_path / "s") as store:
        assert store.stats().damage == {"core_quarantined": 1}
        losses: list[dict[str, object]] = []
        async with asyncio.timeout(5):
            while not losses:
                losses = store.take_losses()
                await asyncio.sleep(0.01)
        found = await items(store, 1)
        numbers = [item.n for item in found]
        assert numbers == sorted(set(numbers))
        assert 100 < len(numbers) < 200
        (loss,) = losses
        assert (loss["reason"], loss["salvaged"]) == ("salvage", len(numbers))
        assert all(isinstance(one, Event) and one.attributes["salvaged"] for one in found)


def test_a_chattering_input_is_committed_less_often() -> None:
    bucket = Bucket()
    assert [bucket.delay_s(10.0) for _ in range(1_000)] == [0.0] * 1_000
    assert bucket.delay_s(10.0) == 0.25
    assert bucket.delay_s(10.4) == 0.0
    assert bucket.delay_s(10.4) == 0.25

"""What a restart finds: numbers go on after a clean stop and jump after any other."""

import asyncio
import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from gateway.bus import source_key
from gateway.errors import AlreadyRunning, StateRefused
from gateway.model import Severity
from gateway.store import schema, segment
from gateway.store.schema import CORE_PAGES, PRAGMAS, connect_writer
from gateway.store.store import Position, Store
from tests.harness.clock import FakeClock
from tests.harness.stores import event, items, make_store, opened, photograph, sample, slices


def edit(path: Path, statement: str, *arguments: object) -> None:
    with closing(sqlite3.connect(path)) as db:
        db.execute(statement, arguments)
        db.commit()


def segments(directory: Path) -> list[Path]:
    return sorted((directory / "ts").glob("*.db"))


async def fill(store: Store, first: int, last: int) -> None:
    for n in range(first, last + 1):
        store.append(event(n))
        store.append(sample(n, source_id=b"%d" % n))
    await store.durable(last)


async def test_after_a_clean_stop_numbers_go_on_in_the_same_epoch(tmp_path: Path) -> None:
    async with opened(tmp_path / "s") as store:
        await fill(store, 1, 3)
        epoch = store.epoch
    async with opened(tmp_path / "s") as store:
        assert (store.epoch, store.last_n) == (epoch, 3)
        await fill(store, 4, 5)
        for lane in (0, 2):
            (part,) = await slices(store, lane)
            assert [seq for seq, _ in part.items] == [1, 2, 3, 4, 5]
        assert store.stats().damage == {}
    assert len(segments(tmp_path / "s")) == 1


async def test_after_a_crash_a_new_epoch_jumps_over_the_reserved_numbers(tmp_path: Path) -> None:
    async with opened(tmp_path / "s") as store:
        await fill(store, 1, 3)
        first = store.epoch
        crashed = photograph(tmp_path / "s", tmp_path / "crashed")
    async with opened(crashed) as store:
        assert (store.epoch, store.last_n) == (first + 1, 3)
        assert (crashed / "epoch").read_text() == f"{first + 1}\n"
        await fill(store, 4, 4)
        for lane in (0, 2):
            old, new = await slices(store, lane)
            assert (old.epoch, old.base, old.first, old.last) == (first, 1, 1, 3)
            assert (new.epoch, new.base, new.first, new.last) == (first + 1, 10_001, 10_001, 10_001)
            assert store.backlog(lane, None) == 4
            assert store.backlog(lane, Position(first, 2)) == 2
            assert old.gaps == new.gaps == ()


async def test_a_crash_without_new_records_never_gives_a_number_out_twice(tmp_path: Path) -> None:
    async with opened(tmp_path / "s") as store:
        one = photograph(tmp_path / "s", tmp_path / "1")
    async with opened(one) as store:
        two = photograph(one, tmp_path / "2")
    async with opened(two) as store:
        pass
    async with opened(two) as store:  # clean: base and numbers of the last epoch go on
        await fill(store, 1, 1)
        (part,) = await slices(store, 0)
        assert (part.base, part.first) == (20_001, 20_001)


async def test_more_records_than_reserved_numbers_are_reserved_on_the_way(tmp_path: Path) -> None:
    async with opened(tmp_path / "s") as store:
        for n in range(1, 12_001):
            store.append(sample(n))
            store.append(event(n, Severity.TELEMETRY))
        await store.durable(12_000)
        crashed = photograph(tmp_path / "s", tmp_path / "crashed")
    async with opened(crashed) as store:
        await fill(store, 12_001, 12_001)
        assert store.last(2) > 12_001
        assert sum(len(part.items) for part in await slices(store, 2)) == 12_001


async def test_message_ids_of_the_last_samples_are_known_after_a_crash(tmp_path: Path) -> None:
    async with opened(tmp_path / "s") as store:
        for n in (1, 2):
            store.append(sample(n, source_id=b"id-%d" % n))
            await store.durable(n)
        crashed = photograph(tmp_path / "s", tmp_path / "crashed")
    with closing(sqlite3.connect(crashed / "core.db")) as db:
        assert db.execute("SELECT count(*) FROM dedupe").fetchone() == (0,)
    async with opened(crashed) as store:
        assert store.recent_ids() == [b"meter-1\0id-1", b"meter-1\0id-2"]
    async with opened(crashed) as store:  # from core.db this time
        assert store.recent_ids() == [b"meter-1\0id-1", b"meter-1\0id-2"]


async def test_only_the_newest_message_ids_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.store.journal.MAX_IDS", 10)
    monkeypatch.setattr("gateway.store.journal.SLACK_IDS", 5)
    async with opened(tmp_path / "s") as store:
        for n in range(1, 41):
            store.append(sample(n, source_id=b"%d" % n))
        store.append(event(41))
        await store.durable(41)
    async with opened(tmp_path / "s") as store:
        assert store.recent_ids() == [b"meter-1\0%d" % n for n in range(31, 41)]


async def test_segments_rotate_and_are_read_as_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(segment, "MAX_BYTES", 30_000)
    async with opened(tmp_path / "s") as store:
        for n in range(1, 31):
            store.append(sample(n, {f"p{i}": n * 0.1 + i for i in range(20)}, source_id=b"%d" % n))
            await store.durable(n)
        names = [path.stem for path in segments(tmp_path / "s")]
        assert len(names) > 2
        assert names[0] == "0" * 19 + "1"
        assert [item.n for item in await items(store, 2)] == list(range(1, 31))
        crashed = photograph(tmp_path / "s", tmp_path / "crashed")
    async with opened(crashed) as store:
        assert [item.n for item in await items(store, 2)] == list(range(1, 31))
        assert len(store.recent_ids()) == 30
        assert store.backlog(2, None) == 30
        assert store.stats().bytes_on_disk > 60_000


async def test_a_segment_rotates_after_a_day(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = FakeClock()
    async with opened(tmp_path / "s", clock=clock) as store:
        await fill(store, 1, 1)
    clock.advance(86_401)
    async with opened(tmp_path / "s", clock=clock) as store:
        await fill(store, 2, 2)
    assert [int(path.stem) for path in segments(tmp_path / "s")] == [1, 2]


async def test_the_store_of_another_gateway_is_refused_and_stays_as_it_is(tmp_path: Path) -> None:
    async with opened(tmp_path / "s") as store:
        await fill(store, 1, 1)
    before = (tmp_path / "s" / "core.db").read_bytes()
    with pytest.raises(StateRefused, match="belongs to gateway 'gw-1', this one is 'gw-2'"):
        await asyncio.to_thread(make_store(tmp_path / "s", gateway_id="gw-2").open)
    assert (tmp_path / "s" / "core.db").read_bytes() == before
    (tmp_path / "s" / "core.db").unlink()
    with pytest.raises(StateRefused, match="belongs to gateway 'gw-1'"):
        await asyncio.to_thread(make_store(tmp_path / "s", gateway_id="gw-2").open)


async def test_a_store_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    async with opened(tmp_path / "s"):
        pass
    edit(tmp_path / "s" / "core.db", "UPDATE meta SET v=99 WHERE k='schema_version'")
    edit(tmp_path / "s" / "core.db", "DELETE FROM seal WHERE k='identity'")
    with pytest.raises(StateRefused, match="written by a newer version"):
        await asyncio.to_thread(make_store(tmp_path / "s").open)


async def test_a_second_gateway_on_the_same_directory_is_refused(tmp_path: Path) -> None:
    async with opened(tmp_path / "s"):
        with pytest.raises(AlreadyRunning, match="another gateway is running"):
            await asyncio.to_thread(make_store(tmp_path / "s").open)
    async with opened(tmp_path / "s"):
        pass


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a directory away")
async def test_a_directory_of_another_user_is_refused(tmp_path: Path) -> None:
    (tmp_path / "s").mkdir()
    os.chown(tmp_path / "s", 65_534, 65_534)
    with pytest.raises(StateRefused, match="belongs to user 65534"):
        await asyncio.to_thread(make_store(tmp_path / "s").open)


async def test_a_file_in_place_of_the_directory_is_refused(tmp_path: Path) -> None:
    (tmp_path / "s").write_text("")
    with pytest.raises(StateRefused, match="not a directory of ours"):
        await asyncio.to_thread(make_store(tmp_path / "s").open)


def test_pragmas_are_read_back_and_must_have_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with closing(connect_writer(tmp_path / "a.db", schema.CORE, CORE_PAGES)) as db:
        for name, wanted in {**PRAGMAS, "max_page_count": CORE_PAGES}.items():
            assert db.execute(f"PRAGMA {name}").fetchone() == (wanted,), name
    monkeypatch.setitem(PRAGMAS, "temp_store", 9)
    with pytest.raises(StateRefused, match="temp_store is 0 instead of 9"):
        connect_writer(tmp_path / "b.db", schema.CORE, CORE_PAGES)


def test_pragmas_of_the_running_store_are_full_and_wal(tmp_path: Path) -> None:
    store = make_store(tmp_path / "s")
    store.open()
    assert store._files is not None
    db = store._files.journal._db
    assert [db.execute(f"PRAGMA {p}").fetchone()[0] for p in ("journal_mode", "synchronous")] == [
        "wal", 2
    ]  # fmt: skip
    asyncio.run(store.close())


@pytest.fixture
def boots(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    ids = ["a", "a", "b", "", ""]
    monkeypatch.setattr("gateway.store.recover.boot_id", lambda: ids.pop(0))
    return ids


async def test_boots_are_counted_by_the_kernels_boot_id(tmp_path: Path, boots: list[str]) -> None:
    seen = []
    clock = FakeClock()
    while boots:
        async with opened(tmp_path / "s", clock=clock):
            seen.append(clock.boot)
    assert seen == [1, 1, 2, 3, 4]
    with closing(sqlite3.connect(tmp_path / "s" / "core.db")) as db:
        offsets = db.execute("SELECT offset_ns FROM boot").fetchall()
    assert offsets == [(clock.time_ns() - clock.boottime_ns(),)] * 4


async def test_a_lost_tail_after_a_clean_stop_is_noticed(tmp_path: Path) -> None:
    async with opened(tmp_path / "s") as store:
        await fill(store, 1, 3)
        epoch = store.epoch
    edit(tmp_path / "s" / "core.db", "DELETE FROM event WHERE id=3")
    async with opened(tmp_path / "s") as store:
        assert store.epoch == epoch + 1
        assert store.stats().damage == {"tail_lost": 1}
        await fill(store, 4, 4)
        assert store.last(0) == 10_001


async def test_a_cursor_ahead_of_the_records_makes_a_new_epoch_above_it(tmp_path: Path) -> None:
    async with opened(tmp_path / "s") as store:
        await fill(store, 1, 1)
        epoch = store.epoch
    edit(tmp_path / "s" / "core.db", "INSERT INTO cursor VALUES ('p', 0, ?, 50000)", epoch)
    async with opened(tmp_path / "s") as store:
        assert store.epoch == epoch + 1
        assert store.stats().damage == {"cursor_ahead": 1}
        await fill(store, 2, 2)
        assert store.last(0) == 50_001


async def test_an_old_copy_of_core_db_is_noticed_by_the_epoch_file(tmp_path: Path) -> None:
    async with opened(tmp_path / "s") as store:
        epoch = store.epoch
    (tmp_path / "s" / "epoch").write_text(f"{epoch + 5}\n")
    async with opened(tmp_path / "s") as store:
        assert store.epoch == epoch + 6
        assert store.stats().damage == {"core_outdated": 1}


async def test_a_missing_segment_is_noticed_and_read_as_a_gap(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(segment, "MAX_BYTES", 1)
    async with opened(tmp_path / "s") as store:
        for n in (1, 2, 3):
            await fill(store, n, n)
        epoch = store.epoch
    segments(tmp_path / "s")[1].unlink()
    async with opened(tmp_path / "s") as store:
        assert store.epoch == epoch + 1
        assert store.stats().damage == {"segment_missing": 1}
        (part,) = await slices(store, 2)
        assert part.gaps == ((2, 2, "missing"),)
        assert [seq for seq, _ in part.items] == [1, 3]


async def test_segments_are_readable_when_core_db_is_gone(tmp_path: Path) -> None:
    async with opened(tmp_path / "s") as store:
        await fill(store, 1, 3)
        epoch = store.epoch
        store.append(sample(4, {"other": 1.0}))
    for path in (tmp_path / "s").glob("core.db*"):
        path.unlink()
    (tmp_path / "s" / "epoch").unlink()
    async with opened(tmp_path / "s") as store:
        assert store.epoch == epoch + 1
        assert store.stats().damage == {"core_missing": 1}
        assert store.last_n == 4
        assert [item.n for item in await items(store, 2)] == [1, 2, 3, 4]
        store.append(sample(5, {"third": 1.0}))
        await store.durable(5)
        assert (await items(store, 2))[-1] == sample(5, {"third": 1.0})


async def test_a_core_db_that_is_no_database_is_put_aside(tmp_path: Path) -> None:
    (tmp_path / "s").mkdir()
    (tmp_path / "s" / "core.db").write_bytes(b"garbage!" * 1000)
    async with opened(tmp_path / "s") as store:
        assert store.stats().damage == {"core_quarantined": 1}
        await fill(store, 1, 1)
    kept = tmp_path / "s" / "core.db.corrupt.1"
    assert kept.read_bytes() == b"garbage!" * 1000


def interrupted(path: Path, name: str) -> None:
    """Make `path` as a crash in the middle of a transaction leaves it before WAL is switched on."""
    source = path.parent / f"source-{name}"
    with closing(sqlite3.connect(source, isolation_level=None)) as db:
        db.execute("CREATE TABLE t(x)")
        db.execute("INSERT INTO t VALUES (zeroblob(100000))")
        db.execute("PRAGMA cache_size=1")
        db.execute("BEGIN")
        db.execute("UPDATE t SET x=randomblob(100000)")
        path.write_bytes(source.read_bytes())
        journal = source.with_name(source.name + "-journal")
        path.with_name(path.name + "-journal").write_bytes(journal.read_bytes())


async def test_files_that_were_being_made_when_power_went_are_completed(tmp_path: Path) -> None:
    (tmp_path / "s" / "ts").mkdir(parents=True)
    interrupted(tmp_path / "s" / "core.db", "core")
    interrupted(tmp_path / "s" / "ts" / f"{1:020d}.db", "segment")
    (tmp_path / "s" / "ts" / f"{0:020d}.db").touch()
    async with opened(tmp_path / "s") as store:
        await fill(store, 1, 3)
        assert [item.n for item in await items(store, 2)] == [1, 2, 3]


def test_making_a_store_opens_nothing(tmp_path: Path) -> None:
    make_store(tmp_path / "s")
    assert not (tmp_path / "s").exists()


async def test_a_message_whose_alarm_is_stored_is_known_over_crashes_until_its_sample_is_stored(
    tmp_path: Path,
) -> None:
    told = sample(1, device="smoke-3-101", source_id=b"7")
    key = source_key("smoke-3-101", b"7")
    async with opened(tmp_path / "s") as store:
        store.append(told, held=True)
        store.append(event(1))
        await stored_events(store, 1)
        one = photograph(tmp_path / "s", tmp_path / "1")
    async with opened(one) as store:
        assert store.taken_ids == [key]
        store.append(event(2))
        await stored_events(store, 2)
        two = photograph(one, tmp_path / "2")
    async with opened(two) as store:
        assert store.taken_ids == [key]
        store.append(told, held=True)
        await store.durable(1)
        store.append(event(3))
        await stored_events(store, 3)
        three = photograph(two, tmp_path / "3")
    async with opened(three) as store:
        assert store.taken_ids == []
        assert store.recent_ids() == [key]


async def stored_events(store: Store, count: int) -> None:
    """Nobody waits for these commits: samples stay where they are."""
    async with asyncio.timeout(5):
        while len(await items(store, 0)) < count:
            await asyncio.sleep(0.002)

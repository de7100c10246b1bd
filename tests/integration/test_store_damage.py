"""Files that are not what was written: every bit counts, nothing is lost without a word."""

import asyncio
import shutil
import sqlite3
from collections.abc import Iterable
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest

from gateway.model import Event
from gateway.store import encode, migrate, quarantine, rescue, seal, segment, writer
from gateway.store.store import Position
from tests.harness.damage import (
    PAGE,
    Original,
    Verdict,
    bodies,
    flip,
    flips,
    judge,
    make,
    small_segments,
)
from tests.harness.stores import event, items, opened, photograph, sample, slices


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "RESCUE_S", 0.0)
    small_segments(monkeypatch.setattr)


@pytest.fixture
async def original(tmp_path: Path) -> Original:
    return await make(tmp_path)


async def flipped(
    original: Original, home: Path, places: Iterable[tuple[Path, int, int]]
) -> list[tuple[str, Verdict]]:
    found = []
    for number, (file, offset, bit) in enumerate(places):

        def harm(copy: Path, file: Path = file, offset: int = offset, bit: int = bit) -> None:
            flip(copy / file, offset, bit)

        verdict = await judge(original, home / f"copy-{number}", harm)
        found.append((f"{file} at {offset}, bit {bit}", verdict))
    return found


@pytest.mark.parametrize(
    "count",
    [
        pytest.param(300, marks=pytest.mark.timeout(120)),
        pytest.param(5_000, marks=[pytest.mark.chaos, pytest.mark.timeout(1_800)]),
    ],
)
async def test_one_flipped_bit_anywhere_is_seen_or_harmless(
    tmp_path: Path, original: Original, count: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("CRITICAL")
    found = await flipped(original, tmp_path, flips(original, count, seed=11))
    assert [(where, verdict.wrong) for where, verdict in found if verdict.wrong] == []
    # A bit in a log ends its replay there; in a database file it costs a row, or a page of them.
    in_files = [verdict.missing for where, verdict in found if "-wal" not in where]
    assert sorted(in_files)[len(in_files) * 95 // 100] < 20
    assert any(verdict.missing for _, verdict in found)


async def test_without_the_checksums_flipped_bits_are_delivered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Teeth: SQLite sees next to nothing of them."""
    caplog.set_level("CRITICAL")
    monkeypatch.setattr(encode, "_event_crc", lambda _head, _body: 0)
    monkeypatch.setattr(seal, "crc_of", lambda *_: 0)
    original = await make(tmp_path)
    places = [(Path("core.db"), at + 1, 0) for at in bodies(original)[::3]]
    found = await flipped(original, tmp_path, places)
    assert any(verdict.wrong.startswith("invented or changed") for _, verdict in found)


def zero(copy: Path, file: str, page: int) -> None:
    with (copy / file).open("r+b") as opened_file:
        opened_file.seek(page * PAGE)
        opened_file.write(bytes(PAGE))


async def test_a_zeroed_page_costs_no_more_than_itself(
    tmp_path: Path, original: Original, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("CRITICAL")
    found = {}
    for file in original.files:
        pages = (original.directory / file).stat().st_size // PAGE
        for page in range(1, 0 if "-wal" in str(file) else pages):
            harm = partial(zero, file=str(file), page=page)
            found[file, page] = await judge(original, tmp_path / "copy", harm)
    assert [(where, verdict.wrong) for where, verdict in found.items() if verdict.wrong] == []
    assert len(found) > 20
    # But for the roots of the trees of events and of chunks, whose leaves nobody finds any more.
    *others, _chunks, _events = sorted(verdict.missing for verdict in found.values())
    assert 0 < max(others) < 20


@pytest.mark.parametrize("end", ["-wal", "-shm", ""])
async def test_a_core_db_without_its_log_or_itself_is_told(
    tmp_path: Path, original: Original, end: str
) -> None:
    def harm(copy: Path) -> None:
        if end == "-shm":  # of another file: SQLite makes its own if the checksums do not fit
            shutil.copyfile(original.directory.parent / "s" / "epoch", copy / "core.db-shm")
        elif end:
            (copy / f"core.db{end}").unlink()
        else:
            for path in copy.glob("core.db*"):
                path.unlink()

    verdict = await judge(original, tmp_path / "copy", harm)
    assert verdict.wrong == ""
    assert (verdict.missing > 0) == (end != "-shm")


async def test_a_segment_of_another_store_is_put_aside_and_not_read(tmp_path: Path) -> None:
    for name, number in (("a", 1), ("b", 500)):
        async with opened(tmp_path / name) as store:
            for n in range(number, number + 3):
                store.append(sample(n))
                store.append(event(n))
            await store.durable(number + 2)
    (strange,) = (tmp_path / "b" / "ts").glob("*.db")
    shutil.copyfile(strange, tmp_path / "a" / "ts" / f"{900:020d}.db")
    async with opened(tmp_path / "a") as store:
        assert store.stats().damage == {"segment_foreign": 1}
        assert [item.n for item in await items(store, 2)] == [1, 2, 3]
        store.append(sample(4))
        await store.durable(4)
        assert [item.n for item in await items(store, 2)] == [1, 2, 3, 4]
    assert (tmp_path / "a" / "ts" / f"{900:020d}.db.corrupt.1").exists()


async def test_the_rest_of_a_segment_is_read_behind_a_page_that_is_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(segment, "MAX_BYTES", 10**7)
    async with opened(tmp_path / "s") as store:
        for n in range(1, 41):
            store.append(sample(n, {f"p{i}": n * 0.37 + i for i in range(400)}))
            await store.durable(n)
    (path,) = (tmp_path / "s" / "ts").glob("*.db")
    middle = path.stat().st_size // PAGE // 2
    zero(tmp_path / "s" / "ts", path.name, middle)
    async with opened(tmp_path / "s") as store:
        numbers = [item.n for item in await items(store, 2)]
        assert 30 < len(numbers) < 40
        assert {1, 40} <= set(numbers)
        gaps = [gap for part in await slices(store, 2) for gap in part.gaps]
        assert {gap[2] for gap in gaps} == {"corrupt"}
        assert sum(last - first + 1 for first, last, _ in gaps) == 40 - len(numbers)
        assert store.stats().damage["segment_damaged"] == 1
        store.append(sample(41))
        await store.durable(41)
    assert len(list((tmp_path / "s" / "ts").glob("*.db"))) == 2, (
        "nothing is added to the damaged one"
    )


async def test_taking_over_goes_on_after_a_kill_and_leaves_newer_alarms_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def alarm(n: int, *, value: bool) -> Event:
        return event(n, attributes={"point": "alarm.smoke", "value": value, "text": "x" * 500})

    monkeypatch.setattr(rescue, "BATCH", 50)
    async with opened(tmp_path / "s") as store:
        for n in range(1, 301):
            store.append(alarm(n, value=n % 2 == 0))
        await store.durable(300)
        store.advance("p", 0, Position(store.epoch, 100))
    zero(tmp_path, "s/core.db", (tmp_path / "s" / "core.db").stat().st_size // PAGE // 2)
    monkeypatch.setattr(writer, "RESCUE_S", 60.0)
    async with opened(tmp_path / "s") as store:
        assert [one.n for one in store.alarms] == [300]
        store.append(alarm(301, value=False))
        await store.durable(301)
        assert len(await items(store, 0)) < 60
        await asyncio.to_thread(photograph, tmp_path / "s", tmp_path / "killed")
    monkeypatch.setattr(writer, "RESCUE_S", 0.0)
    async with opened(tmp_path / "killed") as store:
        assert [one.n for one in store.alarms] == [301]
        async with asyncio.timeout(5):
            while not (losses := store.take_losses()):
                await asyncio.sleep(0.01)
        numbers = [item.n for item in await items(store, 0)]
        assert len(numbers) == len(set(numbers))
        assert 180 < len(numbers) <= 201
        assert min(numbers) == 101, "what the sink has had is not taken over"
        assert losses[0]["reason"] == "salvage"
    async with opened(tmp_path / "killed") as store:
        assert [one.n for one in store.alarms] == [301]


def test_so_much_is_kept_of_what_was_put_aside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quarantine, "MAX_FILES", 3)
    monkeypatch.setattr(quarantine, "MAX_BYTES", 5_000)
    (tmp_path / "ts").mkdir()
    for number in range(1, 6):
        folder = tmp_path / "ts" if number % 2 else tmp_path
        for end in ("", "-wal", "-shm"):
            (folder / f"x.db{end}").write_bytes(b"x" * 100)
        quarantine.set_aside(tmp_path, folder / "x.db", "a test")
    kept = sorted(path.name for path in tmp_path.rglob("x*"))
    assert kept == sorted(
        f"x.db.corrupt.{n}{end}" for n in (3, 4, 5) for end in ("", "-wal", "-shm")
    )
    (tmp_path / "y.db").write_bytes(b"y" * 6_000)
    quarantine.set_aside(tmp_path, tmp_path / "y.db", "a test")
    assert [path.name for path in tmp_path.rglob("*corrupt*")] == ["y.db.corrupt.6"]


async def test_a_store_of_the_schema_before_is_brought_up_to_date(tmp_path: Path) -> None:
    async with opened(tmp_path / "s") as store:
        store.append(event(1))
        await store.durable(1)
        await store.command_intent("c-1", b"{}")
    path = tmp_path / "s" / "core.db"
    with closing(sqlite3.connect(path)) as db:
        db.executescript(
            "DROP TABLE alarm; DROP TABLE taken; DROP TABLE seal; CREATE TABLE old AS SELECT * FROM command;"
            "DROP TABLE command; CREATE TABLE command(id BLOB PRIMARY KEY, state TEXT NOT NULL,"
            " body BLOB NOT NULL) WITHOUT ROWID; INSERT INTO command SELECT id, state, body FROM old;"
            "DROP TABLE old; UPDATE meta SET v=0 WHERE k='schema_version';"
        )
    async with opened(tmp_path / "s") as store:
        assert store.stats().damage == {}
        assert [item.n for item in await items(store, 0)] == [1]
        assert store.command_outcome("c-1") is not None
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("SELECT v FROM meta WHERE k='schema_version'").fetchone() == (1,)


def test_a_migration_that_fails_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = (("ALTER TABLE command ADD COLUMN at_ns INTEGER", "ALTER TABLE nowhere ADD COLUMN x"),)
    monkeypatch.setattr(migrate, "MIGRATIONS", steps)
    with closing(sqlite3.connect(tmp_path / "core.db", isolation_level=None)) as db:
        db.executescript(
            "CREATE TABLE meta(k PRIMARY KEY, v); INSERT INTO meta VALUES ('schema_version', 0);"
            "CREATE TABLE command(id);"
        )
        before = db.execute("SELECT sql FROM sqlite_master").fetchall()
        with pytest.raises(sqlite3.OperationalError, match="no such table"):
            migrate.migrate(db)
        assert db.execute("SELECT sql FROM sqlite_master").fetchall() == before
        assert db.execute("SELECT v FROM meta").fetchone() == (0,)

"""The state of rules in the store: with the event it belongs to, or soon; damaged rows are left out."""

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path

from gateway.store.schema import CORE, fits
from tests.harness.stores import event, opened


def rows(folder: Path) -> dict[str, bytes]:
    with closing(sqlite3.connect(f"file:{folder}/core.db?mode=ro", uri=True)) as db:
        return dict(db.execute("SELECT instance, body FROM rule"))


async def test_a_row_is_there_when_its_event_is(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        store.append(event(1), rows={"a": b"1", "b": b"2"})
        await store.durable(1)
        assert rows(tmp_path) == {"a": b"1", "b": b"2"}
        store.append(event(2), rows={"a": b"3", "b": None})
        await store.durable(2)
        assert rows(tmp_path) == {"a": b"3"}


async def test_rows_without_an_event_are_stored_soon_and_the_newest_counts(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        store.keep({"a": b"1"})
        store.keep({"a": b"2", "b": b"3"})
        async with asyncio.timeout(5):
            while rows(tmp_path) != {"a": b"2", "b": b"3"}:
                await asyncio.sleep(0.01)
        store.keep({"b": None})
    assert rows(tmp_path) == {"a": b"2"}, "a stop stores what waits"
    async with opened(tmp_path) as store:
        assert store.rules == {"a": b"2"}


async def test_a_row_that_is_not_what_was_written_is_left_out(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        store.keep({"a": b"1", "b": b"2"})
    with closing(sqlite3.connect(tmp_path / "core.db")) as db, db:
        db.execute("UPDATE rule SET body=? WHERE instance='a'", (b"9",))
    async with opened(tmp_path) as store:
        assert store.rules == {"b": b"2"}


async def test_a_database_of_a_version_without_rows_gets_the_table_and_fits_that_version(
    tmp_path: Path,
) -> None:
    async with opened(tmp_path) as store:
        store.keep({"a": b"1"})
    await asyncio.to_thread(_as_before, tmp_path)
    async with opened(tmp_path) as store:
        assert store.rules == {}
        store.keep({"a": b"2"})
    assert rows(tmp_path) == {"a": b"2"}


def _as_before(folder: Path) -> None:
    before = CORE[: CORE.index("-- What each instance of a rule")]
    with closing(sqlite3.connect(folder / "core.db")) as db:
        assert fits(db, before), "what it does not know does not hinder it"
        db.execute("DROP TABLE rule")
        db.commit()

"""Replay counters are kept with the events that their messages led to."""

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from gateway.store import replay
from tests.harness.stores import event, opened, photograph, sample


async def stored(directory: Path) -> dict[str, int]:
    def look() -> dict[str, int]:
        with closing(sqlite3.connect(directory / "core.db")) as db:
            return replay.read(db)

    return await asyncio.to_thread(look)


async def edit(path: Path, statement: str) -> None:
    def change() -> None:
        with closing(sqlite3.connect(path)) as db, db:
            db.execute(statement)

    await asyncio.to_thread(change)


def spoil(path: Path, table: str) -> None:
    """Overwrite the first page of a table."""
    with closing(sqlite3.connect(path)) as db:
        query = "SELECT rootpage FROM sqlite_master WHERE name=?"
        (page,) = db.execute(query, (table,)).fetchone()
    with path.open("r+b") as file:
        file.seek((page - 1) * 4096)
        file.write(b"\xa5" * 4096)


async def test_a_counter_is_durable_together_with_its_event(tmp_path: Path) -> None:
    async with opened(tmp_path / "s") as store:
        store.replay.admit("smoke-1", 5000)
        store.append(event(1))
        await store.durable(1)
        photograph(tmp_path / "s", tmp_path / "cut")
    async with opened(tmp_path / "cut") as store:
        assert store.replay.last("smoke-1") == 5000


async def test_of_several_counters_the_last_one_counts_even_if_it_is_lower(tmp_path: Path) -> None:
    async with opened(tmp_path / "s") as store:
        for counter in (7, 0xFFFF_FFFF, 0):
            store.replay.admit("smoke-1", counter)
            assert store.replay.last("smoke-1") == counter
    assert await stored(tmp_path / "s") == {"smoke-1": 0}


async def test_a_counter_without_an_event_is_stored_within_its_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replay, "DELAY_S", 0.0)
    async with opened(tmp_path / "s") as store:
        news = store.subscribe()
        store.replay.admit("button-1", 12)
        while await stored(tmp_path / "s") != {"button-1": 12}:
            store.append(sample(1))
            await store.durable(1)
            await news.wait()
            news.clear()


async def test_a_forgotten_counter_is_gone_after_a_restart(tmp_path: Path) -> None:
    async with opened(tmp_path / "s") as store:
        store.replay.admit("smoke-1", 5000)
        store.replay.admit("smoke-2", 1)
    async with opened(tmp_path / "s") as store:
        store.replay.forget("smoke-1")
        assert store.replay.last("smoke-1") is None
    assert await stored(tmp_path / "s") == {"smoke-2": 1}


async def test_a_flipped_bit_makes_a_counter_unknown_instead_of_wrong(tmp_path: Path) -> None:
    async with opened(tmp_path / "s") as store:
        store.replay.admit("smoke-1", 5000)
    await edit(tmp_path / "s" / "core.db", "UPDATE replay SET counter = counter - 4096")
    async with opened(tmp_path / "s") as store:
        assert store.replay.last("smoke-1") is None


async def test_counters_survive_a_damaged_core_db(tmp_path: Path) -> None:
    async with opened(tmp_path / "s") as store:
        store.replay.admit("smoke-1", 5000)
        store.append(event(1))
    await asyncio.to_thread(spoil, tmp_path / "s" / "core.db", "epoch")
    for life in range(2):
        async with opened(tmp_path / "s") as store:
            assert store.stats().damage["core_quarantined"] == (1 if life == 0 else 0)
            assert store.replay.last("smoke-1") == 5000


async def test_without_an_open_store_a_counter_is_known_and_stored_later(tmp_path: Path) -> None:
    async with opened(tmp_path / "s") as store:
        store.replay.admit("smoke-1", 9)
        store.replay.restore({"smoke-1": 5, "smoke-2": 6})
        assert [store.replay.last(name) for name in ("smoke-1", "smoke-2")] == [9, 6]
    assert await stored(tmp_path / "s") == {"smoke-1": 9}

"""A flipped bit may change the type of a stored value: SQLite keeps types with values, not columns.

Whatever value of a sample file becomes bytes, a text or a fraction, the store opens, and the files
beside it are read as if nothing had happened.
"""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from gateway.store import segment, writer
from tests.harness.stores import event, items, opened, photograph, sample

VALUES = [b"\x00\x01\x02\x03\x04\x05\x06\x07", "text", 0.5, None, -1]


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "RESCUE_S", 0.0)
    monkeypatch.setattr(segment, "MAX_BYTES", 30_000)


async def filled(directory: Path) -> Path:
    """Three sample files and events, as a crash leaves them."""
    async with opened(directory / "s") as store:
        for n in range(1, 25):
            store.append(event(n))
            store.append(sample(n, {f"p{i}": n * 0.1 + i for i in range(20)}, source_id=b"%d" % n))
            await store.durable(n)
        return photograph(directory / "s", directory / "crashed")


def columns(path: Path) -> list[tuple[str, str]]:
    with closing(sqlite3.connect(path)) as db:
        tables = [
            name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type='table'")
        ]
        return [(t, row[1]) for t in tables for row in db.execute(f"PRAGMA table_info({t})")]


def spoil(path: Path, table: str, column: str, value: object) -> bool:
    """Change one value of the first row; False if SQLite itself does not let it be."""
    first = f"SELECT {column} FROM {table} LIMIT 1"  # noqa: S608 -- names of our own schema
    statement = f"UPDATE OR IGNORE {table} SET {column}=? WHERE {column} IS ({first})"  # noqa: S608 -- the same
    with closing(sqlite3.connect(path)) as db:
        try:
            db.execute(statement, (value,))
        except sqlite3.Error:
            return False
        db.commit()
        return True


@pytest.mark.parametrize("value", VALUES, ids=["bytes", "text", "fraction", "null", "negative"])
@pytest.mark.parametrize("which", [0, -1], ids=["oldest", "newest"])
async def test_a_value_of_another_type_costs_no_more_than_its_file(
    tmp_path: Path, which: int, value: object
) -> None:
    whole = await filled(tmp_path)
    names = [path.name for path in sorted((whole / "ts").glob("*.db"))]
    assert len(names) >= 3
    for number, (table, column) in enumerate(columns(whole / "ts" / names[which])):
        home = photograph(whole, tmp_path / f"{number}")
        if not spoil(home / "ts" / names[which], table, column, value):
            continue
        async with opened(home) as store:
            found = {item.n for item in await items(store, 2)}
            events = {item.n for item in await items(store, 0)}
            assert not store.stats().damage["core_quarantined"], (table, column)
        assert len(found) >= 24 - 10, (table, column)  # a file holds no more than ten
        assert events == set(range(1, 25)), (table, column)

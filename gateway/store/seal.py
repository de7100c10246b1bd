"""Checksums over the few rows of core.db that decide what is sent: identity, epochs, cursors.

One bit in a cursor would skip records without a word; one in an epoch would hide them all. SQLite
sees neither. A row that does not fit its seal is taken for damaged.
"""

import sqlite3
import zlib
from collections.abc import Iterable, Iterator, Mapping

import orjson

CursorRow = tuple[str, int, int, int]  # sink, lane, epoch, seq


def crc_of(*values: object) -> int:
    return zlib.crc32(orjson.dumps(values, default=repr))


def read_seals(db: sqlite3.Connection) -> dict[str, int]:
    """Of a core.db that may not have the table yet."""
    known = db.execute("SELECT 1 FROM sqlite_master WHERE name='seal'").fetchall()
    return dict(db.execute("SELECT k, crc FROM seal")) if known else {}


def seal_identity(db: sqlite3.Connection, gateway_id: str, version: int, uuid: str) -> None:
    """Within the caller's transaction."""
    row = ("identity", crc_of(gateway_id, version, uuid))
    db.execute("INSERT OR REPLACE INTO seal VALUES (?, ?)", row)


def identity_fits(meta: Mapping[str, object], seals: Mapping[str, int]) -> bool:
    """False if gateway id, version or uuid are not what was written: then none of them counts."""
    keys = ("gateway_id", "schema_version", "store_uuid")
    return seals.get("identity") in {None, crc_of(*(meta.get(key) for key in keys))}


def sealed_uuid(meta: Mapping[str, object], seals: Mapping[str, int]) -> str:
    """Empty if it is not there or damaged."""
    return str(meta.get("store_uuid", "")) if identity_fits(meta, seals) else ""


def seal_points(db: sqlite3.Connection, points: Iterable[tuple[object, ...]]) -> None:
    """Of a segment, by pid, device and name; within the caller's transaction."""
    seals = [(f"point {point[0]}", crc_of(*point[:3])) for point in points]
    db.executemany("INSERT OR REPLACE INTO seal VALUES (?, ?)", seals)


def good_points(db: sqlite3.Connection) -> Iterator[tuple[int, str, str]]:
    """(pid, device, name) as far as they fit: a flipped bit would give values to another point."""
    seals = read_seals(db)
    for row in db.execute("SELECT pid, device, point FROM point"):
        if not seals or seals.get(f"point {row[0]}") == crc_of(*row):
            yield row


def seal_cursors(db: sqlite3.Connection, rows: Iterable[CursorRow]) -> None:
    """Within the caller's transaction."""
    seals = [(f"cursor {lane} {sink}", crc_of(epoch, seq)) for sink, lane, epoch, seq in rows]
    db.executemany("INSERT OR REPLACE INTO seal VALUES (?, ?)", seals)


def good_cursors(
    rows: Iterable[CursorRow], seals: Mapping[str, int]
) -> tuple[list[CursorRow], int]:
    """(those that fit, number of the others). A sink whose cursor is lost is sent everything anew."""
    sealed = any(key.startswith("cursor ") for key in seals)
    good: list[CursorRow] = []
    bad = 0
    for row in rows:
        match row:
            case (str(sink), int(lane), int(epoch), int(seq)) if not sealed or seals.get(
                f"cursor {lane} {sink}"
            ) == crc_of(epoch, seq):
                good.append(row)
            case _:
                bad += 1
    return good, bad


def seal_epoch(db: sqlite3.Connection, epoch: int, base: int) -> None:
    """Of a segment; within the caller's transaction."""
    row = (f"epoch {epoch}", crc_of(base))
    db.execute("INSERT OR IGNORE INTO seal VALUES (?, ?)", row)


def segment_epochs(db: sqlite3.Connection) -> list[tuple[int, int]]:
    """(epoch, first seq) by first seq. Raises ValueError where one is not what was written."""
    seals = read_seals(db)
    rows = db.execute("SELECT epoch, first_seq FROM epoch ORDER BY first_seq").fetchall()
    if seals and any(seals.get(f"epoch {epoch}") != crc_of(base) for epoch, base in rows):
        raise ValueError("an epoch is not what was written")
    return rows


def seal_epochs(db: sqlite3.Connection) -> None:
    """All of them, as they are now; within the caller's transaction."""
    db.execute("DELETE FROM seal WHERE k LIKE 'epoch %'")
    rows = db.execute("SELECT epoch, lane, first_seq FROM epoch").fetchall()
    seals = [(f"epoch {lane} {epoch}", crc_of(base)) for epoch, lane, base in rows]
    db.executemany("INSERT OR REPLACE INTO seal VALUES (?, ?)", seals)


def epochs_fit(db: sqlite3.Connection, seals: Mapping[str, int]) -> bool:
    """False if a row was changed; rows that were deleted since, or came without a seal, are fine."""
    wanted = {key for key in seals if key.startswith("epoch ")}
    strange = False
    for epoch, lane, base in db.execute("SELECT epoch, lane, first_seq FROM epoch"):
        key = f"epoch {lane} {epoch}"
        if key not in wanted:
            strange = True
        elif seals[key] != crc_of(base):
            return False
        wanted.discard(key)
    return not (strange and wanted)

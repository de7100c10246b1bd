"""The database files: tables, pragmas, connections.

`core.db` holds events, cursors and registries; `ts/<first seq, 20 digits>.db` hold samples. One
connection per file writes and checkpoints (SQLite 3.7.0 to 3.51.2 can corrupt a WAL that two
connections reset, fixed in 3.51.3); everyone else opens with `mode=ro`.
"""

import sqlite3
from contextlib import closing
from pathlib import Path

from gateway.errors import StateRefused

SCHEMA_VERSION = 1
SEQ_BITS = 56  # event.id = lane << 56 | seq: ordered by lane, then seq, without a second index
SEQ_MASK = (1 << SEQ_BITS) - 1

CORE = """
CREATE TABLE IF NOT EXISTS meta(k TEXT PRIMARY KEY, v) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS lane(lane INTEGER PRIMARY KEY, reserved_hi INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS epoch(epoch INTEGER, lane INTEGER, first_seq INTEGER NOT NULL,
  PRIMARY KEY(epoch, lane)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS boot(boot INTEGER PRIMARY KEY, offset_ns INTEGER);
CREATE TABLE IF NOT EXISTS event(id INTEGER PRIMARY KEY, event_id BLOB NOT NULL, n INTEGER NOT NULL,
  time_ns INTEGER NOT NULL, received_ns INTEGER NOT NULL, boot INTEGER NOT NULL,
  clock_ok INTEGER NOT NULL, kind TEXT NOT NULL, severity INTEGER NOT NULL, device TEXT NOT NULL,
  cause BLOB, crc INTEGER NOT NULL, body BLOB NOT NULL);
-- The newest event of each alarm, alarm-bearing point, counter and slot of notifications: what a
-- restart continues from.
CREATE TABLE IF NOT EXISTS alarm(subject TEXT PRIMARY KEY, id INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS cursor(sink TEXT, lane INTEGER, epoch INTEGER NOT NULL,
  seq INTEGER NOT NULL, PRIMARY KEY(sink, lane)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS dead(sink TEXT, lane INTEGER, seq INTEGER, status INTEGER, error TEXT,
  body BLOB, at_ns INTEGER, PRIMARY KEY(sink, lane, seq)) WITHOUT ROWID;
-- By the seq of the sample, not by key: random keys would dirty one page for each sample.
CREATE TABLE IF NOT EXISTS dedupe(seen INTEGER PRIMARY KEY, key BLOB NOT NULL);
-- Messages whose alarms are in `event` while their samples were in no segment yet: their repeats
-- after a crash are stored, but raise nothing a second time.
CREATE TABLE IF NOT EXISTS taken(key BLOB PRIMARY KEY) WITHOUT ROWID;
-- The last admitted counter of each device whose messages are sealed against replay.
CREATE TABLE IF NOT EXISTS replay(device TEXT PRIMARY KEY, counter INTEGER NOT NULL,
  crc INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS command(id BLOB PRIMARY KEY, state TEXT NOT NULL, body BLOB NOT NULL,
  at_ns INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS point(pid INTEGER PRIMARY KEY, device TEXT NOT NULL, point TEXT NOT NULL,
  unit TEXT, profile TEXT, revision INTEGER);
-- Bytes written by day (days since 1970 UTC, 0 while the clock was not right).
CREATE TABLE IF NOT EXISTS volume(day INTEGER PRIMARY KEY, bytes INTEGER NOT NULL);
-- What was deleted on purpose; neighbours with one reason are one row.
CREATE TABLE IF NOT EXISTS evicted(lane INTEGER, epoch INTEGER NOT NULL, base INTEGER NOT NULL,
  first INTEGER, last INTEGER NOT NULL, reason TEXT NOT NULL, PRIMARY KEY(lane, first)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS segment(first INTEGER PRIMARY KEY, last INTEGER, bytes INTEGER,
  crc_ok INTEGER, state TEXT NOT NULL);
-- Checksums of the rows of `meta`, `epoch` and `cursor` that decide what is sent.
CREATE TABLE IF NOT EXISTS seal(k TEXT PRIMARY KEY, crc INTEGER NOT NULL) WITHOUT ROWID;
-- Windows of `w` seconds that begin at `t` (seconds since 1970). Time first: point first would
-- dirty a page for each point instead of a few for each window.
CREATE TABLE IF NOT EXISTS rollup(w INTEGER, t INTEGER, pid INTEGER, n INTEGER, mn REAL, mx REAL,
  sm REAL, la REAL, PRIMARY KEY(w, t, pid)) WITHOUT ROWID;
-- The chunks that hold samples of a 5 min window, whenever they came.
CREATE TABLE IF NOT EXISTS chunk_window(t INTEGER, first INTEGER, PRIMARY KEY(t, first)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS counter(pid INTEGER PRIMARY KEY);
-- What each instance of a rule goes on with (`gateway.store.kept`).
CREATE TABLE IF NOT EXISTS rule(instance TEXT PRIMARY KEY, crc INTEGER NOT NULL,
  body BLOB NOT NULL) WITHOUT ROWID;
"""

# `meta`, `epoch` and `point` make a segment readable without core.db.
SEGMENT = """
CREATE TABLE IF NOT EXISTS meta(k TEXT PRIMARY KEY, v) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS epoch(epoch INTEGER PRIMARY KEY, first_seq INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS seal(k TEXT PRIMARY KEY, crc INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS point(pid INTEGER PRIMARY KEY, device TEXT NOT NULL, point TEXT NOT NULL,
  unit TEXT, profile TEXT, revision INTEGER);
CREATE TABLE IF NOT EXISTS chunk(first INTEGER PRIMARY KEY, n INTEGER, first_ns INTEGER,
  last_ns INTEGER, boot INTEGER, clock_ok INTEGER, crc INTEGER NOT NULL, enc INTEGER NOT NULL,
  body BLOB NOT NULL);
"""

PRAGMAS: dict[str, int | str] = {
    "journal_mode": "wal",
    "synchronous": 2,  # FULL: NORMAL loses acknowledged rows at a power cut
    "wal_autocheckpoint": 250,  # pages, 1 MB: no dearer than 1,000 and less to replay or to lose
    "journal_size_limit": 1_048_576,
    "busy_timeout": 5000,
    "temp_store": 2,  # MEMORY
    "cache_size": -2000,  # KiB
}
# Pages of 4 KiB, the backstop against one file filling the disk. Hitting it is SQLITE_FULL.
CORE_PAGES = 327_680  # 1.25 GiB, of which rollups leave 0.25 to everything else
SEGMENT_PAGES = 16_384  # 64 MiB: twice the size at which a segment is closed


def connect_writer(path: Path, tables: str, max_pages: int) -> sqlite3.Connection:
    """The one connection that writes `path`; makes the file and its tables if they are missing.

    Raises StateRefused if a pragma does not take: the file system cannot keep data safely.
    """
    db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    try:
        if tables == CORE:  # segments are dropped as a whole
            db.execute("PRAGMA auto_vacuum=2")  # INCREMENTAL; of a new file only, before all else
        _set_pragmas(db, path, {**PRAGMAS, "max_page_count": max_pages})
        db.executescript(f"BEGIN; {tables} COMMIT;")
    except BaseException:
        db.close()
        raise
    return db


def _set_pragmas(db: sqlite3.Connection, path: Path, pragmas: dict[str, int | str]) -> None:
    for name, wanted in pragmas.items():
        db.execute(f"PRAGMA {name}={wanted}")
        (got,) = db.execute(f"PRAGMA {name}").fetchone()
        if got != wanted:
            raise StateRefused(
                f"{path}: {name} is {got} instead of {wanted}: data is not safe there"
            )


def fits(db: sqlite3.Connection, tables: str) -> bool:
    """Whether the tables have the columns that `tables` gives them: a flipped bit in the text that
    made one is valid SQL at times.
    """
    with closing(sqlite3.connect(":memory:")) as fresh:
        fresh.executescript(tables)
        names = [name for (name,) in fresh.execute("SELECT name FROM sqlite_master")]
        return all(_columns(db, name) == _columns(fresh, name) for name in names)


def _columns(db: sqlite3.Connection, table: str) -> list[tuple[str, str]]:
    return [(row[1], row[2]) for row in db.execute(f"PRAGMA table_info('{table}')")]


def connect_reader(path: Path) -> sqlite3.Connection:
    """A connection that can neither write nor checkpoint; sees committed transactions only."""
    uri = f"{path.absolute().as_uri()}?mode=ro"
    db = sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False)
    db.execute("PRAGMA busy_timeout=5000")
    return db


def connect_closed(path: Path) -> sqlite3.Connection:
    """To a file that nobody writes any more. It needs no -shm file: that would be 32 KB for each,
    and could not be made on a full disk. A write-ahead log that was left behind is read all the same.
    """
    log = path.with_name(path.name + "-wal")
    if log.exists() and log.stat().st_size:
        return connect_reader(path)
    uri = f"{path.absolute().as_uri()}?mode=ro&immutable=1"
    return sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False)


def connect_owner(path: Path) -> sqlite3.Connection:
    """A connection to look at a file before anyone else opens it.

    It may write: a crash while the file was made leaves a journal that must be rolled back first,
    which `mode=ro` refuses (SQLITE_READONLY_ROLLBACK).
    """
    return sqlite3.connect(path, isolation_level=None)


def size_on_disk(path: Path) -> int:
    """Bytes of a database and its write-ahead log."""
    total = 0
    for name in (path, path.with_name(path.name + "-wal")):
        if name.exists():
            total += name.stat().st_size
    return total

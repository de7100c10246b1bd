"""Looking into a state directory from outside, beside a running gateway or without one.

Nothing here takes the lock or writes. Queries are short, a window of rows each: a reader that
stays in one transaction would keep the writer from emptying its write-ahead log.
"""

import sqlite3
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, NamedTuple, TypeVar

import orjson

from gateway.model import LANE_SAMPLE, LANES
from gateway.store.encode import CHUNK_SAMPLES, ChunkRow, EventRow
from gateway.store.identity import DAMAGE, damaged
from gateway.store.index import Position
from gateway.store.schema import SEQ_BITS, SEQ_MASK, connect_reader
from gateway.store.seal import epochs_fit, good_cursors, good_points, read_seals
from gateway.store.segment import segment_files, segment_path

SKIP = 50  # keys that are tried one by one where a page cannot be read
BARREN = 2_000


def look_at(path: Path) -> sqlite3.Connection:
    """A connection that cannot write. Raises sqlite3.OperationalError if there is no such file.

    In a folder that cannot be written SQLite finds no place for the shared memory of a write-ahead
    log; without a log none is needed, and the file is opened as one that nobody changes.
    """
    db = connect_reader(path)
    try:
        db.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchall()
    except sqlite3.OperationalError:
        db.close()
        log = path.with_name(path.name + "-wal")
        if not path.exists() or (log.exists() and log.stat().st_size):
            raise
        uri = f"{path.absolute().as_uri()}?mode=ro&immutable=1"
        return sqlite3.connect(uri, uri=True, isolation_level=None)
    except BaseException:
        db.close()
        raise
    return db


class EpochSpan(NamedTuple):
    """One epoch of a lane: its seqs are `base` and above, up to `end`, the next epoch's first - 1."""

    epoch: int
    base: int
    end: int


@dataclass(slots=True)
class Register:
    """What core.db says about itself, read in one transaction. `limits`: highest seq by lane."""

    meta: Mapping[str, Any] = field(default_factory=dict)
    epochs: list[list[EpochSpan]] = field(default_factory=lambda: [[] for _ in LANES])
    cursors: dict[tuple[str, int], Position] = field(default_factory=dict)
    dead: list[tuple[str, int, int, str]] = field(default_factory=list)  # sink, lane, seq, reason
    limits: list[int] = field(default_factory=lambda: [0 for _ in LANES])
    evicted: list[tuple[int, int, int, str]] = field(default_factory=list)  # lane, range, reason
    unsealed: list[str] = field(default_factory=list)  # what is not as it was written
    segments: dict[int, int | None] = field(default_factory=dict)  # first seq: last seq, if known

    def epoch_of(self, lane: int, seq: int) -> int:
        """0 if no epoch is known that has this seq."""
        spans = self.epochs[lane]
        index = bisect_right(spans, seq, key=lambda span: span.base) - 1
        return spans[index].epoch if index >= 0 else 0

    @property
    def final_seqs(self) -> list[int] | None:
        """Highest seq of each lane that was given out; None unless the stop was clean."""
        if not self.meta.get("clean_shutdown") or "final" not in self.meta:
            return None
        return [int(seq) - 1 for seq in orjson.loads(self.meta["final"])["next"]]


@contextmanager
def core(directory: Path) -> Iterator[sqlite3.Connection]:
    """Raises FileNotFoundError if there is no journal in the directory."""
    path = directory / "core.db"
    if not path.exists():
        raise FileNotFoundError(f"{directory}: no journal there (core.db is missing)")
    with closing(look_at(path)) as db:
        yield db


def read_register(db: sqlite3.Connection, directory: Path) -> Register:
    """Raises sqlite3.DatabaseError if the tables that everything hangs on cannot be read."""
    found = Register()
    db.execute("BEGIN")
    try:
        _read_tables(db, found)
    except sqlite3.Error:
        raise
    except DAMAGE as error:
        raise sqlite3.DatabaseError(f"core.db is damaged: {error}") from error
    finally:
        db.execute("COMMIT")
    found.limits[LANE_SAMPLE] = _last_sample(directory)
    return found


def _read_tables(db: sqlite3.Connection, found: Register) -> None:
    tables = {name for (name,) in db.execute("SELECT name FROM sqlite_master")}
    found.meta = dict(db.execute("SELECT k, v FROM meta"))
    _read_epochs(db, found)
    _read_cursors(db, found)
    for row in db.execute("SELECT sink, lane, seq, error FROM dead"):
        match row:
            case (str(sink), int(lane), int(seq), reason) if lane in LANES:
                found.dead.append((sink, lane, seq, str(reason)))
            case _:
                found.unsealed.append("a dead letter")
    for row in db.execute("SELECT first, last FROM segment"):
        match row:
            case (int(first), int() | None as last):
                found.segments[first] = last
            case _:
                found.unsealed.append("the list of sample files")
    for lane in LANES:
        if lane != LANE_SAMPLE:
            found.limits[lane] = _last_event(db, lane)
    if "evicted" in tables:
        _read_evicted(db, found)


def _read_evicted(db: sqlite3.Connection, found: Register) -> None:
    for row in db.execute("SELECT lane, first, last, reason FROM evicted"):
        match row:
            case (int(lane), int(first), int(last), str(reason)) if lane in LANES:
                found.evicted.append((lane, first, last, reason))
            case _:
                found.unsealed.append("an eviction")


def _read_cursors(db: sqlite3.Connection, found: Register) -> None:
    seals = read_seals(db)
    rows = db.execute("SELECT sink, lane, epoch, seq FROM cursor").fetchall()
    good, bad = good_cursors(rows, seals)
    for sink, lane, epoch, seq in good:
        found.cursors[sink, lane] = Position(epoch, seq)
    if bad:
        found.unsealed += ["a cursor"] * bad
    if not epochs_fit(db, seals):
        found.unsealed.append("an epoch")


def _read_epochs(db: sqlite3.Connection, found: Register) -> None:
    for lane in LANES:
        query = "SELECT epoch, first_seq FROM epoch WHERE lane=? ORDER BY first_seq, epoch"
        rows = db.execute(query, (lane,)).fetchall()
        ends = [base - 1 for _epoch, base in rows[1:]] + [SEQ_MASK]
        found.epochs[lane] = [
            EpochSpan(epoch, base, end) for (epoch, base), end in zip(rows, ends, strict=False)
        ]


def _last_event(db: sqlite3.Connection, lane: int) -> int:
    """Highest stored seq; where the end of the table cannot be read, the highest reserved one."""
    query = "SELECT id FROM event WHERE id BETWEEN ? AND ? ORDER BY id DESC LIMIT 1"
    try:
        row = db.execute(query, (lane << SEQ_BITS, lane << SEQ_BITS | SEQ_MASK)).fetchone()
    except DAMAGE as error:
        if not unreadable(error):
            raise
        row = db.execute("SELECT reserved_hi FROM lane WHERE lane=?", (lane,)).fetchone()
    return 0 if row is None else int(row[0]) & SEQ_MASK


def _last_sample(directory: Path) -> int:
    """Of the newest segment that can be read."""
    for first in reversed(segment_files(directory)):
        try:
            with closing(look_at(segment_path(directory, first))) as db:
                row = db.execute(
                    "SELECT first, n FROM chunk ORDER BY first DESC LIMIT 1"
                ).fetchone()
        except DAMAGE:
            continue  # whoever reads its records tells what is wrong with it
        if row is not None and 1 <= row[1] <= CHUNK_SAMPLES:
            return int(row[0] + row[1] - 1)
    return 0


def unreadable(error: Exception) -> bool:
    """A part of the file is damaged, or lies on a bad sector; other parts may be fine."""
    code = getattr(error, "sqlite_errorcode", None)
    return damaged(error) or (code is not None and code & 0xFF == sqlite3.SQLITE_IOERR)


class Lost(NamedTuple):
    """Among these keys are rows that cannot be read; those that can were given out.

    `windows` of 50 keys are affected, at least.
    """

    first: int
    last: int
    reason: str
    windows: int


Row = TypeVar("Row", bound=tuple[Any, ...])


class Table(Generic[Row]):
    """A table with an integer key, read in its order. `where` narrows it, with `parameters`."""

    def __init__(
        self, name: str, key: str, window: int, where: str = "1", parameters: Sequence[object] = ()
    ) -> None:
        self._rows = f"SELECT * FROM {name} WHERE {key} > ? AND {key} <= ? AND {where} ORDER BY {key} LIMIT {window}"  # noqa: S608 -- texts of ours
        self._row = f"SELECT * FROM {name} WHERE {key} = ? AND {where}"  # noqa: S608 -- as above
        self._parameters = tuple(parameters)

    def read(self, db: sqlite3.Connection, low: int, high: int) -> Iterator[list[Row] | Lost]:
        """Windows of rows with keys `low` .. `high`. Where a page cannot be read, windows of 50
        keys are tried row by row. After 2,000 windows without a single row it gives up: an inner
        page of the tree is gone, and nobody knows how far it reached.
        """
        after, barren, why = low - 1, 0, ""
        while after < high and barren < BARREN:
            try:
                rows, is_whole = db.execute(self._rows, (after, high, *self._parameters)).fetchall(), True  # fmt: skip
            except DAMAGE as error:
                if not unreadable(error):
                    raise
                why, is_whole = str(error), False
                rows = self._single(db, after + 1, min(after + SKIP, high))
            if is_whole and not rows:
                break
            if rows and barren:
                yield Lost(after + 1 - barren * SKIP, after, why, barren)
            if rows:
                barren = 0
                yield rows
            if is_whole:
                after = rows[-1][0]
                continue
            if rows:
                yield Lost(after + 1, min(after + SKIP, high), why, 1)
            else:
                barren += 1
            after = min(after + SKIP, high)
        if barren:  # how much of it ever held rows is not known
            yield Lost(after + 1 - barren * SKIP, after, why, 1)

    def _single(self, db: sqlite3.Connection, first: int, last: int) -> list[Row]:
        rows: list[Row] = []
        for key in range(first, last + 1):
            try:
                rows += db.execute(self._row, (key, *self._parameters)).fetchall()
            except DAMAGE as error:
                if not unreadable(error):
                    raise
        return rows


def events(where: str = "1", *parameters: object) -> Table[EventRow]:
    return Table("event", "id", 500, where, parameters)


def chunks(where: str = "1", *parameters: object) -> Table[ChunkRow]:
    """A chunk is some 10 KB: a few in one query."""
    return Table("chunk", "first", 20, where, parameters)


def points_of(db: sqlite3.Connection) -> dict[int, str]:
    """Names by pid, as far as they fit their seals; empty if that table cannot be read."""
    try:
        return {pid: point for pid, _device, point in good_points(db)}
    except DAMAGE as error:
        if not unreadable(error):
            raise
        return {}

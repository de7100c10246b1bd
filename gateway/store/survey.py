"""What the segment files hold: found out when the store opens."""

import logging
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import NamedTuple, TypeVar

from gateway.store.encode import (
    CHUNK_SAMPLES,
    ChunkRow,
    Damaged,
    check_chunk,
    dedupe_key,
    samples_of,
)
from gateway.store.identity import DAMAGE, damaged
from gateway.store.index import Mark, Span
from gateway.store.points import Point
from gateway.store.readonly import Lost, chunks
from gateway.store.schema import SEGMENT, SEQ_MASK, connect_owner, fits, size_on_disk
from gateway.store.seal import good_points, identity_fits, read_seals, segment_epochs

log = logging.getLogger(__name__)

T = TypeVar("T")

MARKS = 64  # per segment that is not the newest: reading every chunk's head would take minutes


class Survey(NamedTuple):
    """One segment. `spans` is empty if it holds no chunk, or cannot be read (`readable`)."""

    spans: tuple[Span, ...] = ()
    marks: tuple[Mark, ...] = ()
    points: tuple[Point, ...] = ()
    size_bytes: int = 0
    gateway_id: str | None = None
    store_uuid: str = ""  # "" where it is not told, or damaged
    readable: bool = True
    whole: bool = True  # nothing was met that cannot be read

    @property
    def last(self) -> int:
        return self.spans[-1].last if self.spans else 0


class Tail(NamedTuple):
    """The newest chunks: message ids as (seq, key), highest input number, damaged chunks."""

    keys: list[tuple[int, bytes]]
    marks: tuple[Mark, ...]
    last_n: int
    corrupt: int


class Known(NamedTuple):
    """What core.db knows of all segments, for one that has lost it: (epoch, first seq), points."""

    epochs: Sequence[tuple[int, int]] = ()
    points: tuple[Point, ...] = ()


def survey(path: Path, known: Known) -> Survey:
    """Only what a few index look-ups tell; if they fail, what every chunk that can be read tells.

    A file that cannot be read is logged, not raised.
    """
    try:
        with closing(connect_owner(path)) as db:
            try:
                return _survey(db, path)
            except DAMAGE as error:
                if not damaged(error):
                    raise
                return _piecemeal(db, path, known)
    except DAMAGE as error:
        if not damaged(error):
            raise
        log.error("%s cannot be read: %s", path, error, extra={"component": "store"})  # noqa: TRY400 -- the traceback tells no more
        return Survey(size_bytes=size_on_disk(path), readable=False, whole=False)


def _piecemeal(db: sqlite3.Connection, path: Path, known: Known) -> Survey:
    """Raises Damaged if there is no chunk that can be read."""
    epochs = _unless_damaged(segment_epochs, db) or known.epochs
    spans: list[Span] = []
    for rows in chunks().read(db, 0, SEQ_MASK):
        for row in () if isinstance(rows, Lost) else rows:
            first, n = int(row[0]), row[1]
            before = [(base, epoch) for epoch, base in epochs if base <= first]
            base, epoch = max(before, default=(1, 0))
            last = first + (n if isinstance(n, int) and 1 <= n <= CHUNK_SAMPLES else 1) - 1
            if spans and spans[-1].epoch == epoch:
                spans[-1] = spans[-1]._replace(last=last)
            else:
                spans.append(Span(epoch, base, first, last))
    if not spans:
        raise Damaged("no chunk can be read")
    points = _unless_damaged(lambda one: tuple(good_points(one)), db) or known.points
    return Survey(tuple(spans), (), points, size_on_disk(path), whole=False)


def _unless_damaged(read: Callable[[sqlite3.Connection], T], db: sqlite3.Connection) -> T | None:
    try:
        return read(db)
    except DAMAGE as error:
        if not damaged(error):
            raise
        return None


def is_whole(path: Path) -> bool:
    """SQLite's own check; 4 ms for 7 MB."""
    try:
        with closing(connect_owner(path)) as db:
            sound = db.execute("PRAGMA quick_check(1)").fetchone() == ("ok",)
            tables = db.execute("SELECT 1 FROM sqlite_master").fetchall()
            return sound and (not tables or fits(db, SEGMENT))
    except DAMAGE as error:
        if not damaged(error):
            raise
        return False


def _survey(db: sqlite3.Connection, path: Path) -> Survey:
    tables = {name for (name,) in db.execute("SELECT name FROM sqlite_master")}
    if not {"meta", "epoch", "point", "chunk"} <= tables:  # a crash while it was made
        return Survey(size_bytes=size_on_disk(path))
    spans = tuple(_spans(db))
    meta = dict(db.execute("SELECT k, v FROM meta"))
    if not identity_fits(meta, read_seals(db)):  # a flipped bit is no stranger
        meta = {}
    return Survey(
        spans,
        tuple(_marks(db, spans[0].first, spans[-1].last)) if spans else (),
        tuple(good_points(db)),
        size_on_disk(path),
        meta.get("gateway_id"),
        str(meta.get("store_uuid", "")),
    )


def _spans(db: sqlite3.Connection) -> Iterator[Span]:
    epochs = segment_epochs(db)
    ends = [base for _epoch, base in epochs[1:]] + [2**63 - 1]
    for (epoch, base), end in zip(
        epochs, ends, strict=False
    ):  # no epochs: a crash before any chunk
        inside = "FROM chunk WHERE first >= ? AND first < ? ORDER BY first"
        first = db.execute(f"SELECT first {inside} LIMIT 1", (base, end)).fetchone()
        last = db.execute(f"SELECT first, n {inside} DESC LIMIT 1", (base, end)).fetchone()
        if first is not None:
            # A damaged `n` must not move the seqs of years ahead.
            n = last[1] if 1 <= last[1] <= CHUNK_SAMPLES else 1
            yield Span(epoch, base, first[0], last[0] + n - 1)


def _marks(db: sqlite3.Connection, first: int, last: int) -> Iterator[Mark]:
    newest = -1
    for seq in range(first, last + 1, max(1, (last - first) // MARKS)):
        row = db.execute(
            "SELECT first, first_ns FROM chunk WHERE first >= ? ORDER BY first LIMIT 1", (seq,)
        ).fetchone()
        if row is not None and row[0] > newest:
            newest = row[0]
            if isinstance(row[1], int):  # a flipped bit may be in the type of a value
                yield Mark(*row)


def read_tail(path: Path, points: tuple[Point, ...], keys_after: int) -> Tail:
    """Check every chunk of the newest segment; read the message ids of seqs above `keys_after`."""
    names = {pid: point for pid, _device, point in points}
    keys: list[tuple[int, bytes]] = []
    marks: list[Mark] = []
    last_n = corrupt = 0
    with closing(connect_owner(path)) as db:
        newest = db.execute("SELECT max(first) FROM chunk").fetchone()[0]
        row: ChunkRow
        for row in db.execute("SELECT * FROM chunk ORDER BY first"):
            try:
                check_chunk(row)
                marks.append(Mark(row[0], row[2]))
                if row[0] + row[1] - 1 <= keys_after and row[0] != newest:
                    continue
                for seq, sample in samples_of(row, names):
                    last_n = max(last_n, sample.n)
                    if sample.source_id is not None and seq > keys_after:
                        keys.append((seq, dedupe_key(sample.device, sample.source_id)))
            except Damaged as error:
                corrupt += 1
                log.error("%s: chunk %d: %s", path, row[0], error, extra={"component": "store"})  # noqa: TRY400 -- the traceback tells no more
    return Tail(keys, tuple(marks), last_n, corrupt)

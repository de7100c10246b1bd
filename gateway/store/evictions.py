"""What was deleted on purpose: table `evicted`, so that a reader can tell it from a loss.

A range is written in the transaction that deletes its events, or before its segment file is
unlinked: whoever misses a record finds the reason.
"""

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from gateway.model import LANE_SAMPLE, LANES
from gateway.store.encode import EventRow
from gateway.store.index import Span
from gateway.store.runs import Runs
from gateway.store.schema import SEQ_BITS, SEQ_MASK
from gateway.store.segment import segment_files, segment_path

# The newest event of each alarm is what a restart continues from: it stays, however old it is.
KEPT = "id NOT IN (SELECT id FROM alarm)"
ROW_BYTES = 96  # of an event besides its body: ids, times, kind, device, SQLite's own


class Eviction(NamedTuple):
    """Consecutive records of one lane and epoch; `lost` of them, the last ones, are undelivered.

    `reason`: "age", "quota", "space" (the disk is short of room). `segment` is the file that goes
    with them, by its first seq; if nothing is in it, `last` is before `first`.
    """

    lane: int
    span: Span
    lost: int
    reason: str
    segment: int | None = None

    @property
    def records(self) -> int:
        return self.span.last - self.span.first + 1


def event_bytes(rows: Iterable[EventRow]) -> int:
    """What rows take in core.db, roughly."""
    return sum(ROW_BYTES + len(row[-1]) for row in rows)


def stored_bytes(db: sqlite3.Connection) -> list[int]:
    """The same of all events, by lane; reads the whole table."""
    query = f"SELECT id >> {SEQ_BITS}, sum({ROW_BYTES} + length(body)) FROM event GROUP BY 1"  # noqa: S608 -- constant text
    found = dict(db.execute(query))
    return [int(found.get(lane, 0)) for lane in LANES]


def oldest_events(db: sqlite3.Connection, lane: int, through: int, limit: int) -> list[Span]:
    """The oldest events of a lane with seqs up to `through` that may be deleted, of one epoch."""
    low, high = lane << SEQ_BITS, lane << SEQ_BITS | min(through, SEQ_MASK)
    query = f"SELECT id FROM event WHERE id BETWEEN ? AND ? AND {KEPT} ORDER BY id"  # noqa: S608 -- constant text
    rows = db.execute(f"{query} LIMIT ?", (low, high, limit)).fetchall()
    if not rows:
        return []
    epoch, base, end = _epoch_of(db, lane, rows[0][0] & SEQ_MASK)
    seqs = (id_ & SEQ_MASK for (id_,) in rows)
    runs = Runs((seq, seq) for seq in seqs if seq <= end)
    return [Span(epoch, base, first, last) for first, last in runs]


def _epoch_of(db: sqlite3.Connection, lane: int, seq: int) -> tuple[int, int, int]:
    """(epoch, its first seq, its last possible seq) that a seq belongs to."""
    query = "SELECT epoch, first_seq FROM epoch WHERE lane=? AND first_seq<=?"
    row = db.execute(f"{query} ORDER BY first_seq DESC, epoch DESC LIMIT 1", (lane, seq)).fetchone()
    epoch, base = (0, 1) if row is None else row
    query = "SELECT min(first_seq) FROM epoch WHERE lane=? AND first_seq>?"
    (following,) = db.execute(query, (lane, seq)).fetchone()
    return epoch, base, SEQ_MASK if following is None else following - 1


def write_evictions(db: sqlite3.Connection, evictions: Sequence[Eviction]) -> list[int]:
    """Delete the records and enter the ranges; within the caller's transaction.

    Returns the bytes that events took, by lane.
    """
    freed = [0 for _ in LANES]
    size = (
        f"SELECT coalesce(sum({ROW_BYTES} + length(body)), 0) FROM event WHERE id BETWEEN ? AND ?"  # noqa: S608 -- constant text
    )
    for lane, span, _lost, reason, segment in evictions:
        if lane == LANE_SAMPLE:
            db.execute("DELETE FROM segment WHERE first=?", (segment,))
        else:
            ids = (lane << SEQ_BITS | span.first, lane << SEQ_BITS | span.last)
            freed[lane] += db.execute(size, ids).fetchone()[0]
            db.execute("DELETE FROM event WHERE id BETWEEN ? AND ?", ids)
        if span.last >= span.first:
            _enter(db, lane, span, reason)
    return freed


def _enter(db: sqlite3.Connection, lane: int, span: Span, reason: str) -> None:
    """Ranges with one reason that touch become one row, so that the table stays small."""
    first, last = span.first, span.last
    same = "FROM evicted WHERE lane=? AND epoch=? AND reason=?"
    key = (lane, span.epoch, reason)
    before = db.execute(f"SELECT first {same} AND last=?", (*key, first - 1)).fetchone()
    after = db.execute(f"SELECT last {same} AND first=?", (*key, last + 1)).fetchone()
    if after is not None:
        db.execute(f"DELETE {same} AND first=?", (*key, last + 1))
        last = after[0]
    if before is not None:
        first = before[0]
    row = (lane, span.epoch, span.base, first, last, reason)
    db.execute("INSERT OR REPLACE INTO evicted VALUES (?, ?, ?, ?, ?, ?)", row)


def evicted_spans(db: sqlite3.Connection, lane: int) -> Iterator[Span]:
    query = "SELECT epoch, base, first, last FROM evicted WHERE lane=? ORDER BY first"
    for row in db.execute(query, (lane,)):
        yield Span(*row)


def evicted_last(db: sqlite3.Connection, lane: int) -> int:
    """The highest seq that was evicted, 0 if none was."""
    query = "SELECT coalesce(max(last), 0) FROM evicted WHERE lane=?"
    return int(db.execute(query, (lane,)).fetchone()[0])


def evicted_within(db: sqlite3.Connection, lane: int, first: int, last: int) -> Runs:
    query = "SELECT first, last FROM evicted WHERE lane=? AND last>=? AND first<=?"
    return Runs(db.execute(query, (lane, first, last)))


def remove_evicted(db: sqlite3.Connection, directory: Path) -> None:
    """Unlink the segment files that a crash left behind after their eviction was written."""
    files = segment_files(directory)
    registered = {first for (first,) in db.execute("SELECT first FROM segment")}
    for first, following in zip(files, [*files[1:], SEQ_MASK], strict=False):  # or no files
        known = first in registered
        if not known and evicted_within(db, LANE_SAMPLE, first, following - 1).last:
            unlink_segment(directory, first)


def unlink_segment(directory: Path, first: int) -> None:
    """Raises OSError; what is gone already is no error."""
    path = segment_path(directory, first)
    for suffix in ("", "-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)

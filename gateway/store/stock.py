"""What is stored, as the clean-up sees it: sizes, ages, what is oldest. Writer thread only."""

import sqlite3
from collections.abc import Sequence
from pathlib import Path

from gateway.model import LANES
from gateway.store.encode import EventRow
from gateway.store.evictions import (
    KEPT,
    Eviction,
    event_bytes,
    oldest_events,
    stored_bytes,
    unlink_segment,
    write_evictions,
)
from gateway.store.identity import sync_directory
from gateway.store.index import Position, Span
from gateway.store.recover import State
from gateway.store.rollup_table import evict_rollups
from gateway.store.schema import PRAGMAS, SEQ_BITS, SEQ_MASK
from gateway.store.shelf import Shelf

PAGE_BYTES = 4_096
VACUUM_PAGES = 500  # 2 MB in one go: they are copied within the file


class Stock:
    """Reads on the writing connection; deletes only within a transaction of the journal.

    `event_bytes` is what the events of each lane take, roughly. `last_n` is the highest input
    number of all records, those that were deleted included.
    """

    def __init__(self, directory: Path, db: sqlite3.Connection, state: State) -> None:
        self._directory = directory
        self._db = db
        self.shelf = Shelf(state.segments)
        self.event_bytes = stored_bytes(db)
        self.last_n = state.last_n
        self._pending: Sequence[Eviction] = ()
        self._freed = [0 for _ in LANES]
        self._doomed: set[int] = set()  # segments that are entered as evicted: files to unlink

    def added(self, rows: Sequence[EventRow]) -> None:
        """These events are stored."""
        for lane in LANES:
            mine = [row for row in rows if row[0] >> SEQ_BITS == lane]
            self.event_bytes[lane] += event_bytes(mine)
        self.last_n = max([self.last_n, *(row[2] for row in rows)])

    def write(self, db: sqlite3.Connection, evictions: Sequence[Eviction]) -> None:
        """Delete, within the transaction that is open; `saved` says that it was committed."""
        self._pending = evictions
        if evictions:
            self._freed = write_evictions(db, evictions)
            db.execute("INSERT OR REPLACE INTO meta VALUES ('last_n', ?)", (self.last_n,))

    def saved(self) -> None:
        for eviction in self._pending:
            if eviction.segment is not None and eviction.segment not in self._doomed:
                self._doomed.add(eviction.segment)
                self.shelf.remove(eviction.segment)
        if self._pending:
            for lane, freed in enumerate(self._freed):
                self.event_bytes[lane] -= freed
        self._pending = ()

    def unlink(self) -> None:
        """Remove the files of evicted segments. Raises OSError; those that stay are tried again."""
        if not self._doomed:
            return
        for first in list(self._doomed):
            unlink_segment(self._directory, first)
            self._doomed.discard(first)
        sync_directory(self._directory / "ts")

    def cursors(self) -> dict[tuple[str, int], Position]:
        """Those on disk, of sinks that are not retired."""
        rows = self._db.execute("SELECT sink, lane, epoch, seq FROM cursor")
        return {(sink, lane): Position(epoch, seq) for sink, lane, epoch, seq in rows}

    def oldest(self, lane: int, through: int, limit: int) -> list[Span]:
        return oldest_events(self._db, lane, through, limit)

    def old(self, lane: int, before_ns: int) -> int:
        """The seq up to which the events of a lane are older than `before_ns`, 0 if none is.

        An event whose time is not known (the clock was not right) is as old as the next one.
        """
        low, high = lane << SEQ_BITS, lane << SEQ_BITS | SEQ_MASK
        timed = f"SELECT id FROM event WHERE id BETWEEN ? AND ? AND clock_ok AND {KEPT}"  # noqa: S608 -- constant text
        young = f"{timed} AND time_ns >= ? ORDER BY id LIMIT 1"
        row = self._db.execute(young, (low, high, before_ns)).fetchone()
        end = high if row is None else row[0] - 1
        row = self._db.execute(f"{timed} ORDER BY id DESC LIMIT 1", (low, end)).fetchone()
        return 0 if row is None else int(row[0]) & SEQ_MASK

    def evict_rollups(self, now_ns: int) -> bool:
        """Delete a block of rollups past their age; `now_ns` must be a time that can be trusted."""
        return evict_rollups(self._db, now_ns) > 0

    def shrink(self) -> None:
        """Give free pages of core.db back to the file system, as far as nobody reads just now."""
        # `execute` would free one page: the statement yields after each.
        self._db.executescript(f"PRAGMA incremental_vacuum({VACUUM_PAGES})")
        self.checkpoint()

    def checkpoint(self) -> int:
        """Move what the write-ahead log holds into core.db; returns its length in pages. If nobody
        reads just now, the next write begins at its start again and needs no room.
        """
        return int(self._db.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()[1])

    def checkpoint_after(self, size_bytes: int | None) -> None:
        """How long the write-ahead log of core.db may become; None: as long as usual."""
        usual = int(PRAGMAS["wal_autocheckpoint"])
        pages = usual if size_bytes is None else min(usual, max(1, size_bytes // PAGE_BYTES))
        self._db.execute(f"PRAGMA wal_autocheckpoint={pages}")

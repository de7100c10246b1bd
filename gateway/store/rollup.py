"""Keeps table `rollup` up to date: 5 min windows from chunks, 1 h windows from those.

There is one way only: a window is always made anew from the chunks that hold its samples, 65 s
after it has closed, or after a late sample opened it again. So repeating is harmless, and the order
in which samples come does not matter. Which chunks hold samples of a window is in `chunk_window`;
for chunks since `rollup_from` it is found out again at a start.

Samples without a trusted time belong to no window until their boot has seen one.
"""

import logging
import math
import sqlite3
import time
from collections.abc import Generator, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from gateway.clock import Clock
from gateway.model import Sample
from gateway.store.aggregate import Found, aggregate, read
from gateway.store.chunks import ChunkFiles, Unreadable
from gateway.store.rollup_table import (
    KEEP_S,
    boot_offsets,
    chunks_of,
    counters,
    forget_chunks,
    hours_between,
    last_before,
    mark,
    newest_hour,
    next_windows,
    rows_of,
    set_mark,
    write_hour,
    write_rows,
)
from gateway.store.segment import transaction
from gateway.store.window import HOUR_S, WINDOW_NS, WINDOW_S, hour_of, window_of

log = logging.getLogger(__name__)

BATCH = 12  # windows that are written in one transaction: an hour of a device that was away
PACE_S = 0.002  # between two steps: decoding holds the interpreter
RETRY_S = 60.0
AHEAD_S = 86_400  # a device clock that is further ahead is wrong: time zones are less
# These concern the rollups alone: events have a transaction of their own.
OURS = {sqlite3.SQLITE_FULL, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}


@dataclass(slots=True)
class Pending:
    """A window whose rows lack the samples of these chunks; `due` by time.monotonic()."""

    due: float
    chunks: set[int] = field(default_factory=set)


class Rollups:
    """Writer thread only. `db` is the writing connection of core.db; `next_seq` the next of lane 2."""

    linger_s = (
        65.0  # chunks are committed up to 60 s after their samples; late samples come in company
    )

    def __init__(
        self, db: sqlite3.Connection, directory: Path, clock: Clock, *, boot: int, next_seq: int
    ) -> None:
        self._db = db
        self._clock = clock
        self._boot = boot
        self._files = ChunkFiles(directory)
        self._offsets = boot_offsets(db)
        self._counters = counters(db)
        marks = (mark(db, "rollup_from") or 0, mark(db, "rollup_unsynced"))
        self._scan: int | None = min(at for at in marks if at is not None)
        self._fresh = self._next = next_seq  # chunks from here on are told by `add`
        self._pending: dict[int, Pending] = {}
        self._taken: dict[int, Pending] = {}
        self._unsynced: list[int] = []
        self._job: Iterator[None] | None = None
        self._rest_until = 0.0
        self._failing = False

    @property
    def due(self) -> float:
        """When `work` is wanted, by time.monotonic()."""
        if self._job is not None or self._scan is not None or self._synced():
            return self._rest_until
        due = min((pending.due for pending in self._pending.values()), default=math.inf)
        return max(due, self._rest_until)

    def add(self, first: int, samples: Iterable[Sample]) -> None:
        """A chunk was committed; its samples have the seqs from `first` on."""
        windows, count, waiting = set(), 0, False
        for sample in samples:
            count += 1
            if sample.clock_ok:
                windows.add(sample.time_ns // WINDOW_NS)
            elif sample.boot in self._offsets:
                windows.add((sample.received_ns + self._offsets[sample.boot]) // WINDOW_NS)
            else:
                waiting = waiting or sample.boot == self._boot
        self._next = first + count
        self._place(first, {window * WINDOW_S for window in windows}, time.monotonic())
        if waiting:
            self._unsynced.append(first)

    def work(self, now: float) -> None:
        """One step, of a chunk or of a transaction. Raises sqlite3.Error if core.db fails."""
        if self._job is None:
            self._job = self._replay(now) if self._scan is not None else self._next_job(now)
        self._rest_until = now + PACE_S
        try:
            if next(self._job, self) is self:
                self._job = None
        except Unreadable as error:
            self._give_up(error, now)
        except sqlite3.DatabaseError as error:
            self._give_up(error, now)
            if getattr(error, "sqlite_errorcode", 0) & 0xFF not in OURS:
                raise

    def close(self) -> None:
        self._files.close()

    def _synced(self) -> bool:
        return bool(self._unsynced) and self._boot in self._offsets

    def _next_job(self, now: float) -> Iterator[None]:
        if self._unsynced and self._boot not in self._offsets and self._clock.ok:
            self._offsets = boot_offsets(self._db)
        return self._backfill(now) if self._synced() else self._compute(now)

    def _place(self, first: int, windows: Iterable[int], now: float) -> None:
        wall_s = self._clock.time_ns() / 1e9
        for t in windows:
            if self._clock.ok and not wall_s - KEEP_S[WINDOW_S] <= t <= wall_s + AHEAD_S:
                continue
            if t not in self._pending:
                left_s = min(max(0.0, t + WINDOW_S - wall_s), WINDOW_S) if self._clock.ok else 0.0
                self._pending[t] = Pending(now + left_s + self.linger_s)
            self._pending[t].chunks.add(first)

    def _replay(self, now: float) -> Iterator[None]:
        """Find out which windows the chunks since the last transaction belong to."""
        for heads in self._files.heads(self._scan or 0):
            for head in heads:
                if head.first >= self._fresh:
                    break
                window = window_of(head.first_ns)
                if head.clock_ok and window == window_of(head.last_ns):
                    self._place(head.first, (window,), now)
                else:
                    self._look_into(head.first, now)
                    yield
                self._scan = head.first + 1
            else:
                yield
                continue
            break
        self._scan = None
        self._files.close()

    def _backfill(self, now: float) -> Iterator[None]:
        while self._unsynced:
            first = self._unsynced.pop(0)
            try:
                self._look_into(first, now)
            except Unreadable:
                self._unsynced.insert(0, first)
                raise
            yield
        self._files.close()

    def _look_into(self, first: int, now: float) -> None:
        windows, waiting = set(), False
        for reading in read(self._files, first) or ():
            at = reading.wall_ns(self._offsets)
            if at is not None:
                windows.add(window_of(at))
            else:
                waiting = waiting or reading.boot == self._boot
        self._place(first, windows, now)
        if waiting:
            self._unsynced.append(first)

    def _compute(self, now: float) -> Iterator[None]:
        """Make the rows of up to 12 windows that are due, and write them."""
        self._counters = counters(self._db)
        due = sorted(t for t, pending in self._pending.items() if pending.due <= now)[:BATCH]
        self._taken = {t: self._pending.pop(t) for t in due}
        found = {}
        for t in due:
            found[t] = yield from self._window(t)
        # A rise begins at the last value before the window: with that the next one changes too.
        for t in sorted(self._followers(found.values()) - found.keys() - self._pending.keys()):
            found[t] = yield from self._window(t)
        self._files.close()
        if found:
            with transaction(self._db):
                self._write([found[t] for t in sorted(found)])
        self._taken = {}
        if self._failing:
            self._failing = False
            log.info("rollups are written again", extra={"component": "store"})

    def _window(self, t: int) -> Generator[None, None, Found]:
        chunks = {*chunks_of(self._db, t), *(self._taken[t].chunks if t in self._taken else ())}
        return (yield from aggregate(self._files, t, sorted(chunks), self._offsets, self._counters))

    def _followers(self, found: Iterable[Found]) -> set[int]:
        """Windows after these, of counters whose last value here changes."""
        windows = set()
        for t, cells, _whole in found:
            old = rows_of(self._db, t)
            changed = {
                pid
                for pid in cells.keys() & self._counters
                if pid not in old or old[pid].la != cells[pid].la
            }
            windows |= next_windows(self._db, t, changed)
        return windows

    def _write(self, found: Iterable[Found]) -> None:
        """Within a transaction; `found` in the order of time."""
        db = self._db
        raw_from = mark(db, "rollup_raw_from") or 0
        hours = set()
        for t, cells, whole in found:
            before = last_before(db, t, cells.keys() & self._counters)
            rows = {
                pid: cell.row(counter=pid in self._counters, before=before.get(pid))
                for pid, cell in cells.items()
            }
            chunks = self._taken[t].chunks if t in self._taken else ()
            write_rows(db, t, rows, chunks, whole=whole and t >= raw_from)
            hours.add(hour_of(t))
        self._write_hours(hours)
        if (oldest := self._files.oldest()) is not None:
            forget_chunks(db, oldest)
        set_mark(db, "rollup_from", self._from())
        set_mark(db, "rollup_unsynced", min(self._unsynced, default=None))

    def _write_hours(self, changed: set[int]) -> None:
        """Hours that have rows already are made anew, hours that have ended are made."""
        newest = newest_hour(self._db)
        hours = set() if newest is None else {hour for hour in changed if hour <= newest}
        if self._clock.ok:
            closed = hour_of(int(self._clock.time_ns() / 1e9 - self.linger_s)) - HOUR_S
            hours.update(hours_between(self._db, newest, closed))
        for hour in sorted(hours):
            write_hour(self._db, hour)

    def _from(self) -> int:
        """The first chunk that is missing in the rows of a window, or not looked at yet."""
        pending = (min(p.chunks) for p in self._pending.values() if p.chunks)
        scan = self._next if self._scan is None else self._scan
        return min(scan, *pending, self._next)

    def _give_up(self, error: Exception, now: float) -> None:
        """Try the same again in a minute."""
        self._job = None
        self._rest_until = now + RETRY_S
        for t, taken in self._taken.items():
            if t in self._pending:
                self._pending[t].chunks |= taken.chunks
            else:
                self._pending[t] = taken
        self._taken = {}
        with suppress(sqlite3.Error):
            self._files.close()
        if not self._failing:
            self._failing = True
            extra = {"component": "store"}
            log.warning("rollups: %s; trying again in %g s", error, RETRY_S, extra=extra)

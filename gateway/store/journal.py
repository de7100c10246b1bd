"""The writing side: turns items into committed rows. One thread at a time calls it: the one that
opens the store, then the writer thread.
"""

import logging
import os
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import orjson

from gateway.clock import Clock, offset_of
from gateway.model import LANE_SAMPLE, LANES, Event, Sample, lane_of
from gateway.store import kept, orders, replay
from gateway.store.encode import Damaged, alarm_of, chunk_of, dedupe_key, event_of, event_row
from gateway.store.evictions import Eviction
from gateway.store.fresh import Stored, stored
from gateway.store.index import Mark, Position, Span
from gateway.store.mark import Mark as HighWater
from gateway.store.orders import CommandRow
from gateway.store.points import Descriptions, Registry
from gateway.store.recover import MAX_IDS, RESERVE, State
from gateway.store.rescue import Rescue, Step
from gateway.store.retire import forget
from gateway.store.rollup import Rollups
from gateway.store.schema import size_on_disk
from gateway.store.seal import seal_cursors
from gateway.store.segment import MAX_BYTES, Segment, transaction
from gateway.store.shelf import Shelved
from gateway.store.stock import Stock
from gateway.store.taken import Taken
from gateway.store.volume import Volume

log = logging.getLogger(__name__)

SLACK_IDS = 8_192  # forget message ids in blocks of this many
DeadLetter = tuple[str, int, int, int, str, bytes, int]  # in the order of table `dead`


@dataclass(slots=True)
class Chores:
    """What else goes into core.db with the next transaction."""

    cursors: dict[tuple[str, int], Position] = field(default_factory=dict)
    dead: list[DeadLetter] = field(default_factory=list)
    commands: list[CommandRow] = field(default_factory=list)
    retired: list[str] = field(default_factory=list)  # sinks
    evictions: list[Eviction] = field(default_factory=list)
    counters: Mapping[str, int | None] = field(default_factory=dict)  # of table `replay`
    rules: kept.Rows = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.cursors or self.dead or self.commands or self.retired)


class Written(NamedTuple):
    """Records that are durable: one span of one lane. `events`: these records, if they are events and few."""

    lane: int
    span: Span
    marks: tuple[Mark, ...]
    events: Sequence[Stored] = ()


class Usage(NamedTuple):
    bytes_on_disk: int
    free_bytes: int


class Journal:
    """Every method raises sqlite3.Error or OSError if the device fails; then nothing of that call
    is stored and no number is used up.
    """

    def __init__(
        self, directory: Path, gateway_id: str, clock: Clock, db: sqlite3.Connection, state: State
    ) -> None:
        self._directory = directory
        self._gateway_id = gateway_id
        self._clock = clock
        self._db = db
        self._store_uuid = state.store_uuid
        self._mark = HighWater(directory)
        self.rescue = Rescue(directory, state.rescue) if state.rescue else None
        self._epoch = state.epoch
        self._boot = state.boot
        self._boot_offset_known = False
        self._next = state.next_seq
        self._reserved = state.reserved
        self._bases = state.bases
        self._last = [lane.last for lane in state.index]
        self._registry = Registry(state.points, state.next_pid)
        self._keys = state.unsaved_keys
        self._keys_through = 0  # the seq up to which core.db holds them
        self._key_rows = len(state.keys)
        self._volume = Volume(clock)
        self.taken = Taken(db, state.keys)
        self.stock = Stock(directory, db, state)
        following = state.next_seq[LANE_SAMPLE]
        self.rollups = Rollups(db, directory, clock, boot=state.boot, next_seq=following)
        self.segment_bytes = MAX_BYTES  # a new one is begun then; a small quota makes it less
        self._segment: Segment | None = None
        if state.writable is not None:
            self._segment = self._reopen(state.writable, state)

    def _reopen(self, first: int, state: State) -> Segment:
        marks = state.segments[first].marks
        age_s = None
        if marks:  # a clock that runs wild makes a segment smaller or larger, nothing worse
            age_s = max(0.0, (self._clock.time_ns() - marks[0].time_ns) / 1e9)
        self.stock.shelf.reopened(first)
        return self._new_segment(first, age_s)

    def _new_segment(self, first: int, age_s: float | None = None) -> Segment:
        whose = (self._gateway_id, self._store_uuid)
        return Segment(self._directory, first, *whose, age_s=age_s)

    @property
    def committed(self) -> tuple[int, ...]:
        """The highest durable seq of each lane."""
        return tuple(self._last)

    @property
    def newest_segment(self) -> int | None:
        return None if self._segment is None else self._segment.first

    @property
    def telemetry_bytes(self) -> int:
        """Of all segments."""
        return self.stock.shelf.bytes + (self._segment.bytes if self._segment is not None else 0)

    def seal(self) -> Shelved | None:
        """Let go of the segment that is being written, so that it can be dropped."""
        segment, self._segment = self._segment, None
        if segment is None:
            return None
        self.stock.shelf.closed(segment.first, segment.bytes)
        segment.abandon()
        return self.stock.shelf.segment(segment.first)

    @property
    def unsaved_keys(self) -> int:
        """How many message ids are only in chunks yet."""
        return len(self._keys)

    def begin_rescue(self, notes: str) -> None:
        """Take over what is good in a core.db that was put aside, step by step."""
        with transaction(self._db) as db:
            db.execute("INSERT OR REPLACE INTO meta VALUES ('rescue', ?)", (notes,))
        self.rescue = Rescue(self._directory, notes)

    def rescue_step(self) -> list[Written]:
        """Some more of it; `rescue` is None after the last step."""
        assert self.rescue is not None  # noqa: S101 -- a bug of the caller
        step = self.rescue.step()
        written = self.commit_core(step.events, Chores(), old=step)
        if step.notes is None:
            self.rescue = None
        return written

    def commit_core(
        self,
        events: Sequence[Event],
        chores: Chores,
        taken: Sequence[bytes] | None = None,
        old: Step | None = None,
    ) -> list[Written]:
        """Store events with the next seqs of their lanes, and everything that waits for core.db.

        `taken`: ids of the messages of this life that led to events, as far as their samples are
        not stored yet; None leaves what is known of that as it is.
        """
        following = list(self._next)
        rows = []
        alarms: dict[str, int] = {}
        marks: dict[int, Mark] = {}
        for event in events:
            lane = lane_of(event)
            marks.setdefault(lane, Mark(following[lane], event.time_ns))
            rows.append(event_row(following[lane], event))
            subject = alarm_of(event)
            if subject and (old is None or event.event_id in old.newest):
                alarms[subject] = rows[-1][0]
            following[lane] += 1
        reserved = self._reservations(following)
        clock_ok = self._clock.ok
        with transaction(self._db) as db:
            self._write_reservations(db, reserved)
            db.executemany(f"INSERT INTO event VALUES ({', '.join('?' * 13)})", rows)  # noqa: S608 -- constant text
            # What happened since is newer than what was put aside.
            verb = "REPLACE" if old is None else "IGNORE"
            db.executemany(f"INSERT OR {verb} INTO alarm VALUES (?, ?)", alarms.items())  # noqa: S608 -- constant texts
            if old is not None:
                _note_rescue(db, old.notes)
            if taken is not None:
                self.taken.write(db, taken)
            self._write_chores(db, chores)
            self._write_keys(db)
            self._write_points(db)
            self._volume.write(db)
            if clock_ok and not self._boot_offset_known:
                self._write_boot(db)
        self._boot_offset_known = self._boot_offset_known or clock_ok
        self._volume.saved()
        if taken is not None:
            self.taken.saved()
        self.stock.added(rows)
        self.stock.saved()
        self._saved(reserved)
        told = stored(rows)
        return [
            self._written(lane, following[lane], [mark])._replace(
                events=[one for one in told if lane_of(one.event) == lane]
            )
            for lane, mark in marks.items()
        ]

    def commit_samples(self, batches: Sequence[Sequence[Sample]]) -> Written:
        """Store samples, one chunk for each batch of 1 to 1,000; there is at least one batch."""
        first = following = self._next[LANE_SAMPLE]
        chunks = []
        marks = []
        for batch in batches:
            chunks.append(chunk_of(following, batch, self._registry))
            marks.append(Mark(following, batch[0].time_ns))
            following += len(batch)
        self._prepare(following)
        segment = self._segment_for(first)
        pids = segment.missing(frozenset().union(*(chunk.pids for chunk in chunks)))
        rows = [chunk.row for chunk in chunks]
        base = self._bases[LANE_SAMPLE]
        points = self._registry.described(self._registry.rows(sorted(pids)))
        segment.commit(rows, points, self._epoch, base)
        for seq, sample in enumerate(chain.from_iterable(batches), first):
            if sample.source_id is not None:
                self._keys.append((seq, dedupe_key(sample.device, sample.source_id)))
                self.taken.stored(self._keys[-1][1])
        self.stock.last_n = max(self.stock.last_n, batches[-1][-1].n)
        written = self._written(LANE_SAMPLE, following, marks)
        for packed, batch in zip(chunks, batches, strict=True):
            self.rollups.add(packed.row[0], batch)
        self.stock.shelf.wrote(segment.first, written.span, marks[0].time_ns)
        return written

    def describe(self, infos: Descriptions) -> None:
        """What the profiles say about points, for tables `point` and `counter`."""
        self._registry.describe(infos)
        with transaction(self._db) as db:
            self._registry.update(db)

    def alarms(self) -> list[Event]:
        """The newest event of each alarm and alarm-bearing point; damaged ones are left out."""
        found = []
        for row in self._db.execute("SELECT event.* FROM alarm JOIN event USING (id)"):
            try:
                found.append(event_of(row)[1])
            except Damaged as error:
                log.error("event %d is damaged: %s", row[0], error, extra={"component": "store"})  # noqa: TRY400 -- no bug
        return found

    def usage(self) -> Usage:
        statistics = os.statvfs(self._directory)
        used = size_on_disk(self._directory / "core.db") + self.telemetry_bytes
        return Usage(used, statistics.f_bavail * statistics.f_frsize)

    def close(self) -> None:
        """Mark the stop as clean, once everything is where it belongs, and close the files."""
        self.rollups.close()
        if self._segment is not None:
            self._segment.close()
        self.commit_core((), Chores())
        final = orjson.dumps({"last": self._last, "next": self._next}).decode()
        with transaction(self._db) as db:
            if self._segment is not None:
                size = size_on_disk(self._segment.path)
                row = (self._last[LANE_SAMPLE] or None, size, self._segment.first)
                db.execute("UPDATE segment SET last=?, bytes=?, crc_ok=1 WHERE first=?", row)
            self._volume.write(db, at_once=True)
            meta = [("final", final), ("clean_shutdown", 1)]
            db.executemany("INSERT OR REPLACE INTO meta VALUES (?, ?)", meta)
        self._segment = None
        self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        self._db.close()

    def abandon(self) -> None:
        """Close the files as they are: the next start is an unclean one."""
        self.rollups.close()
        if self._segment is not None:
            self._segment.abandon()
        self._db.close()

    def _written(self, lane: int, following: int, marks: Sequence[Mark]) -> Written:
        first = self._next[lane]
        self._next[lane] = following
        self._last[lane] = following - 1
        self._mark.write(self._last)
        span = Span(self._epoch, self._bases[lane], first, following - 1)
        return Written(lane, span, tuple(marks))

    def _reservations(self, following: Sequence[int]) -> dict[int, int]:
        """New limits of the lanes whose reserved seqs do not reach `following`."""
        return {
            lane: following[lane] - 1 + RESERVE
            for lane in LANES
            if following[lane] > self._reserved[lane]
        }

    def _prepare(self, following: int) -> None:
        """What core.db must hold before the segment may: reserved seqs and pids."""
        seqs = list(self._next)
        seqs[LANE_SAMPLE] = following
        reserved = self._reservations(seqs)
        if not reserved and not self._registry.unsaved:
            return
        with transaction(self._db) as db:
            self._write_reservations(db, reserved)
            self._write_keys(db)
            self._write_points(db)
        self._saved(reserved)

    def _segment_for(self, first: int) -> Segment:
        """The segment that takes the chunk beginning with `first`; known to core.db first."""
        old = self._segment
        if old is not None and not old.complete and old.bytes < self.segment_bytes:
            return old
        new = self._new_segment(first)
        try:
            with transaction(self._db) as db:
                if old is not None:
                    row = (self._last[LANE_SAMPLE], old.bytes, old.first)
                    update = "UPDATE segment SET last=?, bytes=?, crc_ok=1, state='closed'"
                    db.execute(f"{update} WHERE first=?", row)
                db.execute(
                    "INSERT OR REPLACE INTO segment(first, state) VALUES (?, 'open')", (first,)
                )
                self._write_keys(db)  # at start, ids are only looked for in the newest segment
                self._write_points(db)
        except BaseException:
            new.abandon()
            raise
        self._segment = new
        self._saved({})
        if old is not None:
            try:
                old.close()
            finally:
                self.stock.shelf.closed(old.first, size_on_disk(old.path))
        return new

    def _write_reservations(self, db: sqlite3.Connection, reserved: dict[int, int]) -> None:
        db.executemany("INSERT OR REPLACE INTO lane VALUES (?, ?)", reserved.items())

    def _write_chores(self, db: sqlite3.Connection, chores: Chores) -> None:
        cursors = [(*key, *position) for key, position in chores.cursors.items()]
        db.executemany("INSERT OR REPLACE INTO cursor VALUES (?, ?, ?, ?)", cursors)
        seal_cursors(db, cursors)
        db.executemany("INSERT OR REPLACE INTO dead VALUES (?, ?, ?, ?, ?, ?, ?)", chores.dead)
        orders.write(db, chores.commands)
        replay.write(db, chores.counters)
        kept.write(db, chores.rules)
        forget(db, chores.retired)  # last: what they told before counts no more
        self.stock.write(db, chores.evictions)

    def _write_keys(self, db: sqlite3.Connection) -> None:
        through = self._last[LANE_SAMPLE]
        if through == self._keys_through:
            return
        db.executemany("INSERT OR REPLACE INTO dedupe VALUES (?, ?)", self._keys)
        # Chunks up to there are not decoded at the next start.
        meta = [("dedupe_through", through), ("last_n", self.stock.last_n)]
        db.executemany("INSERT OR REPLACE INTO meta VALUES (?, ?)", meta)
        if self._key_rows + len(self._keys) > MAX_IDS + SLACK_IDS:
            oldest = "SELECT seen FROM dedupe ORDER BY seen DESC LIMIT 1 OFFSET ?"
            db.execute(f"DELETE FROM dedupe WHERE seen <= ({oldest})", (MAX_IDS,))  # noqa: S608 -- constant text

    def _write_points(self, db: sqlite3.Connection) -> None:
        unsaved = self._registry.unsaved
        if unsaved:
            insert = "INSERT OR IGNORE INTO point VALUES (?, ?, ?, ?, ?, ?)"
            db.executemany(insert, self._registry.described(unsaved))
            self._registry.write_counters(db, [point[0] for point in unsaved])

    def _write_boot(self, db: sqlite3.Connection) -> None:
        """Wall minus monotonic time of this boot, once, at the first trusted wall time."""
        offset_ns = offset_of(self._clock)
        set_once = "UPDATE boot SET offset_ns=? WHERE boot=? AND offset_ns IS NULL"
        db.execute(set_once, (offset_ns, self._boot))

    def _saved(self, reserved: dict[int, int]) -> None:
        """The transaction is durable: what it took over need not be written again."""
        for lane, limit in reserved.items():
            self._reserved[lane] = limit
        self._key_rows += len(self._keys)
        if self._key_rows > MAX_IDS + SLACK_IDS:
            self._key_rows = MAX_IDS
        self._keys = []
        self._keys_through = self._last[LANE_SAMPLE]
        self._registry.unsaved.clear()


def _note_rescue(db: sqlite3.Connection, notes: str | None) -> None:
    if notes is None:
        db.execute("DELETE FROM meta WHERE k='rescue'")
    else:
        db.execute("INSERT OR REPLACE INTO meta VALUES ('rescue', ?)", (notes,))

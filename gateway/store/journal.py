"""The writing side: turns items into committed rows. One thread at a time calls it: the one that
opens the store, then the writer thread.
"""

import logging
import os
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import orjson

from gateway.clock import Clock
from gateway.model import LANE_SAMPLE, LANES, Event, Sample, lane_of
from gateway.store.encode import Damaged, alarm_of, chunk_of, dedupe_key, event_of, event_row
from gateway.store.index import Mark, Position, Span
from gateway.store.points import Registry
from gateway.store.recover import MAX_IDS, RESERVE, State
from gateway.store.schema import size_on_disk
from gateway.store.segment import Segment, transaction

log = logging.getLogger(__name__)

SLACK_IDS = 8_192  # forget message ids in blocks of this many

DeadLetter = tuple[str, int, int, int, str, bytes, int]  # in the order of table `dead`
CommandRow = tuple[bytes, str, bytes, int]  # in the order of table `command`


@dataclass(slots=True)
class Chores:
    """What else goes into core.db with the next transaction."""

    cursors: dict[tuple[str, int], Position] = field(default_factory=dict)
    dead: list[DeadLetter] = field(default_factory=list)
    commands: list[CommandRow] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.cursors or self.dead or self.commands)


class Written(NamedTuple):
    """Records that are durable: one span of one lane."""

    lane: int
    span: Span
    marks: tuple[Mark, ...]


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
        self._closed_bytes = {first: found.size_bytes for first, found in state.segments.items()}
        self._segment: Segment | None = None
        if state.writable is not None:
            self._segment = self._reopen(state.writable, state)

    def _reopen(self, first: int, state: State) -> Segment:
        marks = state.segments[first].marks
        age_s = None
        if marks:  # a clock that runs wild makes a segment smaller or larger, nothing worse
            age_s = max(0.0, (self._clock.time_ns() - marks[0].time_ns) / 1e9)
        self._closed_bytes.pop(first)
        return Segment(self._directory, first, gateway_id=self._gateway_id, age_s=age_s)

    @property
    def newest_segment(self) -> int | None:
        return None if self._segment is None else self._segment.first

    @property
    def has_unsaved_keys(self) -> bool:
        return bool(self._keys)

    def commit_core(
        self, events: Sequence[Event], chores: Chores, taken: Sequence[bytes] = ()
    ) -> list[Written]:
        """Store events with the next seqs of their lanes, and everything that waits for core.db.

        `taken`: ids of the messages that led to events, as far as their samples are not stored yet.
        """
        following = list(self._next)
        rows = []
        alarms: dict[str, int] = {}
        marks: dict[int, Mark] = {}
        for event in events:
            lane = lane_of(event)
            marks.setdefault(lane, Mark(following[lane], event.time_ns))
            rows.append(event_row(following[lane], event))
            if subject := alarm_of(event):
                alarms[subject] = rows[-1][0]
            following[lane] += 1
        reserved = self._reservations(following)
        clock_ok = self._clock.ok
        with transaction(self._db) as db:
            self._write_reservations(db, reserved)
            db.executemany(f"INSERT INTO event VALUES ({', '.join('?' * 13)})", rows)  # noqa: S608 -- constant text
            db.executemany("INSERT OR REPLACE INTO alarm VALUES (?, ?)", alarms.items())
            if events:
                db.execute("DELETE FROM taken")
                db.executemany("INSERT OR IGNORE INTO taken VALUES (?)", [(key,) for key in taken])
            self._write_chores(db, chores)
            self._write_keys(db)
            self._write_points(db)
            if clock_ok and not self._boot_offset_known:
                self._write_boot(db)
        self._boot_offset_known = self._boot_offset_known or clock_ok
        self._saved(reserved)
        return [self._written(lane, following[lane], [mark]) for lane, mark in marks.items()]

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
        segment.commit(rows, self._registry.rows(sorted(pids)), self._epoch, base)
        self._keys += [
            (seq, dedupe_key(sample.device, sample.source_id))
            for seq, sample in enumerate(chain.from_iterable(batches), first)
            if sample.source_id is not None
        ]
        return self._written(LANE_SAMPLE, following, marks)

    def alarms(self) -> list[Event]:
        """The newest event of each alarm and alarm-bearing point; damaged ones are left out."""
        found = []
        for row in self._db.execute("SELECT event.* FROM alarm JOIN event USING (id)"):
            try:
                found.append(event_of(row)[1])
            except Damaged as error:
                extra = {"component": "store"}
                log.error("event %d is damaged: %s", row[0], error, extra=extra)  # noqa: TRY400 -- no bug, no traceback
        return found

    def taken(self) -> list[bytes]:
        """Ids of messages whose alarms are stored and whose samples may not be."""
        return [bytes(key) for (key,) in self._db.execute("SELECT key FROM taken")]

    def usage(self) -> Usage:
        statistics = os.statvfs(self._directory)
        used = size_on_disk(self._directory / "core.db") + sum(self._closed_bytes.values())
        if self._segment is not None:
            used += self._segment.bytes
        return Usage(used, statistics.f_bavail * statistics.f_frsize)

    def close(self) -> None:
        """Mark the stop as clean, once everything is where it belongs, and close the files."""
        if self._segment is not None:
            self._segment.close()
        self.commit_core((), Chores())
        final = orjson.dumps({"last": self._last, "next": self._next}).decode()
        with transaction(self._db) as db:
            if self._segment is not None:
                size = size_on_disk(self._segment.path)
                row = (self._last[LANE_SAMPLE] or None, size, self._segment.first)
                db.execute("UPDATE segment SET last=?, bytes=?, crc_ok=1 WHERE first=?", row)
            meta = [("final", final), ("clean_shutdown", 1)]
            db.executemany("INSERT OR REPLACE INTO meta VALUES (?, ?)", meta)
        self._segment = None
        self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        self._db.close()

    def abandon(self) -> None:
        """Close the files as they are: the next start is an unclean one."""
        if self._segment is not None:
            self._segment.abandon()
        self._db.close()

    def _written(self, lane: int, following: int, marks: Sequence[Mark]) -> Written:
        first = self._next[lane]
        self._next[lane] = following
        self._last[lane] = following - 1
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
        if old is not None and not old.complete:
            return old
        new = Segment(self._directory, first, gateway_id=self._gateway_id)
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
            self._closed_bytes[old.first] = old.bytes
            old.close()
        return new

    def _write_reservations(self, db: sqlite3.Connection, reserved: dict[int, int]) -> None:
        db.executemany("INSERT OR REPLACE INTO lane VALUES (?, ?)", reserved.items())

    def _write_chores(self, db: sqlite3.Connection, chores: Chores) -> None:
        cursors = [(*key, *position) for key, position in chores.cursors.items()]
        db.executemany("INSERT OR REPLACE INTO cursor VALUES (?, ?, ?, ?)", cursors)
        db.executemany("INSERT OR REPLACE INTO dead VALUES (?, ?, ?, ?, ?, ?, ?)", chores.dead)
        db.executemany("INSERT OR REPLACE INTO command VALUES (?, ?, ?, ?)", chores.commands)

    def _write_keys(self, db: sqlite3.Connection) -> None:
        through = self._last[LANE_SAMPLE]
        if through == self._keys_through:
            return
        db.executemany("INSERT OR REPLACE INTO dedupe VALUES (?, ?)", self._keys)
        db.execute("INSERT OR REPLACE INTO meta VALUES ('dedupe_through', ?)", (through,))
        if self._key_rows + len(self._keys) > MAX_IDS + SLACK_IDS:
            oldest = "SELECT seen FROM dedupe ORDER BY seen DESC LIMIT 1 OFFSET ?"
            db.execute(f"DELETE FROM dedupe WHERE seen <= ({oldest})", (MAX_IDS,))  # noqa: S608 -- constant text

    def _write_points(self, db: sqlite3.Connection) -> None:
        insert = "INSERT OR IGNORE INTO point(pid, device, point) VALUES (?, ?, ?)"
        db.executemany(insert, self._registry.unsaved)

    def _write_boot(self, db: sqlite3.Connection) -> None:
        """Wall minus monotonic time of this boot, once, at the first trusted wall time."""
        offset_ns = self._clock.time_ns() - self._clock.boottime_ns()
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

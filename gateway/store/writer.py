"""The thread that owns every write: groups what is queued into commits.

Events of lanes 0 and 1 are committed at once, with whatever queued while the last fsync ran. Lane 3
goes along, at most `group_commit` seconds later. Samples are collected into an open chunk until it
is `group_commit` old, holds 1,000 or 256 KB, or someone waits for one of them.
"""

import errno
import logging
import math
import sqlite3
import time
from asyncio import Future
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from gateway.errors import StoreFailed, StoreFull
from gateway.model import LANE_ALARM, LANE_DIAGNOSTIC, LANE_EVENT, Event, Sample, lane_of
from gateway.store.encode import CHUNK_SAMPLES, dedupe_key
from gateway.store.inbox import Bucket, CommandNote, Entry, Inbox, earliest
from gateway.store.journal import Chores, Journal, Usage, Written

log = logging.getLogger(__name__)

# 256 KB of JSON; a sample takes about five times as much in memory as in a chunk.
CHUNK_BYTES = 5 * 256_000
CORE_DELAY_S = 5.0  # message ids, dead letters, results of commands, cursors of lanes 0 and 1
CURSOR_DELAY_S = {LANE_ALARM: CORE_DELAY_S, LANE_EVENT: CORE_DELAY_S}
SLOW_CURSOR_DELAY_S = 60.0  # of lanes 2 and 3: replay is idempotent
RETRY_S = 1.0
USAGE_S = 5.0

# What a failing device, a full disk or a damaged file looks like; anything else is a bug of ours.
DEVICE_FAULTS = {
    sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_NOMEM, sqlite3.SQLITE_PERM, sqlite3.SQLITE_NOLFS, sqlite3.SQLITE_PROTOCOL,
}  # fmt: skip


class Commit(NamedTuple):
    """What became durable, told to the event loop."""

    written: Sequence[Written]
    events: int
    samples: int
    bytes: int  # of memory that the samples took
    intents: Sequence["Future[None]"]
    duration_ms: float
    segment: int | None  # the newest one


class Fault(NamedTuple):
    """A commit failed; `intents` are commands whose intent is not on disk and will not be."""

    error: StoreFailed | StoreFull
    intents: Sequence["Future[None]"]


class Dropped(NamedTuple):
    """Held samples, by input number, that were given back to their sources."""

    numbers: Sequence[int]
    bytes: int


Report = Commit | Fault | Dropped | Usage


def device_fault(error: sqlite3.Error | OSError) -> StoreFailed | StoreFull | None:
    """What to tell those who wait, None if the error is no fault of the storage device."""
    if isinstance(error, OSError):
        kind = StoreFull if error.errno in {errno.ENOSPC, errno.EDQUOT} else StoreFailed
        return kind(f"storage: {error}")
    code = getattr(error, "sqlite_errorcode", None)
    if code is None or code & 0xFF not in DEVICE_FAULTS:
        return None
    kind = StoreFull if code & 0xFF == sqlite3.SQLITE_FULL else StoreFailed
    return kind(f"storage: {error} ({error.sqlite_errorname})")


class Writer:
    """`report` is called in the writer thread and must hand over to the event loop."""

    def __init__(
        self,
        journal: Journal,
        inbox: Inbox,
        report: Callable[[Report], None],
        group_commit_s: float,
    ) -> None:
        self._journal = journal
        self._inbox = inbox
        self._report = report
        self._group_commit_s = group_commit_s
        self._bucket = Bucket()
        self._events: list[Event] = []
        self._samples: list[Entry] = []
        self._bytes = 0
        self._alarmed: dict[
            str, int
        ] = {}  # device -> input of its newest event since the last chunk
        self._chores = Chores()
        self._notes: list[CommandNote] = []
        self._events_due = self._chunk_due = self._core_due = math.inf
        self._retry_at = -math.inf
        self._fault: StoreFailed | StoreFull | None = None
        self._usage_at = -math.inf

    def run(self) -> None:
        """Work until the inbox is closing, then store everything and close the files."""
        try:
            while not self._inbox.closing:
                self._inbox.bell.wait(self._pause_s())
                self._turn(time.monotonic())
            self._finish()
        except BaseException:
            self._journal.abandon()
            raise

    def _pause_s(self) -> float | None:
        now = time.monotonic()
        if self._fault is not None:
            return max(0.0, self._retry_at - now)
        due = min(self._events_due, self._chunk_due, self._core_due)
        return None if due == math.inf else max(0.0, due - now)

    def _turn(self, now: float) -> None:
        self._take(now)
        if now < self._retry_at:
            return
        retry = self._fault is not None
        try:
            if retry or now >= min(self._events_due, self._core_due):
                self._commit_core()
            if retry or now >= self._chunk_due:
                self._commit_chunk()
        except (sqlite3.Error, OSError) as error:
            self._failed(error)
        else:
            self._works()

    def _take(self, now: float) -> None:
        inbox = self._inbox
        self._events_due = min(self._events_due, earliest(inbox.events_due))
        self._chunk_due = min(self._chunk_due, earliest(inbox.chunk_due))
        self._take_events(now)
        self._take_samples(now)
        self._take_chores(now)
        while inbox.forget:
            self._drop(inbox.forget.popleft())

    def _take_events(self, now: float) -> None:
        urgent = False
        while self._inbox.events:
            event = self._inbox.events.popleft()
            self._events.append(event)
            urgent = urgent or lane_of(event) != LANE_DIAGNOSTIC
        if urgent and self._events_due > now:
            self._events_due = min(self._events_due, now + self._bucket.delay_s(now))
        elif self._events:
            self._events_due = min(self._events_due, now + self._group_commit_s)

    def _take_samples(self, now: float) -> None:
        while self._inbox.samples:
            entry = self._inbox.samples.popleft()
            self._samples.append(entry)
            self._bytes += entry.size_bytes
        if len(self._samples) >= CHUNK_SAMPLES or self._bytes >= CHUNK_BYTES:
            self._chunk_due = now
        elif self._samples:
            self._chunk_due = min(self._chunk_due, now + self._group_commit_s)

    def _take_chores(self, now: float) -> None:
        inbox = self._inbox
        while inbox.cursors:
            sink, lane, position = inbox.cursors.popleft()
            self._chores.cursors[sink, lane] = position
            delay_s = CURSOR_DELAY_S.get(lane, SLOW_CURSOR_DELAY_S)
            self._core_due = min(self._core_due, now + delay_s)
        while inbox.dead:
            self._chores.dead.append(inbox.dead.popleft())
            self._core_due = min(self._core_due, now + CORE_DELAY_S)
        while inbox.commands:
            note = inbox.commands.popleft()
            self._notes.append(note)
            delay_s = CORE_DELAY_S if note.durable is None else 0.0
            self._core_due = min(self._core_due, now + delay_s)

    def _drop(self, numbers: frozenset[int]) -> None:
        """Give held samples back to their sources, which were told that storage failed."""
        dropped = [e for e in self._samples if e.held and e.sample.n in numbers]
        if dropped:
            self._samples = [e for e in self._samples if not (e.held and e.sample.n in numbers)]
            size = sum(entry.size_bytes for entry in dropped)
            self._bytes -= size
            self._report(Dropped([entry.sample.n for entry in dropped], size))

    def _commit_core(self) -> None:
        """Events and chores; with nothing to store, a transaction that shows that writing works."""
        events, began = self._events, time.monotonic()
        self._chores.commands = [note.row for note in self._notes]
        self._alarmed.update((event.device, event.n) for event in events)
        written = self._journal.commit_core(events, self._chores, self._taken() if events else ())
        intents = [note.durable for note in self._notes if note.durable is not None]
        self._events, self._notes, self._chores = [], [], Chores()
        self._events_due = self._core_due = math.inf
        self._tell(written, began, events=len(events), intents=intents)

    def _taken(self) -> list[bytes]:
        """Ids of waiting messages up to the one that led to its device's newest event."""
        return [
            dedupe_key(sample.device, sample.source_id)
            for sample, _size, held in self._samples
            if held
            and sample.source_id is not None
            and sample.n <= self._alarmed.get(sample.device, 0)
        ]

    def _commit_chunk(self) -> None:
        samples, size, began = self._samples, self._bytes, time.monotonic()
        self._chunk_due = math.inf
        if not samples:
            return
        written = self._journal.commit_samples(list(_batches(samples)))
        self._samples, self._bytes = [], 0
        self._alarmed.clear()
        if self._journal.has_unsaved_keys:
            self._core_due = min(self._core_due, began + CORE_DELAY_S)
        self._tell([written], began, samples=len(samples), size=size)

    def _tell(
        self,
        written: Sequence[Written],
        began: float,
        *,
        events: int = 0,
        samples: int = 0,
        size: int = 0,
        intents: Sequence["Future[None]"] = (),
    ) -> None:
        now = time.monotonic()
        duration_ms = (now - began) * 1e3
        segment = self._journal.newest_segment
        self._report(Commit(written, events, samples, size, intents, duration_ms, segment))
        if now >= self._usage_at:
            self._usage_at = now + USAGE_S
            self._report(self._journal.usage())

    def _failed(self, error: sqlite3.Error | OSError) -> None:
        fault = device_fault(error)
        if fault is None:
            raise error
        if self._fault is None:
            log.error("%s; retrying every %g s", fault, RETRY_S, extra={"component": "store"})
        self._fault = fault
        self._retry_at = time.monotonic() + RETRY_S
        # An intent that is not durable is refused: written later, it would block a repeat.
        refused = [note.durable for note in self._notes if note.durable is not None]
        self._notes = [note for note in self._notes if note.durable is None]
        self._report(Fault(fault, refused))

    def _works(self) -> None:
        if self._fault is not None:
            log.info("storage works again", extra={"component": "store"})
            self._fault = None

    def _finish(self) -> None:
        self._take(time.monotonic())
        try:
            self._commit_core()
            self._commit_chunk()
            self._journal.close()
        except (sqlite3.Error, OSError) as error:
            self._journal.abandon()
            self._failed(error)
            lost = len(self._samples) + len(self._events)
            log.error("stopped with %d records not stored", lost, extra={"component": "store"})  # noqa: TRY400 -- _failed told the reason


def _batches(entries: Sequence[Entry]) -> Iterator[list[Sample]]:
    """One batch for each chunk."""
    batch: list[Sample] = []
    size = 0
    for sample, size_bytes, _held in entries:
        if len(batch) >= CHUNK_SAMPLES or size >= CHUNK_BYTES:
            yield batch
            batch, size = [], 0
        batch.append(sample)
        size += size_bytes
    yield batch

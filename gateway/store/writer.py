"""The thread that owns every write: groups what is queued into commits.

Events of lanes 0 and 1 are committed at once, with whatever queued while the last fsync ran. Lane 3
goes along, at most `group_commit` seconds later. Samples are collected into an open chunk until it
is `group_commit` old, holds 1,000 or 256 KB, or someone waits for one of them.
"""

import logging
import math
import time
from asyncio import Future
from collections.abc import Callable, Iterator, Sequence

from gateway.beat import IDLE_S, Beat
from gateway.errors import StoreFailed, StoreFull
from gateway.model import LANE_ALARM, LANE_DIAGNOSTIC, LANE_EVENT, Event, Sample, lane_of
from gateway.store import kept, replay
from gateway.store.access import Access
from gateway.store.encode import CHUNK_SAMPLES, dedupe_key
from gateway.store.faults import FAULTS, PASSING, DeviceError, device_fault
from gateway.store.inbox import Bucket, CommandNote, Entry, Inbox, Retirement, earliest
from gateway.store.journal import Chores, Journal, Written
from gateway.store.report import Commit, Fault, Full, Reopened, Report, Rescued, Shed, Works
from gateway.store.ring import excess
from gateway.store.upkeep import Upkeep

log = logging.getLogger(__name__)

# 256 KB of JSON; a sample takes about five times as much in memory as in a chunk.
CHUNK_BYTES = 5 * 256_000
CORE_DELAY_S = 5.0  # message ids, dead letters, results of commands, cursors of lanes 0 and 1
MANY_KEYS = 16_384  # message ids, about 170 bytes each, that wait no longer
CURSOR_DELAY_S = {LANE_ALARM: CORE_DELAY_S, LANE_EVENT: CORE_DELAY_S}
SLOW_CURSOR_DELAY_S = 60.0  # of lanes 2 and 3: replay is idempotent
RETRY_S = 1.0
USAGE_S = 5.0
RESCUE_S = 0.1  # between two steps: the day's business goes first


class Writer:
    """`report` is called in the writer thread and must hand over to the event loop."""

    def __init__(
        self,
        access: Access,
        inbox: Inbox,
        report: Callable[[Report], None],
        group_commit_s: float,
        upkeep: Upkeep,
        beat: Beat,
    ) -> None:
        self._access = access
        self._upkeep = upkeep
        self._beat = beat
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
        self._counters = replay.Waiting()
        self._rules: dict[str, bytes | None] = {}  # of table `rule`
        self._notes: list[CommandNote] = []
        self._refused: list[bytes] = []  # commands whose intent a failed commit may have left
        self._retired: list[Retirement] = []
        self._events_due = self._chunk_due = self._core_due = math.inf
        self._retry_at = -math.inf
        self._fault: StoreFailed | StoreFull | None = None
        self._usage_at = -math.inf
        self._rescue_at = -math.inf

    def run(self) -> None:
        """Work until the inbox is closing, then store everything and close the files."""
        try:
            while not self._inbox.closing:
                self._inbox.bell.wait(min(self._pause_s(), IDLE_S))
                self._beat.turn()
                self._turn(time.monotonic())
            self._finish()
        except BaseException:
            self._access.abandon()
            raise

    @property
    def _journal(self) -> Journal:
        return self._access.journal

    def _pause_s(self) -> float:
        now = time.monotonic()
        if self._fault is not None:
            return max(0.0, self._retry_at - now)
        due = min(self._events_due, self._chunk_due, self._core_due, self._rollups_due)
        return max(0.0, min(due, self._upkeep.due) - now)

    @property
    def _rollups_due(self) -> float:
        if self._access.broken:
            return math.inf
        rescue = self._rescue_at if self._journal.rescue is not None else math.inf
        return min(self._journal.rollups.due, rescue)

    def _turn(self, now: float) -> None:
        self._take(now)
        if now < self._retry_at:
            return
        try:
            if self._fault is not None or self._access.broken:
                self._repeat()
                return
            self._describe()
            if now >= min(self._events_due, self._core_due):
                self._commit_core()
            if now >= self._chunk_due:
                self._commit_chunk()
            if now >= self._rollups_due:
                self._journal.rollups.work(now)
            self._tidy()
            self._rescue()
        except FAULTS as error:
            self._stumble(error)

    def _describe(self) -> None:
        """Files that are opened later are told by the store."""
        while self._inbox.descriptions:
            self._journal.describe(self._inbox.descriptions.popleft())

    def _take(self, now: float) -> None:
        inbox = self._inbox
        self._events_due = min(self._events_due, earliest(inbox.events_due))
        self._chunk_due = min(self._chunk_due, earliest(inbox.chunk_due))
        self._take_events(now)
        self._take_samples(now)
        self._take_chores(now)
        if self._fault is not None:
            self._shed()

    def _take_events(self, now: float) -> None:
        urgent = False
        while self._inbox.events:
            event, rows = self._inbox.events.popleft()
            self._rules.update(rows)
            if event is None:
                self._core_due = min(self._core_due, now + kept.DELAY_S)
                continue
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
        # After the events: each of them finds the counter of its message.
        if self._counters.take(inbox.counters):
            self._core_due = min(self._core_due, now + replay.DELAY_S)
        while inbox.retired:
            self._retired.append(inbox.retired.popleft())
            self._core_due = now

    def _shed(self) -> None:
        """Memory is bounded while nothing can be written."""
        gone = excess(self._events)
        if gone:
            ids = {event.event_id for event in gone}
            self._events = [event for event in self._events if event.event_id not in ids]
            self._report(Shed(gone))

    def _commit_core(self) -> None:
        """Events and chores; with nothing to store, a transaction that shows that writing works."""
        full = self._upkeep.refusal(self._events, self._chores.cursors)
        events = [] if full else self._events  # the rest goes: a cursor that moves makes room
        began = time.monotonic()
        self._chores.commands = [note.row for note in self._notes]
        self._chores.retired = [one.sink for one in self._retired]
        self._chores.counters = {} if full else self._counters.rows()
        self._chores.rules = kept.NO_ROWS if full else self._rules
        self._alarmed.update((event.device, event.n) for event in events)
        taken = self._taken() if events else None
        written = self._journal.commit_core(events, self._chores, taken)
        intents = [note.durable for note in self._notes if note.durable is not None]
        intents += [one.durable for one in self._retired]
        self._notes, self._chores, self._retired = [], Chores(), []
        self._events_due = self._core_due = math.inf
        self._tell(written, began, events=len(events), intents=intents)
        if full is not None:
            self._commit_chunk()
            raise full
        self._events = []
        self._rules = {}
        self._counters.saved()

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
        if (full := self._upkeep.shedding) is not None:  # what room there is, is for alarms
            self._report(Full(full))
            return
        written = self._journal.commit_samples(list(_batches(samples)))
        self._samples, self._bytes = [], 0
        self._alarmed.clear()
        if unsaved := self._journal.unsaved_keys:
            delay_s = CORE_DELAY_S if unsaved < MANY_KEYS else 0.0
            self._core_due = min(self._core_due, began + delay_s)
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

    def _rescue(self) -> None:
        """A step of taking over what is good in a core.db that was put aside."""
        rescue, began = self._journal.rescue, time.monotonic()
        if rescue is None or began < self._rescue_at:
            return
        self._rescue_at = began + RESCUE_S
        self._tell(self._journal.rescue_step(), began)
        if self._journal.rescue is None:
            self._report(Rescued(rescue.count, rescue.damaged))

    def _tidy(self) -> None:
        """A step of the clean-up, if it is time."""
        was_full = self._upkeep.shedding is not None
        self._upkeep.turn(self._access, self._chores.cursors)
        if was_full and self._upkeep.shedding is None and self._samples:
            self._chunk_due = time.monotonic()

    def _relieved(self, error: DeviceError) -> bool:
        """The disk was full and something was freed: what waits is written at once."""
        if not self._upkeep.relieve(self._access, error, self._chores.cursors):
            return False
        self._events_due = self._core_due = time.monotonic()
        self._chunk_due = self._core_due if self._samples else math.inf
        return True

    def _stumble(self, error: DeviceError) -> None:
        """The first I/O error: open the files anew and write everything again, before anybody is
        told. A second one before that has worked, or a full disk, is a failure.
        """
        try:
            if self._relieved(error):
                return
        except FAULTS as another:
            error = another
        fault = device_fault(error)
        passing = getattr(error, "sqlite_errorcode", 0) & 0xFF in PASSING
        if isinstance(fault, StoreFailed) and not passing:
            self._access.broken = True
        if self._fault is not None or not self._access.broken:
            self._failed(error)
            return
        log.warning("%s; opening the files anew", fault, extra={"component": "store"})
        try:
            self._repeat()
        except FAULTS as second:
            self._failed(second)

    def _repeat(self) -> None:
        """Everything that waits, in new files if the old ones cannot be trusted."""
        if self._access.broken:
            intents = [note.row[0] for note in self._notes if note.row[1] == "intent"]
            self._report(Reopened(self._access.renew([*self._refused, *intents])))
        self._tidy()
        self._commit_core()
        self._commit_chunk()
        self._works()

    def _failed(self, error: DeviceError) -> None:
        fault = device_fault(error)
        if fault is None:
            raise error
        if self._fault is None:
            log.error("%s; retrying every %g s", fault, RETRY_S, extra={"component": "store"})
        self._fault = fault
        self._retry_at = time.monotonic() + RETRY_S
        # An intent that is not durable is refused: written later, it would block a repeat.
        refused = [note.durable for note in self._notes if note.durable is not None]
        self._refused += [note.row[0] for note in self._notes if note.durable is not None]
        self._notes = [note for note in self._notes if note.durable is None]
        refused += [one.durable for one in self._retired]
        self._retired = []
        self._report(Fault(fault, refused))

    def _works(self) -> None:
        self._refused.clear()
        if self._fault is not None:
            log.info("storage works again", extra={"component": "store"})
            self._fault = None
            self._report(Works())

    def _finish(self) -> None:
        self._take(time.monotonic())
        try:
            self._repeat()
            self._journal.close()
        except FAULTS as error:
            self._access.abandon()
            self._failed(error)
        if lost := len(self._samples) + len(self._events):
            log.error("stopped with %d records not stored", lost, extra={"component": "store"})


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

"""The way in: takes items without blocking, and tells who waits when they are durable."""

import asyncio
import time
from collections.abc import Sequence

from gateway.counters import ReplayCounters
from gateway.model import Event, Item, Sample
from gateway.store.encode import CHUNK_SAMPLES
from gateway.store.inbox import Bucket, CommandNote, Entry, Inbox, Retirement, Told
from gateway.store.kept import NO_ROWS, Rows
from gateway.store.ledger import Ledger
from gateway.store.orders import CommandRow
from gateway.store.report import Commit, Fault
from gateway.store.ring import Ring
from gateway.store.writer import CHUNK_BYTES

TELEMETRY_BYTES = 16_000_000  # more than 10 s of 2,000 samples/s with a few points each
AWAITED_SAMPLES = 500  # as many flush the chunk at once when somebody waits for one


class Intake:
    """Loop thread only. `ack_linger_s`: how long an awaited sample waits for company."""

    def __init__(self, inbox: Inbox, ack_linger_s: float) -> None:
        self._inbox = inbox
        self._ack_linger_s = ack_linger_s
        self._ledger = Ledger()
        self._bucket = Bucket()
        self._linger_until = 0.0
        self._room = asyncio.Event()
        self._room.set()
        self._intents: set[asyncio.Future[None]] = set()
        self._ended: BaseException | None = None
        self.ring = Ring()
        self.replay = ReplayCounters(inbox.bell.ring)
        inbox.counters = self.replay.waiting
        self.bytes = 0  # of memory that queued samples take

    @property
    def queued(self) -> int:
        return len(self._ledger.events) + len(self._ledger.samples)

    def append(self, item: Item, *, held: bool, rows: Rows = NO_ROWS) -> bool:
        if not isinstance(item, Sample):
            self._append_event(item, rows)
            return True
        before = self.bytes
        if before >= TELEMETRY_BYTES:
            self._room.clear()
            if not held:
                return False
        size = _size(item)
        self.bytes = before + size
        waiting = self._ledger.samples
        waiting.append(item.n)
        self._inbox.samples.append(Entry(item, size, held))
        # The thread must know of the first one (its time runs) and of each full chunk.
        if len(waiting) % CHUNK_SAMPLES <= 1 or self.bytes // CHUNK_BYTES != before // CHUNK_BYTES:
            self._inbox.bell.ring()
        if len(waiting) % AWAITED_SAMPLES == 0 and self._ledger.first_awaited is not None:
            self._inbox.chunk_due.append(time.monotonic())
            self._inbox.bell.ring()
        return True

    def keep(self, rows: Rows) -> None:
        self._inbox.events.append(Told(None, rows))
        self._inbox.bell.ring()

    def _append_event(self, event: Event, rows: Rows) -> None:
        self._ledger.events.append(event.n)
        self.ring.append(event)
        self._inbox.events.append(Told(event, rows))
        self._inbox.bell.ring()

    async def durable(self, n: int) -> None:
        if not self._ledger.blocks(n):
            return
        if self._ended is not None:
            raise self._ended
        done = self._ledger.wait(n)
        self._request_flush(n)
        await done

    async def room(self) -> None:
        await self._room.wait()

    async def intent(self, row: CommandRow) -> None:
        """Durable on return. Raises StoreFailed or StoreFull, then it never will be."""
        done = self._promise()
        self._inbox.commands.append(CommandNote(row, done))
        self._inbox.bell.ring()
        await done

    async def retire(self, sink: str) -> None:
        """As `intent`, for forgetting a sink."""
        done = self._promise()
        self._inbox.retired.append(Retirement(sink, done))
        self._inbox.bell.ring()
        await done

    def _promise(self) -> "asyncio.Future[None]":
        if self._ended is not None:
            raise self._ended
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._intents.add(done)
        done.add_done_callback(self._intents.discard)
        return done

    def committed(self, commit: Commit) -> None:
        self.bytes -= commit.bytes
        self._ledger.settle(events=commit.events, samples=commit.samples)
        self.ring.settle(commit.events)
        for done in commit.intents:
            if not done.done():
                done.set_result(None)
        if commit.samples:
            self._samples_left()

    def failed(self, fault: Fault) -> None:
        self._linger_until = 0.0
        self._ledger.fail(fault.error)
        _refuse(fault.intents, fault.error)

    def shed(self, events: Sequence[Event]) -> None:
        """These events were given up, because too many wait."""
        self._ledger.shed(event.n for event in events)
        self.ring.shed({event.event_id for event in events})

    def end(self, error: BaseException) -> None:
        """Nothing is committed any more: everyone who waits, now or later, gets `error`."""
        self._ended = error
        self._ledger.fail(error)
        _refuse(list(self._intents), error)

    def _samples_left(self) -> None:
        """Samples went out of the queue: there may be room, and the rest wants attention."""
        if self.bytes < TELEMETRY_BYTES:
            self._room.set()
        if self._ledger.samples:
            self._inbox.bell.ring()
        self._linger_until = 0.0
        n = self._ledger.first_awaited
        if n is not None and self._ledger.samples_block(n):
            self._request_flush(n)

    def _request_flush(self, n: int) -> None:
        """See to it that everything up to `n` is committed soon."""
        events, samples = self._ledger.events_block(n), self._ledger.samples_block(n)
        now = time.monotonic()
        if events:  # an alarm and its sample are acknowledged together
            due = now + self._bucket.delay_s(now)
            self._inbox.events_due.append(due)
            if samples:
                self._inbox.chunk_due.append(due)
        elif len(self._ledger.samples) >= AWAITED_SAMPLES:
            self._inbox.chunk_due.append(now)
        elif now >= self._linger_until:
            self._linger_until = now + self._ack_linger_s
            self._inbox.chunk_due.append(self._linger_until)
        else:
            return  # the request that lingers flushes this one too
        self._inbox.bell.ring()


def _refuse(waiting: Sequence["asyncio.Future[None]"], error: BaseException) -> None:
    for done in waiting:
        if not done.done():
            done.set_exception(error)


def _size(sample: Sample) -> int:
    """What a sample takes in memory, roughly (bytes)."""
    size = 400 + 80 * (len(sample.values) + len(sample.quality))
    for value in sample.values.values():
        if value.__class__ is str:
            size += len(value)
    return size

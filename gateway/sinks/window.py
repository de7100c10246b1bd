"""What of one lane is on its way to a sink, and what the sink has acknowledged. Pure."""

import random
from collections import deque
from enum import Enum, auto
from typing import NamedTuple

from gateway.sinks.encode import Batch, Unsendable
from gateway.store.store import Position

# Batches of one lane that may wait for the platform's ack: at 60 KB each it keeps a link of
# 10 Mbit/s and 300 ms busy, and bounds what a lost ack sends twice.
WINDOW = 8


class Timing(NamedTuple):
    """Seconds. `longest_s` bounds both the doubling ack time-out and the doubling back-off.

    A lane that the broker refuses again and again is tried every `parked_s`: rarely, because
    brokers drop the connection over it, and then the other lanes lose time.
    """

    ack_timeout_s: float = 10.0
    backoff_s: float = 1.0
    longest_s: float = 60.0
    parked_s: float = 300.0


class Verdict(Enum):
    """`NEWS` moves something, `STALE` repeats what is known, `REFUSED` was never sent."""

    NEWS = auto()
    STALE = auto()
    REFUSED = auto()


class Sent(NamedTuple):
    """A batch under way, without its payload: a resend reads the journal. `mark` is the sender's."""

    batch: Batch
    size: int
    at: float
    mark: int


class Settled(NamedTuple):
    """The cursor may move to `position`; `items` were delivered, `unsendable` could not be.

    `size` bytes of batches are settled, `newest` is the last of them, None if only a part of one is.
    """

    position: Position
    items: int
    unsendable: tuple[Unsendable, ...]
    size: int = 0
    newest: Sent | None = None


class Window:
    """Go-back-N over the journal: what is not acknowledged in time is read and sent again.

    `cursor` is the last acknowledged position, `sent` the last one read from the journal, `queue`
    what is read but not yet sent. `in_doubt` is the bytes that wait for an ack. `attempt` rises when
    what is under way is given up: what is told about an earlier one is void. `moved_at`: when
    something was sent or acknowledged. `now` is seconds of a monotonic clock. `before` is the end
    of the journal at the start: an earlier process may have sent anything up to it.
    """

    def __init__(
        self, lane: int, cursor: Position | None, timing: Timing, before: Position | None = None
    ) -> None:
        self.lane = lane
        self.cursor = cursor
        self.sent = cursor
        self.queue: deque[Batch] = deque()
        self.retry_at = 0.0
        self.deadline: float | None = None
        self.in_doubt = 0
        self.attempt = 0
        self.moved_at = 0.0
        self._before = before
        self._timing = timing
        self._patience = timing.ack_timeout_s
        self._backoff = timing.backoff_s
        self._limit = WINDOW
        self._unheard = False
        self._pending: deque[Sent] = deque()
        self._taken: set[Position] = set()  # ends of batches of this attempt that a broker took
        self._highest: dict[int, int] = {}  # epoch -> highest seq sent by this process
        self._acked: dict[int, int] = {}  # epoch -> highest seq acknowledged to this process
        self._unsendable: dict[Position, Unsendable] = {}

    @property
    def waiting(self) -> int:
        """Batches that are sent and not acknowledged."""
        return len(self._pending)

    def may_send(self, now: float) -> bool:
        return now >= self.retry_at and len(self._pending) < self._limit

    def sending(self, batch: Batch, now: float, mark: int = 0) -> None:
        """Call it before the batch leaves: the platform may answer before the broker does."""
        self._highest[batch.epoch] = max(self._highest.get(batch.epoch, 0), batch.last)
        size = len(batch.payload)
        self._pending.append(Sent(batch._replace(payload=b""), size, now, mark))
        self.in_doubt += size
        self.moved_at = now
        for unsendable in batch.unsendable:
            self._unsendable[Position(batch.epoch, unsendable.seq)] = unsendable
        if self.deadline is None:
            self.deadline = now + self._patience

    def rewind(self) -> None:
        """Forget what is under way: the next read starts behind the cursor."""
        self.sent = self.cursor
        self.queue.clear()
        self._pending.clear()
        self._taken.clear()
        self.in_doubt = 0
        self.attempt += 1
        self.deadline = None

    def expire(self, now: float) -> bool:
        """True if the ack is overdue: everything goes again, one batch at a time until one is acked."""
        if self.deadline is None or now < self.deadline:
            return False
        self.rewind()
        self._limit = 1
        self._patience = min(self._patience * 2, self._timing.longest_s)
        return True

    def refuse(self, now: float, *, unheard: bool, parked: bool = False) -> None:
        """The broker did not deliver: everything goes again, after a back-off with full jitter.

        `unheard`: for want of a subscriber, so the first sign of life of the platform ends it.
        """
        self.rewind()
        self._limit, self._unheard = 1, unheard
        longest = self._timing.parked_s
        wait = random.uniform(longest / 2, longest) if parked else random.uniform(0, self._backoff)
        self.retry_at = now + wait
        self._backoff = min(self._backoff * 2, self._timing.longest_s)

    def again(self) -> None:
        """Everything goes again now, one batch at a time until one is acknowledged."""
        self.rewind()
        self._limit = 1

    def delivered(self) -> None:
        """The broker took a batch: the next refusal starts the back-off anew."""
        self.retry_at, self._backoff, self._unheard = 0.0, self._timing.backoff_s, False

    def encourage(self) -> None:
        """The platform is there: no reason to wait for it any longer."""
        if self._unheard:
            self.delivered()

    def restart(self) -> None:
        """A new connection: nothing is under way, and somebody may listen now.

        The back-off after a real refusal goes on: brokers drop the connection over one (Mosquitto
        2.0.11 with `max_queued_messages 0`), and then this lane must not cost the others theirs.
        """
        self.rewind()
        self._limit = 1  # the first one tells whether the others would arrive in their order
        self.encourage()

    def judge(self, epoch: int, seq: int) -> Verdict:
        """An ack counts only for what was sent, and never moves the cursor back."""
        if self.cursor is not None and epoch == self.cursor.epoch and seq <= self.cursor.seq:
            return Verdict.STALE
        if seq > self._highest.get(epoch, -1) and not self._sent_earlier(epoch, seq):
            return Verdict.REFUSED
        return Verdict.STALE if seq <= self._acked.get(epoch, -1) else Verdict.NEWS

    def _sent_earlier(self, epoch: int, seq: int) -> bool:
        """By an earlier process, whose cursor was not stored: the platform answers with what it has.

        Only in an epoch of which something was sent again. Seqs of a lane rise over all epochs.
        """
        if self._before is None or epoch not in self._highest:
            return False
        return epoch <= self._before.epoch and seq <= self._before.seq

    def acknowledge(self, epoch: int, seq: int) -> None:
        """Note an ack that `judge` found to be news; `settle` draws the conclusions."""
        self._acked[epoch] = max(seq, self._acked.get(epoch, -1))

    def taken(self, batch: Batch) -> None:
        """The broker took a batch of this attempt; with `ack: broker` it counts when all before it do."""
        self._taken.add(Position(batch.epoch, batch.last))
        for sent in self._pending:
            end = Position(sent.batch.epoch, sent.batch.last)
            if end not in self._taken:
                break
            self.acknowledge(*end)

    def settle(self, now: float) -> Settled | None:
        """What the acks so far allow; None if the cursor stays where it is."""
        before, items, size = self.cursor, 0, 0
        newest: Sent | None = None
        while self._pending and self._is_acked(self._pending[0].batch):
            newest = self._pending.popleft()
            batch = newest.batch
            items, size = items + batch.items, size + newest.size
            self._taken.discard(Position(batch.epoch, batch.last))
            self._advance(Position(batch.epoch, batch.last))
        self.in_doubt -= size
        items += self._follow()
        if not self._pending:
            self.deadline = None
        if self.cursor is None or self.cursor == before:
            return None
        self._limit, self._patience, self.moved_at = WINDOW, self._timing.ack_timeout_s, now
        if self._pending:
            self.deadline = now + self._patience
        done = [position for position in self._unsendable if position <= self.cursor]
        lost = tuple(self._unsendable.pop(p) for p in done)
        return Settled(self.cursor, items, lost, size, newest)

    def _is_acked(self, batch: Batch) -> bool:
        return self._acked.get(batch.epoch, -1) >= batch.last

    def _follow(self) -> int:
        """An ack that ends inside a batch, or beyond those that a rewind left in the window.

        Returns how many items it adds, as far as they belong to no batch in the window.
        """
        if self._pending:  # everything before the oldest of them is acknowledged
            oldest = self._pending[0].batch
            epoch, start = oldest.epoch, oldest.first - 1
        elif self.cursor:
            epoch, start = self.cursor
        else:
            return 0
        seq = self._acked.get(epoch, -1)
        if seq <= start:
            return 0
        self._advance(Position(epoch, seq))
        return 0 if self._pending else seq - start

    def _advance(self, position: Position) -> None:
        if self.cursor is None or position > self.cursor:
            self.cursor = position
        if self.sent is None or self.sent < self.cursor:
            self.sent = self.cursor
        while self.queue and Position(self.queue[0].epoch, self.queue[0].last) <= self.cursor:
            self.queue.popleft()

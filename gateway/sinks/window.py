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
    """Seconds. `longest_s` bounds both the doubling ack time-out and the doubling back-off."""

    ack_timeout_s: float = 10.0
    backoff_s: float = 1.0
    longest_s: float = 60.0


class Verdict(Enum):
    """`NEWS` moves something, `STALE` repeats what is known, `REFUSED` was never sent."""

    NEWS = auto()
    STALE = auto()
    REFUSED = auto()


class Settled(NamedTuple):
    """The cursor may move to `position`; `items` were delivered, `unsendable` could not be."""

    position: Position
    items: int
    unsendable: tuple[Unsendable, ...]


class Window:
    """Go-back-N over the journal: what is not acknowledged in time is read and sent again.

    `cursor` is the last acknowledged position, `sent` the last one read from the journal, `queue`
    what is read but not yet sent. `now` is seconds of a monotonic clock.
    """

    def __init__(self, lane: int, cursor: Position | None, timing: Timing) -> None:
        self.lane = lane
        self.cursor = cursor
        self.sent = cursor
        self.queue: deque[Batch] = deque()
        self.retry_at = 0.0
        self.deadline: float | None = None
        self._timing = timing
        self._patience = timing.ack_timeout_s
        self._backoff = timing.backoff_s
        self._limit = WINDOW
        self._unheard = False
        self._pending: deque[Batch] = deque()  # without payload: a resend reads the journal
        self._highest: dict[int, int] = {}  # epoch -> highest seq sent by this process
        self._acked: dict[int, int] = {}  # epoch -> highest seq acknowledged to this process
        self._unsendable: dict[Position, Unsendable] = {}

    @property
    def waiting(self) -> int:
        """Batches that are sent and not acknowledged."""
        return len(self._pending)

    def may_send(self, now: float) -> bool:
        return now >= self.retry_at and len(self._pending) < self._limit

    def sending(self, batch: Batch, now: float) -> None:
        """Call it before the batch leaves: the platform may answer before the broker does."""
        self._highest[batch.epoch] = max(self._highest.get(batch.epoch, 0), batch.last)
        self._pending.append(batch._replace(payload=b""))
        for unsendable in batch.unsendable:
            self._unsendable[Position(batch.epoch, unsendable.seq)] = unsendable
        if self.deadline is None:
            self.deadline = now + self._patience

    def rewind(self) -> None:
        """Forget what is under way: the next read starts behind the cursor."""
        self.sent = self.cursor
        self.queue.clear()
        self._pending.clear()
        self.deadline = None

    def expire(self, now: float) -> bool:
        """True if the ack is overdue: everything goes again, one batch at a time until one is acked."""
        if self.deadline is None or now < self.deadline:
            return False
        self.rewind()
        self._limit = 1
        self._patience = min(self._patience * 2, self._timing.longest_s)
        return True

    def refuse(self, now: float, *, unheard: bool) -> None:
        """The broker did not deliver: everything goes again, after a back-off with full jitter.

        `unheard`: for want of a subscriber, so the first sign of life of the platform ends it.
        """
        self.rewind()
        self._limit, self._unheard = 1, unheard
        self.retry_at = now + random.uniform(0, self._backoff)
        self._backoff = min(self._backoff * 2, self._timing.longest_s)

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
        self.encourage()

    def judge(self, epoch: int, seq: int) -> Verdict:
        """An ack counts only for what this process sent, and never moves the cursor back."""
        if self.cursor is not None and epoch == self.cursor.epoch and seq <= self.cursor.seq:
            return Verdict.STALE
        if seq > self._highest.get(epoch, -1):
            return Verdict.REFUSED
        return Verdict.STALE if seq <= self._acked.get(epoch, -1) else Verdict.NEWS

    def acknowledge(self, epoch: int, seq: int) -> None:
        """Note an ack that `judge` found to be news; `settle` draws the conclusions."""
        self._acked[epoch] = max(seq, self._acked.get(epoch, -1))

    def settle(self, now: float) -> Settled | None:
        """What the acks so far allow; None if the cursor stays where it is."""
        before, items = self.cursor, 0
        while (
            self._pending and self._acked.get(self._pending[0].epoch, -1) >= self._pending[0].last
        ):
            batch = self._pending.popleft()
            items += batch.items
            self._advance(Position(batch.epoch, batch.last))
        items += self._follow()
        if not self._pending:
            self.deadline = None
        if self.cursor is None or self.cursor == before:
            return None
        self._limit, self._patience = WINDOW, self._timing.ack_timeout_s
        if self._pending:
            self.deadline = now + self._patience
        done = [position for position in self._unsendable if position <= self.cursor]
        return Settled(self.cursor, items, tuple(self._unsendable.pop(p) for p in done))

    def _follow(self) -> int:
        """An ack that ends inside a batch, or beyond those that a rewind left in the window.

        Returns how many items it adds, as far as they belong to no batch in the window.
        """
        if self._pending:  # everything before the oldest of them is acknowledged
            epoch, start = self._pending[0].epoch, self._pending[0].first - 1
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

"""What the event loop hands to the writer thread.

Deques, appended to by the loop and popped by the thread: both are atomic, so neither side ever
waits for a lock. Who asks for a flush appends the items first and the request second; the thread
pops requests first and items second, so a request always finds its items.
"""

import math
import threading
from asyncio import Future
from collections import deque
from dataclasses import dataclass, field
from typing import NamedTuple

from gateway.model import Event, Sample
from gateway.store.index import Position
from gateway.store.journal import DeadLetter
from gateway.store.kept import NO_ROWS, Rows
from gateway.store.orders import CommandRow
from gateway.store.points import Descriptions


class Bell:
    """Wakes one thread from one other; ringing never blocks.

    A bare lock as binary semaphore: locked means silent. `threading.Event` has a lock of its own
    inside, on which the event loop would wait for the thread. Only one thread may ring: then a
    lock that is seen locked stays so until it is released here.
    """

    def __init__(self) -> None:
        self._silent = threading.Lock()
        self._silent.acquire()

    def ring(self) -> None:
        if self._silent.locked():
            self._silent.release()

    def wait(self, timeout_s: float | None) -> None:
        """Return at once if it has rung since the last return, else when it rings."""
        self._silent.acquire(timeout=-1 if timeout_s is None else timeout_s)


class Entry(NamedTuple):
    """A sample on its way; `size_bytes` estimates what it takes in memory."""

    sample: Sample
    size_bytes: int
    held: bool


class Told(NamedTuple):
    """An event and the state of rules that it belongs to: stored together; either may be missing."""

    event: Event | None
    rows: Rows = NO_ROWS


class CursorMove(NamedTuple):
    sink: str
    lane: int
    position: Position


class CommandNote(NamedTuple):
    """A row of table `command`; `durable` is resolved when it is on disk."""

    row: CommandRow
    durable: "Future[None] | None" = None


class Retirement(NamedTuple):
    """A sink that is gone; `durable` is resolved when the disk knows nothing of it any more."""

    sink: str
    durable: "Future[None]"


@dataclass(slots=True)
class Inbox:
    events: deque[Told] = field(default_factory=deque)
    samples: deque[Entry] = field(default_factory=deque)
    cursors: deque[CursorMove] = field(default_factory=deque)
    dead: deque[DeadLetter] = field(default_factory=deque)
    commands: deque[CommandNote] = field(default_factory=deque)
    retired: deque[Retirement] = field(default_factory=deque)
    descriptions: deque[Descriptions] = field(default_factory=deque)
    counters: dict[str, int | None] = field(default_factory=dict)  # `gateway.counters`
    # Requests: commit events or the open chunk at this time (time.monotonic).
    events_due: deque[float] = field(default_factory=deque)
    chunk_due: deque[float] = field(default_factory=deque)
    closing: bool = False
    bell: Bell = field(default_factory=Bell)


def earliest(requests: deque[float]) -> float:
    """The earliest of the requests, infinity if there is none; empties the queue."""
    due = math.inf
    while requests:
        due = min(due, requests.popleft())
    return due


class Bucket:
    """Limits commits that would be made at once: a burst of 1,000, 200 a minute, else 250 ms late.

    A chattering alarm input would otherwise wear the card out with an fsync per change.
    """

    BURST = 1_000.0
    PER_SECOND = 200 / 60
    LINGER_S = 0.25

    def __init__(self) -> None:
        self._tokens = self.BURST
        self._at = 0.0

    def delay_s(self, now: float) -> float:
        self._tokens = min(self.BURST, self._tokens + (now - self._at) * self.PER_SECOND)
        self._at = now
        if self._tokens < 1:
            return self.LINGER_S
        self._tokens -= 1
        return 0.0

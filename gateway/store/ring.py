"""Events that are not on disk yet, and how sinks read them while storage fails. Loop thread only.

While storage works this is only a queue beside the writer's. When it fails, what waits gets
positions of an epoch that no journal has: sinks read on behind everything that is stored. Such a
position is never written to disk; once storage works again the events are stored and sent again
under their real positions, and the platform drops what it has by `event_id`.
"""

import secrets
from collections import Counter, deque
from collections.abc import Collection, Iterable, Sequence
from typing import NamedTuple
from uuid import UUID

from gateway.model import LANES, Event, Severity, lane_of
from gateway.store.index import Position
from gateway.store.reader import Gap, Slice

MAX_EVENTS = 1_000  # of one lane, while storage fails
EVENT_BYTES = 400  # what an event takes upstream, roughly
# Above every epoch of the journal: those rise by one, and 2^53 is where JSON numbers end.
BEYOND = 1 << 32


class Waiting(NamedTuple):
    lane: int
    seq: int
    event: Event


def volatile_epoch(known: int) -> int:
    """An epoch far above `known` that no other failure has had: nothing on disk remembers it."""
    return known + BEYOND + secrets.randbits(32)


def excess(events: Sequence[Event]) -> list[Event]:
    """Those to give up so that at most 1,000 of each lane stay: the least severe, oldest first."""
    found: list[Event] = []
    counts = Counter(lane_of(event) for event in events)
    for lane, count in counts.items():
        if count > MAX_EVENTS:
            inside = [event for event in events if lane_of(event) == lane]
            inside.sort(key=_severity)  # stable: the oldest of a severity stays first
            found += inside[: count - MAX_EVENTS]
    return found


def _severity(event: Event) -> Severity:
    return event.severity


class Ring:
    """`epoch` is 0 while storage works."""

    def __init__(self) -> None:
        self.epoch = 0
        self.epochs: set[int] = set()  # all that this process has used
        self._waiting: deque[Waiting] = deque()
        self._next = [1] * len(LANES)

    def append(self, event: Event) -> None:
        lane = lane_of(event)
        self._waiting.append(Waiting(lane, self._next[lane], event))
        self._next[lane] += 1

    def settle(self, count: int) -> None:
        """The oldest `count` events are durable."""
        for _ in range(count):
            self._waiting.popleft()

    def shed(self, ids: Collection[UUID]) -> None:
        """These were given up: a gap for who reads on."""
        self._waiting = deque(one for one in self._waiting if one.event.event_id not in ids)

    def begin(self, known: int) -> None:
        """Storage fails: give what waits, and what comes, positions of an epoch of their own."""
        self.epoch = volatile_epoch(known)
        self.epochs.add(self.epoch)
        self._next = [1] * len(LANES)
        waiting, self._waiting = self._waiting, deque()
        for one in waiting:
            self.append(one.event)

    def end(self) -> None:
        self.epoch = 0

    def read(
        self, lane: int, after: Position | None, *, max_items: int, max_bytes: int
    ) -> Slice | None:
        """As `Store.read`; None while storage works."""
        start = self._start(after)
        if not self.epoch or start >= self._next[lane] - 1:
            return None
        room = max(1, min(max_items, max_bytes // EVENT_BYTES))
        found = [(one.seq, one.event) for one in self._behind(lane, start)]
        last = found[room - 1][0] if len(found) > room else self._next[lane] - 1
        items = tuple(found[:room])
        gaps = tuple(_gaps(start + 1, last, (seq for seq, _ in items)))
        return Slice(lane, self.epoch, 1, start + 1, last, gaps, items, durable=False)

    def count_after(self, lane: int, after: Position | None) -> int:
        if not self.epoch:
            return 0
        return sum(1 for _ in self._behind(lane, self._start(after)))

    def time_after_ns(self, lane: int, after: Position | None) -> int | None:
        if not self.epoch:
            return None
        times = (one.event.time_ns for one in self._behind(lane, self._start(after)))
        return next(times, None)

    def _start(self, after: Position | None) -> int:
        return after.seq if after is not None and after.epoch == self.epoch else 0

    def _behind(self, lane: int, start: int) -> Iterable[Waiting]:
        return (one for one in self._waiting if one.lane == lane and one.seq > start)


def _gaps(first: int, last: int, seqs: Iterable[int]) -> Iterable[Gap]:
    for seq in (*seqs, last + 1):
        if seq > first:
            yield (first, seq - 1, "dropped")
        first = seq + 1

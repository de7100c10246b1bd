"""Events that were committed just now, so that who forwards an alarm need not fetch it from disk again.

Loop thread only. Of each lane the events of the last commit, as they are stored: what is sent next
when a sink keeps up. Who is behind reads from disk.
"""

from collections.abc import Sequence
from typing import NamedTuple

from gateway.model import Event
from gateway.store.encode import EventRow, event_of
from gateway.store.index import Span
from gateway.store.reader import EVENT_BYTES, Building, Slice

MOST = 100  # events of a commit; of a larger one none are kept


class Stored(NamedTuple):
    """An event as the disk holds it; `size_bytes` as the reader counts it."""

    seq: int
    event: Event
    size_bytes: int


def stored(rows: Sequence[EventRow]) -> list[Stored]:
    """Empty if there are too many."""
    if len(rows) > MOST:
        return []
    return [Stored(*event_of(row), EVENT_BYTES + len(row[-1])) for row in rows]


class Fresh:
    def __init__(self) -> None:
        self._of: dict[int, tuple[Span, Sequence[Stored]]] = {}

    def take(self, lane: int, span: Span, events: Sequence[Stored]) -> None:
        """A commit has made `span` durable; `events` are its records, or none are known."""
        self.forget(lane)
        if len(events) == span.last - span.first + 1:
            self._of[lane] = span, events

    def forget(self, lane: int) -> None:
        """Some of it may be on disk no longer."""
        self._of.pop(lane, None)

    def read(self, lane: int, span: Span, max_items: int, max_bytes: int) -> Slice | None:
        """As `Reader.read`; None: not all of `span` is here."""
        known = self._of.get(lane)
        if known is None:
            return None
        held, events = known
        if held.epoch != span.epoch or not held.first <= span.first <= span.last <= held.last:
            return None
        building = Building(span, max_items, max_bytes)
        for one in events:
            if not building.add(*one):
                break
        return building.slice(lane)

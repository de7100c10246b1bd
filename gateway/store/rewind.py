"""Where the cursors were a while ago, for sinks whose peer is not durable when it acknowledges.

VictoriaMetrics loses up to the last seconds of what it acknowledged in a crash (300 points and an
immediate kill -9: none was there). Who reconnects to such a peer reads again what was acknowledged
shortly before; the peer drops what it has.
"""

from collections import deque
from dataclasses import dataclass

from gateway.store.index import Position

KEPT_S = 120.0  # the longest lag that anyone may ask for
STEP_S = 0.5  # moves within this time are one entry: some 240 for each cursor


@dataclass(slots=True)
class _Entry:
    began: float
    at: float  # when `position` was reached
    position: Position


class CursorLog:
    """Loop thread only. Times are seconds of a monotonic clock."""

    def __init__(self) -> None:
        self._entries: dict[tuple[str, int], deque[_Entry]] = {}

    def moved(self, sink: str, lane: int, position: Position, now: float) -> None:
        entries = self._entries.setdefault((sink, lane), deque())
        if entries and now - entries[-1].began < STEP_S:
            entries[-1].at, entries[-1].position = now, position
        else:
            entries.append(_Entry(now, now, position))
        while len(entries) > 1 and entries[1].at <= now - KEPT_S:
            entries.popleft()

    def before(self, sink: str, lane: int, moment: float) -> Position | None:
        """A position that was reached at or before `moment`, the last one that is known to have
        been; None if none is.
        """
        entries = self._entries.get((sink, lane), ())
        return next((e.position for e in reversed(entries) if e.at <= moment), None)

    def back(self, sink: str, lane: int, position: Position | None, now: float) -> None:
        """The cursor is at an earlier place again: what was later has not happened."""
        self.forget(sink, lane)
        if position is not None:
            self.moved(sink, lane, position, now)

    def forget(self, sink: str, lane: int) -> None:
        self._entries.pop((sink, lane), None)

"""How soon people were told: from an alarm to the first recipient who has the notification of it."""

from collections.abc import Iterator
from typing import NamedTuple
from uuid import UUID

from gateway.indicators.model import NS, Indicator, Period, percent, spread
from gateway.model import Event, EventKind

DELIVERED = "delivered"


class Moment(NamedTuple):
    """Of an event; within a boot times are told apart by CLOCK_BOOTTIME, which nobody sets."""

    boot: int
    received_ns: int
    time_ns: int

    @classmethod
    def of(cls, event: Event) -> "Moment":
        return cls(event.boot, event.received_ns, event.time_ns)

    def until(self, later: "Moment") -> float:
        """Seconds."""
        if self.boot == later.boot:
            return (later.received_ns - self.received_ns) / NS
        return (later.time_ns - self.time_ns) / NS


class Notices:
    """A notification counts from the alarm that caused it, else from itself."""

    def __init__(self, period: Period) -> None:
        self._period = period
        self._alarms: dict[UUID, Moment] = {}
        self._begun: dict[
            UUID, tuple[UUID, Moment]
        ] = {}  # by notification: what it is about, since when
        self._about: set[UUID] = set()
        self._first_s: dict[UUID, float] = {}
        self._ended = self._delivered = 0

    def take(self, event: Event) -> None:
        """The events of a lane in their order, lane 0 before lane 1."""
        match event.kind:
            case EventKind.ALARM_RAISED | EventKind.POINT_ALARM:
                self._alarms[event.event_id] = Moment.of(event)
            case EventKind.NOTIFICATION:
                cause = event.cause
                if cause is None or cause not in self._alarms:
                    cause = event.event_id
                since = self._alarms.get(cause, Moment.of(event))
                self._begun[event.event_id] = (cause, since)
                if self._period.holds(event.time_ns):
                    self._about.add(cause)
            case EventKind.NOTIFIED if self._period.holds(event.time_ns):
                self._end(event)
            case _:
                return

    def _end(self, event: Event) -> None:
        good = event.attributes.get("outcome") == DELIVERED
        self._ended += 1
        self._delivered += good
        about, since = self._begun.get(event.cause or event.event_id, (None, None))
        if good and about in self._about and about is not None and since is not None:
            took = since.until(Moment.of(event))
            self._first_s[about] = min(took, self._first_s.get(about, took))

    def indicators(self) -> Iterator[Indicator]:
        yield from spread("notify", list(self._first_s.values()), len(self._about), "no_notice")
        coverage = self._period.coverage
        yield percent("notified", self._delivered, self._ended, coverage=coverage, why="no_notice")

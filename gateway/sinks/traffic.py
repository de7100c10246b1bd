"""What the sending and the hearing half of an upstream share: its lanes, and what becomes of items."""

import asyncio
import logging
from collections.abc import Callable, Iterable

import orjson

from gateway.clock import Clock
from gateway.health import LinkHealth
from gateway.model import LANE_ALARM, EventKind, Severity
from gateway.mqtt import Reason
from gateway.sinks.encode import Batch, Unsendable
from gateway.sinks.flow import Drain, Line
from gateway.sinks.lane import WIDE, Lane
from gateway.sinks.meter import Meter
from gateway.sinks.window import Settled, Timing, Window
from gateway.store.store import Position, Store

log = logging.getLogger(__name__)

# HTTP's numbers for the same verdicts (RFC 9110, 15.5.14 and 15.5.21), as other sinks' servers use.
TOO_LARGE, UNPROCESSABLE = 413, 422
NO_SUBSCRIBER = 0x10  # MQTT 5, 3.4.2.1: accepted and thrown away
# MQTT 5, 2.4: not authorized, topic name invalid, payload format invalid. The others may pass.
INVALID = 0x99
LASTING = frozenset({0x87, 0x90, INVALID})
ALONE = 3  # single items refused in a row: then it is not the items
PARK_AFTER = 3  # refusals in a row: one may be a restart of the broker under way

Tell = Callable[[EventKind, Severity, dict[str, object]], object]


class Traffic:
    """`tell` makes an event of what operators must know. `progress` is set when a cursor moves.

    `urgent` and `bulk` wake the two senders; the store sets them after each commit.
    """

    def __init__(
        self,
        name: str,
        lanes: Iterable[int],
        *,
        store: Store,
        clock: Clock,
        timing: Timing,
        tell: Tell,
        meter: Meter,
    ) -> None:
        self.name = name
        self.health = LinkHealth()
        self.store = store
        self.component = {"component": f"upstream:{name}"}
        self.line, self.drain, self.meter = Line(), Drain(), meter
        self.progress = asyncio.Event()
        self.urgent, self.bulk = store.subscribe(), store.subscribe()
        self._clock, self._timing, self._tell = clock, timing, tell
        self.lanes = {lane: Lane(self._window(lane), clock) for lane in lanes}
        self._generation = store.generation

    def now(self) -> float:
        return self._clock.boottime_ns() / 1e9

    def good(self) -> None:
        self.health.good(self._clock.boottime_ns())

    def ring(self) -> None:
        """Something has changed: both senders look again."""
        self.urgent.set()
        self.bulk.set()

    def follow_store(self) -> None:
        """Begin at the cursors again when what was under way is void: storage has failed."""
        if self._generation != self.store.generation:
            self._generation = self.store.generation
            for number, lane in self.lanes.items():
                lane.window = self._window(number)

    def _window(self, number: int) -> Window:
        """At the cursor; an earlier process may have sent all that is there."""
        end = Position(self.store.epoch, self.store.last(number))
        return Window(number, self.store.cursor(self.name, number), self._timing, end)

    def cursor(self, number: int) -> Position | None:
        return self.lanes[number].window.cursor

    def reached(self, number: int, seq: int) -> bool:
        """Seqs of a lane rise over all epochs."""
        cursor = self.cursor(number)
        return cursor is not None and cursor.seq >= seq

    def settle(self, lane: Lane) -> None:
        """Draw the conclusions of the acks so far."""
        now = self.now()
        settled: Settled | None = lane.window.settle(now)
        if settled is None:
            return
        for letter in settled.unsendable:
            lane.refused.pop(letter.seq, None)
            self.bury(lane, letter, TOO_LARGE if letter.reason == "too_large" else UNPROCESSABLE)
        self.store.advance(self.name, lane.window.lane, settled.position)
        lane.acked += settled.items
        lane.rate.add(settled.items)
        if settled.newest is not None and not lane.urgent:
            self.drain.measure(now, settled.size, now - settled.newest.at, settled.newest.mark)
        self.progress.set()

    def bury(self, lane: Lane, letter: Unsendable, status: int) -> None:
        """Keep an item that cannot be delivered as a dead letter."""
        number = lane.window.lane
        self.store.dead_letter(self.name, number, letter.seq, status, letter.reason, letter.body)
        lane.dead += 1
        log.error(
            "lane %d, item %d cannot be delivered: %s", number, letter.seq, letter.reason,
            extra=self.component,
        )  # fmt: skip

    def took(self, lane: Lane, batch: Batch, *, by_broker: bool) -> None:
        """The broker took a batch of the lane's present attempt and had someone to give it to."""
        self.good()
        lane.window.delivered()
        lane.refusals = 0
        lane.narrow = min(WIDE, lane.narrow * 2)
        if batch.items:
            lane.alone = 0
        if lane.parked:
            self._report(lane, EventKind.UPSTREAM_RESUMED, lane.parked)
            lane.parked = ""
        if by_broker:
            lane.window.taken(batch)
        self.settle(lane)

    def refused(self, lane: Lane, batch: Batch, reason: Reason) -> None:
        """The broker did not take it, or had no one to give it to: everything goes again, later."""
        unheard = reason.code == NO_SUBSCRIBER
        self.health.counters["no_subscriber" if unheard else "publishes_refused"] += 1
        log.debug("lane %d not delivered: %s", lane.window.lane, reason.text, extra=self.component)
        if reason.code == INVALID and self._look_for(lane, batch, reason.text):
            lane.window.again()
            return
        if not unheard:
            lane.refusals += 1
            if lane.refusals >= PARK_AFTER and not lane.parked:
                lane.parked = reason.text
                self._report(lane, EventKind.UPSTREAM_PARKED, reason.text)
        parked = bool(lane.parked) and reason.code in LASTING
        lane.window.refuse(self.now(), unheard=unheard, parked=parked)

    def _look_for(self, lane: Lane, batch: Batch, reason: str) -> bool:
        """Halve a batch until the item that is not wanted is alone; that one becomes a gap.

        False: it is not a single item, everything is refused.
        """
        if batch.items > 1:
            lane.narrow = batch.items // 2
            return True
        lane.alone += 1
        if batch.items == 0 or lane.alone > ALONE:
            return False
        seq: int = orjson.loads(batch.payload)["items"][0]["seq"]
        lane.refused[seq] = reason
        self._report(lane, EventKind.UPSTREAM_PARKED, reason, seq=seq)
        return True

    def _report(self, lane: Lane, kind: EventKind, reason: str, **more: object) -> None:
        number = lane.window.lane
        log.warning("lane %d %s: %s", number, kind, reason, extra=self.component)
        severity = Severity.SAFETY if number == LANE_ALARM else Severity.OPERATIONAL
        self._tell(
            kind, severity, {"upstream": self.name, "lane": number, "reason": reason, **more}
        )

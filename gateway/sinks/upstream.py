"""Forwards the journal to a community platform over MQTT 5 (contract: configs/asyncapi.yaml).

The journal is the only queue: the sink holds a cursor per lane, reads behind it, sends, and moves
it when the platform acknowledges. Anything in doubt is sent again with the same ids; the platform
drops what it has (events by `event_id`, samples by device and time).
"""

import asyncio
import logging
from contextlib import suppress

import orjson

from gateway.clock import Clock
from gateway.errors import BadData, LinkDown, Refused
from gateway.health import LinkHealth
from gateway.model import LANE_ALARM, LANE_EVENT, LANE_SAMPLE
from gateway.mqtt import Connection, Reason, Received, Subscription, Will, connect
from gateway.sinks.ack import Ack, Reject, parse_ack
from gateway.sinks.encode import MAX_PAYLOAD, Batch, Unsendable, batches, encode
from gateway.sinks.lane import CLOCK_WAIT_S, Lane
from gateway.sinks.pace import Pace
from gateway.sinks.settings import UpstreamSection
from gateway.sinks.sink import LaneStatus
from gateway.sinks.window import Settled, Timing, Verdict, Window
from gateway.store.store import Position, Store

log = logging.getLogger(__name__)

MAX_ITEMS = 500
TIMING = Timing()
# Lanes that overtake nothing share what lane 0 leaves in this proportion of bytes.
WEIGHTS = {1: 8, 2: 4, 3: 1}
# HTTP's numbers for the same verdicts (RFC 9110, 15.5.14 and 15.5.21), as other sinks' servers use.
TOO_LARGE, UNPROCESSABLE = 413, 422
NO_SUBSCRIBER = 0x10  # MQTT 5, 3.4.2.1: accepted and thrown away
FAREWELL_S = 2.0


class UpstreamSink:
    """One destination. `run` serves one connection; the supervisor starts it again."""

    def __init__(
        self,
        name: str,
        section: UpstreamSection,
        *,
        gateway_id: str,
        store: Store,
        clock: Clock,
        timing: Timing = TIMING,
    ) -> None:
        self.name = name
        self.health = LinkHealth()
        self._section = section
        self._gateway_id = gateway_id
        self._store = store
        self._clock = clock
        self._topic = f"gw/{gateway_id}"
        self._component = {"component": f"upstream:{name}"}
        self._lanes = {
            lane: Lane(Window(lane, store.cursor(name, lane), timing), clock)
            for lane in sorted(section.lanes)
        }
        self._timing = timing
        self._generation = store.generation
        self._wake = store.subscribe()
        self._progress = asyncio.Event()
        self._turn = 0.0  # virtual time of the fair queue: bytes / weight
        self._pace = Pace()
        self._synchronized_by = self._now() + CLOCK_WAIT_S

    async def run(self) -> None:
        """Work until cancelled. Raises LinkDown or Refused when the connection fails."""
        for lane in self._lanes.values():
            lane.window.restart()
        by_platform = self._section.ack == "platform"
        async with connect(
            self._section,
            client_id=f"{self._gateway_id}-{self.name}",
            clock=self._clock,
            subscriptions=(Subscription(f"{self._topic}/ack", 2),) if by_platform else (),
            will=Will(f"{self._topic}/state", self._state(online=False)),
        ) as link:
            self.health.connects += 1
            try:
                await self._announce(link)
                await self._serve(link)
            finally:  # a clean end of the connection drops the will
                with suppress(TimeoutError, LinkDown):
                    async with asyncio.timeout(FAREWELL_S):
                        await self._publish_state(link, online=False)

    def lanes(self) -> tuple[LaneStatus, ...]:
        return tuple(
            LaneStatus(
                number,
                self._store.backlog(number, lane.window.cursor),
                self._store.oldest_time_ns(number, lane.window.cursor),
                lane.sent,
                lane.acked,
                lane.rate.per_s(),
                lane.dead,
            )
            for number, lane in self._lanes.items()
        )

    async def drain(self, timeout_s: float) -> bool:
        """Wait until what lanes 0 and 1 hold now is acknowledged; False if the time is over first."""
        goals = {
            number: self._store.last(number)
            for number in (LANE_ALARM, LANE_EVENT)
            if number in self._lanes and self._store.backlog(number, self._cursor(number))
        }
        try:
            async with asyncio.timeout(timeout_s):
                while not all(self._reached(number, goal) for number, goal in goals.items()):
                    self._progress.clear()
                    await self._progress.wait()
        except TimeoutError:
            return False
        return True

    def _reached(self, number: int, goal: int) -> bool:
        """Seqs of a lane rise over all epochs."""
        cursor = self._cursor(number)
        return cursor is not None and cursor.seq >= goal

    def _cursor(self, number: int) -> Position | None:
        return self._lanes[number].window.cursor

    def _now(self) -> float:
        return self._clock.boottime_ns() / 1e9

    # Connection

    async def _announce(self, link: Connection) -> None:
        reason = await self._publish_state(link, online=True)
        # Nobody there to see it is no failure: it is retained.
        if not reason.ok and reason.code != NO_SUBSCRIBER:
            raise Refused(f"{self.name}: publishing {self._topic}/state: {reason.text}")
        self.health.good(self._clock.boottime_ns())

    async def _publish_state(self, link: Connection, *, online: bool) -> Reason:
        return await link.publish(
            f"{self._topic}/state", self._state(online=online), qos=1, retain=True
        )

    def _state(self, *, online: bool) -> bytes:
        state: dict[str, object] = {"v": 1, "gw": self._gateway_id, "online": online}
        if online:
            state |= {
                "time": str(self._clock.time_ns()), "clock_ok": self._clock.ok,
                "boot": self._clock.boot, "lanes": list(self._lanes), "ack": self._section.ack,
            }  # fmt: skip
        return orjson.dumps(state)

    async def _serve(self, link: Connection) -> None:
        """Raises the one LinkDown or Refused that ended it; bugs come out as a group."""
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._listen(link), name=f"upstream:{self.name}:listen")
                # In the body, not a task: a group whose child fails while it waits for its
                # children leaves `cancelling()` raised (Python 3.11).
                await self._send(link)
        except ExceptionGroup as group:
            task = asyncio.current_task()
            if task is not None and task.cancelling():  # at the same time: the group hides it
                raise asyncio.CancelledError from group
            link_errors, bugs = group.split((LinkDown, Refused))
            if bugs is not None or link_errors is None:
                raise
            raise link_errors.exceptions[0] from group

    # Acknowledgements

    async def _listen(self, link: Connection) -> None:
        while True:
            message = await link.receive()
            await self._hear(message)
            link.ack(message)

    async def _hear(self, message: Received) -> None:
        try:
            ack = parse_ack(message.payload)
            lane = self._lanes[ack.lane]
        except (BadData, KeyError) as error:
            self.health.counters["acks_bad"] += 1
            log.debug("not understood: %s", error, extra=self._component)
            return
        verdict = lane.window.judge(ack.epoch, ack.seq)
        if verdict is Verdict.REFUSED:
            self.health.counters["acks_refused"] += 1
            first = self.health.counters["acks_refused"] == 1
            log.log(
                logging.WARNING if first else logging.DEBUG,
                "refused: lane %d is acknowledged up to %d of epoch %d, which was never sent",
                ack.lane, ack.seq, ack.epoch, extra=self._component,
            )  # fmt: skip
            return
        self.health.good(self._clock.boottime_ns())
        if verdict is Verdict.STALE:
            self.health.counters["acks_stale"] += 1
        else:
            await self._bury_rejected(lane, ack)
            lane.window.acknowledge(ack.epoch, ack.seq)
            self._settle(lane)
        for each in self._lanes.values():
            each.window.encourage()
        self._wake.set()

    async def _bury_rejected(self, lane: Lane, ack: Ack) -> None:
        """Dead letters first, then the cursor: after a crash in between the platform is asked again."""
        for reject in ack.rejects:
            if reject.seq > ack.seq or self._reached(ack.lane, reject.seq):
                self.health.counters["rejects_refused"] += 1
                continue
            body = await self._body(ack, reject)
            self._bury(lane, Unsendable(reject.seq, reject.reason, body), UNPROCESSABLE)

    async def _body(self, ack: Ack, reject: Reject) -> bytes:
        """The rejected item as it was sent; empty if the journal has dropped it since."""
        before = Position(ack.epoch, reject.seq - 1)
        part = await self._store.read(ack.lane, before, max_items=1, max_bytes=MAX_PAYLOAD)
        for seq, item in part.items if part else ():
            if seq == reject.seq:
                body = encode(seq, item)
                return body.body if isinstance(body, Unsendable) else body
        return b""

    def _bury(self, lane: Lane, letter: Unsendable, status: int) -> None:
        number = lane.window.lane
        self._store.dead_letter(self.name, number, letter.seq, status, letter.reason, letter.body)
        lane.dead += 1
        log.error(
            "lane %d, item %d cannot be delivered: %s", number, letter.seq, letter.reason,
            extra=self._component,
        )  # fmt: skip

    def _settle(self, lane: Lane) -> None:
        settled: Settled | None = lane.window.settle(self._now())
        if settled is None:
            return
        for letter in settled.unsendable:
            self._bury(lane, letter, TOO_LARGE if letter.reason == "too_large" else UNPROCESSABLE)
        self._store.advance(self.name, lane.window.lane, settled.position)
        lane.acked += settled.items
        lane.rate.add(settled.items)
        self._progress.set()

    # Sending

    async def _send(self, link: Connection) -> None:
        while True:
            self._wake.clear()
            self._follow_store()
            now = self._now()
            for lane in self._lanes.values():
                if lane.window.expire(now):
                    self.health.counters["acks_missing"] += 1
            found = await self._next(now)
            if found is None:
                await self._idle(now)
            else:
                await self._deliver(link, *found)

    def _follow_store(self) -> None:
        """Begin at the cursors again when what was under way is void: storage has failed."""
        if self._generation != self._store.generation:
            self._generation = self._store.generation
            for number, lane in self._lanes.items():
                lane.window = Window(number, self._store.cursor(self.name, number), self._timing)

    async def _next(self, now: float) -> tuple[Lane, Batch] | None:
        """Lane 0 first; the others by their weights (start-time fair queueing)."""
        for lane in sorted(self._lanes.values(), key=lambda each: each.rank):
            window = lane.window
            if not window.may_send(now) or self._held(window.lane, now):
                continue
            if not window.queue:
                await self._fill(window)
            if window.queue:
                return lane, window.queue.popleft()
        return None

    def _held(self, number: int, now: float) -> bool:
        return number == LANE_SAMPLE and not self._clock.ok and now < self._synchronized_by

    async def _fill(self, window: Window) -> None:
        size = self._pace.size
        part = await self._store.read(window.lane, window.sent, max_items=MAX_ITEMS, max_bytes=size)
        if part is None:
            return
        cursor = window.cursor
        acked = cursor.seq if cursor is not None and cursor.epoch == part.epoch else part.base - 1
        window.queue.extend(batches(part, gateway_id=self._gateway_id, acked=acked, max_bytes=size))
        window.sent = Position(part.epoch, part.last)

    async def _deliver(self, link: Connection, lane: Lane, batch: Batch) -> None:
        window, before = lane.window, self._now()
        window.sending(batch, before)
        lane.sent += batch.items
        if number := window.lane:
            self._turn = max(self._turn, lane.turn)
            lane.turn = self._turn + len(batch.payload) / WEIGHTS[number]
        try:
            reason = await link.publish(f"{self._topic}/up/{window.lane}", batch.payload, qos=1)
        except LinkDown:
            self._pace.failed()
            raise
        self._pace.took(self._now() - before)
        if not reason.ok:
            self._not_delivered(window, reason)
            return
        self.health.good(self._clock.boottime_ns())
        window.delivered()
        if self._section.ack == "broker":
            window.acknowledge(batch.epoch, batch.last)
        self._settle(lane)

    def _not_delivered(self, window: Window, reason: Reason) -> None:
        unheard = reason.code == NO_SUBSCRIBER
        self.health.counters["no_subscriber" if unheard else "publishes_refused"] += 1
        log.debug("lane %d not delivered: %s", window.lane, reason.text, extra=self._component)
        window.refuse(self._now(), unheard=unheard)

    async def _idle(self, now: float) -> None:
        """Until a commit, an ack, or the next time after `now` at which a window may do something."""
        due = [self._synchronized_by] if self._held(LANE_SAMPLE, now) else []
        for lane in self._lanes.values():
            due += [t for t in (lane.window.retry_at, lane.window.deadline) if t and t > now]
        with suppress(TimeoutError):
            async with asyncio.timeout(max(min(due) - self._now(), 0) if due else None):
                await self._wake.wait()

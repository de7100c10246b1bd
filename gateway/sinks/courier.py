"""Sends the lanes of an upstream over one connection: alarms beside everything else, not behind it."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress

from gateway.beat import IDLE_S
from gateway.clock import Clock
from gateway.errors import LinkDown
from gateway.model import LANE_SAMPLE
from gateway.mqtt import Connection
from gateway.sinks.encode import MAX_ITEMS, MAX_PAYLOAD, Batch, batches
from gateway.sinks.lane import AHEAD, Lane
from gateway.sinks.meter import packet_bytes
from gateway.sinks.traffic import Traffic
from gateway.sinks.window import Window
from gateway.store.store import Position

# Lanes that overtake nothing share what lane 0 leaves in this proportion of bytes.
WEIGHTS = {1: 8, 2: 4, 3: 1}
GRACE_S = 1.0  # a lane 0 that gets no acks for so long holds nobody up any more


class Courier:
    """Two senders share the publishes that the broker allows to be under way.

    One slot is kept for lane 0, and behind it only as much travels as the line carries in about a
    second, so that an alarm overtakes a backlog of telemetry. Events travel one batch at a time, so
    that one that the broker refuses is not overtaken by the next; samples several at once. Each
    publish is a task of `group`, which a LinkDown ends. `hold_until` is when lane 2 stops waiting
    for a clock that is right.
    """

    def __init__(
        self,
        traffic: Traffic,
        link: Connection,
        group: asyncio.TaskGroup,
        *,
        gateway_id: str,
        by_broker: bool,
        linger_s: float,
        clock: Clock,
        hold_until: float,
    ) -> None:
        self._traffic, self._link, self._group = traffic, link, group
        self._gateway_id, self._by_broker = gateway_id, by_broker
        self._linger_s, self._clock, self._hold_until = linger_s, clock, hold_until
        lanes = traffic.lanes.values()
        self._first = [lane for lane in lanes if lane.urgent]
        self._others = [lane for lane in lanes if not lane.urgent]
        self._under_way: Counter[Lane] = Counter()  # publishes without PUBACK
        self._unturned: set[asyncio.Event] = set()  # loops that have not turned since the last beat
        self._turn = 0.0  # virtual time of the fair queue: bytes / weight

    async def urgent(self) -> None:
        """Lane 0, until cancelled."""
        await self._send(self._first, self._traffic.urgent)

    async def bulk(self) -> None:
        """The other lanes, until cancelled."""
        await self._send(self._others, self._traffic.bulk)

    async def _send(self, lanes: Sequence[Lane], wake: asyncio.Event) -> None:
        while True:
            wake.clear()
            self._beat(wake)
            self._traffic.follow_store()
            now = self._traffic.now()
            for lane in lanes:
                if lane.window.expire(now):
                    self._traffic.health.counters["acks_missing"] += 1
            found = await self._next(lanes, now)
            if found is None:
                await self._idle(lanes, wake, now)
            else:
                self._launch(*found)

    def _beat(self, wake: asyncio.Event) -> None:
        """The sink gets on when both loops do."""
        self._unturned.discard(wake)
        if not self._unturned:
            self._traffic.health.beat.turn()
            self._unturned = {self._traffic.urgent, self._traffic.bulk}

    async def _next(self, lanes: Sequence[Lane], now: float) -> tuple[Lane, Batch] | None:
        """The others by their weights (start-time fair queueing)."""
        if not self._free(lanes, now):
            return None
        for lane in sorted(lanes, key=lambda each: each.turn):
            window = lane.window
            if not window.may_send(now) or self._due(lane, now) != now:
                continue
            if self._under_way[lane] and not lane.lingers:
                continue
            if not window.queue:
                await self._fill(lane)
            if window is lane.window and window.queue:
                return lane, window.queue.popleft()
        return None

    def _free(self, lanes: Sequence[Lane], now: float) -> bool:
        """A publish of one of these lanes may start."""
        slots = self._link.window
        if lanes is self._first:
            return self._under_way.total() < slots
        if sum(self._under_way[lane] for lane in lanes) >= min(
            self._traffic.line.width, max(1, slots - 1)
        ):
            return False
        if self._first and self._alarms_wait(self._first[0].window, now):
            return False
        in_doubt = sum(lane.window.in_doubt for lane in lanes)
        return self._traffic.drain.may(now, in_doubt, self._traffic.line.size)

    def _alarms_wait(self, window: Window, now: float) -> bool:
        """Lane 0 has something to send, and gets on."""
        if now < window.retry_at or not self._waiting(window):
            return False
        return window.may_send(now) or now - window.moved_at < GRACE_S

    def _waiting(self, window: Window) -> int:
        """Records that are not sent, those that are read ahead left out if there are any."""
        return len(window.queue) or self._traffic.store.backlog(window.lane, window.sent)

    def _due(self, lane: Lane, now: float) -> float | None:
        """When the lane may send what waits; None if nothing does."""
        window = lane.window
        if window.queue:
            return now
        waiting = self._traffic.store.backlog(window.lane, window.sent)
        due = lane.ripe_at(now, waiting, MAX_ITEMS, self._linger_s)
        if due is not None and window.lane == LANE_SAMPLE and not self._clock.ok:
            due = max(due, self._hold_until)
        return None if due is None else max(due, now)

    async def _fill(self, lane: Lane) -> None:
        window, size = lane.window, self._traffic.line.size
        attempt, after = window.attempt, window.sent
        ahead = AHEAD if size == MAX_PAYLOAD else 1  # what is cut too large would stay so
        part = await self._traffic.store.read(
            window.lane, after, max_items=lane.narrow, max_bytes=size * ahead
        )
        # Meanwhile an ack or a refusal may have moved the place to go on from.
        if part is None or window.attempt != attempt or window.sent != after:
            return
        lane.picked()
        cursor = window.cursor
        acked = cursor.seq if cursor is not None and cursor.epoch == part.epoch else part.base - 1
        window.queue.extend(
            batches(
                part, gateway_id=self._gateway_id, acked=acked, max_bytes=size, refused=lane.refused
            )
        )
        window.sent = Position(part.epoch, part.last)

    def _launch(self, lane: Lane, batch: Batch) -> None:
        traffic, window, size = self._traffic, lane.window, len(batch.payload)
        window.sending(batch, traffic.now(), traffic.drain.acked)
        lane.sent += batch.items
        self._under_way[lane] += 1
        if not lane.urgent:
            self._turn = max(self._turn, lane.turn)
            lane.turn = self._turn + size / WEIGHTS[window.lane]
            traffic.drain.spend(size)
        job = self._deliver(lane, batch, window, window.attempt)
        self._group.create_task(job, name=f"upstream:{traffic.name}:publish")

    async def _deliver(self, lane: Lane, batch: Batch, window: Window, attempt: int) -> None:
        traffic, started = self._traffic, self._traffic.now()
        topic = f"gw/{self._gateway_id}/up/{batch.lane}"
        traffic.meter.add(batch.lane, packet_bytes(topic, batch.payload))
        try:
            reason = await self._link.publish(topic, batch.payload, qos=1)
        except LinkDown:
            traffic.line.failed()
            raise
        self._under_way[lane] -= 1
        traffic.line.took(traffic.now() - started)
        if window is lane.window and window.attempt == attempt:
            if reason.ok:
                traffic.took(lane, batch, by_broker=self._by_broker)
            else:
                traffic.refused(lane, batch, reason)
        traffic.ring()

    async def _idle(self, lanes: Sequence[Lane], wake: asyncio.Event, now: float) -> None:
        """Until a commit, an ack, or the next time after `now` at which a lane may do something."""
        times = [lane.window.deadline for lane in lanes]
        times += [lane.window.retry_at for lane in lanes]
        times += [self._due(lane, now) for lane in lanes]
        if lanes is self._others:
            times.append(self._traffic.drain.due(now))
            times += [lane.window.moved_at + GRACE_S for lane in self._first]
        due = min((time for time in times if time is not None and time > now), default=None)
        with suppress(TimeoutError):
            left_s = IDLE_S if due is None else min(due - self._traffic.now(), IDLE_S)
            async with asyncio.timeout(max(left_s, 0)):
                await wake.wait()

"""Writes the journal to InfluxDB. Imported only when the configuration has `influxdb:`.

The journal is the only queue: the sink holds a cursor per lane, reads behind it, writes, and moves
it when the server has said 204. Anything else ends the run, moves nothing and drops nothing; the
supervisor starts it again; only single lines that the server refuses for good are passed, as dead
letters (`influx_post`). Writing the same lines twice changes nothing: a point is its series and
its time.
"""

import asyncio
import logging
import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import NamedTuple

from gateway.beat import IDLE_S
from gateway.clock import Clock
from gateway.driver import Device
from gateway.health import LinkHealth
from gateway.model import LANE_ALARM, LANE_EVENT, LANE_SAMPLE
from gateway.sinks.influx_client import TOO_LARGE, Busy, LinesRefused, Server, connect
from gateway.sinks.influx_encode import Body, Encoder
from gateway.sinks.influx_post import Letter, Post
from gateway.sinks.influx_settings import NAME, InfluxSection
from gateway.sinks.influx_types import FieldTypes
from gateway.sinks.lane import CLOCK_WAIT_S, Rate
from gateway.sinks.pace import Pace
from gateway.sinks.sink import LaneStatus
from gateway.store.store import Position, Slice, Store

log = logging.getLogger(__name__)

# Diagnostics (lane 3) stay here.
LANES = (LANE_ALARM, LANE_EVENT, LANE_SAMPLE)
# InfluxDB advises some thousand lines; 200 KB keeps a line of 20 KB/s within the time-out.
MAX_LINES, MAX_BYTES = 1_000, 200_000
# Lines made in one go, 1 ms on a PC. Not in a thread: after each system call the loop would wait for
# a thread that computes, 5 ms each time (sys.getswitchinterval, bpo-7946).
STEP_LINES = 50
GIVE_WAY_S = 2.0  # the longest that a write waits for an alarm of a platform


class Timing(NamedTuple):
    """Seconds: `linger_s` from one round of writing to the next, `event_linger_s` if events wait;
    `pause_s` from one write of a round to the next.

    On the same machine each write costs flushes of the same card: 60 s make 3,000 flushes a day
    out of 17,000 at 10 s (measured, influxd 1.6.7, 500 points every 10 s). The pause leaves
    processor and uplink to the others while a backlog is written, 2,000 lines a second.
    """

    linger_s: float
    event_linger_s: float = 10.0
    pause_s: float = 0.5


HERE, REMOTE = Timing(60.0), Timing(10.0)  # the server is on this machine, or elsewhere


class _Lane:
    def __init__(self, cursor: Position | None, clock: Clock) -> None:
        self.cursor = cursor
        self.written = 0
        self.dead = 0
        self.rate = Rate(clock)


class InfluxSink:
    """One bucket. `run` serves one client; the supervisor starts it again."""

    def __init__(
        self,
        section: InfluxSection,
        *,
        gateway_id: str,
        devices: Mapping[str, Device],
        store: Store,
        clock: Clock,
        name: str = NAME,
        timing: Timing | None = None,
        max_lines: int = MAX_LINES,
        types: FieldTypes | None = None,
    ) -> None:
        self.name = name
        self.health = LinkHealth()
        self._section = section
        self._store = store
        self._clock = clock
        self._timing = timing or (HERE if section.url.here else REMOTE)
        self._max_lines = max_lines
        self._gateway_id = gateway_id
        self._types = types or FieldTypes()
        self._encoder = Encoder(gateway_id, devices, self._types)
        self._lanes = {lane: _Lane(store.cursor(name, lane), clock) for lane in LANES}
        self._generation = store.generation
        self._wake = store.subscribe()
        self._progress = asyncio.Event()
        self._pace = Pace(MAX_BYTES)
        self._hurry = False
        self._acked_at: float | None = None
        self._not_before = -math.inf  # what the server asked for (Retry-After)
        self._rested_at = -math.inf  # when the last round ended
        self._synchronized_by = self._now() + CLOCK_WAIT_S

    async def run(self) -> None:
        """Work until cancelled. Raises LinkDown or Refused when a write fails."""
        while (left_s := self._not_before - self._now()) > 0:
            self.health.beat.turn()
            await asyncio.sleep(min(left_s, IDLE_S))
        async with connect(self._section) as server:
            self.health.connects += 1
            if not self._backlog():  # else the first write shows more
                await server.ping()
                self.health.good(self._clock.boottime_ns())
            while True:
                await self._due()
                await self._round(server)
                self._rested_at = self._now()

    def lanes(self) -> tuple[LaneStatus, ...]:
        return tuple(
            LaneStatus(
                number,
                self._store.backlog(number, lane.cursor),
                self._store.oldest_time_ns(number, lane.cursor),
                lane.written,
                lane.written,
                lane.rate.per_s(),
                lane.dead,
            )
            for number, lane in self._lanes.items()
        )

    async def drain(self, timeout_s: float) -> bool:
        """Write now; wait until what the lanes hold is written, False if the time is over first."""
        goals = self._goals()
        self._hurry = True
        self._wake.set()
        try:
            async with asyncio.timeout(timeout_s):
                while any(self._behind(number, goal) for number, goal in goals.items()):
                    self._progress.clear()
                    await self._progress.wait()
        except TimeoutError:
            return False
        return True

    def _backlog(self) -> int:
        """Of what is stored: events in memory, while storage fails, can wait for that."""
        behind = (n for n, goal in self._goals().items() if self._behind(n, goal))
        return sum(self._store.backlog(n, self._lanes[n].cursor) for n in behind)

    def _goals(self) -> Mapping[int, int]:
        return {number: self._store.last(number) for number in self._lanes}

    def _behind(self, number: int, goal: int) -> bool:
        """Seqs of a lane rise over all epochs."""
        cursor = self._lanes[number].cursor
        return self._store.backlog(number, cursor) > 0 and (cursor is None or cursor.seq < goal)

    def _now(self) -> float:
        return self._clock.boottime_ns() / 1e9

    async def _due(self) -> None:
        """Wait for the next round."""
        while True:
            self._wake.clear()
            wait_s = self._wait_s()
            if wait_s == 0:
                return
            self.health.beat.turn()
            with suppress(TimeoutError):
                async with asyncio.timeout(IDLE_S if wait_s is None else min(wait_s, IDLE_S)):
                    await self._wake.wait()

    def _wait_s(self) -> float | None:
        """Seconds until the next round if nothing happens before; None: there is nothing to write."""
        backlog, now, timing = self._backlog(), self._now(), self._timing
        if not backlog:
            return None
        if self._hurry:
            return 0
        if not self._clock.ok and now < self._synchronized_by:
            return self._synchronized_by - now
        if backlog >= self._max_lines:
            return 0
        events = any(self._behind(n, self._store.last(n)) for n in (LANE_ALARM, LANE_EVENT))
        linger_s = min(timing.linger_s, timing.event_linger_s) if events else timing.linger_s
        return max(self._rested_at + linger_s - now, 0)

    async def _round(self, server: Server) -> None:
        """Write what is there now; what comes meanwhile belongs to the next round."""
        goals = self._goals()
        while found := await self._next(goals):
            started = self._now()
            await self._deliver(server, found)
            await self._give_way()
            if any(self._behind(number, goal) for number, goal in goals.items()):
                await asyncio.sleep(max(started + self._timing.pause_s - self._now(), 0))

    async def _give_way(self) -> None:
        """A server elsewhere shares the uplink with the platforms: their alarms go before our backlog.

        Not for ever: a platform may be away for days.
        """
        end = self._now() + GIVE_WAY_S
        while not (self._section.url.here or self._hurry) and self._now() < end:
            waiting = (
                self._store.backlog(lane, at)
                for (sink, lane), at in self._store.cursors().items()
                if sink != self.name and lane == LANE_ALARM
            )
            if not any(waiting):
                return
            await asyncio.sleep(GIVE_WAY_S / 20)

    async def _next(self, goals: Mapping[int, int]) -> Slice | None:
        """Lane 0 first, before each write."""
        if (
            self._generation != self._store.generation
        ):  # storage has failed: places in memory are void
            self._generation = self._store.generation
            for number, lane in self._lanes.items():
                lane.cursor = self._store.cursor(self.name, number)
        for number, goal in goals.items():
            if self._behind(number, goal):
                part = await self._store.read(
                    number,
                    self._lanes[number].cursor,
                    max_items=self._max_lines,
                    max_bytes=self._pace.size,
                )
                if part is not None:
                    return part
        return None

    async def _deliver(self, server: Server, part: Slice) -> None:
        """The beginning of `part`, as much as a write may hold; then the cursor."""
        body = Body(self._encoder, part, self._pace.size)
        while body.fill(STEP_LINES):  # noqa: ASYNC110 -- a turn for the others, nothing to wait for
            await asyncio.sleep(0)
        lane = self._lanes[part.lane]
        if body.items:
            await self._keep_types()
            write = partial(self._write, server)
            post = Post(self._gateway_id, write, self._clock.time_ns)
            letters = await post.send(body.lines)
            if server.is_new() and self._go_back():
                return  # what was written just now comes again
            self._acked_at = self._now()
            self._bury(part.lane, letters)  # before the cursor: after a crash they are asked again
            lane.written += body.items - len(letters)
            lane.rate.add(body.items - len(letters))
        if body.empty:
            self.health.counters["empty"] += body.empty
        lane.cursor = Position(part.epoch, body.last)
        self._store.advance(self.name, part.lane, lane.cursor)
        self._progress.set()

    def _go_back(self) -> bool:
        """The server may have died since it acknowledged, with what it had not kept yet.

        False if that makes no difference.
        """
        lag_s = self._section.ack_lag
        if not lag_s:
            return False
        silent_s = 0.0 if self._acked_at is None else self._now() - self._acked_at
        for number, lane in self._lanes.items():
            lane.cursor = self._store.rewind(self.name, number, silent_s + lag_s)
        return True

    async def _keep_types(self) -> None:
        """While storage fails they are kept in memory."""
        if self._types.changed:
            try:
                await asyncio.to_thread(self._types.save)
            except OSError as error:
                self.health.counters["types_unsaved"] += 1
                log.debug("%s: types of fields: %s", self.name, error)

    def _bury(self, number: int, letters: Sequence[Letter]) -> None:
        for (seq, line), status, reason in letters:
            self._store.dead_letter(self.name, number, seq, status, reason, line)
        self._lanes[number].dead += len(letters)
        if letters:
            log.error(
                "lane %d, item %d is refused for good, and %d of the same write: %s",
                number, letters[0].line.seq, len(letters) - 1, letters[0].reason,
                extra={"component": self.name},
            )  # fmt: skip

    async def _write(self, server: Server, data: bytes) -> None:
        before = self._now()
        try:
            await server.write(data)
        except Busy as error:
            self._not_before = self._now() + error.wait_s
            raise
        except LinesRefused as error:
            if error.status == TOO_LARGE:
                self._pace.limit(len(data) // 2)
            raise
        finally:  # a time-out counts as slow
            self._pace.took(self._now() - before)
        self.health.good(self._clock.boottime_ns())
        self.health.counters["writes"] += 1

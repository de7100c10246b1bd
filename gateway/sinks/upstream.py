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
from gateway.errors import LinkDown, Refused
from gateway.health import LinkHealth
from gateway.model import LANE_ALARM, LANE_EVENT, EventKind, Severity
from gateway.mqtt import Connection, Reason, Subscription, Will, connect
from gateway.sinks.courier import Courier
from gateway.sinks.downlink import Downlink
from gateway.sinks.lane import CLOCK_WAIT_S
from gateway.sinks.meter import Meter
from gateway.sinks.receipts import Receipts
from gateway.sinks.settings import UpstreamSection
from gateway.sinks.sink import LaneStatus
from gateway.sinks.traffic import NO_SUBSCRIBER, Tell, Traffic
from gateway.sinks.window import Timing
from gateway.store.store import Store
from gateway.tls import Certificates, Context, Verdict, dateless

log = logging.getLogger(__name__)

TIMING = Timing()
FAREWELL_S = 2.0
WATCH_S = 2.0  # three calls of stat(2); a new pair is in use within twice that and its trial


class _Renewed(Exception):  # noqa: N818 -- not an error: it ends a connection
    """There is a new certificate."""


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
        tell: Tell,
        meter: Meter,
        timing: Timing = TIMING,
        downlink: Downlink | None = None,
    ) -> None:
        self.name = name
        self._section = section
        self._gateway_id = gateway_id
        self._clock = clock
        self._topic = f"gw/{gateway_id}"
        lanes = sorted(section.lanes)
        self._traffic = Traffic(
            name, lanes, store=store, clock=clock, timing=timing, tell=tell, meter=meter
        )
        self._meter = meter
        self._certificates = Certificates(section)
        self._receipts = Receipts(self._traffic)
        self._store, self._tell = store, tell
        self._component = {"component": f"upstream:{name}"}
        self._downlink = downlink
        self._dateless = False  # how this connection was made
        self._synchronized_by = self._traffic.now() + CLOCK_WAIT_S

    @property
    def health(self) -> LinkHealth:
        return self._traffic.health

    async def run(self) -> None:
        """Work until cancelled. Raises LinkDown or Refused when the connection fails."""
        await self._meter.load()
        while True:  # once more for each renewed certificate
            await self._certified()
            try:
                await self._connected()
            except Refused:
                self._certificates.doubt()
                raise

    async def _context(self) -> Context | None:
        """The dates of certificates mean nothing while nobody knows what day it is."""
        lax = self._section.allow_unsynced_clock and self._section.url.tls
        self._dateless = lax and not self._clock.ok
        if not self._dateless:
            return self._certificates.context
        what = (
            "the clock is not right: dates of certificates are not checked, alarms alone are sent"
        )
        log.warning("%s", what, extra=self._component)
        return await asyncio.to_thread(dateless, self._section)

    async def _connected(self) -> None:
        """Serve one connection; returns when there is a better certificate for the next one, or the
        clock is right at last.
        """
        context = await self._context()
        for lane in self._traffic.lanes.values():
            lane.window.restart()
        async with connect(
            self._section,
            client_id=f"{self._gateway_id}-{self.name}",
            clock=self._clock,
            subscriptions=self._subscriptions(),
            will=Will(f"{self._topic}/state", self._state(online=False)),
            context=context,
        ) as link:
            self.health.connects += 1
            try:
                await self._announce(link)
                await self._serve(link)
            finally:  # a clean end of the connection drops the will
                with suppress(TimeoutError, LinkDown):
                    async with asyncio.timeout(FAREWELL_S):
                        await self._publish_state(link, online=False)
                with suppress(TimeoutError):
                    async with asyncio.timeout(FAREWELL_S):
                        await self._meter.save()

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
                lane.parked,
                self._meter.today(number),
                self._meter.by_day(number),
            )
            for number, lane in self._traffic.lanes.items()
        )

    async def drain(self, timeout_s: float) -> bool:
        """Wait until what lanes 0 and 1 hold now is acknowledged; False if the time is over first."""
        goals = {
            number: self._store.last(number)
            for number in (LANE_ALARM, LANE_EVENT)
            if number in self._traffic.lanes
            and self._store.backlog(number, self._traffic.cursor(number))
        }
        try:
            async with asyncio.timeout(timeout_s):
                while not all(
                    self._traffic.reached(number, goal) for number, goal in goals.items()
                ):
                    self._traffic.progress.clear()
                    await self._traffic.progress.wait()
        except TimeoutError:
            return False
        return True

    # Certificates

    async def _certified(self) -> None:
        """Before a connection: changed files are tried at once."""
        self._judge(await asyncio.to_thread(self._certificates.look, settled=True))

    async def _watch(self) -> None:
        """Ends the connection when there are new files and the peer takes them."""
        while self._section.url.tls:
            await asyncio.sleep(WATCH_S)
            verdict = await asyncio.to_thread(self._certificates.look)
            self._judge(verdict)
            if verdict.renewed or (self._dateless and self._clock.ok):
                raise _Renewed

    def _judge(self, verdict: Verdict) -> None:
        what: dict[str, object] = {"upstream": self.name}
        if verdict.renewed:
            log.info("new certificate files are in use", extra=self._component)
            self._tell(EventKind.CERTIFICATE_RENEWED, Severity.OPERATIONAL, what)
        elif verdict.complaint and verdict.complaint != self.health.note:
            log.warning("%s", verdict.complaint, extra=self._component)
            what["reason"] = verdict.complaint
            self._tell(EventKind.CERTIFICATE_REFUSED, Severity.OPERATIONAL, what)
        self.health.note = verdict.complaint

    # Connection

    def _subscriptions(self) -> tuple[Subscription, ...]:
        acks = (Subscription(f"{self._topic}/ack", 2),) if self._section.ack == "platform" else ()
        return (*acks, *(self._downlink.subscriptions if self._downlink else ()))

    async def _announce(self, link: Connection) -> None:
        before = self._traffic.now()
        reason = await self._publish_state(link, online=True)
        self._traffic.line.begin(self._traffic.now() - before)
        # Nobody there to see it is no failure: it is retained.
        if not reason.ok and reason.code != NO_SUBSCRIBER:
            raise Refused(f"{self.name}: publishing {self._topic}/state: {reason.text}")
        self._traffic.good()

    async def _publish_state(self, link: Connection, *, online: bool) -> Reason:
        return await link.publish(
            f"{self._topic}/state", self._state(online=online), qos=1, retain=True
        )

    def _state(self, *, online: bool) -> bytes:
        state: dict[str, object] = {"v": 1, "gw": self._gateway_id, "online": online}
        if online:
            state |= {
                "time": str(self._clock.time_ns()), "clock_ok": self._clock.ok,
                "boot": self._clock.boot, "lanes": list(self._traffic.lanes), "ack": self._section.ack,
            }  # fmt: skip
        return orjson.dumps(state)

    async def _serve(self, link: Connection) -> None:
        """Raises the one LinkDown or Refused that ended it; bugs come out as a group."""
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._listen(link), name=f"upstream:{self.name}:listen")
                tasks.create_task(self._watch(), name=f"upstream:{self.name}:certificates")
                if self._downlink is not None:
                    tasks.create_task(
                        self._downlink.answer(link), name=f"upstream:{self.name}:answer"
                    )
                courier = self._courier(link, tasks)
                tasks.create_task(self._meter.keep(), name=f"upstream:{self.name}:meter")
                if not self._dateless:
                    tasks.create_task(courier.bulk(), name=f"upstream:{self.name}:bulk")
                # In the body, not a task: a group whose child fails while it waits for its
                # children leaves `cancelling()` raised (Python 3.11).
                await courier.urgent()
        except ExceptionGroup as group:
            task = asyncio.current_task()
            if task is not None and task.cancelling():  # at the same time: the group hides it
                raise asyncio.CancelledError from group
            rest = group.split(_Renewed)[1]
            if rest is None:
                return
            link_errors, bugs = rest.split((LinkDown, Refused))
            if bugs is not None or link_errors is None:
                raise
            raise link_errors.exceptions[0] from group

    async def _listen(self, link: Connection) -> None:
        while True:
            message = await link.receive()
            if self._downlink is None or not self._downlink.take(message):
                await self._receipts.hear(message.payload)
            link.ack(message)

    def _courier(self, link: Connection, tasks: asyncio.TaskGroup) -> Courier:
        return Courier(
            self._traffic, link, tasks, gateway_id=self._gateway_id,
            by_broker=self._section.ack == "broker", linger_s=self._section.linger,
            clock=self._clock, hold_until=self._synchronized_by,
        )  # fmt: skip

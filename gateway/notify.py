"""Notifications to people: whatever happens, each is tried until it is delivered or expired.

A notification is an event (`notification`), so it is in the journal and on its way to the platforms as
every other event. Local recipients hear of it at once over MQTT, beside the commit: neither disk nor
uplink is waited for. How it ended is an event too (`notified`). Both name a slot; the journal keeps
the newest event of each slot, from which a restart goes on. A kill between the delivery and the
commit of its `notified` repeats it, with the same id.
"""

import asyncio
import logging
import random
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Protocol
from uuid import UUID

import orjson

from gateway.clock import Clock
from gateway.document import suggest
from gateway.driver import Announcer
from gateway.errors import LinkDown, Refused, StoreFailed, StoreFull
from gateway.model import NO_ATTRIBUTES, Event, EventKind, Severity, lane_of
from gateway.notice import Ending, Notice, key_of, since_ns
from gateway.recipients import RecipientSection, fill

log = logging.getLogger(__name__)

GONE = "no longer configured"
SLOTS = 256  # notifications that may be open; of the last so many a repeat is known
MAX_TEXT = 4_000  # characters
ATTEMPT_S = 15.0  # the MQTT wrapper itself gives up after 10 s
FIRST_S, LONGEST_S = 0.5, 10.0  # between attempts, less up to a half
LOOK_S = 0.1  # first look at a platform's cursor; then ever more seldom
STORAGE_S = 1.0  # as often as the store tries


class Journal(Protocol):
    """What is needed of the store."""

    async def durable(self, n: int) -> None: ...
    def last(self, lane: int) -> int: ...
    def cursor(self, sink: str, lane: int) -> tuple[int, int] | None: ...


class Emit(Protocol):
    def __call__(
        self,
        kind: EventKind,
        severity: Severity,
        device: str,
        attributes: dict[str, object],
        cause: UUID | None = None,
    ) -> Event: ...


class Notifier:
    """`send` may be called at any time; deliveries live as long as `run`."""

    def __init__(
        self,
        recipients: Mapping[str, RecipientSection],
        *,
        gateway_id: str,
        announcers: Mapping[str, Announcer],  # by link
        journal: Journal,
        clock: Clock,
        emit: Emit,
        told: Callable[[Notice], None] | None = None,  # of every ending
    ) -> None:
        self._recipients = recipients
        self._gateway_id = gateway_id
        self._announcers = announcers
        self._journal = journal
        self._clock = clock
        self._emit = emit
        self._told = told
        self._group: asyncio.TaskGroup | None = None
        self._open: dict[int, Notice] = {}  # by slot
        self._free: deque[int] = deque(range(SLOTS))  # the one that ended longest ago first
        self._keys: dict[str, Notice | None] = {}  # None: of an earlier life, and ended
        self._key_in: dict[int, str] = {}  # by slot
        self.counters: Counter[str] = Counter()

    @property
    def recipients(self) -> int:
        """How many are configured."""
        return len(self._recipients)

    @property
    def open(self) -> list[Notice]:
        """Those under way: the most severe first, then the oldest."""
        return sorted(self._open.values(), key=lambda n: (-n.event.severity, n.since_ns))

    async def run(self) -> None:
        """Owns the tasks of deliveries; works until cancelled. What is open then goes on at the next start."""
        async with asyncio.TaskGroup() as group:
            self._group = group
            try:
                for notice in self.open:
                    self._start(notice)
                await asyncio.Event().wait()
            finally:
                self._group = None

    def restore(self, events: Iterable[Event]) -> None:
        """Go on with what was open when the gateway ended; `events` are the newest of each slot."""
        for event in sorted((e for e in events if e.kind in _KINDS), key=lambda e: e.event_id):
            notice = Notice(event, since_ns(event, self._clock))
            if notice.slot is None or notice.slot not in self._free:
                continue
            self._free.remove(notice.slot)
            if event.kind is EventKind.NOTIFIED:
                self._remember(notice.slot, notice.key, None)
                self._free.append(notice.slot)
                continue
            self._remember(notice.slot, notice.key, notice)
            self._open[notice.slot] = notice
            if notice.recipient not in self._recipients:
                self._end(notice, Ending.GONE, GONE)

    def adopt(
        self, recipients: Mapping[str, RecipientSection], announcers: Mapping[str, Announcer]
    ) -> None:
        """Others from now on. What is under way to one that is reached in another way begins anew."""
        before, self._recipients, self._announcers = self._recipients, recipients, announcers
        for notice in self.open:
            if notice.recipient not in recipients:
                self._end(notice, Ending.GONE, GONE)
            elif recipients[notice.recipient] != before.get(notice.recipient):
                if notice.task is not None:
                    notice.task.cancel()
                self._start(notice)

    def send(
        self,
        recipient: str,
        text: str,
        severity: Severity = Severity.OPERATIONAL,
        about: Mapping[str, object] = NO_ATTRIBUTES,
        cause: UUID | None = None,
        by: str = "rules",
        occasion: str = "",
    ) -> Notice | None:
        """Tell a recipient; starts at once and returns immediately.

        `about` (JSON values) goes with it. The same text to the same recipient for the same `cause` (an
        event) is sent once: None, if that ended before the gateway started, else its notice. Who means
        it again, e.g. a reminder, names another `occasion`. A text over 4,000 characters is cut. Raises
        ValueError for an unknown recipient.
        """
        if recipient not in self._recipients:
            fix = suggest(recipient, self._recipients)
            raise ValueError(f"unknown recipient '{recipient}': {fix}")
        if len(text) > MAX_TEXT:
            self.counters["cut"] += 1
            text = text[: MAX_TEXT - 1] + "…"
        key = key_of(recipient, text, cause, occasion)
        if key and key in self._keys:
            self.counters["duplicates"] += 1
            return self._keys[key]
        severity = max(severity, Severity.OPERATIONAL)
        slot = self._slot(severity)
        what: dict[str, object] = {
            "recipient": recipient, "text": text, "about": dict(about), "by": by, "key": key, "slot": slot,
        }  # fmt: skip
        event = self._emit(EventKind.NOTIFICATION, severity, "gateway", what, cause)
        notice = Notice(event, event.received_ns)
        if slot is None:
            self._end(notice, Ending.DROPPED, f"{SLOTS} others wait")
            return notice
        self._remember(slot, key, notice)
        self._open[slot] = notice
        self._start(notice)
        return notice

    async def stored(self, notice: Notice) -> bool:
        """Wait until it is on disk; False if storage fails: then it is in memory alone."""
        try:
            await self._journal.durable(notice.event.n)
        except (StoreFailed, StoreFull):
            return False
        return True

    # -- slots ----------------------------------------------------------------------------------

    def _slot(self, severity: Severity) -> int | None:
        """A free one, or that of the oldest of the least severe, if it is less severe than this one."""
        if not self._free:
            weakest = min(self._open.values(), key=lambda n: (n.event.severity, n.since_ns))
            if weakest.event.severity >= severity:
                return None
            self._end(weakest, Ending.DROPPED, "a more severe one took its place")
        return self._free.popleft()

    def _remember(self, slot: int, key: str, notice: Notice | None) -> None:
        """Its key, in the place of that which had the slot before."""
        self._keys.pop(self._key_in.pop(slot, ""), None)
        if key:
            self._key_in[slot] = key
            self._keys[key] = notice

    def _end(self, notice: Notice, ending: Ending, reason: str) -> None:
        notice.ending, notice.reason = ending, reason
        notice.done.set()
        self.counters[ending.value] += 1
        if notice.slot is not None:
            del self._open[notice.slot]
            self._free.append(notice.slot)
        if notice.task is not None and notice.task is not asyncio.current_task():
            notice.task.cancel()
        self._tell(notice, ending)

    def _tell(self, notice: Notice, ending: Ending) -> None:
        good = ending is Ending.DELIVERED
        what = {
            **notice.event.attributes, "outcome": ending.value, "reason": notice.reason,
            "attempts": notice.attempts,
        }  # fmt: skip
        severity = Severity.OPERATIONAL if good else notice.event.severity
        self._emit(EventKind.NOTIFIED, severity, "gateway", what, notice.id)
        if self._told is not None:
            self._told(notice)
        if not good:
            log.warning(
                "notification to %s: %s: %s", notice.recipient, ending.value, notice.reason,
                extra={"component": "notify"},
            )  # fmt: skip

    # -- deliveries -----------------------------------------------------------------------------

    def _start(self, notice: Notice) -> None:
        if self._group is not None:
            name = f"notify:{notice.recipient}"
            notice.task = self._group.create_task(self._deliver(notice), name=name)

    async def _deliver(self, notice: Notice) -> None:
        recipient = self._recipients[notice.recipient]
        left_s = self._left_s(notice, recipient)
        try:
            async with asyncio.timeout(max(0.0, left_s)):
                if left_s <= 0:
                    raise TimeoutError
                if recipient.via == "upstream":
                    await self._taken(notice, str(recipient.to))
                else:
                    await self._announced(notice, recipient)
        except TimeoutError:
            self._end(notice, Ending.EXPIRED, notice.reason or "too late when the gateway started")
        else:
            self._end(notice, Ending.DELIVERED, "")

    def _left_s(self, notice: Notice, recipient: RecipientSection) -> float:
        return recipient.expires_s - (self._clock.boottime_ns() - notice.since_ns) / 1e9

    async def _announced(self, notice: Notice, recipient: RecipientSection) -> None:
        """Publish until the broker has it for somebody."""
        payload = self._payload(notice, recipient)
        for pause_s in _pauses(FIRST_S):
            if await self._attempt(notice, recipient, payload):
                return
            self.counters["failed attempts"] += 1
            await asyncio.sleep(pause_s)

    async def _attempt(self, notice: Notice, recipient: RecipientSection, payload: bytes) -> bool:
        announcer = self._announcers[str(recipient.link)]
        expiry_s = max(
            1, int(self._left_s(notice, recipient))
        )  # MQTT 5.0, 3.3.2.3.3: whole seconds
        notice.attempts += 1
        try:
            async with asyncio.timeout(ATTEMPT_S):
                await announcer.announce(str(recipient.topic), payload, expiry_s=expiry_s)
        except TimeoutError:
            notice.reason = f"no answer within {ATTEMPT_S:g} s"
        except (LinkDown, Refused) as error:
            notice.reason = str(error)
        else:
            return True
        return False

    def _payload(self, notice: Notice, recipient: RecipientSection) -> bytes:
        parts = {
            "id": str(notice.id), "gateway": self._gateway_id, "recipient": notice.recipient,
            "severity": notice.event.severity.name.lower(), "text": notice.text,
        }  # fmt: skip
        if recipient.payload is not None:
            return fill(recipient.payload, parts)
        more = {"time": str(notice.event.time_ns), "about": notice.event.attributes.get("about")}
        return orjson.dumps({"v": 1, **parts, **more})

    async def _taken(self, notice: Notice, sink: str) -> None:
        """The journal sends it: wait until the sink's cursor has passed it."""
        notice.attempts = 1
        while not await self.stored(notice):
            notice.reason = "storage fails"
            await asyncio.sleep(STORAGE_S)
        lane = lane_of(notice.event)
        goal = self._journal.last(lane)
        notice.reason = f"{sink} has not taken it; it stays in the journal for {sink}"
        for pause_s in _pauses(LOOK_S):
            cursor = self._journal.cursor(sink, lane)
            if cursor is not None and cursor[1] >= goal:
                return
            await asyncio.sleep(pause_s)


_KINDS = frozenset({EventKind.NOTIFICATION, EventKind.NOTIFIED})


def _pauses(first_s: float) -> Iterator[float]:
    """Twice as long each time, up to 10 s, less a random part of up to a half."""
    ceiling_s = first_s
    while True:
        yield ceiling_s * random.uniform(0.5, 1.0)
        ceiling_s = min(LONGEST_S, 2 * ceiling_s)

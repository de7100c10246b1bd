"""The way every item takes: number, deduplicate, report, store, state, events, rules. Synchronous.

A local reaction never waits: the store only gets the item handed over, and what a rule decides is
started before `publish` returns. docs/decisions/0004-bus.md says why there is no queue here.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Protocol
from uuid import UUID

from gateway.beat import IDLE_S, Beat
from gateway.clock import Clock
from gateway.counter import Counters, Step
from gateway.counters import ReplayCounters
from gateway.model import NO_ATTRIBUTES, Event, EventKind, Item, Sample, Severity, uuid7
from gateway.recent import Recent
from gateway.report import Reports
from gateway.state import Change, State
from gateway.store.kept import NO_ROWS, Rows

log = logging.getLogger(__name__)

MAX_IDS = 65_536  # repeats come within minutes; at most 130 bytes each


class Journal(Protocol):
    """What the bus needs of the store."""

    @property
    def last_n(self) -> int: ...
    @property
    def taken_ids(self) -> list[bytes]: ...
    @property
    def replay(self) -> ReplayCounters: ...
    @property
    def shedding(self) -> bool:
        """The disk is full: samples are refused."""

    def append(self, item: Item, *, held: bool = False, rows: Rows = NO_ROWS) -> bool: ...
    def keep(self, rows: Rows) -> None: ...
    async def durable(self, n: int) -> None: ...
    async def room(self) -> None: ...
    def recent_ids(self) -> list[bytes]: ...


class Decider(Protocol):
    """The rule engine behind its seam; `gateway.app` makes one from `rules.step`."""

    def decide(self, sample: Sample | None, now_ns: int, bus: "Bus") -> None:
        """Take a sample, or None for the passing of time, and act on what follows from it."""

    def next_due_ns(self) -> int | None:
        """CLOCK_BOOTTIME at which `decide(None, ...)` is wanted."""


class Bus:
    """Implements `gateway.driver.Publisher`; all methods belong to the event loop's thread."""

    def __init__(
        self,
        *,
        store: Journal,
        state: State,
        clock: Clock,
        decider: Decider,
        counted: Counters | None = None,
        reports: Reports | None = None,
        told: Callable[[Event], None] | None = None,  # of the events that drivers publish
    ) -> None:
        self._store = store
        self._state = state
        self._clock = clock
        self._decider = decider
        self._counted = counted or Counters({})
        self._reports = reports or Reports(())
        self._told = told
        self._n = 0
        self._seen = Recent(MAX_IDS)
        # Ids of messages that had their effects before the restart and were not stored themselves.
        self._taken: dict[bytes, None] = {}
        self._due_ns: int | None = None
        self._rearm = asyncio.Event()
        self.beat = Beat()  # of `run`
        self.tap: Callable[[Item], None] | None = None  # of whoever watches
        self.counters: Counter[str] = Counter()
        self._unreported: Counter[str] = Counter()

    def restore(self) -> None:
        """Continue where the journal ended: input numbers and the ids of messages seen before."""
        self._n = self._store.last_n
        self._seen = Recent(MAX_IDS, self._store.recent_ids())
        self._taken = dict.fromkeys(self._store.taken_ids)

    def reopened(self) -> None:
        """The journal was opened while items came in: go on behind what it holds."""
        self._n = max(self._n, self._store.last_n)
        for key in self._store.recent_ids():
            self._seen.add(key, 0)

    async def publish(self, item: Item, *, held: bool = False) -> Item:
        if isinstance(item, Event):
            return self._take_event(item)
        key = _key(item)
        if key is not None and (first := self._seen.get(key)) is not None:
            self.counters["duplicates"] += 1
            return item.numbered(first)
        return self._take_sample(item, key, held=held)

    async def commit(self, item: Item) -> None:
        # An item whose commit failed stays with the store: a repeat of it is a duplicate, and waits
        # for the same commit.
        await self._store.durable(item.n)

    async def room(self) -> None:
        await self._store.room()

    def remembers(self, device: str) -> bool:
        """Looks at up to `MAX_IDS` ids: not for every message."""
        begin = source_key(device, b"")
        return any(key.startswith(begin) for key in self._seen)

    def last_counter(self, device: str) -> int | None:
        return self._store.replay.last(device)

    def forget_counter(self, device: str) -> None:
        """The next message of the device counts as its first one, whatever its counter."""
        self._store.replay.forget(device)

    def emit(
        self,
        kind: EventKind,
        severity: Severity,
        device: str,
        attributes: dict[str, object],
        cause: UUID | None = None,
        *,
        rows: Rows = NO_ROWS,
    ) -> Event:
        """Make an event of the gateway's own, now, and hand it to the store, with the state of rules
        that belongs to it.
        """
        now_ns = self._clock.time_ns()
        event = Event(
            uuid7(now_ns), kind, severity, device, now_ns, self._clock.boottime_ns(),
            self._clock.boot, self._clock.ok, attributes or NO_ATTRIBUTES, cause, self._n,
        )  # fmt: skip
        self._append(event, rows)
        return event

    def keep(self, rows: Rows) -> None:
        """The state of rules, for after a restart."""
        self._store.keep(rows)

    async def settle(self) -> None:
        """Wait until all that came so far, and its state of rules, is on disk. Raises as `commit`."""
        await self._store.durable(self._n)

    def report_losses(self) -> None:
        """Tell the platform what was dropped since the last call; called every few seconds."""
        for reason, count in self._unreported.items():
            attributes: dict[str, object] = {"lane": 2, "count": count, "reason": reason}
            self.emit(EventKind.DATA_LOSS, Severity.OPERATIONAL, "gateway", attributes)
            log.error("%d samples lost: %s", count, reason, extra={"component": "bus"})
        self._unreported.clear()

    def now_ns(self) -> int:
        """CLOCK_BOOTTIME."""
        return self._clock.boottime_ns()

    def rearm(self) -> None:
        """The rules may want to know of another time than before."""
        if self._decider.next_due_ns() != self._due_ns:
            self._rearm.set()

    async def run(self) -> None:
        """Tell the rules that time passes, when they want to know. Works until cancelled."""
        while True:
            self._rearm.clear()
            self._due_ns = due_ns = self._decider.next_due_ns()
            wait_s = None if due_ns is None else (due_ns - self._clock.boottime_ns()) / 1e9
            idle = wait_s is None or wait_s > IDLE_S
            self.beat.turn()
            try:
                async with asyncio.timeout(IDLE_S if idle else wait_s):
                    await self._rearm.wait()
            except TimeoutError:
                if not idle:
                    self._decider.decide(None, self._clock.boottime_ns(), self)

    def _append(self, event: Event, rows: Rows = NO_ROWS) -> None:
        self._store.append(event, rows=rows)
        if self.tap is not None:
            self.tap(event)

    def _take_event(self, event: Event) -> Event:
        self._n += 1
        event = event.numbered(self._n)
        self._append(event)
        if self._told is not None:
            self._told(event)
        return event

    def _take_sample(self, sample: Sample, key: bytes | None, *, held: bool) -> Sample:
        self._n += 1
        sample = sample.numbered(self._n)
        if self.tap is not None:
            self.tap(sample)
        # Both before its events, so that the store finds the message that led to them.
        if sample.counter is not None:
            self._store.replay.admit(sample.device, sample.counter)
        if self._keep(sample, held=held) and key is not None:
            self._seen.add(key, self._n)
        for step in self._counted.steps(sample):
            self._counter_event(sample, step)
        changes = self._state.update(sample)
        if key is not None and key in self._taken:  # its alarms are stored; its sample was not
            del self._taken[key]
            self.counters["replayed"] += 1
        else:
            for change in changes:
                self._point_alarm(sample, change)
        self._decider.decide(sample, self._clock.boottime_ns(), self)
        self.rearm()
        return sample

    def _keep(self, sample: Sample, *, held: bool) -> bool:
        """Into the journal with what is to be reported; False if it had to be dropped."""
        news = self._reports.news(sample)
        if news is not sample:
            self.counters["suppressed"] += len(sample.values.keys() | sample.quality.keys())
            if news is None:
                return True
            self.counters["suppressed"] -= len(news.values.keys() | news.quality.keys())
        if self._store.append(news, held=held):
            self.counters["samples"] += 1
            return True
        reason = "store_shed" if self._store.shedding else "store_stalled"
        self.counters[reason] += 1
        self._unreported[reason] += 1
        self._reports.lost(news)
        return False

    def _point_alarm(self, sample: Sample, change: Change) -> None:
        attributes = {"point": change.point, "value": change.new, "was": change.old}
        self._append(_event_of(sample, EventKind.POINT_ALARM, change.severity, attributes))

    def _counter_event(self, sample: Sample, step: Step) -> None:
        attributes = {"point": step.point, "value": step.value, "was": step.was}
        self._append(_event_of(sample, step.kind, Severity.OPERATIONAL, attributes))


def _event_of(
    sample: Sample, kind: EventKind, severity: Severity, attributes: Mapping[str, object]
) -> Event:
    """An event that `sample` led to, with its times and its number."""
    return Event(
        uuid7(sample.time_ns), kind, severity, sample.device, sample.time_ns, sample.received_ns,
        sample.boot, sample.clock_ok, attributes, None, sample.n,
    )  # fmt: skip


def _key(sample: Sample) -> bytes | None:
    return None if sample.source_id is None else source_key(sample.device, sample.source_id)


def source_key(device: str, source_id: bytes) -> bytes:
    """The key under which a message is remembered: device ids hold no NUL."""
    return device.encode() + b"\0" + source_id

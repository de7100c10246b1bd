"""Devices that are connected, not only heard: one task each, that connects, listens, tells a loss."""

import asyncio
import logging
import random
from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from typing import NamedTuple, Protocol

from drivers.ble import characteristic as gatt
from drivers.ble.link import Found, Link, connected
from drivers.ble.place import SILENT_POINT
from gateway.clock import Clock
from gateway.driver import Device, Publisher
from gateway.errors import BadData, LinkDown, Refused
from gateway.health import DeviceHealth
from gateway.model import (
    EMPTY,
    Command,
    CommandResult,
    Event,
    EventKind,
    Level,
    Outcome,
    Quality,
    Sample,
    Severity,
    Value,
    uuid7,
)

log = logging.getLogger(__name__)

OUTER_S = 60.0  # connect, subscribe and read all, with the scan paused: the others wait for it
STOP_S = 5.0  # the supervisor waits no longer for a driver to end
BACKOFF_S = (1.0, 10.0)  # nobody hears the device meanwhile
# An attempt to connect keeps the adapter from hearing the others: after one they are heard for four
# times as long, also if a device comes and goes.
HEARING = 4.0
MS = 1_000_000

AWAY = Quality(Level.BAD, "link_lost")
NOT_BONDED = Quality(Level.BAD, "not_bonded")
DOUBT_NS = 60 * 10**9  # between two words of doubt about one point


class Radio(Protocol):
    """What a connection needs of the adapter that scans."""

    async def fresh(self, address: str) -> Found:
        """The device as the scanner has it now; waits until it is heard. Raises LinkDown."""

    def paused(self) -> AbstractAsyncContextManager[None]:
        """No active scan, and nobody else connects, for the time of the block."""


class Terms(NamedTuple):
    """How one device is kept; times in seconds."""

    address: str
    heartbeat_s: float  # between two reads that prove that the link lives
    grace_s: float  # away for longer: an alarm
    plain: bool = False  # points of severity life may act although the link is not bonded


class GattDevice:
    """One connected device. `keep` it while the adapter hears, and `watch` it all the time; both may
    end and begin again: what was lost is remembered.
    """

    def __init__(
        self, device: Device, terms: Terms, radio: Radio, clock: Clock, health: DeviceHealth
    ) -> None:
        """Raises ValueError for a profile that `characteristic.check_profile` finds faults in."""
        self.id = device.id
        self._profile = device.profile
        self._places = gatt.places(device.profile)
        self._writes = gatt.on_connect(device.profile)
        self._terms = terms
        self._radio = radio
        self._clock = clock
        self._health = health
        self._link: Link | None = None
        self._here = asyncio.Event()
        self._gone = asyncio.Event()
        self._gone.set()
        self._gone_ns = clock.boottime_ns()
        self._loss = ""  # the reason, until it is told
        self._last_ns = 0
        self._doubted: dict[str, int] = {}
        self._failures = 0
        self._yield_until = 0.0  # loop time: until then the adapter hears the others

    async def keep(self, bus: Publisher) -> None:
        """Connect, again and again, until cancelled; with an adapter that hears."""
        try:
            while True:
                self._failed(await self._attempt(bus))
                low, high = BACKOFF_S
                ceiling = min(high, low * 2.0 ** min(self._failures, 6))
                now = asyncio.get_running_loop().time()
                await asyncio.sleep(max(random.uniform(low, ceiling), self._yield_until - now))
        finally:
            if self._here.is_set():
                self._lost("the adapter was lost")

    async def watch(self, bus: Publisher) -> None:
        """Tell of a loss at once and, if it lasts, as an alarm, until cancelled; also while there is
        no adapter.
        """
        while True:
            await self._gone.wait()
            if self._loss:
                await self._tell_loss(bus)
            left_s = self._terms.grace_s - (self._clock.boottime_ns() - self._gone_ns) / 1e9
            try:
                async with asyncio.timeout(max(0.0, left_s)):
                    await self._here.wait()
            except TimeoutError:
                values: dict[str, Value] = {SILENT_POINT: True}
                await self._publish(bus, values, EMPTY, self._clock.boottime_ns())
                await self._here.wait()

    async def write(self, command: Command) -> CommandResult:
        """Write once. Raises LinkDown or Refused."""
        spec = self._profile.by_command.get(command.point)
        if spec is None:
            raise Refused(f"{self.id}: no command writes {command.point}")
        if command.not_after_ns <= self._clock.boottime_ns():
            return CommandResult(command, Outcome.EXPIRED, "too late to write")
        if self._link is None:
            raise LinkDown(f"{self.id}: writing {command.point}: it is not connected")
        place = gatt.place_of(spec.at)
        try:
            value = gatt.encode(place, _raw(spec.enum, command.value))
        except BadData as error:
            raise Refused(f"{self.id}: writing {command.point}: {error}") from error
        await self._link.write(place.service, place.characteristic, value)
        return CommandResult(command, Outcome.WRITTEN, attempts=1)

    async def _attempt(self, bus: Publisher) -> str:
        """Why the session ended. It has a task of its own: a TaskGroup may, on Python 3.11, swallow a
        cancellation that comes together with an error, as when the adapter is pulled out.
        """
        task = asyncio.get_running_loop().create_task(self._session(bus), name=f"gatt:{self.id}")
        task.add_done_callback(_seen)
        try:
            await asyncio.wait({task})
        finally:
            task.cancel()
            await asyncio.wait({task}, timeout=STOP_S)
        try:
            task.result()
        except (LinkDown, Refused) as error:
            return str(error)
        return "it ended"

    async def _session(self, bus: Publisher) -> None:
        """One connection, from the first advert to its end. Raises LinkDown or Refused."""
        found = await self._radio.fresh(self._terms.address)
        async with AsyncExitStack() as stack:
            async with self._radio.paused():
                began = asyncio.get_running_loop().time()
                try:
                    async with asyncio.timeout(OUTER_S):
                        link = await stack.enter_async_context(connected(found, self._clock))
                        beat = await self._begin(link, bus)
                except TimeoutError as error:
                    raise LinkDown("connecting: not done in time") from error
                finally:
                    now = asyncio.get_running_loop().time()
                    self._yield_until = now + HEARING * (now - began)
            stack.callback(setattr, self, "_link", None)
            self._link = link
            await self._serve(link, bus, beat)

    async def _begin(self, link: Link, bus: Publisher) -> tuple[str, str] | None:
        """Subscribe first, then read: what changes in between is told. Returns what to read as heartbeat."""
        wanted = gatt.subscribed(self._places)
        for place in wanted:
            if link.notifies(*place):
                await link.subscribe(*place)
        for write in self._writes:
            await link.write(*write)
        readable = [place for place in wanted if link.readable(*place)]
        values: dict[str, Value] = {SILENT_POINT: False}
        quality: dict[str, Quality] = {}
        for service, characteristic in readable:
            data = await link.read(service, characteristic)
            some, bad = gatt.read(self._profile, self._places, characteristic, data)
            values |= some
            quality |= bad
        await self._found(bus, link, values, quality)
        remarks = {
            "nothing can be read: no heartbeat": not readable,
            "not bonded: pair it, else its life alarms act on nothing": not (
                link.bonded or self._terms.plain
            ),
        }
        self._health.note = "; ".join(text for text, holds in remarks.items() if holds)
        return next((place for place in readable if "2a19" in place[1][:8]), next(iter(readable), None))  # fmt: skip

    async def _serve(self, link: Link, bus: Publisher, beat: tuple[str, str] | None) -> None:
        """Until the link is down. Notifications do not wait for a heartbeat that hangs."""
        ended: Exception | None = None
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._listen(link, bus), name=f"gatt:{self.id}:listen")
                if beat is not None:
                    group.create_task(self._beat(link, bus, beat), name=f"gatt:{self.id}:beat")
        except* (LinkDown, Refused) as errors:
            ended = errors.exceptions[0]
        if ended is not None:
            raise ended

    async def _listen(self, link: Link, bus: Publisher) -> None:
        while True:
            got = await link.receive()
            told = gatt.read(self._profile, self._places, got.characteristic, got.value)
            if any(told):
                await self._publish(bus, *await self._trusted(bus, link, *told), got.received_ns)
            else:
                self._health.errors["not_understood"] += 1

    async def _beat(self, link: Link, bus: Publisher, place: tuple[str, str]) -> None:
        """The library says connected on a dead link, and after a crash of bluetoothd: ask the device."""
        while True:
            await asyncio.sleep(self._terms.heartbeat_s)
            data = await link.read(*place)
            told = gatt.read(self._profile, self._places, place[1], data)
            trusted = await self._trusted(bus, link, *told)
            await self._publish(bus, *trusted, self._clock.boottime_ns())

    async def _found(
        self, bus: Publisher, link: Link, values: Mapping[str, Value], quality: Mapping[str, Quality]
    ) -> None:  # fmt: skip
        self._failures = 0
        self._gone.clear()
        self._here.set()
        self._health.online = True
        told = {"reason": "bonded" if link.bonded else "not bonded"}
        await self._tell(bus, EventKind.LINK_UP, Severity.OPERATIONAL, told)
        trusted = await self._trusted(bus, link, values, quality)
        await self._publish(bus, *trusted, self._clock.boottime_ns())

    def _failed(self, reason: str) -> None:
        self._failures += 1
        self._health.errors["link_down"] += 1
        log.debug("%s", reason, extra={"component": f"device {self.id}"})
        if self._here.is_set():
            self._lost(reason)
        self._health.note = f"not connected: {reason}"

    def _lost(self, reason: str) -> None:
        self._loss = reason
        self._gone_ns = self._clock.boottime_ns()
        self._here.clear()
        self._gone.set()
        self._health.online = False
        self._health.note = f"not connected: {reason}"

    async def _tell_loss(self, bus: Publisher) -> None:
        """Nothing is known of it any more; what was an alarm is not taken back."""
        told, self._loss = {"reason": self._loss}, ""
        await self._tell(bus, EventKind.LINK_DOWN, Severity.OPERATIONAL, told)
        await self._publish(bus, {}, dict.fromkeys(self._places, AWAY), self._gone_ns)

    async def _trusted(
        self,
        bus: Publisher,
        link: Link,
        values: Mapping[str, Value],
        quality: Mapping[str, Quality],
    ) -> tuple[Mapping[str, Value], Mapping[str, Quality]]:
        """What may act. Anybody can pose as a device that is not bonded: what is a matter of life
        is told to people then, and acts on nothing.
        """
        alarms = self._profile.alarms
        doubtful = [name for name in values if alarms.get(name) is Severity.LIFE]
        if link.bonded or self._terms.plain or not doubtful:
            return values, quality
        await self._doubt(bus, [name for name in doubtful if values[name]])
        kept = {name: value for name, value in values.items() if name not in doubtful}
        return kept, {**quality, **dict.fromkeys(doubtful, NOT_BONDED)}

    async def _doubt(self, bus: Publisher, active: Sequence[str]) -> None:
        now_ns = self._clock.boottime_ns()
        points = [n for n in active if now_ns - self._doubted.get(n, -DOUBT_NS) >= DOUBT_NS]
        if not points:
            return
        self._doubted |= dict.fromkeys(points, now_ns)
        told = {"reason": "not_bonded", "points": points}
        await self._tell(bus, EventKind.SUSPICION, Severity.LIFE, told)

    async def _tell(
        self, bus: Publisher, kind: EventKind, severity: Severity, attributes: Mapping[str, object]
    ) -> None:
        now_ns = self._clock.time_ns()
        await bus.publish(
            Event(
                uuid7(now_ns), kind, severity, self.id, now_ns, self._clock.boottime_ns(),
                self._clock.boot, self._clock.ok, attributes,
            )
        )  # fmt: skip

    async def _publish(
        self, bus: Publisher, values: Mapping[str, Value], quality: Mapping[str, Quality], received_ns: int
    ) -> None:  # fmt: skip
        """(device, time) identifies a sample upstream, so no two have the same."""
        now_ns = self._clock.time_ns()
        self._last_ns = max(now_ns - now_ns % MS, self._last_ns + 1)
        if values.keys() & self._places.keys():
            self._health.good += 1
            self._health.last_good_ns = received_ns
        await bus.publish(
            Sample(
                self.id, self._last_ns, received_ns, self._clock.boot, self._clock.ok, values, quality or EMPTY
            )
        )  # fmt: skip


def _seen(task: asyncio.Task[None]) -> None:
    """While we are cancelled nobody asks how the session ended; asyncio would complain."""
    if not task.cancelled() and task.exception() is not None:
        log.debug("%s ended: %s", task.get_name(), task.exception())


def _raw(enum: Mapping[str, str] | None, value: Value) -> Value:
    """The number for a text of `enum`."""
    return next((raw for raw, text in (enum or {}).items() if text == value), value)

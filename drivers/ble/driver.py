"""One Bluetooth adapter: what the alarms of the homes around it advertise, and those it connects to."""

import asyncio
import logging
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager

from drivers.ble import characteristic
from drivers.ble.adapter import Adapter, watching
from drivers.ble.frame import Advert
from drivers.ble.gatt import GattDevice, Terms
from drivers.ble.ladder import Ladder, Step
from drivers.ble.link import Found
from drivers.ble.peer import Peer, Suspicion, Taken
from drivers.ble.scan import NoScan, Scan, scanning
from drivers.ble.settings import BleDevice, BleLink
from gateway.clock import Clock
from gateway.driver import Device, Publisher
from gateway.errors import GatewayError, LinkDown, Refused
from gateway.health import DeviceHealth, LinkHealth
from gateway.model import (
    EMPTY,
    NO_ATTRIBUTES,
    Command,
    CommandResult,
    Event,
    EventKind,
    Quality,
    Sample,
    Severity,
    Value,
    uuid7,
)

log = logging.getLogger(__name__)

MAX_WAITING = 1_000  # receptions that nobody took yet; alarms may wait up to ten times as many
NS, NS_PER_MS = 1_000_000_000, 1_000_000
LONGEST_WATCH_S = (
    60.0  # between two looks at who is missing: the clock counts sleep, the loop does not
)
INTERVALS = 3.0  # silent for so many of the shortest interval: the radio is deaf


class BleDriver:
    """Hands over what is heard in the order of reception; nothing of it waits for anything."""

    def __init__(self, name: str, link: BleLink, devices: Sequence[Device], clock: Clock) -> None:
        self.name = name
        self.health = LinkHealth()
        self.devices: Mapping[str, DeviceHealth] = {device.id: DeviceHealth() for device in devices}
        self._link, self._clock = link, clock
        self._peers: dict[str, Peer] = {}
        self._gatt: dict[str, GattDevice] = {}
        for device in devices:
            section = device.section
            if not isinstance(section, BleDevice):
                raise TypeError(f"{device.id}: {type(section).__name__} is no BleDevice")
            if device.profile.dialect == characteristic.DIALECT:
                self._gatt[section.address] = self._keeper(device, section)
            else:
                self._peers[section.address] = Peer(device, section, self.devices[device.id])
        self._scan: Scan | None = None
        self._profiles = [device.profile for device in devices]
        self._ladder = Ladder()
        self._waiting: deque[tuple[Peer, Advert]] = deque()
        self._news = asyncio.Event()

    async def run(self, bus: Publisher) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                for device in self._gatt.values():
                    group.create_task(device.watch(bus), name=f"ble:{self.name}:{device.id}:watch")
                group.create_task(self._serve(bus), name=f"ble:{self.name}:serve")
        except* GatewayError as errors:
            raise _first(errors) from errors

    async def _serve(self, bus: Publisher) -> None:
        try:
            async with watching(self._link.adapter) as adapter:
                await adapter.ready(keep_on=self._link.adapter_power == "keep_on")
                await self._escalate(bus, adapter)
                await self._listen(bus, adapter)
        except NoScan as error:
            self._ladder.failed(stuck=error.stuck)
            raise

    async def write(self, command: Command) -> CommandResult:
        """Raises LinkDown, Refused."""
        device = next((one for one in self._gatt.values() if one.id == command.device), None)
        if device is None:
            raise Refused(f"{command.device}: it only advertises, and takes no commands")
        return await device.write(command)

    def rekey(self, device: str) -> None:
        """The next sealed frame of the device is admitted whatever its counter: `Sealed`."""
        peer = next((one for one in self._peers.values() if one.id == device), None)
        if peer is None or not peer.seals:
            raise ValueError(f"{device}: it has no key, so its frames carry no counter")
        peer.forget()

    async def _escalate(self, bus: Publisher, adapter: Adapter) -> None:
        step = self._ladder.step()
        if step is Step.RESTART and self._link.restart_bluetooth:
            await adapter.restart_bluetooth()
            await adapter.ready(keep_on=True)
            return
        if step is Step.REPORT:
            await self._report(bus)
        if step is not Step.RETRY and self._link.adapter_power == "keep_on":
            await adapter.power_cycle()
            await adapter.ready(keep_on=True)

    async def _report(self, bus: Publisher) -> None:
        """As grave as what is not heard any more."""
        severities = [one for profile in self._profiles for one in profile.alarms.values()]
        told: dict[str, object] = {
            "link": self.name, "state": "down",
            "reason": f"Bluetooth failed {self._ladder.failures} times: nobody is heard, see to the adapter",
        }  # fmt: skip
        severity = max([Severity.OPERATIONAL, *severities])
        await self._tell(bus, EventKind.LINK_DOWN, severity, "gateway", told)

    async def fresh(self, address: str) -> Found:
        """For devices that are connected: `drivers.ble.gatt.Radio`."""
        return await self._running().fresh(address)

    def paused(self) -> AbstractAsyncContextManager[None]:
        """As `fresh`."""
        return self._running().paused()

    def _running(self) -> Scan:
        if self._scan is None:
            raise LinkDown("the adapter is lost")
        return self._scan

    def _keeper(self, device: Device, section: BleDevice) -> GattDevice:
        terms = Terms(section.address, section.heartbeat, section.grace, section.act_on_plain)
        return GattDevice(device, terms, self, self._clock, self.devices[device.id])

    async def _listen(self, bus: Publisher, adapter: Adapter) -> None:
        self._waiting.clear()
        known = {*self._peers, *self._gatt}
        async with scanning(adapter, known, self._heard, self._clock) as scan:
            self._scan = scan
            scan.lacks(self._lacks)
            now_ns = self._clock.boottime_ns()
            for peer in self._peers.values():
                peer.begin(now_ns, bus.last_counter(peer.id))
            self.health.connects += 1
            self.health.good(now_ns)
            try:
                async with asyncio.TaskGroup() as group:
                    for name, work in {
                        "read": self._read(bus), "supervise": self._supervise(bus),
                        "lost": _lost(adapter), "connection": adapter.connection(),
                        "silence": self._silence(scan), "upkeep": scan.upkeep(),
                    }.items():  # fmt: skip
                        group.create_task(work, name=f"ble:{self.name}:{name}")
                    for device in self._gatt.values():
                        group.create_task(device.keep(bus), name=f"ble:{self.name}:{device.id}")
            except* GatewayError as errors:
                raise _first(errors) from errors
            finally:
                self._scan = None

    def _heard(self, advert: Advert) -> None:
        """Called by the library for each reception of a configured device."""
        self._ladder.worked()
        peer = self._peers.get(advert.address)
        if peer is None:
            return  # it is connected to, not listened to
        limit = MAX_WAITING * 10 if peer.alarms else MAX_WAITING
        if len(self._waiting) >= limit:
            self.health.counters["alarms_dropped" if peer.alarms else "dropped"] += 1
            return
        self._waiting.append((peer, advert))
        self._news.set()

    async def _read(self, bus: Publisher) -> None:
        while True:
            await self._news.wait()
            self._news.clear()
            while self._waiting:
                peer, advert = self._waiting.popleft()
                self.health.good(advert.received_ns)
                self.health.counters["adverts"] += 1
                # Again each time: a journal that was opened late knows counters that we do not.
                peer.guard.restore(bus.last_counter(peer.id))
                copies = peer.copies
                taken = peer.take(advert)
                self.health.counters["copies"] += peer.copies - copies
                await self._publish(bus, peer, taken, advert.received_ns)

    async def _publish(self, bus: Publisher, peer: Peer, taken: Taken, received_ns: int) -> None:
        if taken.suspicion is not None:
            await self._suspect(bus, peer, taken.suspicion)
        if taken.values or taken.quality:
            await bus.publish(self._sample(peer, taken.values, taken.quality, received_ns, taken.counter))  # fmt: skip
        if taken.rests:
            await bus.publish(self._sample(peer, taken.rests, EMPTY, received_ns))

    def _sample(
        self, peer: Peer, values: Mapping[str, Value], quality: Mapping[str, Quality],
        received_ns: int, counter: int | None = None,
    ) -> Sample:  # fmt: skip
        """(device, time) identifies a sample upstream, and round times compress well."""
        now_ns = self._clock.time_ns()
        peer.last_time_ns = max(now_ns - now_ns % NS_PER_MS, peer.last_time_ns + 1)
        return Sample(
            peer.id, peer.last_time_ns, received_ns, self._clock.boot, self._clock.ok, values,
            quality, None, 0, counter,
        )  # fmt: skip

    async def _suspect(self, bus: Publisher, peer: Peer, told: Suspicion) -> None:
        self.health.counters["suspicious"] += 1
        log.warning("%s: %s", peer.id, told.reason, extra={"component": f"device {peer.id}"})
        attributes: dict[str, object] = {"reason": told.reason, "points": list(told.points)}
        await self._tell(bus, EventKind.SUSPICION, told.severity, peer.id, attributes)

    async def _supervise(self, bus: Publisher) -> None:
        """A detector that is not heard any more is an alarm itself."""
        while True:
            now_ns = self._clock.boottime_ns()
            due: list[int] = []
            for peer in self._peers.values():
                at_ns = peer.due_ns()
                if at_ns is not None and at_ns <= now_ns:
                    log.warning("%s: silent", peer.id, extra={"component": f"device {peer.id}"})
                    await self._publish(bus, peer, peer.lost(), now_ns)
                elif at_ns is not None:
                    due.append(at_ns)
            left_s = (min(due) - now_ns) / NS if due else LONGEST_WATCH_S
            await asyncio.sleep(min(left_s, LONGEST_WATCH_S))

    def _lacks(self, why: str) -> None:
        self.health.note = why and f"repeats may be hidden for 10 s: {why}"

    async def _silence(self, scan: Scan) -> None:
        """Raises LinkDown when nothing at all is heard although something should be. Whatever is
        heard, of strangers too, proves that the radio works.
        """
        while True:
            self.health.counters["foreign"] = scan.foreign
            limit_s = self._limit_s()
            silent_s = (self._clock.boottime_ns() - scan.last_ns) / NS
            if limit_s is not None and silent_s >= limit_s:
                self._ladder.failed()
                raise LinkDown(f"nothing heard for {silent_s:.0f} s: the scan is dead")
            left_s = LONGEST_WATCH_S if limit_s is None else limit_s - silent_s
            await asyncio.sleep(min(left_s, 1.0))

    def _limit_s(self) -> float | None:
        """None: nobody is expected at intervals, so silence says nothing."""
        intervals = [p.interval_s for p in self._peers.values() if p.interval_s is not None]
        return max(self._link.silence, INTERVALS * min(intervals)) if intervals else None

    async def _tell(
        self, bus: Publisher, kind: EventKind, severity: Severity, device: str, attributes: dict[str, object]
    ) -> None:  # fmt: skip
        now_ns = self._clock.time_ns()
        await bus.publish(
            Event(
                uuid7(now_ns), kind, severity, device, now_ns, self._clock.boottime_ns(),
                self._clock.boot, self._clock.ok, attributes or NO_ATTRIBUTES,
            )
        )  # fmt: skip


async def _lost(adapter: Adapter) -> None:
    """Raises LinkDown when it can hear no more."""
    raise LinkDown(await adapter.lost())


def _first(group: BaseExceptionGroup[GatewayError]) -> GatewayError:
    """One of them, a refusal before anything else."""
    found = [
        _first(error) if isinstance(error, BaseExceptionGroup) else error
        for error in group.exceptions
    ]
    return next((error for error in found if isinstance(error, Refused)), found[0])

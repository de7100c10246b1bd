"""A connected alarm on the simulated BlueZ, kept by `GattDevice` as the driver keeps it."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

from bleak import BleakScanner
from bleak.backends.device import BLEDevice
from bleak.backends.scanner import AdvertisementData
from bleak.exc import BleakError

from drivers.ble.gatt import GattDevice, Terms
from gateway.clock import SystemClock
from gateway.driver import Device, DeviceSection
from gateway.health import DeviceHealth
from gateway.model import Event, EventKind, Sample
from gateway.profile import load_profile, shipped_folder
from simulators.bluez.bluez import Bluez
from simulators.bluez.peripheral import Advert, Characteristic, Peripheral, Service
from tests.harness.bluez import bluez, monitor
from tests.harness.recorder import Recorder

ADDRESS = "F0:F1:F2:F3:F4:02"
ID = "sos-1"
ADVERT_S = 0.02
UNREAD, CONTROL, LEVEL, BATTERY = "2a45", "2a44", "2a06", "2a19"
ASK_UNREAD = b"\x05\xff"
CLOCK = SystemClock()  # it looks at files, so not on the loop
PROFILE, _DOCUMENT = load_profile(shipped_folder() / "ble-alert.yaml")


class TestRadio:
    """A scanner of bleak that can pause, as the driver's."""

    __test__ = False

    def __init__(self) -> None:
        self.pauses = 0
        self._scanner = BleakScanner(self._heard, bluez={"filters": {"DuplicateData": True}})
        self._passive = monitor()
        self._lock = asyncio.Lock()
        self._news = asyncio.Event()
        self._last: dict[str, BLEDevice] = {}

    async def fresh(self, address: str) -> BLEDevice:
        self._last.clear()
        while address not in self._last:
            self._news.clear()
            await self._news.wait()
        return self._last[address]

    @asynccontextmanager
    async def paused(self) -> AsyncIterator[None]:
        async with self._lock:
            self.pauses += 1
            await _stop(self._scanner)
            try:
                yield
            finally:
                with suppress(BleakError):  # bluetoothd may be gone
                    await self._scanner.start()

    @asynccontextmanager
    async def scanning(self) -> AsyncIterator[None]:
        await self.start()
        try:
            yield
        finally:
            await self.stop()

    async def start(self) -> None:
        await self._passive.start()
        await self._scanner.start()

    async def stop(self) -> None:
        await _stop(self._scanner)
        await _stop(self._passive)

    def _heard(self, device: BLEDevice, _advert: AdvertisementData) -> None:
        self._last[device.address] = device
        self._news.set()


async def _stop(scanner: BleakScanner) -> None:
    with suppress(BleakError):  # of a bluetoothd that was killed
        await scanner.stop()


@dataclass
class Pendant:
    """The device: `press` while nobody is connected is kept as unread."""

    running: Bluez
    unread: int = 0
    commands: list[bytes] = field(default_factory=list)

    def __post_init__(self) -> None:
        alerts = [
            Characteristic(UNREAD, ["notify"]),
            Characteristic("2a46", ["notify"]),
            Characteristic(CONTROL, ["write"], on_write=self._commanded),
        ]
        level = Characteristic(LEVEL, ["write-without-response"])
        battery = Characteristic(BATTERY, ["read", "notify"], bytes([87]))
        services = [Service("1811", alerts), Service("1802", [level]), Service("180f", [battery])]
        self.peripheral = Peripheral(ADDRESS, "pendant", services=services)

    @property
    def level(self) -> bytes:
        return self.peripheral.characteristic(LEVEL).value

    def press(self) -> bool:
        """True if a client is told."""
        self.unread += 1
        return self._tell()

    def clear(self) -> bool:
        self.unread = 0
        return self._tell()

    async def advertise(self) -> None:
        """For ever, as long as it is not connected."""
        while True:
            if self.running.running and not self.running.connected(self.peripheral):
                self.running.advertise(self.peripheral, Advert(uuids=["1811"], name="pendant"))
            await asyncio.sleep(ADVERT_S)

    def _tell(self) -> bool:
        return self.running.notify(self.peripheral, UNREAD, bytes([8, self.unread]))

    def _commanded(self, value: bytes) -> None:
        self.commands.append(value)
        if value == ASK_UNREAD:
            self._tell()


@dataclass
class Kept:
    """Everything of one test. `mark()` first, then `sample` and `event` of what comes after it."""

    bluez: Bluez
    pendant: Pendant
    bus: Recorder
    device: GattDevice
    health: DeviceHealth
    radio: TestRadio
    tasks: asyncio.TaskGroup
    _after: int = 0

    def mark(self) -> None:
        self._after = len(self.bus.items)

    async def sample(self, fits: Callable[[Sample], bool]) -> Sample:
        return await self.bus.sample(ID, fits, after=self._after)

    async def alarm(self, *, on: bool) -> Sample:
        return await self.sample(lambda sample: sample.values.get("alarm.sos") is on)

    async def lost(self, *, lost: bool) -> Sample:
        return await self.sample(lambda sample: sample.values.get("alarm.silent") is lost)

    async def event(self, kind: EventKind) -> Event:
        found = await self.bus.until(lambda x: isinstance(x, Event) and x.kind is kind, after=self._after)  # fmt: skip
        assert isinstance(found, Event)
        return found


@asynccontextmanager
async def kept(
    *,
    heartbeat_s: float = 60,
    grace_s: float = 60,
    bonded: bool = True,
    plain: bool = False,
    start: bool = True,
) -> AsyncIterator[Kept]:
    """A pendant in the air and the gateway's task for it; `start`: wait until it is connected."""
    section = DeviceSection(profile="ble-alert", link="radio")
    health, bus = DeviceHealth(), Recorder()
    async with bluez() as running:
        radio, pendant = TestRadio(), Pendant(running)
        pendant.peripheral.bonded = bonded
        terms = Terms(ADDRESS, heartbeat_s, grace_s, plain)
        device = GattDevice(Device(ID, PROFILE, section), terms, radio, CLOCK, health)
        async with radio.scanning(), asyncio.TaskGroup() as tasks:
            air = tasks.create_task(pendant.advertise())
            kept_by = [tasks.create_task(device.keep(bus)), tasks.create_task(device.watch(bus))]
            found = Kept(running, pendant, bus, device, health, radio, tasks)
            if start:
                await found.alarm(on=False)
            try:
                yield found
            finally:
                for one in (*kept_by, air):
                    one.cancel()

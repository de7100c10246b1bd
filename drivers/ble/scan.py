"""The scan of one adapter over bleak: an active scanner beside our monitor, every call bounded."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Collection, Iterator
from contextlib import asynccontextmanager, contextmanager

from bleak import BleakScanner
from bleak.args.bluez import BlueZDiscoveryFilters, BlueZScannerArgs, OrPattern, OrPatternLike
from bleak.assigned_numbers import AdvertisementDataType
from bleak.backends.bluezdbus.manager import get_global_bluez_manager
from bleak.backends.device import BLEDevice
from bleak.backends.scanner import AdvertisementData
from bleak.exc import BleakBluetoothNotAvailableError, BleakDBusError, BleakError

from drivers.ble.adapter import Adapter
from drivers.ble.frame import APPLE, BTHOME_UUID, EDDYSTONE_UUID, MIBEACON_UUID, Advert
from drivers.ble.monitor import PATTERNS, Monitor, NoMonitorError
from gateway.clock import Clock
from gateway.errors import LinkDown, Refused

log = logging.getLogger(__name__)

START_S, STOP_S = 15.0, 5.0  # habluetooth waits as long; a call may never be answered
CLEAR_S = 2.5  # without monitor: a new scan clears the controller's list, 40 ms deaf
MONITOR_S = 60.0  # between attempts to register the monitor
FRESH_S = 60.0  # waiting for an advert of a device that is to be connected

_BASE = "-0000-1000-8000-00805f9b34fb"  # Core 5.4, Vol 3, Part B, 2.5.1
_SERVICES = {f"0000{u:04x}{_BASE}": u for u in (BTHOME_UUID, MIBEACON_UUID, EDDYSTONE_UUID)}
_PATTERNS: list[OrPatternLike] = [
    OrPattern(start, AdvertisementDataType(kind), content) for start, kind, content in PATTERNS
]
_FAULTS = (BleakError, EOFError, OSError, TimeoutError, AssertionError)
# BlueZ compares each report with the last one and signals nothing for the same: this asks for all.
_FILTERS: BlueZDiscoveryFilters = {"DuplicateData": True}
_DENIED = "org.freedesktop.DBus.Error.AccessDenied"
_IN_PROGRESS = "org.bluez.Error.InProgress"


class NoScan(LinkDown):
    """The scan could not be started. `stuck`: the kernel is still discovering for somebody else."""

    def __init__(self, reason: str, *, stuck: bool) -> None:
        super().__init__(reason)
        self.stuck = stuck


class Scan:
    """Receptions of the `known` addresses go to `heard`, synchronously; the others are counted.

    Implements `drivers.ble.gatt.Radio`.
    """

    def __init__(
        self, adapter: Adapter, known: Collection[str], heard: Callable[[Advert], None], clock: Clock
    ) -> None:  # fmt: skip
        self.foreign = 0
        self.last_ns = clock.boottime_ns()  # of any reception, or of the start
        self._lack = ""
        self._tell: Callable[[str], None] = _nobody
        self._adapter, self._known, self._heard, self._clock = adapter, known, heard, clock
        self._scanner: BleakScanner | None = None
        self._monitor: Monitor | None = None
        self._seen: dict[str, tuple[object, ...]] = {}
        self._wanted: dict[str, asyncio.Future[BLEDevice]] = {}
        self._lock = asyncio.Lock()  # who starts, stops, or connects

    async def fresh(self, address: str) -> BLEDevice:
        """The device as the scanner has it now; waits until it is heard. Raises LinkDown."""
        found = self._wanted.setdefault(address, asyncio.get_running_loop().create_future())
        try:
            async with asyncio.timeout(FRESH_S):
                return await asyncio.shield(found)
        except TimeoutError:
            raise LinkDown("not heard") from None

    @asynccontextmanager
    async def paused(self) -> AsyncIterator[None]:
        """No active scan, and nobody else connects, for the time of the block. Raises LinkDown.

        A passive one goes on meanwhile, where it can: a press must not be lost because another
        device is being connected. While both run, the second call for one reception is no news.
        """
        async with self._lock:
            passive = await self._listen_passively()
            try:
                await self._stop()
                try:
                    yield
                finally:
                    await self._restart()
            finally:
                await _end(passive)

    def lacks(self, tell: Callable[[str], None]) -> None:
        """`tell` is called now and at each change: why repeats may be hidden, "" if they are not."""
        self._tell = tell
        tell(self._lack)

    async def upkeep(self) -> None:
        """Works until cancelled: while there is no monitor, clear the controller's list, and try
        again to register it.
        """
        loop = asyncio.get_running_loop()
        retry_at = loop.time() + MONITOR_S
        while True:
            if self._monitor is not None:
                await self._monitor.released()
                self._lacking("bluetoothd gave the advertisement monitor back")
                await self._unwatch()
                retry_at = loop.time() + MONITOR_S
            await asyncio.sleep(CLEAR_S)
            if loop.time() >= retry_at:
                await self._watch()
                retry_at = loop.time() + MONITOR_S
            if self._monitor is None:
                async with self.paused():
                    pass  # stopped and started: that is all

    async def _watch(self) -> None:
        """Register the monitor, or know why not."""
        monitor = Monitor(self._adapter.bus, self._adapter.path)
        try:
            async with asyncio.timeout(START_S):
                await monitor.register()
        except (NoMonitorError, EOFError, OSError, TimeoutError) as error:
            self._lacking(str(error) or type(error).__name__)
        else:
            self._monitor = monitor
            self._lacking("")

    def _lacking(self, why: str) -> None:
        if why and why != self._lack:
            log.warning("repeated adverts may be hidden: %s", why, extra={"component": "ble"})
        self._lack = why
        self._tell(why)

    async def _unwatch(self) -> None:
        monitor, self._monitor = self._monitor, None
        if monitor is None:
            return
        try:
            async with asyncio.timeout(STOP_S):
                await monitor.unregister()
        except _FAULTS as error:
            log.debug("the monitor stays: %r", error, extra={"component": "ble"})

    async def _start(self) -> None:
        scanner = BleakScanner(
            self._called, bluez={"adapter": self._adapter.name, "filters": _FILTERS}
        )
        with _told("starting the scan"):
            async with asyncio.timeout(START_S):
                await scanner.start()
        self._scanner = scanner
        self._adapter.expect(scanning=True)

    async def _listen_passively(self) -> BleakScanner | None:
        if self._monitor is None:
            return None  # without monitors there is no passive scan
        how: BlueZScannerArgs = {"adapter": self._adapter.name, "or_patterns": _PATTERNS}
        scanner = BleakScanner(self._called, scanning_mode="passive", bluez=how)
        try:
            async with asyncio.timeout(STOP_S):
                await scanner.start()
        except _FAULTS as error:
            log.debug("no passive scan: %r", error, extra={"component": "ble"})
            return None
        return scanner

    async def _restart(self) -> None:
        """Whoever paused may not care: everybody is told that nothing is heard any more."""
        try:
            await self._start()
        except (LinkDown, Refused) as error:
            self._adapter.end(str(error))
            raise

    async def _stop(self) -> None:
        self._adapter.expect(scanning=False)
        scanner, self._scanner = self._scanner, None
        await _end(scanner)

    def _called(self, device: BLEDevice, data: AdvertisementData) -> None:
        """The library calls for every property that changes, with the old data in it: most calls are no
        receptions. Data that was received is a new object.
        """
        if device.address not in self._known:  # first: in a crowd that is nearly everybody
            self.foreign += 1
            self.last_ns = self._clock.boottime_ns()
            return
        properties = data.platform_data[1]
        now = tuple(properties.get(key) for key in ("ServiceData", "ManufacturerData", "RSSI"))
        before = self._seen.get(device.address, (None, None, None))
        self._seen[device.address] = now
        new_service, new_company, new_rssi = (a is not b for a, b in zip(now, before, strict=True))
        if new_service or new_company or new_rssi:
            self._found(device)
        if not (new_service or new_company):
            return
        self.last_ns = self._clock.boottime_ns()
        found = _services(data) if new_service else {}
        apple = data.manufacturer_data.get(APPLE) if new_company else None
        self._heard(
            Advert(
                device.address, data.rssi, self.last_ns, found,
                {} if apple is None else {APPLE: apple},
            )
        )  # fmt: skip

    def _found(self, device: BLEDevice) -> None:
        """Whoever waits to connect to it may. Its adverts need not hold any data: a signal strength
        that was measured is a new object, too.
        """
        wanted = self._wanted.pop(device.address, None)
        if wanted is not None and not wanted.done():
            wanted.set_result(device)


async def _end(scanner: BleakScanner | None) -> None:
    """What fails here is stopped already: no discovery, no bluetoothd, no adapter."""
    if scanner is None:
        return
    try:
        async with asyncio.timeout(STOP_S):
            await scanner.stop()
    except _FAULTS as error:
        log.debug("stopping a scan: %r", error, extra={"component": "ble"})


def _nobody(why: str) -> None:
    """Nobody asked yet."""


def _services(data: AdvertisementData) -> dict[int, bytes]:
    return {_SERVICES[uuid]: v for uuid, v in data.service_data.items() if uuid in _SERVICES}


async def know_devices() -> None:
    """Before anything makes devices appear: bleak 3.1 forgets one that appears while it asks for those
    there are, and then ignores it for as long as it advertises. Raises NoScan, Refused.
    """
    with _told("asking for the known devices"):
        async with asyncio.timeout(START_S):
            await get_global_bluez_manager()


@asynccontextmanager
async def scanning(
    adapter: Adapter, known: Collection[str], heard: Callable[[Advert], None], clock: Clock
) -> AsyncIterator[Scan]:
    """A scan that runs for the time of the block. Raises NoScan, Refused."""
    scan = Scan(adapter, known, heard, clock)
    try:
        await know_devices()
        await scan._watch()
        await scan._start()
        yield scan
    finally:
        await scan._stop()
        await scan._unwatch()


@contextmanager
def _told(doing: str) -> Iterator[None]:
    """Every way in which bleak and D-Bus fail, as NoScan or Refused."""
    try:
        yield
    except BleakBluetoothNotAvailableError as error:
        raise Refused(f"{doing}: {error}") from error
    except BleakDBusError as error:
        if error.dbus_error == _DENIED:
            raise Refused(f"{doing}: {error}") from error
        raise NoScan(f"{doing}: {error}", stuck=error.dbus_error == _IN_PROGRESS) from error
    except TimeoutError as error:
        raise NoScan(f"{doing}: no answer in time", stuck=False) from error
    except _FAULTS as error:
        raise NoScan(f"{doing}: {str(error) or type(error).__name__}", stuck=False) from error

"""Listens to everybody for a while, for people who look for their devices; the driver scans on its own."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from bleak import BleakScanner
from bleak.backends.device import BLEDevice
from bleak.backends.scanner import AdvertisementData
from bleak.exc import BleakError

from drivers.ble.adapter import Adapter, watching
from drivers.ble.frame import Advert
from drivers.ble.monitor import Monitor, NoMonitorError
from drivers.ble.scan import know_devices
from drivers.ble.survey import Heard
from gateway.clock import Clock
from gateway.errors import LinkDown

log = logging.getLogger(__name__)

READY_S = 0.5  # a person waits: say at once what is missing
START_S, STOP_S = 15.0, 5.0
_BASE = "-0000-1000-8000-00805f9b34fb"  # Core 5.4, Vol 3, Part B, 2.5.1
_FAULTS = (BleakError, EOFError, OSError, TimeoutError)


@asynccontextmanager
async def looking(
    adapter: str | None, heard: Callable[[Heard], None], clock: Clock
) -> AsyncIterator[Adapter]:
    """For the time of the block; who waits on `lost` of the adapter learns that it hears no more.

    `adapter`: its address; None: the only one. Raises LinkDown, Refused. The scan of a running
    gateway goes on beside ours.
    """

    def called(device: BLEDevice, data: AdvertisementData) -> None:
        heard(_heard(device, data, clock.boottime_ns()))

    async with watching(adapter) as found:
        await found.ready(keep_on=False, within_s=READY_S)
        await know_devices()
        await _show_repeats(found)
        scanner = BleakScanner(
            called, bluez={"adapter": found.name, "filters": {"DuplicateData": True}}
        )
        try:
            async with asyncio.timeout(START_S):
                await scanner.start()
        except _FAULTS as error:
            raise LinkDown(f"starting the scan: {str(error) or type(error).__name__}") from error
        try:
            yield found
        finally:
            await _stop(scanner)


async def _show_repeats(adapter: Adapter) -> None:
    """A monitor, which ends with our D-Bus connection; without one a repeat shows after 10 s only."""
    try:
        async with asyncio.timeout(START_S):
            await Monitor(adapter.bus, adapter.path).register()
    except (NoMonitorError, *_FAULTS) as error:
        log.warning("repeated adverts may be hidden: %s", error, extra={"component": "ble"})


async def _stop(scanner: BleakScanner) -> None:
    """A scan that cannot be stopped ends with our D-Bus connection."""
    try:
        async with asyncio.timeout(STOP_S):
            await scanner.stop()
    except _FAULTS:
        return


def _heard(device: BLEDevice, data: AdvertisementData, now_ns: int) -> Heard:
    short = {
        u: d for u, d in data.service_data.items() if u.startswith("0000") and u.endswith(_BASE)
    }
    service = {int(uuid[4:8], 16): content for uuid, content in short.items()}
    advert = Advert(device.address, data.rssi, now_ns, service, data.manufacturer_data)
    return Heard(advert, data.local_name or "", tuple(data.service_uuids))

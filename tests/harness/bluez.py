"""A simulated BlueZ for tests, and unmodified bleak on it."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from unittest.mock import patch

import pytest
from bleak import BleakClient, BleakScanner
from bleak.args.bluez import BlueZDiscoveryFilters, OrPattern, OrPatternLike
from bleak.assigned_numbers import AdvertisementDataType
from bleak.backends.device import BLEDevice
from bleak.backends.scanner import AdvertisementData

from simulators.bluez.bluez import Bluez, simulated
from simulators.bluez.bus import installed, private_bus
from simulators.bluez.controller import Policy

needs_dbus = pytest.mark.skipif(not installed(), reason="dbus-daemon is not installed")

FCD2 = "0000fcd2-0000-1000-8000-00805f9b34fb"
SERVICE_DATA = AdvertisementDataType.SERVICE_DATA_UUID16
BTHOME: list[OrPatternLike] = [OrPattern(0, SERVICE_DATA, b"\xd2\xfc")]


@asynccontextmanager
async def bluez(
    policy: Policy | None = None, adapters: Mapping[str, str] | None = None
) -> AsyncIterator[Bluez]:
    """The simulated BlueZ on a bus that clients of this process take for the system bus."""
    async with private_bus() as address:
        with patch.dict(os.environ, DBUS_SYSTEM_BUS_ADDRESS=address):
            async with simulated(address, policy, adapters) as running:
                yield running


async def until(condition: Callable[[], object], seconds: float = 5.0) -> None:
    """Wait for something that no event announces; fails after `seconds`."""
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.002)


class Ear:
    """What a scanner of bleak called back, payload by payload."""

    def __init__(self) -> None:
        self.calls: list[bytes] = []
        self.devices: dict[str, BLEDevice] = {}

    def __call__(self, device: BLEDevice, advert: AdvertisementData) -> None:
        self.devices[device.address] = device
        self.calls.append(advert.service_data.get(FCD2, b""))

    async def hears(self, payload: bytes, seconds: float = 5.0) -> None:
        await until(lambda: payload in self.calls, seconds)

    def scanner(self, *, duplicates: bool = True, adapter: str = "hci0") -> BleakScanner:
        filters: BlueZDiscoveryFilters = {"DuplicateData": duplicates}
        return BleakScanner(self, bluez={"adapter": adapter, "filters": filters})

    def monitor(self, adapter: str = "hci0") -> BleakScanner:
        """A passive scanner, which is one with an advertisement monitor."""
        return BleakScanner(
            self, scanning_mode="passive", bluez={"adapter": adapter, "or_patterns": BTHOME}
        )


def monitor(adapter: str = "hci0") -> BleakScanner:
    """A passive scanner: it is there for its monitor, not for what it hears."""
    return Ear().monitor(adapter)


__all__ = [
    "BTHOME",
    "FCD2",
    "BleakClient",
    "BleakScanner",
    "Ear",
    "bluez",
    "monitor",
    "needs_dbus",
    "until",
]

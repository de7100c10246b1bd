"""One connection to a GATT device, over bleak, every call of it bounded."""

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import NamedTuple

from bleak import BleakClient
from bleak.backends.characteristic import BleakGATTCharacteristic
from bleak.backends.device import BLEDevice
from bleak.exc import BleakError

from gateway.clock import Clock
from gateway.errors import LinkDown, Refused

log = logging.getLogger(__name__)

Found = BLEDevice  # a device as the scanner has it

CONNECT_S = 20.0  # bleak-retry-connector's, too; a Connect may never answer
REQUEST_S = 10.0  # a read, write or subscription; ATT itself gives up after 30 s
DISCONNECT_S = 5.0  # bleak would wait 10 s; BlueZ goes on without us
MAX_WAITING = 256  # values that nobody took yet
# The socket of D-Bus died (EOFError, OSError); bleak asserts that it has a bus, which may end while
# it waits.
_FAULTS = (BleakError, EOFError, OSError, TimeoutError, AssertionError)


class Received(NamedTuple):
    """A value that the device sent by itself; `received_ns` is CLOCK_BOOTTIME."""

    characteristic: str
    value: bytes
    received_ns: int


class Link:
    """A connected device. Every method raises LinkDown when it does not answer in time."""

    def __init__(self, client: BleakClient, clock: Clock, *, bonded: bool) -> None:
        self.bonded = bonded  # the link is encrypted with a key that only the two have
        self._client = client
        self._clock = clock
        self._values: deque[Received] = deque()
        self._ended = ""
        self._wake = asyncio.Event()

    def ended(self, reason: str) -> None:
        self._ended = self._ended or reason
        self._wake.set()

    def readable(self, service: str, characteristic: str) -> bool:
        found = self._find(service, characteristic)
        return found is not None and "read" in found.properties

    def notifies(self, service: str, characteristic: str) -> bool:
        found = self._find(service, characteristic)
        return found is not None and not {"notify", "indicate"}.isdisjoint(found.properties)

    async def subscribe(self, service: str, characteristic: str) -> None:
        """What it sends from now on comes out of `receive`."""
        with _told(f"subscribing to {characteristic[4:8]}"):
            async with asyncio.timeout(REQUEST_S):
                await self._client.start_notify(self._get(service, characteristic), self._value)

    async def read(self, service: str, characteristic: str) -> bytes:
        with _told(f"reading {characteristic[4:8]}"):
            async with asyncio.timeout(REQUEST_S):
                return bytes(await self._client.read_gatt_char(self._get(service, characteristic)))

    async def write(self, service: str, characteristic: str, value: bytes) -> None:
        """Raises Refused too: the device has no such characteristic."""
        target = self._get(service, characteristic)
        with _told(f"writing {characteristic[4:8]}"):
            async with asyncio.timeout(REQUEST_S):
                answered = "write" in target.properties
                await self._client.write_gatt_char(target, value, response=answered)

    async def receive(self) -> Received:
        """The next value, oldest first; LinkDown when all are taken and no more can come."""
        while not self._values:
            if self._ended:
                raise LinkDown(self._ended)
            self._wake.clear()
            await self._wake.wait()
        return self._values.popleft()

    def _value(self, characteristic: BleakGATTCharacteristic, value: bytearray) -> None:
        if len(self._values) == MAX_WAITING:
            # The state is read after the reconnect: better than to guess what is missing.
            self.ended(f"{MAX_WAITING} values wait: it sends more than can be taken")
            return
        now_ns = self._clock.boottime_ns()
        self._values.append(Received(characteristic.uuid, bytes(value), now_ns))
        self._wake.set()

    def _find(self, service: str, characteristic: str) -> BleakGATTCharacteristic | None:
        with _told("looking for its services"):
            found = self._client.services.get_service(service)
            return None if found is None else found.get_characteristic(characteristic)

    def _get(self, service: str, characteristic: str) -> BleakGATTCharacteristic:
        found = self._find(service, characteristic)
        if found is None:
            raise Refused(f"it has no characteristic {characteristic[4:8]} in {service[4:8]}")
        return found


@asynccontextmanager
async def connected(device: Found, clock: Clock) -> AsyncIterator[Link]:
    """Connect for the time of the block. Raises LinkDown.

    `device` must be fresh from the scanner: BlueZ forgets it 30 s after its last advert, and an
    address alone would make bleak scan by itself, beside our scan.
    """
    client = BleakClient(device, lambda _: link.ended("it disconnected"), timeout=CONNECT_S)
    link = Link(client, clock, bonded=_bonded(device))
    try:
        with _told("connecting"):
            async with asyncio.timeout(CONNECT_S):
                await client.connect()
        yield link
    finally:
        await _disconnect(client)


async def _disconnect(client: BleakClient) -> None:
    try:
        async with asyncio.timeout(DISCONNECT_S):
            await client.disconnect()
    except _FAULTS as error:
        log.debug("disconnecting %s: %r", client.address, error, extra={"component": "ble"})


def _bonded(device: Found) -> bool:
    """BlueZ keeps a key for it: `Bonded` since 5.66, before that `Paired`."""
    properties = device.details.get("props", {})
    return bool(properties.get("Bonded", properties.get("Paired", False)))


@contextmanager
def _told(doing: str) -> Iterator[None]:
    """Every way in which bleak and D-Bus fail, as LinkDown."""
    try:
        yield
    except TimeoutError as error:
        raise LinkDown(f"{doing}: no answer in time") from error
    except _FAULTS as error:
        raise LinkDown(f"{doing}: {str(error) or type(error).__name__}") from error

"""What BlueZ does to a client, as scripts that run on the simulated and on the real stack alike.

Where the two disagree, the simulator is wrong. The client is unmodified bleak.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Protocol

from bleak import BleakClient, BleakScanner
from bleak.exc import BleakError

from tests.harness.bluez import Ear, monitor, until

BATTERY_LEVEL = "2a19"
FULL = b"\x57"


class Stack(Protocol):
    """bluetoothd, its controller, which hides repeats by address, and one SOS button in the air.

    Whoever connects to it finds the services of an alert and its battery.
    """

    address: str  # of the button
    patience_s: float  # until something that must come has come
    quiet_s: float  # after which nothing comes any more
    burst_s: float  # how long a press is in the air

    def advertising(self, data: bytes) -> AbstractAsyncContextManager[None]:
        """The button repeats an advert with this BTHome service data, and can be connected to."""

    async def notify(self, value: bytes) -> None:
        """The battery level of the button has changed."""

    async def alert(self, *, on: bool) -> None:
        """The number of unread alerts, 1 or 0, has changed."""

    async def drop(self) -> None:
        """The button ends the connection."""

    async def set_powered(self, *, on: bool) -> None: ...

    async def kill(self) -> None:
        """bluetoothd, without farewell."""

    async def start(self, *, experimental: bool = True) -> None:
        """bluetoothd again, until its adapter is powered."""

    async def unplug(self) -> None:
        """The adapter is pulled out."""


def press(packet: int) -> bytes:
    return bytes([0x44, 0x00, packet, 0x3A, 0x01])


async def presses_are_lost_without_a_monitor_and_heard_with_one(stack: Stack) -> None:
    alone, beside = Ear(), Ear()
    async with alone.scanner():
        await _bursts(stack, range(1, 5))
        await asyncio.sleep(stack.quiet_s)
    assert set(alone.calls) == {press(1)}, alone.calls
    async with monitor(), beside.scanner():
        await asyncio.sleep(stack.quiet_s)  # no client is told that its monitor is in force
        await _bursts(stack, range(5, 9))
        await beside.hears(press(8), stack.patience_s)
    assert {press(n) for n in range(5, 9)} <= set(beside.calls), beside.calls


async def an_unchanged_advert_is_told_again_only_to_an_active_scanner(stack: Stack) -> None:
    passive, active = Ear(), Ear()
    async with _heard(stack, press(1), passive, passive.monitor()):
        told = len(passive.calls)
        await asyncio.sleep(stack.quiet_s)
        assert len(passive.calls) == told, "a monitor alone tells of changes only"
    async with monitor(), _heard(stack, press(1), active, active.scanner()):
        told = len(active.calls)
        await until(lambda: len(active.calls) >= told + 3, stack.patience_s)


async def a_second_active_scanner_is_in_progress(stack: Stack) -> None:
    del stack
    async with Ear().scanner():
        await _fails("InProgress", Ear().scanner().start())


async def power_off_and_on_ends_a_scan_without_a_word(stack: Stack) -> None:
    ear, later = Ear(), Ear()
    old = ear.scanner()
    await old.start()
    await stack.set_powered(on=False)
    await stack.set_powered(on=True)
    async with stack.advertising(press(1)):
        await asyncio.sleep(stack.quiet_s)
    assert press(1) not in ear.calls
    await _fails("No discovery started", old.stop())
    async with _heard(stack, press(2), later, later.scanner()):
        pass


async def a_device_is_read_notifies_and_goes(stack: Stack) -> None:
    values: list[bytes] = []
    gone = asyncio.Event()
    async with _connected(stack, gone) as client:
        assert await client.read_gatt_char(BATTERY_LEVEL) == FULL
        await client.start_notify(BATTERY_LEVEL, lambda _one, value: values.append(bytes(value)))
        await stack.notify(b"\x50")
        await until(lambda: b"\x50" in values, stack.patience_s)
        await stack.drop()
        async with asyncio.timeout(stack.patience_s):
            await gone.wait()
        assert not client.is_connected


async def one_press_and_a_connection_are_more_than_one_callback(stack: Stack) -> None:
    ear = Ear()
    async with _connected(stack, asyncio.Event(), ear):
        pass
    await asyncio.sleep(stack.quiet_s)
    assert ear.calls.count(press(1)) > 1, ear.calls


async def a_killed_bluetoothd_leaves_clients_in_the_dark(stack: Stack) -> None:
    gone = asyncio.Event()
    async with _connected(stack, gone) as client:
        scanner = Ear().scanner()
        await scanner.start()
        await stack.kill()
        await asyncio.sleep(stack.quiet_s)
        assert client.is_connected
        assert not gone.is_set()
        await _fails("ServiceUnknown", client.read_gatt_char(BATTERY_LEVEL))
        await stack.start()
        await _fails("No discovery started", scanner.stop())
    await _scan_again(stack)


async def without_experimental_a_monitor_is_refused(stack: Stack) -> None:
    await stack.kill()
    await stack.start(experimental=False)
    await _fails("requires BlueZ", monitor().start())
    await stack.kill()
    await stack.start()
    async with monitor():
        pass


async def an_adapter_that_is_pulled_out_takes_its_scan_along(stack: Stack) -> None:
    """The last one: the adapter does not come back."""
    scanner = Ear().scanner()
    await scanner.start()
    await stack.unplug()
    await asyncio.sleep(stack.quiet_s)
    await _fails("UnknownObject", scanner.stop())
    await _fails("hci0", Ear().scanner().start())


SCENARIOS: tuple[Callable[[Stack], Awaitable[None]], ...] = (
    presses_are_lost_without_a_monitor_and_heard_with_one,
    an_unchanged_advert_is_told_again_only_to_an_active_scanner,
    a_second_active_scanner_is_in_progress,
    power_off_and_on_ends_a_scan_without_a_word,
    a_device_is_read_notifies_and_goes,
    one_press_and_a_connection_are_more_than_one_callback,
    a_killed_bluetoothd_leaves_clients_in_the_dark,
    without_experimental_a_monitor_is_refused,
    an_adapter_that_is_pulled_out_takes_its_scan_along,
)


async def _bursts(stack: Stack, packets: range) -> None:
    for packet in packets:
        async with stack.advertising(press(packet)):
            await asyncio.sleep(stack.burst_s)


@asynccontextmanager
async def _heard(stack: Stack, data: bytes, ear: Ear, scanner: BleakScanner) -> AsyncIterator[None]:
    """The button advertises `data` for the time of the block, and the scanner has heard it."""
    async with scanner, stack.advertising(data):
        await ear.hears(data, stack.patience_s)
        yield


@asynccontextmanager
async def _connected(
    stack: Stack, gone: asyncio.Event, ear: Ear | None = None
) -> AsyncIterator[BleakClient]:
    """A connection to the button; `ear` hears what its scanner calls back meanwhile.

    The active scan has ended before: connecting beside one upsets kernels (bleak#1626).
    """
    ear = ear or Ear()
    async with _forgiving(ear.monitor()):
        async with stack.advertising(press(1)):
            async with ear.scanner():
                await ear.hears(press(1), stack.patience_s)
            (device,) = ear.devices.values()
            ear.calls.clear()
            client = BleakClient(device, lambda _client: gone.set(), timeout=stack.patience_s)
            await client.connect()
        try:
            yield client
        finally:
            with contextlib.suppress(BleakError, EOFError, TimeoutError):
                async with asyncio.timeout(stack.patience_s):
                    await client.disconnect()


@asynccontextmanager
async def _forgiving(scanner: BleakScanner) -> AsyncIterator[None]:
    """bluetoothd may have lost this scanner at the end of the block."""
    await scanner.start()
    try:
        yield
    finally:
        with contextlib.suppress(BleakError):
            await scanner.stop()


async def _scan_again(stack: Stack) -> None:
    """A new scanner hears; a kernel that still scans for the dead one needs its power cycled."""
    ear = Ear()
    try:
        async with _heard(stack, press(9), ear, ear.scanner()):
            return
    except BleakError as error:
        if "InProgress" not in str(error):
            raise
    await stack.set_powered(on=False)
    await stack.set_powered(on=True)
    async with _heard(stack, press(9), ear, ear.scanner()):
        return


async def _fails(text: str, call: Awaitable[object]) -> None:
    try:
        await call
    except BleakError as error:
        assert text in str(error), error
        return
    raise AssertionError(f"no error that says {text}")

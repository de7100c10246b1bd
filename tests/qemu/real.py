"""The scripts on a real bluetoothd and kernel, inside the virtual machine: `python -m tests.qemu.real BLUETOOTHD`.

/dev/vhci takes a virtual controller of bumble for a Bluetooth adapter; a second one is the button.
"""

import asyncio
import os
import sys
import time
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from bumble import hci
from bumble.controller import Controller
from bumble.core import UUID, AdvertisingData
from bumble.device import Device, DeviceConfiguration
from bumble.gatt import Characteristic, CharacteristicValue, Service
from bumble.link import LocalLink
from bumble.transport import open_transport
from dbus_fast import BusType, Message, Variant
from dbus_fast.aio import MessageBus

from tests.qemu.all import ALL
from tests.qemu.scenarios import FULL, Stack

INTERVAL_MS = 100
HIGH_PRIORITY = 8  # alert category, Bluetooth Assigned Numbers 6.5.1
STARTS_S = 20.0
SCENARIO_S = 120.0


class Real:
    """The real stack as the scripts want it."""

    address = "F0:F1:F2:F3:F4:02"
    patience_s, quiet_s, burst_s = 20.0, 2.0, 0.6

    def __init__(self, program: str) -> None:
        self._program = program
        self._link = LocalLink()

    async def plug(self) -> None:
        """The adapter and the button are there, and bluetoothd runs."""
        self._vhci = vhci = await open_transport("vhci")
        adapter = Controller(
            "adapter", host_source=vhci.source, host_sink=vhci.sink, link=self._link
        )
        # What bumble says it can do but cannot (google/bumble#841).
        adapter.le_features &= ~(
            hci.LeFeatureMask.LL_PRIVACY | hci.LeFeatureMask.LE_EXTENDED_ADVERTISING
        )
        _hide_repeats(adapter)
        button = Controller("button", link=self._link)
        settings = DeviceConfiguration(
            name="SOS", address=hci.Address(self.address),
            advertising_interval_min=INTERVAL_MS, advertising_interval_max=INTERVAL_MS,
        )  # fmt: skip
        self._button = Device.from_config_with_hci(settings, button, button)
        self._battery = _characteristic(0x2A19, "READ", "NOTIFY", value=FULL)
        self._unread = _characteristic(0x2A45, "NOTIFY", value=bytes([HIGH_PRIORITY, 0]))
        asked = CharacteristicValue(write=self._asked)
        for service, characteristics in {
            0x180F: [self._battery],
            0x1802: [_characteristic(0x2A06, "READ", "WRITE_WITHOUT_RESPONSE", value=b"\x00")],
            0x1811: [
                _characteristic(0x2A46, "NOTIFY", value=b""),
                self._unread,
                _characteristic(0x2A44, "WRITE", value=asked),
            ],
        }.items():
            self._button.add_service(Service(UUID.from_16_bits(service), characteristics))
        await self._button.power_on()
        await self.start()

    @asynccontextmanager
    async def advertising(self, data: bytes) -> AsyncIterator[None]:
        structures = [
            (AdvertisingData.FLAGS, b"\x06"),
            (AdvertisingData.SERVICE_DATA_16_BIT_UUID, b"\xd2\xfc" + data),
        ]
        self._button.advertising_data = bytes(AdvertisingData(structures))
        await self._button.start_advertising(auto_restart=False)
        try:
            yield
        finally:
            if self._button.is_advertising:
                await self._button.stop_advertising()

    async def notify(self, value: bytes) -> None:
        self._battery.value = value
        await self._button.notify_subscribers(self._battery, value)

    async def alert(self, *, on: bool) -> None:
        self._unread.value = bytes([HIGH_PRIORITY, on])
        await self._button.notify_subscribers(self._unread)

    async def _asked(self, _connection: Any, command: bytes) -> None:
        """Alert Notification Service 1.0, 3.3.1: 5 asks for what is unread now."""
        if command[:1] == b"\x05":
            await self._button.notify_subscribers(self._unread)

    async def drop(self) -> None:
        for connection in list(self._button.connections.values()):
            await connection.disconnect()

    async def set_powered(self, *, on: bool) -> None:
        async with asyncio.timeout(STARTS_S):
            while await _set_powered(on=on) is not None:
                await asyncio.sleep(0.05)

    async def kill(self) -> None:
        self._daemon.kill()
        await self._daemon.wait()

    async def unplug(self) -> None:
        await self._vhci.close()

    async def start(self, *, experimental: bool = True) -> None:
        flags = ["--experimental"] if experimental else []
        self._daemon = await asyncio.create_subprocess_exec(
            self._program, "-n", *flags,
            stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
        await self.set_powered(on=True)


def _characteristic(number: int, *properties: str, value: Any) -> Characteristic:
    flags = Characteristic.Properties(0)
    for name in properties:
        flags |= Characteristic.Properties[name]
    allowed = Characteristic.READABLE | Characteristic.WRITEABLE
    return Characteristic(UUID.from_16_bits(number), flags, allowed, value)


def _hide_repeats(adapter: Any) -> None:
    """bumble knows the duplicate filter but does not filter: do so by address, as strict chips do."""
    seen: set[str] = set()
    hears: Callable[[Any], None] = adapter.on_advertising_pdu
    obeys: Callable[[bytes], None] = adapter.on_packet

    def on_advertising_pdu(pdu: Any) -> None:
        address = str(pdu.advertiser_address)
        if not adapter.filter_duplicates or address not in seen:
            seen.add(address)
            hears(pdu)

    def on_packet(packet: bytes) -> None:
        if isinstance(hci.HCI_Packet.from_bytes(packet), hci.HCI_LE_Set_Scan_Enable_Command):
            seen.clear()
        obeys(packet)

    adapter.on_advertising_pdu, adapter.on_packet = on_advertising_pdu, on_packet


async def _set_powered(*, on: bool) -> str | None:
    """The name of the error, None if it is done."""
    bus = await MessageBus(bus_type=BusType.SYSTEM).connect()
    try:
        reply = await bus.call(
            Message(
                destination="org.bluez", path="/org/bluez/hci0", member="Set", signature="ssv",
                interface="org.freedesktop.DBus.Properties",
                body=["org.bluez.Adapter1", "Powered", Variant("b", on)],
            )
        )  # fmt: skip
        return "no reply" if reply is None else reply.error_name
    finally:
        bus.disconnect()


async def main() -> int:
    stack = Real(sys.argv[1])
    await stack.plug()
    passed = [await _passes(scenario, stack) for scenario in ALL]
    return passed.count(False)


async def _passes(scenario: Callable[[Stack], Awaitable[None]], stack: Real) -> bool:
    started, result = time.monotonic(), "ok"
    try:
        async with asyncio.timeout(SCENARIO_S):
            await scenario(stack)
    except Exception:  # noqa: BLE001 -- the others shall run, too
        result = "failed"
        traceback.print_exc(file=sys.stdout)
    print(f"SCENARIO {scenario.__name__} {result} {time.monotonic() - started:.1f} s", flush=True)
    return result == "ok"


if __name__ == "__main__":
    code = asyncio.run(main())
    sys.stdout.flush()
    os._exit(code)  # bumble's controllers have tasks that nobody ends

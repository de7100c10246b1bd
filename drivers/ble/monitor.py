"""An advertisement monitor: what makes the kernel pass on repeats while a scan is active.

Its patterns are not what it is for. While one is registered, the kernel starts scans with the
controller's duplicate filter off; without one the controller hides repeats for up to 10 s, and the
presses of a button among them. BlueZ has it since 5.56, behind `bluetoothd --experimental`.
"""

import asyncio
from typing import Annotated

from dbus_fast import Message, MessageType, PropertyAccess
from dbus_fast.aio import MessageBus
from dbus_fast.annotations import DBusObjectPath, DBusSignature, DBusStr
from dbus_fast.service import ServiceInterface, dbus_method, dbus_property

INTERFACE = "org.bluez.AdvertisementMonitor1"
MANAGER = "org.bluez.AdvertisementMonitorManager1"
PATH = "/community_gateway/monitor"
SERVICE_DATA_16, MANUFACTURER = 0x16, 0xFF  # Bluetooth Assigned Numbers 2.3
# BTHome, MiBeacon, Eddystone, iBeacon; little-endian, as in the air.
PATTERNS = (
    (0, SERVICE_DATA_16, b"\xd2\xfc"),
    (0, SERVICE_DATA_16, b"\x95\xfe"),
    (0, SERVICE_DATA_16, b"\xaa\xfe"),
    (0, MANUFACTURER, b"\x4c\x00"),
)
ACTIVATE_S = 5.0
EXPERIMENTAL = (
    "needs bluetoothd --experimental (or `Experimental = true` in /etc/bluetooth/main.conf)"
)


class NoMonitorError(Exception):
    """Why repeats may be hidden."""


class Monitor(ServiceInterface):
    """Registered with one adapter until the connection ends or `unregister`."""

    def __init__(self, bus: MessageBus, adapter: str) -> None:
        super().__init__(INTERFACE)
        self._bus, self._adapter = bus, adapter
        self._active = asyncio.Event()
        self._released = asyncio.Event()

    async def register(self) -> None:
        """Returns when the kernel has taken it. Raises NoMonitorError."""
        reply = await self._call("RegisterMonitor")
        if reply.error_name == "org.freedesktop.DBus.Error.UnknownMethod":
            raise NoMonitorError(EXPERIMENTAL)
        if reply.message_type is MessageType.ERROR:
            raise NoMonitorError(f"{reply.error_name}: {' '.join(map(str, reply.body))}")
        self._bus.export(PATH, self)  # BlueZ looks for it only after it was registered
        try:
            async with asyncio.timeout(ACTIVATE_S):
                await self._active.wait()
        except TimeoutError:
            await self.unregister()
            raise NoMonitorError("the kernel does not take advertisement monitors") from None

    async def released(self) -> None:
        """Returns when bluetoothd has given it back: the kernel refuses it from now on."""
        await self._released.wait()

    async def unregister(self) -> None:
        self._bus.unexport(PATH, self)
        await self._call("UnregisterMonitor")

    async def _call(self, member: str) -> Message:
        return await self._bus.call(
            Message(
                destination="org.bluez", path=self._adapter, interface=MANAGER, member=member,
                signature="o", body=[PATH],
            )
        )  # fmt: skip

    @dbus_method(name="Release")
    def _release(self) -> None:
        self._released.set()

    @dbus_method(name="Activate")
    def _activate(self) -> None:
        self._active.set()

    @dbus_method(name="DeviceFound")
    def _device_found(self, device: DBusObjectPath) -> None:
        del device

    @dbus_method(name="DeviceLost")
    def _device_lost(self, device: DBusObjectPath) -> None:
        del device

    @dbus_property(PropertyAccess.READ, name="Type")
    def _type(self) -> DBusStr:
        return "or_patterns"

    @dbus_property(PropertyAccess.READ, name="Patterns")
    def _patterns(self) -> Annotated[list[list[object]], DBusSignature("a(yyay)")]:
        return [list(pattern) for pattern in PATTERNS]

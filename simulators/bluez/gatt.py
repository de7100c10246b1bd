"""Services and characteristics of one connected peripheral."""

import asyncio
import contextlib
import socket
from collections.abc import Iterator

from dbus_fast import Variant

from simulators.bluez.controller import Policy
from simulators.bluez.names import (
    CHARACTERISTIC,
    DESCRIPTOR,
    SERVICE,
    bluez_error,
    uuid128,
)
from simulators.bluez.objects import NO, YES, Objects
from simulators.bluez.peripheral import Characteristic, Peripheral, Service

FIRST_HANDLE = 0x0A
MTU = 247
CLIENT_CONFIGURATION = "2902"


class Gatt:
    """The objects below a device's path while it is connected and its services are known."""

    def __init__(self, path: str, peripheral: Peripheral, objects: Objects, policy: Policy) -> None:
        self._path, self._peripheral = path, peripheral
        self._objects, self._policy = objects, policy
        self._paths: dict[str, Characteristic] = {}
        self._listeners: dict[str, set[str]] = {}  # path -> bus names that asked for notifications
        self._sockets: dict[str, socket.socket] = {}

    def export(self) -> None:
        """Show everything; handles are numbered as a small device would."""
        handles = iter(range(FIRST_HANDLE, 0xFFFF))
        for service in self._peripheral.services:
            self._export(service, handles)

    def withdraw(self) -> None:
        self._objects.remove_below(self._path)
        self._paths.clear()
        self._listeners.clear()
        for channel in self._sockets.values():
            channel.close()
        self._sockets.clear()

    def client_gone(self, sender: str) -> None:
        for path in list(self._listeners):
            if sender in self._listeners[path]:
                self.stop_notify(path, sender)

    async def read(self, path: str) -> bytes:
        one = await self._answering(path)
        if "read" not in one.flags:
            raise bluez_error("NotPermitted", "Read not permitted")
        # As BlueZ does: who listens for notifications sees the value that was read, too.
        self._value(path, one.value)
        return one.value

    async def write(self, path: str, value: bytes) -> None:
        one = await self._answering(path)
        if not {"write", "write-without-response"} & set(one.flags):
            raise bluez_error("NotPermitted", "Write not permitted")
        one.value = value
        if one.on_write is not None:
            one.on_write(value)

    def start_notify(self, path: str, sender: str) -> None:
        self._notifying(path)
        self._listeners.setdefault(path, set()).add(sender)
        self._set_notifying(path)

    def stop_notify(self, path: str, sender: str) -> None:
        self._listeners.get(path, set()).discard(sender)
        self._set_notifying(path)

    def acquire_notify(self, path: str) -> int:
        """A descriptor that one message per notification arrives at; who sends it closes it."""
        self._notifying(path)
        ours, theirs = socket.socketpair(
            socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_NONBLOCK
        )
        self._sockets[path] = ours
        return theirs.detach()

    def notify(self, wanted: Characteristic, value: bytes) -> bool:
        """True if somebody is told."""
        told = False
        for path, one in self._paths.items():
            if one is wanted and path in self._sockets:
                with contextlib.suppress(
                    BlockingIOError
                ):  # as on a radio link, what overruns is lost
                    told = self._sockets[path].send(value) > 0
            if one is wanted and self._listeners.get(path):
                self._value(path, value)
                told = True
        return told

    async def _answering(self, path: str) -> Characteristic:
        """The characteristic at `path`, once the device has answered."""
        one = self._paths[path]
        if self._peripheral.mute:
            await asyncio.sleep(self._policy.att_timeout_s)
            raise bluez_error("Failed", "ATT error: 0x0e")
        return one

    def _notifying(self, path: str) -> None:
        if not self._paths[path].notifies:
            raise bluez_error("NotSupported", "Operation is not supported")

    def _set_notifying(self, path: str) -> None:
        notifying = Variant("b", bool(self._listeners.get(path)))
        self._objects.change(path, CHARACTERISTIC, {"Notifying": notifying})

    def _value(self, path: str, value: bytes) -> None:
        self._objects.change(path, CHARACTERISTIC, {"Value": Variant("ay", value)})

    def _export(self, service: Service, handles: Iterator[int]) -> None:
        path = f"{self._path}/service{next(handles):04x}"
        about = {
            "UUID": Variant("s", uuid128(service.uuid)),
            "Primary": YES,
            "Device": Variant("o", self._path),
            "Includes": Variant("ao", []),
        }
        self._objects.add(path, {SERVICE: about})
        for one in service.characteristics:
            # Its declaration has a handle of its own: the value's is the next one.
            below = f"{path}/char{next(handles):04x}"
            next(handles)
            self._paths[below] = one
            self._export_characteristic(path, below, one)
            if one.notifies:
                self._export_descriptor(below, f"{below}/desc{next(handles):04x}")

    def _export_characteristic(self, service: str, path: str, one: Characteristic) -> None:
        about = {
            "UUID": Variant("s", uuid128(one.uuid)),
            "Service": Variant("o", service),
            "Value": Variant("ay", b""),
            "Flags": Variant("as", list(one.flags)),
            "MTU": Variant("q", MTU),
        }
        if one.notifies:
            about["Notifying"] = about["NotifyAcquired"] = NO
        self._objects.add(path, {CHARACTERISTIC: about})

    def _export_descriptor(self, characteristic: str, path: str) -> None:
        about = {
            "UUID": Variant("s", uuid128(CLIENT_CONFIGURATION)),
            "Characteristic": Variant("o", characteristic),
            "Value": Variant("ay", b""),
        }
        self._objects.add(path, {DESCRIPTOR: about})

"""One life of the simulated bluetoothd: a connection that owns `org.bluez`, from start to crash."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from dbus_fast import Message, MessageType, NameFlag, RequestNameReply, Variant
from dbus_fast.aio import MessageBus

from simulators.bluez import names
from simulators.bluez.adapter import Adapter, Hardware
from simulators.bluez.controller import Policy
from simulators.bluez.device import Device
from simulators.bluez.faults import Fault, Faults
from simulators.bluez.names import (
    ADAPTER,
    BLUEZ,
    CHARACTERISTIC,
    DESCRIPTOR,
    DEVICE,
    MONITORS,
    OBJECTS,
    PROPERTIES,
    ROOT,
    BluezError,
    bluez_error,
    unknown_method,
    unknown_object,
    uuid128,
)
from simulators.bluez.objects import YES, Objects
from simulators.bluez.output import Output

FORGET_EVERY_S = 1.0
DISCONNECT_S = 0.01
_DRIVER = "org.freedesktop.DBus"

Reply = tuple[str, list[Any], list[int]]  # signature, body, file descriptors
Handler = Callable[[Message], Awaitable[Reply | None]]


class Daemon:
    """Answers on one connection. `run` lives as long as bluetoothd does; cancelling it is a crash."""

    def __init__(self, address: str, policy: Policy, faults: Faults, calls: Counter[str]) -> None:
        self.adapters: dict[str, Adapter] = {}  # by object path
        self._address, self._policy = address, policy
        self._faults, self._calls = faults, calls
        self._handlers: Mapping[tuple[str, str], Handler] = self._table()

    async def run(self, hardware: list[Hardware], started: asyncio.Event) -> None:
        self.bus = await MessageBus(bus_address=self._address, negotiate_unix_fd=True).connect()
        self.output = Output(self.bus)
        self.objects = Objects(self.output)
        try:
            async with asyncio.TaskGroup() as self._tasks:
                await self._match(f"type='signal',sender='{_DRIVER}',member='NameOwnerChanged'")
                self.bus.add_message_handler(self._on_message)
                self.objects.add(ROOT, {"org.bluez.AgentManager1": {}})
                for one in hardware:
                    self.plug(one)
                reply = await self.bus.request_name(BLUEZ, NameFlag.DO_NOT_QUEUE)
                if reply is not RequestNameReply.PRIMARY_OWNER:
                    raise OSError(f"there is a BlueZ at {self._address} already")
                started.set()
                try:
                    await self._forget_silent()
                finally:
                    self.bus.remove_message_handler(self._on_message)
        finally:
            self.output.close()
            self.bus.disconnect()

    def plug(self, hardware: Hardware) -> None:
        now = asyncio.get_running_loop().time
        adapter = Adapter(hardware, self.objects, self.output, self._policy, now)
        self.adapters[adapter.path] = adapter

    def unplug(self, name: str) -> None:
        self.adapters.pop(f"{ROOT}/{name}").remove()

    async def _forget_silent(self) -> None:
        while True:
            await asyncio.sleep(FORGET_EVERY_S)
            for adapter in self.adapters.values():
                adapter.forget_silent()

    def _on_message(self, message: Message) -> bool:
        """True: nobody else needs to look at it."""
        if message.message_type is MessageType.SIGNAL:
            self._on_signal(message)
            return False
        if message.message_type is not MessageType.METHOD_CALL or not message.interface:
            return False
        if message.interface.startswith(f"{_DRIVER}.") and message.interface not in {
            OBJECTS,
            PROPERTIES,
        }:
            return False  # Peer and Introspectable are dbus-fast's affair
        self._calls[str(message.member)] += 1
        self._tasks.create_task(self._serve(message), name=f"bluez:{message.member}")
        return True

    def _on_signal(self, message: Message) -> None:
        if message.member == "NameOwnerChanged":
            name, _, owner = message.body
            if name.startswith(":") and not owner:
                for adapter in self.adapters.values():
                    adapter.client_gone(name)
        elif message.member == "InterfacesAdded" and message.sender:
            for adapter in self.adapters.values():
                adapter.monitors.found(message.sender, *message.body)

    async def _serve(self, message: Message) -> None:
        try:
            if not await self._meet(self._faults.take(str(message.member))):
                return
            signature, body, descriptors = await self._answer(message) or ("", [], [])
            reply = Message.new_method_return(message, signature, body, descriptors)
        except BluezError as error:
            reply = Message.new_error(message, error.name, error.text)
        self.output.send(reply)

    async def _meet(self, fault: Fault | None) -> bool:
        """False if the call is never answered."""
        if fault is not None:
            await asyncio.sleep(fault.delay_s)
            if fault.error is not None:
                raise fault.error
        return fault is None or not fault.hangs

    async def _answer(self, message: Message) -> Reply | None:
        interface, member = str(message.interface), str(message.member)
        missing = member, message.signature, interface
        if interface not in {OBJECTS, PROPERTIES}:
            if str(message.path) not in self.objects:
                raise unknown_object(*missing)
            if interface not in self.objects.interfaces(str(message.path)):
                raise unknown_method(*missing)
        handler = self._handlers.get((interface, member))
        if handler is None:
            raise unknown_method(*missing)
        return await handler(message)

    def _table(self) -> dict[tuple[str, str], Handler]:
        return {
            (OBJECTS, "GetManagedObjects"): self._managed,
            (PROPERTIES, "Get"): self._get,
            (PROPERTIES, "GetAll"): self._get_all,
            (PROPERTIES, "Set"): self._set,
            (ADAPTER, "SetDiscoveryFilter"): self._set_filter,
            (ADAPTER, "StartDiscovery"): self._start_discovery,
            (ADAPTER, "StopDiscovery"): self._stop_discovery,
            (ADAPTER, "RemoveDevice"): self._remove_device,
            (MONITORS, "RegisterMonitor"): self._register_monitor,
            (MONITORS, "UnregisterMonitor"): self._unregister_monitor,
            (DEVICE, "Connect"): self._connect,
            (DEVICE, "Disconnect"): self._disconnect,
            (DEVICE, "Pair"): self._pair,
            (CHARACTERISTIC, "ReadValue"): self._read,
            (CHARACTERISTIC, "WriteValue"): self._write,
            (CHARACTERISTIC, "StartNotify"): self._start_notify,
            (CHARACTERISTIC, "StopNotify"): self._stop_notify,
            (CHARACTERISTIC, "AcquireNotify"): self._acquire_notify,
            (DESCRIPTOR, "ReadValue"): self._read_descriptor,
        }

    async def _managed(self, message: Message) -> Reply:
        return "a{oa{sa{sv}}}", [self.objects.managed() if message.path == "/" else {}], []

    async def _get(self, message: Message) -> Reply:
        interface, name = message.body
        properties = self.objects.interfaces(str(message.path)).get(interface, {})
        if name not in properties:
            raise BluezError(f"{_DRIVER}.Error.InvalidArgs", f"No such property '{name}'")
        return "v", [properties[name]], []

    async def _get_all(self, message: Message) -> Reply:
        (interface,) = message.body
        return "a{sv}", [self.objects.interfaces(str(message.path)).get(interface, {})], []

    async def _set(self, message: Message) -> None:
        interface, name, value = message.body
        path = str(message.path)
        if path not in self.objects:
            raise unknown_object("Set", message.signature, PROPERTIES)
        match (interface, name):
            case (names.ADAPTER, "Powered"):
                self.adapters[path].set_powered(on=value.value)
            case (names.DEVICE, "Trusted"):
                self._device(message).set(Trusted=value)
            case _:
                text = f"Property '{name}' is not writable"
                raise BluezError(f"{_DRIVER}.Error.PropertyReadOnly", text)

    async def _set_filter(self, message: Message) -> None:
        self._adapter(message).set_filter(str(message.sender), message.body[0])

    async def _start_discovery(self, message: Message) -> None:
        self._adapter(message).start_discovery(str(message.sender))

    async def _stop_discovery(self, message: Message) -> None:
        self._adapter(message).stop_discovery(str(message.sender))

    async def _remove_device(self, message: Message) -> None:
        self._adapter(message).remove_device(message.body[0])

    async def _register_monitor(self, message: Message) -> None:
        adapter, (root,) = self._adapter(message), message.body
        application = adapter.monitors.register(str(message.sender), root)
        await self._match(application.match_rule)
        self._tasks.create_task(
            self._look(adapter, application.sender, root), name="bluez:monitors"
        )

    async def _look(self, adapter: Adapter, sender: str, root: str) -> None:
        """Ask an application what it has; it may export its monitor only later, and then tells."""
        call = Message(destination=sender, path=root, interface=OBJECTS, member="GetManagedObjects")
        reply = await self.bus.call(call)
        if reply is not None and reply.message_type is MessageType.METHOD_RETURN:
            for path, interfaces in reply.body[0].items():
                adapter.monitors.found(sender, path, interfaces)

    async def _unregister_monitor(self, message: Message) -> None:
        monitors = self._adapter(message).monitors
        application = monitors.unregister(str(message.sender), message.body[0])
        await self._match(application.match_rule, member="RemoveMatch")

    async def _connect(self, message: Message) -> None:
        device = self._device(message)
        peripheral = device.peripheral
        await asyncio.sleep(peripheral.connect_s)
        if not peripheral.connectable:
            raise bluez_error("Failed", "le-connection-abort-by-local")
        device.connected = True
        device.set(Connected=YES)
        self._tasks.create_task(self._resolve(device), name="bluez:resolve")

    async def _resolve(self, device: Device) -> None:
        await asyncio.sleep(device.peripheral.resolve_s)
        if device.connected:
            device.gatt.export()
            uuids = [uuid128(service.uuid) for service in device.peripheral.services]
            device.set(UUIDs=Variant("as", uuids), ServicesResolved=YES)

    async def _disconnect(self, message: Message) -> None:
        device = self._device(message)
        if not device.connected:
            raise bluez_error("NotConnected", "Not Connected")
        await asyncio.sleep(DISCONNECT_S)
        device.drop(asyncio.get_running_loop().time())

    async def _pair(self, message: Message) -> None:
        """Nobody is asked: agents are not simulated."""
        device = self._device(message)
        if device.peripheral.bonded:
            raise bluez_error("AlreadyExists", "Already Exists")
        if not device.connected:
            await self._connect(message)
        device.peripheral.bonded = True
        device.set(Paired=YES, Bonded=YES)

    async def _read(self, message: Message) -> Reply:
        device = self._device(message)
        try:
            return "ay", [await device.gatt.read(str(message.path))], []
        except BluezError:
            if device.peripheral.mute:  # the time is over: BlueZ gives the link up
                device.drop(asyncio.get_running_loop().time())
            raise

    async def _write(self, message: Message) -> None:
        value, _options = message.body
        await self._device(message).gatt.write(str(message.path), bytes(value))

    async def _start_notify(self, message: Message) -> None:
        self._device(message).gatt.start_notify(str(message.path), str(message.sender))

    async def _stop_notify(self, message: Message) -> None:
        self._device(message).gatt.stop_notify(str(message.path), str(message.sender))

    async def _acquire_notify(self, message: Message) -> Reply:
        descriptor = self._device(message).gatt.acquire_notify(str(message.path))
        return "hq", [0, 247], [descriptor]

    async def _read_descriptor(self, _message: Message) -> Reply:
        return "ay", [b"\x00\x00"], []

    def _adapter(self, message: Message) -> Adapter:
        return self.adapters[str(message.path)]

    def _device(self, message: Message) -> Device:
        """The device that the path of a call is at or below."""
        parts = str(message.path).split("/")
        return self.adapters["/".join(parts[:4])].need("/".join(parts[:5]))

    async def _match(self, rule: str, member: str = "AddMatch") -> None:
        await self.bus.call(
            Message(
                destination=_DRIVER, path="/org/freedesktop/DBus", interface=_DRIVER, member=member,
                signature="s", body=[rule],
            )
        )  # fmt: skip

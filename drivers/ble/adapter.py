"""One Bluetooth adapter on a D-Bus connection of our own: it is there, has power, goes.

bleak notices neither that bluetoothd died nor that the adapter was switched off: it stays silent.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Collection, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from typing import Any

from dbus_fast import AuthError, BusType, Message, MessageType, Variant
from dbus_fast.aio import MessageBus

from gateway.errors import LinkDown, Refused

log = logging.getLogger(__name__)

BLUEZ, ADAPTER = "org.bluez", "org.bluez.Adapter1"
PROPERTIES, OBJECTS = "org.freedesktop.DBus.Properties", "org.freedesktop.DBus.ObjectManager"
DBUS = "org.freedesktop.DBus"
SYSTEMD = "org.freedesktop.systemd1"

READY_S = 30.0  # waiting for bluetoothd, the adapter or its power, before the link is called down
CALL_S = 5.0  # every call: bluetoothd may never answer
SETTLE_S = 3.5  # after a power cycle, as bluetooth-auto-recovery waits
PAUSE_S = 0.5  # Discovering may be false for a moment while a scan is started anew

_RULES = (
    f"type='signal',sender='{DBUS}',interface='{DBUS}',member='NameOwnerChanged',arg0='{BLUEZ}'",
    f"type='signal',sender='{BLUEZ}',interface='{PROPERTIES}',member='PropertiesChanged',arg0='{ADAPTER}'",
    f"type='signal',sender='{BLUEZ}',interface='{OBJECTS}',member='InterfacesAdded'",
    f"type='signal',sender='{BLUEZ}',interface='{OBJECTS}',member='InterfacesRemoved'",
)
_DENIED = "org.freedesktop.DBus.Error.AccessDenied"
_GROUP = "no right to use Bluetooth: add the user of the gateway to the group bluetooth"


class Adapter:
    """`address`: which one; None: the only one. Use it in `watching`."""

    def __init__(self, bus: MessageBus, address: str | None) -> None:
        self.bus = bus
        self.path = ""
        self._address = address
        self._powered = self._discovering = False
        self._scanning = False  # we scan, so `Discovering` should be true
        self._cause = ""
        self._changed = asyncio.Event()

    @property
    def name(self) -> str:
        """hci0, hci1 ..."""
        return self.path.rpartition("/")[2]

    async def ready(self, *, keep_on: bool, within_s: float | None = None) -> None:
        """Wait for bluetoothd, the adapter and its power. Raises LinkDown, Refused.

        `keep_on`: switch it on. `within_s`: READY_S unless given.
        """
        loop = asyncio.get_running_loop()
        end = loop.time() + (READY_S if within_s is None else within_s)
        while True:
            self._changed.clear()
            missing = await self._missing(keep_on=keep_on)
            if not missing:
                self._cause = ""
                return
            try:
                async with asyncio.timeout_at(end):
                    await self._changed.wait()
            except TimeoutError:
                raise LinkDown(missing) from None

    async def interfaces(self) -> Collection[str]:
        """The D-Bus interfaces of the adapter that is `ready`. Raises LinkDown, Refused."""
        objects = (await self._call(BLUEZ, "/", OBJECTS, "GetManagedObjects"))[0]
        found: Mapping[str, object] = objects.get(self.path, {})
        return found.keys()

    async def lost(self) -> str:
        """Waits until nothing can be heard any more; says why."""
        while not self._cause:
            self._changed.clear()
            if self._scanning and not self._discovering:
                await self._again()
            else:
                await self._changed.wait()
        return self._cause

    async def connection(self) -> None:
        """Returns never; raises LinkDown when the D-Bus connection dies."""
        with told("D-Bus"):
            await self.bus.wait_for_disconnect()  # type: ignore[no-untyped-call]  # theirs
        raise LinkDown("D-Bus: the connection was closed")

    def expect(self, *, scanning: bool) -> None:
        """Our scan runs, or does not: `lost` returns when one ends by itself."""
        self._scanning = self._discovering = scanning
        self._changed.set()

    async def power_cycle(self) -> None:
        """Off, on, and time to settle. Raises LinkDown."""
        log.warning("%s is switched off and on", self.name, extra={"component": "ble"})
        await self._set_powered(on=False)
        await self._set_powered(on=True)
        await asyncio.sleep(SETTLE_S)

    async def restart_bluetooth(self) -> None:
        """Ask systemd to restart bluetooth.service. Raises LinkDown, which says if it may not."""
        log.warning("asking for a restart of bluetooth.service", extra={"component": "ble"})
        await self._call(
            SYSTEMD, "/org/freedesktop/systemd1", f"{SYSTEMD}.Manager", "RestartUnit",
            "ss", ["bluetooth.service", "replace"],
        )  # fmt: skip
        await asyncio.sleep(SETTLE_S)

    def end(self, cause: str) -> None:
        """Nothing is heard any more because of `cause`; the first one counts."""
        self._cause = self._cause or cause
        self._changed.set()

    async def _again(self) -> None:
        """Discovery ended; whoever paused or restarts it starts it in a moment."""
        try:
            async with asyncio.timeout(PAUSE_S):
                await self._changed.wait()
        except TimeoutError:
            self.end("discovery ended by itself")

    async def _missing(self, *, keep_on: bool) -> str:
        """What is still missing, "" if nothing is."""
        owned = await self._call(DBUS, "/org/freedesktop/DBus", DBUS, "NameHasOwner", "s", [BLUEZ])
        if not owned[0]:
            return "bluetoothd does not run"
        objects = (await self._call(BLUEZ, "/", OBJECTS, "GetManagedObjects"))[0]
        adapters = {p: i[ADAPTER] for p, i in objects.items() if ADAPTER in i}
        self.path = self._choose({p: i["Address"].value for p, i in adapters.items()})
        if not self.path:
            return f"no adapter {self._address}" if self._address else "no Bluetooth adapter"
        self._powered = adapters[self.path]["Powered"].value
        if not self._powered and keep_on:
            log.warning("%s was switched off: switching it on", self.name, extra={"component": "ble"})  # fmt: skip
            await self._set_powered(on=True)
            self._powered = True
        return "" if self._powered else f"{self.name} is switched off"

    def _choose(self, addresses: Mapping[str, str]) -> str:
        """The path of our adapter, "" if it is not there."""
        if self._address is not None:
            return next((p for p, one in addresses.items() if one == self._address), "")
        if len(addresses) > 1:
            known = ", ".join(sorted(addresses.values()))
            raise Refused(
                f"{len(addresses)} Bluetooth adapters: write which one, `adapter:` {known}"
            )
        return next(iter(addresses), "")

    async def _set_powered(self, *, on: bool) -> None:
        body = [ADAPTER, "Powered", Variant("b", on)]
        await self._call(BLUEZ, self.path, PROPERTIES, "Set", "ssv", body)

    async def _call(
        self, to: str, path: str, interface: str, member: str, signature: str = "", body: list[Any] | None = None
    ) -> list[Any]:  # fmt: skip
        """Raises LinkDown, Refused."""
        message = Message(
            destination=to, path=path, interface=interface, member=member, signature=signature,
            body=body or [],
        )  # fmt: skip
        with told(member):
            async with asyncio.timeout(CALL_S):
                reply = await self.bus.call(message)
        if reply.error_name == _DENIED:
            raise Refused(_GROUP)
        if reply.message_type is MessageType.ERROR:
            raise LinkDown(f"{member}: {reply.error_name}: {' '.join(map(str, reply.body))}")
        return reply.body

    def _signal(self, message: Message) -> None:
        if message.message_type is not MessageType.SIGNAL:
            return
        match message.member:
            case "NameOwnerChanged" if message.body[0] == BLUEZ:
                if message.body[1]:
                    self.end("bluetoothd is gone")
            case "InterfacesAdded" if ADAPTER in message.body[1]:
                self._changed.set()
            case "InterfacesRemoved" if message.body[0] == self.path and ADAPTER in message.body[1]:
                self.end(f"{self.name} is gone")
            case "PropertiesChanged" if message.path == self.path and message.body[0] == ADAPTER:
                self._properties(message.body[1])
        self._changed.set()

    def _properties(self, changed: Mapping[str, Variant]) -> None:
        if "Discovering" in changed:
            self._discovering = changed["Discovering"].value
        if "Powered" in changed:
            self._powered = changed["Powered"].value
            if not self._powered:
                self.end(f"{self.name} was switched off")


@asynccontextmanager
async def watching(address: str | None) -> AsyncIterator[Adapter]:
    """An adapter that is watched for the time of the block. Raises LinkDown, Refused."""
    bus = MessageBus(bus_type=BusType.SYSTEM)
    adapter = Adapter(bus, address)
    try:
        with told("connecting to D-Bus"):
            async with asyncio.timeout(CALL_S):
                await bus.connect()
        bus.add_message_handler(adapter._signal)
        for rule in _RULES:
            await adapter._call(DBUS, "/org/freedesktop/DBus", DBUS, "AddMatch", "s", [rule])
        yield adapter
    finally:
        bus.disconnect()


@contextmanager
def told(doing: str) -> Iterator[None]:
    """Every way in which a D-Bus connection fails, as LinkDown or Refused."""
    try:
        yield
    except AuthError as error:
        raise Refused(_GROUP) from error
    except TimeoutError as error:
        raise LinkDown(f"{doing}: no answer in time") from error
    except (OSError, EOFError) as error:
        raise LinkDown(f"{doing}: {str(error) or type(error).__name__}") from error

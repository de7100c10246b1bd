"""One Bluetooth adapter of the simulated BlueZ: who scans, what is heard, what is in reach."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from dbus_fast import Variant

from simulators.bluez.controller import Controller, Policy
from simulators.bluez.device import Device, Interest
from simulators.bluez.monitors import Monitors
from simulators.bluez.names import (
    ADAPTER,
    MONITORS,
    ROOT,
    bluez_error,
    in_progress,
    not_ready,
    uuid128,
)
from simulators.bluez.objects import NO, YES, Interfaces, Objects
from simulators.bluez.output import Output
from simulators.bluez.peripheral import Advert, Peripheral

Filter = Mapping[str, Any]  # as SetDiscoveryFilter got it, without variants
_EVERY_RSSI = ("RSSI", "Pathloss")  # filters that make bluetoothd signal every RSSI


@dataclass(slots=True)
class Hardware:
    """What outlives bluetoothd: a controller with its address at an hci number."""

    name: str
    address: str
    controller: Controller
    powered: bool = True


@dataclass(slots=True)
class Scan:
    """Discovery as bluetoothd keeps it: per client of the bus."""

    filters: dict[str, Filter] = field(default_factory=dict)
    sessions: dict[str, Filter] = field(default_factory=dict)


class Adapter:
    def __init__(
        self, hardware: Hardware, objects: Objects, output: Output, policy: Policy,
        now: Callable[[], float],
    ) -> None:  # fmt: skip
        self.hardware, self.path = hardware, f"{ROOT}/{hardware.name}"
        self.monitors = Monitors(output)
        self._objects, self._policy, self._now = objects, policy, now
        self._scan = Scan()
        self._devices: dict[str, Device] = {}  # by object path
        objects.add(self.path, self._interfaces())

    @property
    def discovering(self) -> bool:
        return bool(self._scan.sessions)

    def device(self, path: str) -> Device | None:
        return self._devices.get(path)

    def devices(self) -> Iterator[Device]:
        yield from self._devices.values()

    def hear(self, peripheral: Peripheral, advert: Advert) -> bool:
        """One report arrives at the antenna; true if bluetoothd signals something because of it."""
        if not self.hardware.powered or not (self.discovering or self.monitors.active):
            return False
        filtered = not self.monitors.active
        if not self.hardware.controller.hears(peripheral.address, advert, filtered=filtered):
            return False
        interest = self._interest(advert)
        if interest is None:
            return False
        return self._known(peripheral).hear(advert, interest, self._now())

    # What clients call. `sender` is a unique bus name.

    def set_filter(self, sender: str, wanted: Mapping[str, Variant]) -> None:
        self._need_power()
        self._scan.filters[sender] = {name: value.value for name, value in wanted.items()}

    def start_discovery(self, sender: str) -> None:
        self._need_power()
        if sender in self._scan.sessions or self.hardware.controller.still_discovering:
            raise in_progress()
        self._scan.sessions[sender] = self._scan.filters.get(sender, {})
        self.hardware.controller.scan_restarted()
        self._show(Discovering=YES)

    def stop_discovery(self, sender: str) -> None:
        self._need_power()
        if self._scan.sessions.pop(sender, None) is None:
            raise bluez_error("Failed", "No discovery started")
        self._discovery_ended()

    def set_powered(self, *, on: bool) -> None:
        """Off ends discovery and every connection, and on does not bring them back."""
        if on == self.hardware.powered:
            return
        if not on:
            for device in self.devices():
                device.drop(self._now())
            self._scan.sessions.clear()
            self._show(Discovering=NO)
            self.hardware.controller.power_cycled()
        self.hardware.powered = on
        self._show(Powered=YES if on else NO)

    def remove_device(self, path: str) -> None:
        device = self._devices.get(path)
        if device is None or not device.exists:
            raise bluez_error("DoesNotExist", "Does Not Exist")
        device.remove(self._now())

    def client_gone(self, sender: str) -> None:
        self._scan.filters.pop(sender, None)
        if self._scan.sessions.pop(sender, None) is not None:
            self._discovery_ended()
        self.monitors.client_gone(sender)
        for device in self.devices():
            device.gatt.client_gone(sender)

    def forget_silent(self) -> None:
        """Devices that nobody has heard for some time disappear; connected ones stay."""
        for device in self.devices():
            silent = self._now() - device.heard > self._policy.forget_s
            if silent and device.exists and not device.connected:
                device.remove(self._now())

    def remove(self) -> None:
        """The dongle is gone."""
        for device in self.devices():
            device.remove(self._now())
        self._objects.remove(self.path)

    def need(self, path: str) -> Device:
        """The device at `path` of a powered adapter."""
        self._need_power()
        device = self._devices.get(path)
        if device is None:
            raise bluez_error("DoesNotExist", "Does Not Exist")
        return device

    def _known(self, peripheral: Peripheral) -> Device:
        device = Device(self.path, peripheral, self._objects, self._policy)
        return self._devices.setdefault(device.path, device)

    def _interest(self, advert: Advert) -> Interest | None:
        """None if no client asked for such an advert."""
        wanted = [one for one in self._scan.sessions.values() if _wants(one, advert)]
        if not wanted:
            return Interest() if self.monitors.match(advert) else None
        exact = any(name in one for one in wanted for name in _EVERY_RSSI)
        duplicates = any(one.get("DuplicateData", True) for one in wanted)
        return Interest(duplicates, 0 if exact else self._policy.rssi_step)

    def _discovery_ended(self) -> None:
        if not self._scan.sessions:
            for device in self.devices():
                device.forget_rssi()
            self._show(Discovering=NO)

    def _need_power(self) -> None:
        if not self.hardware.powered:
            raise not_ready()

    def _show(self, **properties: Variant) -> None:
        before = self._objects.interfaces(self.path)[ADAPTER]
        changed = {k: v for k, v in properties.items() if before[k].value != v.value}
        if changed:
            self._objects.change(self.path, ADAPTER, changed)

    def _interfaces(self) -> Interfaces:
        about = {
            "Address": Variant("s", self.hardware.address),
            "AddressType": Variant("s", "public"),
            "Name": Variant("s", self.hardware.name),
            "Alias": Variant("s", self.hardware.name),
            "Class": Variant("u", 0),
            "Powered": YES if self.hardware.powered else NO,
            "Discoverable": NO,
            "Pairable": NO,
            "Discovering": NO,
            "UUIDs": Variant("as", []),
            "Roles": Variant("as", ["central", "peripheral"]),
        }
        found: Interfaces = {ADAPTER: about}
        if self._policy.monitors:
            found[MONITORS] = {
                "SupportedMonitorTypes": Variant("as", ["or_patterns"]),
                "SupportedFeatures": Variant("as", []),
            }
        return found


def _wants(one: Filter, advert: Advert) -> bool:
    uuids = {uuid128(uuid) for uuid in one.get("UUIDs", ())}
    if uuids and not uuids & {uuid128(uuid) for uuid in advert.uuids}:
        return False
    return "RSSI" not in one or advert.rssi >= one["RSSI"]

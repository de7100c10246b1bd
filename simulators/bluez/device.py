"""What bluetoothd knows of one peripheral at one adapter, and when it says something about it."""

from collections.abc import Mapping
from dataclasses import dataclass

from dbus_fast import Variant

from simulators.bluez.controller import Policy
from simulators.bluez.gatt import Gatt
from simulators.bluez.names import DEVICE, uuid128
from simulators.bluez.objects import NO, Objects, Properties
from simulators.bluez.peripheral import Advert, Peripheral

_MERGED = ("ServiceData", "ManufacturerData")  # never removed, only overwritten per UUID or company


@dataclass(frozen=True, slots=True)
class Interest:
    """What those who listen want to be told about: all data again, every RSSI, or news only."""

    duplicates: bool = False
    rssi_step: int | None = None  # dB; None: only the first report has an RSSI


class Device:
    def __init__(
        self, adapter: str, peripheral: Peripheral, objects: Objects, policy: Policy
    ) -> None:
        """`adapter`: its object path."""
        self.adapter, self.peripheral = adapter, peripheral
        self.path = f"{adapter}/dev_{peripheral.address.replace(':', '_')}"
        self.gatt = Gatt(self.path, peripheral, objects, policy)
        self.connected = False
        self.heard = 0.0  # loop time of the last advert, or of the end of the last connection
        self._objects = objects

    @property
    def exists(self) -> bool:
        return self.path in self._objects

    def hear(self, advert: Advert, interest: Interest, now: float) -> bool:
        """One report that reached bluetoothd; true if it was signalled."""
        self.heard = now
        news = _properties(advert)
        if not self.exists:
            self._objects.add(self.path, {DEVICE: self._first(advert) | news})
            return True
        changed = self._changed(news, interest) | self._rssi(advert.rssi, interest)
        if changed:
            self._objects.change(self.path, DEVICE, changed)
        return bool(changed)

    def set(self, **properties: Variant) -> None:
        self._objects.change(self.path, DEVICE, properties)

    def forget_rssi(self) -> None:
        """Discovery has ended."""
        if self.exists and "RSSI" in self._known():
            self._objects.change(self.path, DEVICE, {}, ["RSSI"])

    def drop(self, now: float) -> None:
        """The connection ends, whoever wanted it."""
        if self.connected:
            self.connected, self.heard = False, now
            self.set(ServicesResolved=NO)
            self.set(Connected=NO)
            self.gatt.withdraw()

    def remove(self, now: float) -> None:
        self.drop(now)
        self._objects.remove(self.path)

    def _known(self) -> Properties:
        return self._objects.interfaces(self.path)[DEVICE]

    def _changed(self, news: Properties, interest: Interest) -> Properties:
        known, changed = self._known(), {}
        for name, value in news.items():
            before = known[name].value if name in known else None
            now = value
            if name in _MERGED:
                now = Variant(value.signature, {**(before or {}), **value.value})
            if before != now.value or (interest.duplicates and name in _MERGED):
                changed[name] = now
        return changed

    def _rssi(self, rssi: int, interest: Interest) -> Properties:
        if interest.rssi_step is None:
            return {}
        known = self._known()
        if "RSSI" in known and abs(known["RSSI"].value - rssi) < interest.rssi_step:
            return {}
        return {"RSSI": Variant("n", rssi)}

    def _first(self, advert: Advert) -> Properties:
        states = ("Trusted", "Blocked", "LegacyPairing", "ServicesResolved")
        bonded = Variant("b", self.peripheral.bonded)
        return {
            "Address": Variant("s", self.peripheral.address),
            "AddressType": Variant("s", self.peripheral.address_type),
            "Alias": Variant("s", self.peripheral.address.replace(":", "-")),
            "Adapter": Variant("o", self.adapter),
            "UUIDs": Variant("as", []),
            "Connected": Variant("b", self.connected),
            "RSSI": Variant("n", advert.rssi),
            "AdvertisingFlags": Variant("ay", bytes([advert.flags])),
            "Paired": bonded,
            "Bonded": bonded,
            **dict.fromkeys(states, NO),
        }


def _properties(advert: Advert) -> Properties:
    """The properties of Device1 that come out of an advertisement, RSSI apart."""
    found: Properties = {}
    if advert.service_data:
        found["ServiceData"] = _bytes(
            "a{sv}", {uuid128(u): d for u, d in advert.service_data.items()}
        )
    if advert.manufacturer_data:
        found["ManufacturerData"] = _bytes("a{qv}", advert.manufacturer_data)
    if advert.uuids:
        found["UUIDs"] = Variant("as", [uuid128(uuid) for uuid in advert.uuids])
    if advert.name:
        found["Name"] = found["Alias"] = Variant("s", advert.name)
    return found


def _bytes(signature: str, data: Mapping[str, bytes] | Mapping[int, bytes]) -> Variant:
    return Variant(signature, {key: Variant("ay", value) for key, value in data.items()})

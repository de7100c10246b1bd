"""Devices in the air: what they advertise and what they offer to who connects."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from simulators.bluez.names import BASE_UUID, uuid128

# Types of AD structures: Bluetooth Assigned Numbers 2.3
FLAGS, COMPLETE_NAME, SERVICE_DATA_16, MANUFACTURER = 0x01, 0x09, 0x16, 0xFF


@dataclass(frozen=True, slots=True)
class Advert:
    """One advertisement as a receiver hears it. UUIDs may be short; `rssi` in dBm."""

    service_data: Mapping[str, bytes] = field(default_factory=dict)
    manufacturer_data: Mapping[int, bytes] = field(default_factory=dict)
    uuids: Sequence[str] = ()
    name: str = ""
    rssi: int = -60
    flags: int = 0x06  # general discoverable, no BR/EDR

    def structures(self) -> Iterator[tuple[int, bytes]]:
        """(type, data) of each AD structure that an advertisement monitor can look at."""
        yield FLAGS, bytes([self.flags])
        for uuid, data in self.service_data.items():
            full = uuid128(uuid)
            if full.startswith("0000") and full.endswith(BASE_UUID):
                yield SERVICE_DATA_16, bytes.fromhex(full[4:8])[::-1] + data
        for company, data in self.manufacturer_data.items():
            yield MANUFACTURER, company.to_bytes(2, "little") + data
        if self.name:
            yield COMPLETE_NAME, self.name.encode()


@dataclass(eq=False, slots=True)
class Characteristic:
    """`flags` as BlueZ spells them: read, write, write-without-response, notify, indicate."""

    uuid: str
    flags: Sequence[str]
    value: bytes = b""
    on_write: Callable[[bytes], None] | None = None

    @property
    def notifies(self) -> bool:
        return bool({"notify", "indicate"} & set(self.flags))


@dataclass(frozen=True, slots=True)
class Service:
    uuid: str
    characteristics: Sequence[Characteristic]


@dataclass(eq=False, slots=True)
class Peripheral:
    """One device. `connectable` and `mute` may be changed at any time."""

    address: str
    name: str = ""
    address_type: str = "public"
    services: Sequence[Service] = ()
    bonded: bool = False  # BlueZ has a key for it, from an earlier pairing
    connectable: bool = True
    mute: bool = False  # the link stands, but nothing is answered any more
    connect_s: float = 0.02
    resolve_s: float = 0.05  # from connected to all services known

    def characteristic(self, uuid: str) -> Characteristic:
        """Raises KeyError if it has none of this UUID."""
        for service in self.services:
            for one in service.characteristics:
                if uuid128(one.uuid) == uuid128(uuid):
                    return one
        raise KeyError(f"{self.address} has no characteristic {uuid}")

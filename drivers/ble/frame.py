"""What one advert says, whatever its format. Pure values."""

from collections.abc import Mapping
from enum import StrEnum
from typing import NamedTuple

from gateway.model import Value

# Service data and company ids are kept by the 16 bits that the Bluetooth SIG assigned.
BTHOME_UUID, MIBEACON_UUID, EDDYSTONE_UUID = 0xFCD2, 0xFE95, 0xFEAA
APPLE = 0x004C


class Advert(NamedTuple):
    """One reception. `address` is AA:BB:CC:DD:EE:FF, `rssi` dBm, `received_ns` CLOCK_BOOTTIME.

    `service` maps 16-bit service UUIDs to their data, `company` company ids to theirs.
    """

    address: str
    rssi: int
    received_ns: int
    service: Mapping[int, bytes]
    company: Mapping[int, bytes]


class Wire(StrEnum):
    """The format of a frame; also the key that names it in a profile's `at`."""

    BTHOME = "bthome"
    MIBEACON = "mibeacon"
    IBEACON = "ibeacon"
    EDDYSTONE = "eddystone"


class Refusal(StrEnum):
    """Why a frame was not read, or not to its end."""

    TOO_SHORT = "too_short"
    VERSION = "version"  # a version that we do not speak
    NO_KEY = "no_key"  # encrypted, and the configuration has no key
    MIC = "mic"  # altered, forged, or another key
    ADDRESS = "address"  # the address inside is not the sender's
    UNSAFE = "unsafe_encryption"  # an encryption without a tag, which anyone can alter
    FOREIGN = "foreign"  # a kind of frame that we have no use for
    CUT = "cut"  # an object was cut short; what came before it counts
    UNKNOWN_OBJECT = "unknown_object"  # of unknown length; what came before it counts


class Object(NamedTuple):
    """One value of a frame. `nth` counts objects of the same id from 1.

    `id` is the number of the object, or the name of a field of a beacon.
    """

    id: int | str
    nth: int
    value: Value


class Frame(NamedTuple):
    """What a parser made of the bytes. Parsers never raise: `refused` tells what was wrong.

    `counter` is the encryption counter (u32), None of a plain frame. `packet` is what else tells a
    new frame from a repeat (BTHome packet id, MiBeacon frame counter), modulo 256. `payload` is
    the plain text. `triggered`: the device sends when something happens, not at intervals.
    """

    wire: Wire
    objects: tuple[Object, ...] = ()
    refused: Refusal | None = None
    encrypted: bool = False
    counter: int | None = None
    packet: int | None = None
    triggered: bool = False
    payload: bytes = b""
    product: int | None = None

    @property
    def usable(self) -> bool:
        """Its objects count, though perhaps not all of them could be read."""
        return self.refused in {None, Refusal.CUT, Refusal.UNKNOWN_OBJECT}


def address_bytes(address: str) -> bytes:
    """The six bytes of AA:BB:CC:DD:EE:FF in the order in which they are printed."""
    return bytes.fromhex(address.replace(":", ""))

"""Home alarms that only advertise: smoke, water, door, movement, and a button for help."""

import json
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import TextIO

from simulators.bluez import bthome
from simulators.bluez.peripheral import Advert, Peripheral

MAX_COUNTER = 2**32
RSSI_SPREAD_DB = 3.0  # indoors, nobody moving


class Kind(StrEnum):
    SMOKE = "smoke"
    LEAK = "leak"
    DOOR = "door"
    MOTION = "motion"
    BUTTON = "button"


class Press(IntEnum):
    """Values of the button object 0x3A."""

    SINGLE = 1
    DOUBLE = 2
    TRIPLE = 3
    LONG = 4


# Object ids of https://bthome.io/format
_PACKET, _BATTERY, _BUTTON = 0x00, 0x01, 0x3A
_STATE = {Kind.SMOKE: 0x29, Kind.LEAK: 0x20, Kind.DOOR: 0x1A, Kind.MOTION: 0x21}


@dataclass(eq=False)
class Sensor:
    """`key`: 16 bytes, None for one that sends in plain; `rssi`: its mean at the gateway, in dBm."""

    device: str
    kind: Kind
    address: str
    key: bytes | None = None
    rssi: int = -68
    battery: int = 97
    on: bool = False
    counter: int = 1000
    packet: int = 0
    log: TextIO | None = None
    now: Callable[[], int] = time.time_ns

    def __post_init__(self) -> None:
        self.peripheral = Peripheral(self.address, name=f"{self.kind}-{self.address[-2:]}")
        self._random = random.Random(self.address)
        self._pressed = 0
        self._frame = b""

    @property
    def frame(self) -> bytes:
        """Service data as it is sent now."""
        if not self._frame:
            self.renew()
        return self._frame

    def show(self, *, on: bool) -> None:
        """Another state, in a new frame."""
        self.on = on
        self.renew()

    def press(self, how: Press = Press.SINGLE) -> None:
        """One press, in a new frame; later frames carry no press."""
        self._pressed = how
        self.renew()
        self._pressed = 0

    def renew(self) -> None:
        """A new frame with the state as it is: next packet number, next counter."""
        self.packet = (self.packet + 1) % 256
        self.counter = (self.counter + 1) % MAX_COUNTER
        self._frame = self._make()
        if self.log is not None:
            entry = {"device": self.device, "time": str(self.now()), "counter": self.counter,
                     "on": self.on, "press": self._pressed}  # fmt: skip
            self.log.write(json.dumps(entry) + "\n")

    def advert(self) -> Advert:
        """The current frame once more, as strong as it happens to arrive."""
        rssi = round(self._random.gauss(self.rssi, RSSI_SPREAD_DB))
        return Advert({bthome.UUID: self.frame}, rssi=max(-100, min(-20, rssi)))

    def _make(self) -> bytes:
        objects = bytes([_PACKET, self.packet, _BATTERY, self.battery])
        if self.kind is Kind.BUTTON:
            objects += bytes([_BUTTON, self._pressed])
        else:
            objects += bytes([_STATE[self.kind], self.on])
        if self.key is None:
            return bthome.plain(objects, triggered=True)
        return bthome.encrypted(self.address, self.key, self.counter, objects, triggered=True)

"""The Bluetooth controller and the kernel below bluetoothd: what they hide, and how they fail."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from simulators.bluez.peripheral import Advert

WINDOW_S = (
    10.24  # the kernel restarts an active scan this often, which clears the controller's list
)


class Duplicates(StrEnum):
    """By what a controller recognises a report that it has already passed on."""

    NONE = "none"
    ADDRESS = "address"
    ADDRESS_AND_DATA = "address and data"


class Cure(StrEnum):
    """What ends a silent stall."""

    DISCOVERY = "discovery"  # a fresh StartDiscovery
    POWER = "power"  # off and on


@dataclass(frozen=True, slots=True)
class Policy:
    """How the simulated stack behaves; the defaults are bluetoothd 5.66 and a strict controller."""

    duplicates: Duplicates = Duplicates.ADDRESS
    monitors: bool = True  # bluetoothd --experimental
    rssi_step: int = 0  # dB; 0: every report is signalled (5.66), 8: after 5.87
    forget_s: float = 30.0  # a device that is not heard for so long disappears
    att_timeout_s: float = 30.0  # Core 6.0, vol. 3 part F, 3.3.3: the link is then given up


class Controller:
    """One adapter's radio. `hears` decides what of the air reaches bluetoothd."""

    def __init__(self, duplicates: Duplicates, now: Callable[[], float]) -> None:
        self.hidden = 0  # reports that the duplicate filter kept back
        self.still_discovering = False  # of a bluetoothd that is gone
        self._duplicates, self._now = duplicates, now
        self._seen: set[object] = set()
        self._since = now()
        self._stalled: Cure | None = None

    def hears(self, address: str, advert: Advert, *, filtered: bool) -> bool:
        """`filtered`: the kernel has asked for the duplicate filter."""
        if self._stalled is not None:
            return False
        if not filtered or self._duplicates is Duplicates.NONE:
            return True
        if self._now() - self._since > WINDOW_S:
            self._forget()
        key: object = address
        if self._duplicates is Duplicates.ADDRESS_AND_DATA:
            key = (address, tuple(advert.structures()))
        if key in self._seen:
            self.hidden += 1
            return False
        self._seen.add(key)
        return True

    def stall(self, cure: Cure) -> None:
        """From now on nothing is heard, and nothing says so."""
        self._stalled = cure

    def scan_restarted(self) -> None:
        self._forget()
        if self._stalled is Cure.DISCOVERY:
            self._stalled = None

    def power_cycled(self) -> None:
        self._forget()
        self._stalled = None
        self.still_discovering = False

    def _forget(self) -> None:
        self._seen.clear()
        self._since = self._now()

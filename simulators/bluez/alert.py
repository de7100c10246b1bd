"""An alarm that wants a connection: alert notification, immediate alert and battery services."""

from dataclasses import dataclass, field

from simulators.bluez.bluez import Bluez
from simulators.bluez.peripheral import Advert, Characteristic, Peripheral, Service

# Bluetooth Assigned Numbers 3.4 and 3.8
ALERT_NOTIFICATION, IMMEDIATE_ALERT, BATTERY = "1811", "1802", "180f"
NEW_ALERT, UNREAD_ALERT, CONTROL_POINT, ALERT_LEVEL, BATTERY_LEVEL = (
    "2a46",
    "2a45",
    "2a44",
    "2a06",
    "2a19",
)
SUPPORTED_NEW, SUPPORTED_UNREAD = "2a47", "2a48"
# Alert Notification Service 1.0, 3.3.1: tell what there is, now
_NEW_NOW, _UNREAD_NOW = b"\x04", b"\x05"
HIGH_PRIORITY = 8  # category "high prioritized alert", Assigned Numbers 6.5.1


@dataclass(eq=False)
class Alert:
    """One device. `raise_alert` and `clear` change what it shows; `level` is what it was told to sound."""

    bluez: Bluez
    address: str
    name: str = "alert"
    rssi: int = -62
    bonded: bool = False
    active: bool = False
    level: int = 0  # 0 silent, 1 mild, 2 high
    commands: list[bytes] = field(default_factory=list)

    def __post_init__(self) -> None:
        supported = bytes([0, 1])  # a bit mask: category 8 is bit 0 of the second byte
        alerts = [
            Characteristic(SUPPORTED_NEW, ["read"], supported),
            Characteristic(NEW_ALERT, ["notify"]),
            Characteristic(SUPPORTED_UNREAD, ["read"], supported),
            Characteristic(UNREAD_ALERT, ["notify"], self._unread()),
            Characteristic(CONTROL_POINT, ["write"], on_write=self._commanded),
        ]
        # Reading it is not in the specification, but usual; without it no command can be confirmed.
        flags = ["read", "write-without-response"]
        level = Characteristic(ALERT_LEVEL, flags, bytes([0]), on_write=self._sound)
        battery = Characteristic(BATTERY_LEVEL, ["read", "notify"], bytes([88]))
        services = [
            Service(ALERT_NOTIFICATION, alerts),
            Service(IMMEDIATE_ALERT, [level]),
            Service(BATTERY, [battery]),
        ]
        self.peripheral = Peripheral(self.address, self.name, services=services, bonded=self.bonded)

    def advert(self) -> Advert:
        return Advert(uuids=[ALERT_NOTIFICATION], name=self.name, rssi=self.rssi)

    def raise_alert(self) -> bool:
        """A new alert, then one that is unread; true if a client is told."""
        self.active = True
        told = self.bluez.notify(self.peripheral, NEW_ALERT, self._new())
        return self.bluez.notify(self.peripheral, UNREAD_ALERT, self._unread()) or told

    def clear(self) -> bool:
        """Somebody has seen it; true if a client is told."""
        self.active = False
        return self.bluez.notify(self.peripheral, UNREAD_ALERT, self._unread())

    def _new(self) -> bytes:
        """Category, number of alerts, text."""
        return bytes([HIGH_PRIORITY, self.active]) + b"SOS"

    def _unread(self) -> bytes:
        return bytes([HIGH_PRIORITY, self.active])

    def _commanded(self, value: bytes) -> None:
        """Tell at once what the command asks for; switching reports on and off is not simulated."""
        self.commands.append(value)
        if value[:1] == _NEW_NOW and self.active:
            self.bluez.notify(self.peripheral, NEW_ALERT, self._new())
        elif value[:1] == _UNREAD_NOW:
            self.bluez.notify(self.peripheral, UNREAD_ALERT, self._unread())

    def _sound(self, value: bytes) -> None:
        self.level = value[0] if value else 0

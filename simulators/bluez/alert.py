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
_NOTIFY_NEW_NOW, _NOTIFY_UNREAD_NOW = 4, 5
HIGH_PRIORITY = 8  # category "high prioritized alert", Assigned Numbers 6.5.1


@dataclass(eq=False)
class Alert:
    """One device. `raise_alert` and `clear` change what it shows; `level` is what it was told to sound."""

    bluez: Bluez
    address: str
    name: str = "alert"
    rssi: int = -62
    active: bool = False
    level: int = 0  # 0 silent, 1 mild, 2 high
    commands: list[bytes] = field(default_factory=list)

    def __post_init__(self) -> None:
        told = [
            "notify",
            "read",
        ]  # read: not in the specification, but common, and what a driver prefers
        supported = bytes([0, 1])  # a bit mask: category 8 is bit 0 of the second byte
        alerts = [
            Characteristic(SUPPORTED_NEW, ["read"], supported),
            Characteristic(NEW_ALERT, told, self._state()),
            Characteristic(SUPPORTED_UNREAD, ["read"], supported),
            Characteristic(UNREAD_ALERT, told, self._state()),
            Characteristic(CONTROL_POINT, ["write"], on_write=self._commanded),
        ]
        level = Characteristic(ALERT_LEVEL, ["write-without-response"], on_write=self._sound)
        battery = Characteristic(BATTERY_LEVEL, ["read", "notify"], bytes([88]))
        services = [
            Service(ALERT_NOTIFICATION, alerts),
            Service(IMMEDIATE_ALERT, [level]),
            Service(BATTERY, [battery]),
        ]
        self.peripheral = Peripheral(self.address, self.name, services=services)

    def advert(self) -> Advert:
        return Advert(uuids=[ALERT_NOTIFICATION], name=self.name, rssi=self.rssi)

    def raise_alert(self) -> bool:
        """True if a client is told."""
        return self._show(active=True)

    def clear(self) -> bool:
        """True if a client is told."""
        return self._show(active=False)

    def set_battery(self, percent: int) -> bool:
        return self.bluez.notify(self.peripheral, BATTERY_LEVEL, bytes([percent]))

    def _show(self, *, active: bool) -> bool:
        self.active = active
        told = [
            self.bluez.notify(self.peripheral, one, self._state())
            for one in (NEW_ALERT, UNREAD_ALERT)
        ]
        return any(told)

    def _state(self) -> bytes:
        """Category and number of alerts."""
        return bytes([HIGH_PRIORITY, self.active])

    def _commanded(self, value: bytes) -> None:
        self.commands.append(value)
        answers = {_NOTIFY_NEW_NOW: NEW_ALERT, _NOTIFY_UNREAD_NOW: UNREAD_ALERT}
        if value and value[0] in answers:
            self.bluez.notify(self.peripheral, answers[value[0]], self._state())

    def _sound(self, value: bytes) -> None:
        self.level = value[0] if value else 0

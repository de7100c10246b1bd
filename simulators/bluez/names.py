"""Names, error texts and identifiers of BlueZ, as bluetoothd 5.66 puts them on the bus."""

BLUEZ = "org.bluez"
ROOT = "/org/bluez"
OBJECTS = "org.freedesktop.DBus.ObjectManager"
PROPERTIES = "org.freedesktop.DBus.Properties"
ADAPTER = "org.bluez.Adapter1"
DEVICE = "org.bluez.Device1"
SERVICE = "org.bluez.GattService1"
CHARACTERISTIC = "org.bluez.GattCharacteristic1"
DESCRIPTOR = "org.bluez.GattDescriptor1"
MONITORS = "org.bluez.AdvertisementMonitorManager1"
MONITOR = "org.bluez.AdvertisementMonitor1"

BASE_UUID = "-0000-1000-8000-00805f9b34fb"  # Bluetooth Core 6.0, vol. 3 part B, 2.5.1


class BluezError(Exception):
    """A D-Bus error reply: its full name and its text."""

    def __init__(self, name: str, text: str) -> None:
        super().__init__(f"{name}: {text}")
        self.name, self.text = name, text


def bluez_error(name: str, text: str) -> BluezError:
    """`name`: what follows `org.bluez.Error.`."""
    return BluezError(f"org.bluez.Error.{name}", text)


def not_ready() -> BluezError:
    return bluez_error("NotReady", "Resource Not Ready")


def in_progress() -> BluezError:
    return bluez_error("InProgress", "Operation already in progress")


def unknown_object(member: str, signature: str, interface: str) -> BluezError:
    """What libgdbus answers for a path that does not exist (any more)."""
    text = f'Method "{member}" with signature "{signature}" on interface "{interface}" doesn\'t exist\n'
    return BluezError("org.freedesktop.DBus.Error.UnknownObject", text)


def unknown_method(member: str, signature: str, interface: str) -> BluezError:
    text = f'Method "{member}" with signature "{signature}" on interface "{interface}" doesn\'t exist\n'
    return BluezError("org.freedesktop.DBus.Error.UnknownMethod", text)


def uuid128(uuid: str) -> str:
    """The full form of a UUID that is given with 4, 8 or 36 characters."""
    uuid = uuid.lower()
    if len(uuid) == 36:
        return uuid
    return f"{uuid:0>8}{BASE_UUID}"

"""Home alarms for a simulated compound. Imports nothing of BLE until there are some."""

import os
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, TextIO

if TYPE_CHECKING:
    from simulators.bluez.air import Air

BUS = "DBUS_SYSTEM_BUS_ADDRESS"  # D-Bus Specification, "Well-known Message Bus Instances"
# Profile -> what it is in simulators/bluez; one that is connected to is no sensor.
SENSORS = {
    "bthome-smoke": "smoke",
    "bthome-leak": "leak",
    "bthome-door": "door",
    "bthome-pir": "motion",
    "bthome-button": "button",
}
CONNECTED = "ble-alert"


class HomeAlarm(NamedTuple):
    """A device of the configuration; `profile` is in SENSORS or CONNECTED."""

    device: str
    profile: str
    address: str
    key: bytes | None


@dataclass(frozen=True, slots=True)
class HomeRadio:
    """What one adapter hears. `adapter`: its address, None for any."""

    adapter: str | None
    alarms: Sequence[HomeAlarm]


@dataclass(frozen=True, slots=True)
class Home:
    """Where the simulated BlueZ is, and what is in the air."""

    bus: str
    air: "Air"


@asynccontextmanager
async def home(
    radios: Sequence[HomeRadio], *, seed: int = 0, log: TextIO | None = None,
    environ: Mapping[str, str] = os.environ,
) -> AsyncIterator[Home]:  # fmt: skip
    """A simulated BlueZ with these adapters for the time of the block.

    It is on the bus that the environment names as the system bus, or else on a private one, never on
    the real system bus. Raises OSError: no dbus-daemon, or there is a BlueZ on that bus already.
    """
    from simulators.bluez.air import Air  # noqa: PLC0415 -- needs the extra `ble`
    from simulators.bluez.alert import Alert  # noqa: PLC0415 -- as above
    from simulators.bluez.bluez import ADDRESS, simulated  # noqa: PLC0415 -- as above
    from simulators.bluez.bus import private_bus  # noqa: PLC0415 -- as above
    from simulators.bluez.sensor import Kind, Sensor  # noqa: PLC0415 -- as above

    adapters = {f"hci{n}": radio.adapter or ADDRESS for n, radio in enumerate(radios)}
    alarms = [alarm for radio in radios for alarm in radio.alarms]
    sensors = [
        Sensor(one.device, Kind(SENSORS[one.profile]), one.address, one.key, log=log)
        for one in alarms
        if one.profile in SENSORS
    ]
    async with AsyncExitStack() as stack:
        bus = environ.get(BUS)
        if bus is None:
            bus = await stack.enter_async_context(private_bus())
        bluez = await stack.enter_async_context(simulated(bus, adapters=adapters))
        # Paired, as who installs it has to do: the gateway acts on no alarm of another one.
        connected = [one.address for one in alarms if one.profile == CONNECTED]
        alerts = [Alert(bluez, address, bonded=True) for address in connected]
        yield Home(bus, Air(bluez, sensors, alerts, seed=seed))

"""What the tests of the BLE driver share: devices, a driver that runs under its supervisor."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from pydantic import SecretStr

from drivers.ble.driver import BleDriver
from drivers.ble.settings import BleDevice, BleLink
from drivers.ble.spec import SPEC
from gateway.clock import SystemClock
from gateway.driver import Device, Publisher
from gateway.errors import GatewayError
from gateway.health import LinkState
from gateway.model import Event, EventKind
from gateway.profile import Profile, load_profile, shipped_folder
from gateway.supervise import supervise
from simulators.bluez.bluez import Bluez
from simulators.bluez.sensor import Kind, Sensor
from tests.harness.bluez import until
from tests.harness.recorder import Recorder

KEY = bytes.fromhex("231d39c1d7cc1ab1aee224cd096db932")
SOS, SMOKE, LEAK = "54:48:E6:8F:80:A5", "54:48:E6:8F:80:A6", "54:48:E6:8F:80:A7"
CLOCK = SystemClock()  # it looks at files, so not on the loop


def shipped(name: str) -> Profile:
    return load_profile(shipped_folder() / f"{name}.yaml")[0]


PROFILES = {
    name: shipped(name) for name in ("bthome-smoke", "bthome-leak", "bthome-button", "bthome-pir", "xiaomi-jtyjgd03mi", "ble-alert")
}  # fmt: skip


def device(name: str, profile: str, address: str, key: bytes | None = KEY, **more: object) -> Device:  # fmt: skip
    section = {"profile": profile, "link": "radio", "address": address, **more}
    if key is not None:
        section["key"] = SecretStr(key.hex())
    return Device(name, PROFILES[profile], BleDevice.model_validate(section))


def button(key: bytes | None = KEY, **more: object) -> Device:
    if key is None:
        more = {"require_encryption": False, **more}
    return device("sos-1", "bthome-button", SOS, key, **more)


def smoke(key: bytes | None = KEY, **more: object) -> Device:
    if key is None:
        more = {"require_encryption": False, **more}
    return device("smoke-1", "bthome-smoke", SMOKE, key, **more)


def sensor(kind: Kind, address: str, key: bytes | None = KEY, counter: int = 5000) -> Sensor:
    return Sensor(kind, kind, address, key, counter=counter)


def driver_for(devices: Sequence[Device], **link: object) -> BleDriver:
    section = BleLink.model_validate({"driver": "ble", **link})
    built = SPEC.build("radio", section, devices, CLOCK)
    assert isinstance(built, BleDriver)
    return built


@asynccontextmanager
async def running(
    driver: BleDriver, bus: Publisher, *, longest_s: float = 1.0
) -> AsyncIterator[list[tuple[LinkState, str]]]:
    """The driver under its supervisor for the time of the block; yields what became of the link:
    each time that it is up, and why each run ended.
    """
    told: list[tuple[LinkState, str]] = []

    async def run() -> None:
        try:
            await driver.run(bus)
        except GatewayError as error:
            told.append((LinkState.DOWN, str(error)))
            raise

    def transition(state: LinkState, reason: str) -> None:
        if state is LinkState.UP:
            told.append((state, reason))

    task = asyncio.create_task(
        supervise(
            "radio", run, driver.health, clock=CLOCK, transition=transition, longest_s=longest_s
        )
    )
    try:
        await until(lambda: driver.health.state is LinkState.UP or task.done(), 10)
        yield told
    finally:
        task.cancel()
        await asyncio.wait({task})


def events(bus: Recorder, kind: EventKind) -> list[Event]:
    return [one for one in bus.items if isinstance(one, Event) and one.kind is kind]


def values(bus: Recorder, device_id: str, point: str) -> list[object]:
    """Every value of one point, in order."""
    return [s.values[point] for s in bus.of(device_id) if point in s.values]


async def air(bluez: Bluez, one: Sensor, copies: int = 6) -> None:
    """The current frame in as many copies, as close as the daemon can send them."""
    for _ in range(copies):
        bluez.advertise(one.peripheral, one.advert())
        await asyncio.sleep(0.002)

"""Buildings that catch fire: encrypted detectors on a simulated BlueZ, doors on Modbus, lights on MQTT.

The gateway is the real daemon. Beside the fire it has 1,000 rules and lamps that talk all the time,
the platform cannot be reached until `platform`, and the disk takes 2 s for each commit of an alarm.
"""

import asyncio
import os
import sqlite3
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import aiomqtt
import orjson

from gateway.profile import load_profile, shipped_folder
from simulators.bluez.bluez import Bluez, simulated
from simulators.bluez.bus import private_bus
from simulators.bluez.sensor import Kind, Sensor
from simulators.modbus import Farm, SimMeter, on_tcp
from simulators.modbus_faults import Misbehaviour
from simulators.platform import Platform, platform
from tests.harness import crowd
from tests.harness.bluez import until
from tests.harness.broker import HOST, Mosquitto
from tests.harness.daemon import Daemon
from tests.harness.ports import free_port

GATEWAY, GUARDS = "gw-fire", "guard-room"
RULES = Path(__file__).parents[2] / "configs" / "rules" / "fire-linkage.yaml"
CROWD_RULES = 1_000
WRITE_COIL, ON = 0x05, 0xFF
SEEN_S = 10.0  # for one sign of life on a loaded machine

_CONFIG = """\
version: 1
gateway: {{id: gw-fire, timezone: Asia/Shanghai, state_dir: state}}
links:
  radio: {{driver: ble}}
  doors: {{driver: modbus, transport: tcp, host: 127.0.0.1, port: {doors}}}
  lights: {{driver: mqtt, url: "mqtt://127.0.0.1:{lights}", device_rate: 1000}}
devices:
{devices}
rules: [{fire}, crowd.yaml]
store: {{group_commit: 1s}}
upstream:
  platform: {{url: "mqtt://127.0.0.1:{platform}", lanes: [0, 1, 2]}}
recipients:
  guard-room: {{via: mqtt, link: lights, topic: site/guard-room}}
  platform: {{via: upstream, to: platform}}
commands:
  allow:
    - {{origin: rules, devices: {{type: door}}, points: [door.lock]}}
    - {{origin: rules, devices: {{type: light}}, points: [light.level]}}
log: {{format: console, level: info}}
"""


class Write(NamedTuple):
    """A command as it came out of the wire: loop time of its arrival, device, value."""

    at: float
    device: str
    value: object


@dataclass
class Wire:
    """What devices were told to do, in order."""

    writes: list[Write] = field(default_factory=list)

    def take(self, device: str, value: object) -> None:
        self.writes.append(Write(time.monotonic(), device, value))

    def of(self, device: str) -> list[object]:
        return [write.value for write in self.writes if write.device == device]

    def first(self, building: int, since: float) -> Write | None:
        names = {f"door-{building}", f"light-{building}"}
        fits = (w for w in self.writes if w.at >= since and w.device in names)
        return next(fits, None)


class Doors(Farm):
    """Relay boards, locked at the beginning, that note each coil that is written."""

    def __init__(self, meters: list[SimMeter], wire: Wire) -> None:
        super().__init__(meters)
        self._names = {meter.unit: meter.device for meter in meters}
        for meter in meters:
            super().answer(meter.unit, bytes((WRITE_COIL, 0, 0, ON, 0)))
        self._wire = wire

    def answer(self, unit: int, pdu: bytes) -> tuple[bytes, Misbehaviour | None] | None:
        if pdu[0] == WRITE_COIL:
            self._wire.take(self._names[unit], "locked" if pdu[3] == ON else "unlocked")
        return super().answer(unit, pdu)


@dataclass
class Blaze:
    """`buildings` with two detectors, an escape door, a store door and a light each, from 1 on."""

    folder: Path
    daemon: Daemon
    bluez: Bluez
    detectors: dict[int, tuple[Sensor, Sensor]]
    wire: Wire
    platform_port: int
    doors: Doors

    async def burn(
        self, building: int, also: Callable[[], None] = lambda: None
    ) -> tuple[float, Write]:
        """Smoke at one detector, then at the other: when its advert was sent, and the first command.

        `also` is called at the second advert.
        """
        first, second = self.detectors[building]
        heard = await self._adverts()
        first.show(on=True)
        self.bluez.advertise(first.peripheral, first.advert())
        async with asyncio.timeout(SEEN_S):
            while await self._adverts() == heard:
                await asyncio.sleep(0.02)
        second.show(on=True)
        sent = time.monotonic()
        self.bluez.advertise(second.peripheral, second.advert())
        also()
        await until(lambda: self.wire.first(building, sent), SEEN_S)
        write = self.wire.first(building, sent)
        assert write is not None
        return sent, write

    async def raised(self) -> list[str]:
        """Instances of the alarms that are on the disk."""
        return await asyncio.to_thread(raised, self.folder / "state")

    @asynccontextmanager
    async def platform(self) -> AsyncIterator[Platform]:
        """From now on there is one."""
        broker = Mosquitto(self.folder / "uplink", port=self.platform_port)
        log = self.folder / "platform.jsonl"
        async with broker, platform(HOST, self.platform_port, GATEWAY, log=log) as there:
            yield there

    async def _adverts(self) -> int:
        status = await self.daemon.status()
        radio = next(link for link in status["links"] if link["name"] == "radio")
        return int(radio["counters"].get("adverts", 0))


def raised(state_dir: Path) -> list[str]:
    query = "SELECT body FROM event WHERE kind='alarm_raised' ORDER BY id"
    with closing(sqlite3.connect(f"file:{state_dir}/core.db?mode=ro", uri=True)) as db:
        return [str(orjson.loads(row[0])["instance"]) for row in db.execute(query)]


@asynccontextmanager
async def blaze(
    folder: Path,
    buildings: int,
    *,
    sabotage: str | None = "stalled_disk",
    rate: float = 2_000,
    qos: int = 0,
) -> AsyncIterator[Blaze]:
    """Everything runs, all detectors are at rest; `rate` samples a second come from the crowd."""
    wire = Wire()
    doors = await asyncio.to_thread(lambda: Doors(list(_doors(buildings)), wire))
    async with AsyncExitStack() as stack:
        address = await stack.enter_async_context(private_bus())
        bluez = await stack.enter_async_context(simulated(address))
        lights = await stack.enter_async_context(Mosquitto(folder / "lights"))
        await stack.enter_async_context(on_tcp(doors, HOST, 0))
        lamps = asyncio.create_task(_lamps(lights.port, wire))
        stack.push_async_callback(_ended, lamps)
        platform_port, detectors = free_port(), dict(_detectors(buildings))
        ports = doors.port, lights.port, platform_port
        config = await asyncio.to_thread(_written, folder, detectors, ports)
        daemon = Daemon(config, folder / "state", sabotage=sabotage, ready_s=30)
        daemon.environ = {**os.environ, "DBUS_SYSTEM_BUS_ADDRESS": address}
        await daemon.start()
        stack.push_async_callback(daemon.stop)
        await daemon.until(lambda s: all(link["state"] == "up" for link in s["links"]), 30)
        one = Blaze(folder, daemon, bluez, detectors, wire, platform_port, doors)
        for sensor in (sensor for pair in detectors.values() for sensor in pair):
            bluez.advertise(sensor.peripheral, sensor.advert())
        await stack.enter_async_context(_talking(lights.port, rate, qos))
        await daemon.until(lambda s: s["counters"].get("samples", 0) >= rate, 30)
        wire.writes.clear()
        yield one


@asynccontextmanager
async def _talking(port: int, rate: float, qos: int) -> AsyncIterator[None]:
    talker = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.harness.crowd", str(port), str(rate), str(qos),
        cwd=Path(__file__).parents[2],
    )  # fmt: skip
    try:
        yield
    finally:
        talker.kill()
        await talker.wait()


async def _ended(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait([task])


async def _lamps(port: int, wire: Wire) -> None:
    """All lamps and the guards' display, on one connection: a lamp does at once what it is told, and says so."""
    protocol = aiomqtt.ProtocolVersion.V5
    async with aiomqtt.Client(HOST, port, protocol=protocol) as client:
        await client.subscribe([("d/+/cmd", 1), (f"site/{GUARDS}", 1)])
        async for message in client.messages:
            assert isinstance(message.payload, bytes)
            lamp, told = message.topic.value.split("/")[1], orjson.loads(message.payload)
            if lamp == GUARDS:
                wire.take(GUARDS, told["text"])
                continue
            wire.take(lamp, told["values"]["light.level"])
            await client.publish(f"d/{lamp}/state", orjson.dumps({"values": told["values"]}), qos=1)


def _doors(buildings: int) -> Iterator[SimMeter]:
    profile = load_profile(shipped_folder() / "modbus-relay-door.yaml")[0]
    for building in range(1, buildings + 1):
        yield SimMeter(f"door-{building}", profile, 2 * building - 1)
        yield SimMeter(f"store-{building}", profile, 2 * building)


def _detectors(buildings: int) -> Iterator[tuple[int, tuple[Sensor, Sensor]]]:
    for building in range(1, buildings + 1):
        a, b = (
            Sensor(f"smoke-{building}{which.lower()}", Kind.SMOKE, f"54:48:E6:8F:{building:02X}:{which}{which}", os.urandom(16), counter=5_000)
            for which in "AB"
        )  # fmt: skip
        yield building, (a, b)


def _written(
    folder: Path, detectors: dict[int, tuple[Sensor, Sensor]], ports: tuple[int, int, int]
) -> Path:
    lines = []
    for building, pair in detectors.items():
        place = f'building: "{building}", zone: "{building}-1"'
        for sensor in pair:
            key = folder / f"{sensor.device}.key"
            key.touch(mode=0o600)
            assert sensor.key is not None
            key.write_text(sensor.key.hex(), encoding="ascii")
            lines.append(f'  {sensor.device}: {{profile: bthome-smoke, link: radio, address: "{sensor.address}", key: "${{file:{key.name}}}", tags: {{{place}}}}}')  # fmt: skip
        lines.append(f"  door-{building}: {{profile: modbus-relay-door, link: doors, unit: {2 * building - 1}, poll: {{fast: 10s}}, tags: {{{place}, on_fire: release}}}}")  # fmt: skip
        lines.append(f"  store-{building}: {{profile: modbus-relay-door, link: doors, unit: {2 * building}, poll: {{fast: 10s}}, tags: {{{place}}}}}")  # fmt: skip
        lines.append(f"  light-{building}: {{profile: streetlight-native, link: lights, topic_id: light-{building}, tags: {{{place}, use: egress}}}}")  # fmt: skip
    for number in range(crowd.LAMPS):
        name = crowd.topic_id(number)
        lines.append(f"  {name}: {{profile: streetlight-native, link: lights, topic_id: {name}}}")
    (folder / "state").mkdir(mode=0o700)
    rules = "rules:\n" + "".join(map(_rule, range(CROWD_RULES)))
    (folder / "crowd.yaml").write_text(rules, encoding="utf-8")
    path = folder / "gateway.yaml"
    doors, lights, uplink = ports
    text = _CONFIG.format(
        doors=doors, lights=lights, platform=uplink, devices="\n".join(lines), fire=RULES
    )
    path.write_text(text, encoding="utf-8")
    return path


_FORMS = (
    "it.elec.power.total > {limit} W",
    "avg(it.elec.power.total, 10s) > {limit} W and it.light.level > 50 %",
    "it.elec.power.total > {limit} W or max(it.elec.power.total, 2s) > {limit} W",
)


def _rule(number: int) -> str:
    """A rule that looks at every message of one lamp and is never true."""
    when = _FORMS[number % len(_FORMS)].format(limit=100 + number)
    lamp = crowd.topic_id(number % crowd.LAMPS)
    return f"- {{id: crowd-rule-{number}, for_each: {{id: {lamp}}}, when: '{when}', for: 1s, alarm: {{severity: operational}}}}\n"

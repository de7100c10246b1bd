"""Doors on Modbus and lamps on MQTT that do not always do what they are told, and the real daemon.

A rule opens the doors, lights the lamp and starts the fan when the switch, a lamp too, shows 100 %.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import aiomqtt
import orjson

from gateway.profile import load_profile, shipped_folder
from simulators.modbus import Farm, SimMeter, on_tcp
from simulators.modbus_faults import Misbehaviour
from tests.harness.broker import HOST, Mosquitto
from tests.harness.daemon import Daemon

WRITE_COIL, ON, RELAY = 0x05, 0xFF, 1
DOORS = ("door-1", "door-2")

_CONFIG = """\
version: 1
gateway: {{id: gw-stubborn, timezone: UTC, state_dir: state}}
links:
  doors: {{driver: modbus, transport: tcp, host: 127.0.0.1, port: {doors}}}
  lights: {{driver: mqtt, url: "mqtt://127.0.0.1:{lights}"}}
devices:
  door-1: {{profile: modbus-relay-door, link: doors, unit: 1, poll: {{fast: 100ms}}}}
  door-2: {{profile: modbus-relay-door, link: doors, unit: 2, poll: {{fast: 100ms}}}}
  switch: {{profile: streetlight-native, link: lights, topic_id: switch}}
  lamp: {{profile: streetlight-native, link: lights, topic_id: lamp}}
  sign: {{profile: streetlight-native, link: lights, topic_id: sign}}
rules: [rules.yaml]
store: {{group_commit: 1s}}
commands: {{allow: [{{origin: rules, devices: "*", points: "*"}}, {{origin: cli, devices: "*", points: "*"}}]}}
log: {{format: console, level: info}}
"""

_RULES = """\
rules:
- id: evacuate
  with: {switch: switch, doors: {type: door}, lamp: lamp, fan: door-1, sign: sign}
  when: switch.light.level == 100 %
  alarm: {severity: safety}
  priority: automation  # a person comes first
  do:
  - set:
      device: doors
      point: door.lock
      value: unlocked
      confirm: {within: 500ms}
      retry: 2
      backoff: 100ms
      on_fail: [{command: {device: sign, point: light.level, value: 7 %}}]
  - set: {device: lamp, point: light.level, value: 80 %, confirm: {within: 400ms}, retry: 3, backoff: 100ms, await_confirm: true}
  - command: {device: fan, point: relay.on, value: true}
"""


class Write(NamedTuple):
    at: float
    device: str
    value: object


class Boards(Farm):
    """Relay boards, doors locked at first; those that are `stuck` answer a write and do nothing."""

    def __init__(self, meters: list[SimMeter], wire: "Stubborn") -> None:
        super().__init__(meters)
        self._names = {meter.unit: meter.device for meter in meters}
        for meter in meters:
            super().answer(meter.unit, bytes((WRITE_COIL, 0, 0, ON, 0)))
        self._wire = wire

    def answer(self, unit: int, pdu: bytes) -> tuple[bytes, Misbehaviour | None] | None:
        if pdu[0] == WRITE_COIL:
            lock = pdu[2] != RELAY
            what = {True: {True: "locked", False: "unlocked"}, False: {True: "on", False: "off"}}
            self._wire.take(self._names[unit], what[lock][pdu[3] == ON])
            if lock and self._names[unit] in self._wire.stuck:
                return pdu, None
        return super().answer(unit, pdu)


@dataclass
class Stubborn:
    """What devices were told, in order, and how they take it. `deaf` lamps miss so many commands."""

    folder: Path
    port: int = 0
    stuck: set[str] = field(default_factory=set)
    deaf: dict[str, int] = field(default_factory=dict)
    writes: list[Write] = field(default_factory=list)
    daemon: Daemon = field(init=False)
    farm: Boards = field(init=False)

    def take(self, device: str, value: object) -> None:
        self.writes.append(Write(time.monotonic(), device, value))

    def of(self, device: str) -> list[object]:
        return [write.value for write in self.writes if write.device == device]

    async def say(self, lamp: str, level: int) -> None:
        """A lamp tells its level by itself."""
        async with aiomqtt.Client(HOST, self.port) as client:
            values = {"values": {"light.level": level}}
            await client.publish(f"d/{lamp}/state", orjson.dumps(values), qos=1)


@asynccontextmanager
async def stubborn(folder: Path, *, sabotage: str | None = None) -> AsyncIterator[Stubborn]:
    """Everything is up, the switch is off."""
    site = Stubborn(folder)
    site.farm = await asyncio.to_thread(_boards, site)
    async with AsyncExitStack() as stack:
        lights = await stack.enter_async_context(Mosquitto(folder / "lights"))
        await stack.enter_async_context(on_tcp(site.farm, HOST, 0))
        site.port = lights.port
        lamps = asyncio.create_task(_lamps(site))
        stack.push_async_callback(_ended, lamps)
        path = await asyncio.to_thread(_written, folder, site.farm.port, lights.port)
        site.daemon = Daemon(path, folder / "state", sabotage=sabotage)
        await site.daemon.start()
        stack.push_async_callback(site.daemon.stop)
        await site.daemon.until(lambda s: all(link["state"] == "up" for link in s["links"]))
        await site.say("switch", 0)
        yield site


def _boards(site: Stubborn) -> Boards:
    profile = load_profile(shipped_folder() / "modbus-relay-door.yaml")[0]
    return Boards([SimMeter(name, profile, n) for n, name in enumerate(DOORS, 1)], site)


def _written(folder: Path, doors: int, lights: int) -> Path:
    (folder / "state").mkdir(mode=0o700)
    (folder / "rules.yaml").write_text(_RULES, encoding="utf-8")
    path = folder / "gateway.yaml"
    path.write_text(_CONFIG.format(doors=doors, lights=lights), encoding="utf-8")
    return path


async def _ended(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait([task])


async def _lamps(site: Stubborn) -> None:
    """All lamps on one connection: each does what it is told and says so, unless it is deaf."""
    protocol = aiomqtt.ProtocolVersion.V5
    async with aiomqtt.Client(HOST, site.port, protocol=protocol) as client:
        await client.subscribe("d/+/cmd", qos=1)
        async for message in client.messages:
            assert isinstance(message.payload, bytes)
            lamp, told = message.topic.value.split("/")[1], orjson.loads(message.payload)
            site.take(lamp, told["values"]["light.level"])
            if site.deaf.get(lamp, 0) > 0:
                site.deaf[lamp] -= 1
                continue
            await client.publish(f"d/{lamp}/state", orjson.dumps({"values": told["values"]}), qos=1)

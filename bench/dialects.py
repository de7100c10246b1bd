"""What one message of each MQTT dialect costs from the topic to the bus, against the native one.

Without broker, rules and journal: routing, rate, parse, points, health, and the sample.
"""

import asyncio
import base64
import time

import orjson

from bench.report import Row
from drivers.mqtt.driver import MqttDriver
from drivers.mqtt.settings import MqttDevice, MqttLink
from gateway.clock import SystemClock
from gateway.driver import Device
from gateway.model import Item
from gateway.mqtt import Received
from gateway.profile import find, load_profile

MESSAGES = 20_000
RUNS = 5  # the fastest counts: the others were disturbed

_STATE = {"light.level": 60, "light.on": True, "env.illuminance": 4.2, "elec.power.total": 36.2,
          "elec.energy.total": 128.407, "alarm.lamp_failure": False}  # fmt: skip
_UPLINK = {"deduplicationId": "3ac7e3c4", "deviceInfo": {"devEui": "l1"}, "fPort": 2,
           "data": base64.b64encode(bytes.fromhex("3c01016a0001f59419")).decode()}  # fmt: skip
_ENERGY = {"Total": 12.345, "Power": 36, "Factor": 0.93, "Voltage": 229, "Current": 0.17}
_RECORDS = [{"n": n, "v": 60} for n in ("2", "3", "15", "18", "21")] + [{"n": "5", "vb": False}]
CASES = {
    "streetlight-native": ("d/l1/state", {"id": "a-1", "values": _STATE}),
    "tasmota-light": ("tele/l1/SENSOR", {"Time": "2026-03-01T19:00:00", "ENERGY": _ENERGY}),
    "zigbee2mqtt-light": ("zigbee2mqtt/l1", {"state": "ON", "brightness": 215, "power": 36, "energy": 1.5, "linkquality": 87}),
    "chirpstack-lamp": ("application/a/device/l1/event/up", _UPLINK),
    "lwm2m-lamp": ("lwm2m/l1/3416/0", _RECORDS),
}  # fmt: skip


class _Nowhere:
    async def publish(self, item: Item, *, held: bool = False) -> Item:
        return item

    async def commit(self, item: Item) -> None:
        return

    def last_counter(self, device: str) -> int | None:
        return None

    async def room(self) -> None:
        return

    def remembers(self, device: str) -> bool:
        return False


def run() -> list[Row]:
    costs = {name: asyncio.run(_cost_us(name)) for name in CASES}
    native = costs["streetlight-native"]
    baseline = f"the native dialect ({native:.1f} us)"
    return [Row(name, f"{us:.1f} us", baseline, us / native) for name, us in costs.items()]


async def _cost_us(name: str) -> float:
    path = find(name, [])
    if path is None:
        raise FileNotFoundError(name)
    captures = {"application": "a"} if name == "chirpstack-lamp" else {}
    section = {"profile": name, "link": "field", "topic_id": "l1", "captures": captures}
    lamp = Device("lamp-1", load_profile(path)[0], MqttDevice.model_validate(section))
    link = {"driver": "mqtt", "url": "mqtt://127.0.0.1", "device_rate": 100_000, "device_burst": 1_000_000}  # fmt: skip
    clock = SystemClock()
    driver = MqttDriver("field", MqttLink.model_validate(link), [lamp], clock)
    topic, message = CASES[name]
    payload = orjson.dumps(message)
    bus, best = _Nowhere(), float("inf")
    for _ in range(RUNS):
        started = time.perf_counter()
        for mid in range(MESSAGES):
            received = Received(topic, payload, False, False, 1, mid, 1, clock.boottime_ns())
            await driver._take(bus, received)
        best = min(best, time.perf_counter() - started)
    if driver.health.counters:
        raise AssertionError(driver.health.counters)
    return best / MESSAGES * 1e6

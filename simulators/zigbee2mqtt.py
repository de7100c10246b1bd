"""A Zigbee2MQTT bridge with lights behind it, in the words of its documentation."""

import asyncio
import json
import random
from collections import defaultdict
from collections.abc import Iterator, Sequence

from simulators.bulb import Bulb
from simulators.lights import Place
from simulators.mqtt_station import Station

STEPS = 254  # Zigbee Cluster Library 3.10: levels 1 to 254


class Bridge:
    """One base topic. Friendly names are topic ids; groups are groups of the bridge."""

    def __init__(
        self, host: str, port: int, base: str, places: Sequence[Place], rng: random.Random
    ) -> None:
        self.base = base
        self.bulbs = {place.topic_id: Bulb(rng) for place in places}
        self._groups: dict[str, list[str]] = defaultdict(list)
        for place in places:
            for name in place.groups:
                self._groups[name].append(place.topic_id)
        self._rng = rng
        self.station = Station(
            host, port, f"mqttjs_{base.replace('/', '_')}", [f"{base}/+/set"], self._hear,
            presence=(f"{base}/bridge/state", '{"state":"online"}', '{"state":"offline"}'),
        )  # fmt: skip

    async def run(self, interval_s: float) -> None:
        """Every lamp reports each `interval_s`; works until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self.station.stay_connected(), name=f"zigbee2mqtt:{self.base}")
            while True:
                await self.station.online.wait()
                await self.report()
                await asyncio.sleep(interval_s)

    async def report(self) -> None:
        for name in self.bulbs:
            await self.station.publish(
                f"{self.base}/{name}/availability", '{"state":"online"}', retain=True
            )
            await self.station.publish(f"{self.base}/{name}", self._state(name))

    def _state(self, name: str) -> str:
        bulb = self.bulbs[name]
        shown = {
            "state": "ON" if bulb.on else "OFF", "brightness": round(bulb.level * STEPS / 100),
            "color_mode": "color_temp", "color_temp": 325, "energy": round(bulb.energy_kwh(), 3),
            "linkquality": self._rng.randint(60, 120), "power": round(bulb.power_w, 1),
        }  # fmt: skip
        return json.dumps(shown)

    def _hear(self, topic: str, payload: bytes) -> Iterator[tuple[str, str]]:
        name = topic.removeprefix(f"{self.base}/").removesuffix("/set")
        try:
            wanted = json.loads(payload)
        except ValueError:
            return
        members = [name] if name in self.bulbs else self._groups.get(name, [])
        for member in members if isinstance(wanted, dict) else ():
            self._obey(self.bulbs[member], wanted)
            yield f"{self.base}/{member}", self._state(member)

    def _obey(self, bulb: Bulb, wanted: dict[str, object]) -> None:
        brightness, state = wanted.get("brightness"), wanted.get("state")
        if isinstance(brightness, int) and 0 <= brightness <= STEPS:
            bulb.dim(round(brightness * 100 / STEPS))
        elif state in {"ON", "OFF"}:
            bulb.switch(on=state == "ON")


def bridges_of(host: str, port: int, places: Sequence[Place], seed: int) -> list[Bridge]:
    """One for each base topic."""
    by_base: dict[str, list[Place]] = defaultdict(list)
    for place in places:
        by_base[place.captures["base"]].append(place)
    return [Bridge(host, port, base, group, random.Random(f"{seed}:{base}")) for base, group in by_base.items()]  # fmt: skip

"""Lamps with Tasmota, each with a connection of its own, in the words of Tasmota's documentation."""

import asyncio
import json
import random
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

from simulators.bulb import MAINS_V, Bulb
from simulators.lights import Place
from simulators.mqtt_station import Station

FACTOR = 0.93


class TasmotaLamp:
    """Topic `topic_id`; each group is a GroupTopic."""

    def __init__(self, host: str, port: int, place: Place, rng: random.Random) -> None:
        self.place, self.bulb = place, Bulb(rng)
        self._topic = place.topic_id
        names = (place.topic_id, *place.groups)
        self.station = Station(
            host, port, f"tasmota_{self._topic}", [f"cmnd/{name}/+" for name in names], self._hear,
            presence=(f"tele/{self._topic}/LWT", "Online", "Offline"),
        )  # fmt: skip

    async def run(self, interval_s: float) -> None:
        """TelePeriod is `interval_s`; works until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self.station.stay_connected(), name=f"tasmota:{self._topic}")
            while True:
                await self.station.online.wait()
                await self.report()
                await asyncio.sleep(interval_s)

    async def report(self) -> None:
        """STATE and SENSOR, now."""
        stamp = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S")
        state = {"Time": stamp, "Uptime": "0T01:20:05", **self._shown(), "Fade": "OFF",
                 "Wifi": {"AP": 1, "RSSI": 70, "Signal": -65}}  # fmt: skip
        await self.station.publish(f"tele/{self._topic}/STATE", json.dumps(state))
        watts = round(self.bulb.power_w)
        energy = {
            "Total": round(self.bulb.energy_kwh(), 3), "Power": watts, "ApparentPower": round(watts / FACTOR),
            "Factor": FACTOR, "Voltage": round(MAINS_V), "Current": round(watts / FACTOR / MAINS_V, 3),
        }  # fmt: skip
        await self.station.publish(
            f"tele/{self._topic}/SENSOR", json.dumps({"Time": stamp, "ENERGY": energy})
        )

    def _shown(self) -> dict[str, object]:
        return {"POWER": "ON" if self.bulb.on else "OFF", "Dimmer": self.bulb.level}

    def _hear(self, topic: str, payload: bytes) -> Iterator[tuple[str, str]]:
        """A command that it does not understand is answered with that."""
        word, text = topic.rsplit("/", 1)[1], payload.decode(errors="replace").strip()
        result = f"stat/{self._topic}/RESULT"
        if word == "POWER" and text in {"ON", "OFF"}:
            self.bulb.switch(on=text == "ON")
            yield result, json.dumps({"POWER": text})
            yield f"stat/{self._topic}/POWER", text
        elif word == "Dimmer" and text.isdecimal() and int(text) <= 100:
            self.bulb.dim(int(text))
            yield result, json.dumps(self._shown())
        else:
            yield result, json.dumps({"Command": "Unknown"})


def lamps_of(host: str, port: int, places: Sequence[Place], seed: int) -> list[TasmotaLamp]:
    return [TasmotaLamp(host, port, p, random.Random(f"{seed}:{p.device}")) for p in places]

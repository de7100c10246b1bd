"""Home alarms in the air: when they advertise, and how much of it arrives."""

import asyncio
import itertools
import random
from collections.abc import Sequence
from dataclasses import dataclass

from simulators.bluez.alert import Alert
from simulators.bluez.bluez import Bluez
from simulators.bluez.sensor import Kind, Sensor

COPIES = 6  # of each frame
SPACING_S = 0.1  # between two copies
DELAY_S = 0.01  # each copy is late by up to this: Core 6.0, vol. 6 part B, 4.4.2.2.1
# How often a sensor repeats its state, on average; real ones do so every 8 s to 1 h.
REPEAT_S = {
    Kind.SMOKE: 20.0,
    Kind.LEAK: 20.0,
    Kind.DOOR: 15.0,
    Kind.MOTION: 15.0,
    Kind.BUTTON: 30.0,
}
WAITS_S = 1.0  # between two adverts of an alarm that waits for a connection
ALERT_EVERY_S, ALERT_FOR_S = 55.0, 10.0
FIRST_WITHIN_S = 3.0


@dataclass(frozen=True, slots=True)
class Incident:
    """Every `every_s` a sensor of this kind is on for `for_s`; a button is pressed."""

    kind: Kind
    every_s: float
    for_s: float = 0.0


INCIDENTS = (
    Incident(Kind.DOOR, 20.0, 5.0),
    Incident(Kind.MOTION, 25.0, 4.0),
    Incident(Kind.BUTTON, 40.0),
    Incident(Kind.LEAK, 70.0, 15.0),
    Incident(Kind.SMOKE, 110.0, 15.0),
)


class Air:
    """`loss`: the part (0 to 1) of all copies that does not arrive."""

    def __init__(
        self, bluez: Bluez, sensors: Sequence[Sensor], alerts: Sequence[Alert] = (),
        *, loss: float = 0.2, seed: int = 0,
    ) -> None:  # fmt: skip
        self.bluez, self.sensors, self.alerts = bluez, sensors, alerts
        self.lost = 0
        self._loss = loss
        self._random = random.Random(f"{seed}:air")

    async def run(self, *, incidents: bool = False) -> None:
        """Everybody advertises as it does, until cancelled."""
        async with asyncio.TaskGroup() as group:
            for sensor in self.sensors:
                group.create_task(self._repeat(sensor), name=f"ble:{sensor.device}")
            for alert in self.alerts:
                group.create_task(self._wait_for_client(alert), name=f"ble:{alert.name}")
            if incidents and self.alerts:
                group.create_task(self._call_for_help(), name="ble:alerts")
            for incident in INCIDENTS if incidents else ():
                group.create_task(self._happen(incident), name=f"ble:{incident.kind}")

    async def send(self, sensor: Sensor) -> None:
        """The current frame of a sensor, in as many copies as it sends."""
        for _ in range(COPIES):
            if self._arrives():
                self.bluez.advertise(sensor.peripheral, sensor.advert())
            await asyncio.sleep(SPACING_S + self._random.uniform(0, DELAY_S))

    async def _repeat(self, sensor: Sensor) -> None:
        await asyncio.sleep(self._random.uniform(0, FIRST_WITHIN_S))
        while True:
            sensor.renew()
            await self.send(sensor)
            await asyncio.sleep(REPEAT_S[sensor.kind] * self._random.uniform(0.9, 1.1))

    async def _wait_for_client(self, alert: Alert) -> None:
        while True:
            if not self.bluez.connected(alert.peripheral) and self._arrives():
                self.bluez.advertise(alert.peripheral, alert.advert())
            await asyncio.sleep(WAITS_S + self._random.uniform(0, DELAY_S))

    async def _call_for_help(self) -> None:
        for alert in itertools.cycle(self.alerts):
            await asyncio.sleep(ALERT_EVERY_S - ALERT_FOR_S)
            alert.raise_alert()
            await asyncio.sleep(ALERT_FOR_S)
            alert.clear()

    async def _happen(self, incident: Incident) -> None:
        concerned = [sensor for sensor in self.sensors if sensor.kind is incident.kind]
        for sensor in itertools.cycle(concerned):
            await asyncio.sleep(incident.every_s - incident.for_s)
            if incident.kind is Kind.BUTTON:
                sensor.press()
                await self.send(sensor)
                continue
            for on in (True, False):
                sensor.show(on=on)
                await self.send(sensor)
                await asyncio.sleep(incident.for_s if on else 0)

    def _arrives(self) -> bool:
        arrives = self._random.random() >= self._loss
        self.lost += not arrives
        return arrives

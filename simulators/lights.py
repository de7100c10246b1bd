"""Streetlights that speak the native dialect over MQTT, each with a connection of its own.

They keep their side of the contract: every message has an id, is kept until it is acknowledged on
`d/<topic_id>/ack`, and is sent again, in order, with the same id.
"""

import asyncio
import contextlib
import json
import logging
import math
import random
import secrets
import socket
import time
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, TextIO

import aiomqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from gateway.model import Value
from gateway.profile import Profile
from simulators.cancelling import obey_cancellation

log = logging.getLogger(__name__)

MAX_LAMPS = 20  # one connection for each, so that each has its own last will
RATED_W = 60.0  # a common LED streetlight head
STANDBY_W = 0.5  # controller and radio
NOON_LX = 40_000.0
SUNSET_LX = 400.0  # clear sky, sun on the horizon
NIGHT_LX = 0.3  # full moon; the sensor does not see its own lamp
DAY_S = 600.0  # a simulated day
DUSK_AFTER_S = 5.0  # from the start to sunset
OBEY_S = (0.05, 0.2)  # how long a lamp takes to dim
REPEAT_S = 5.0  # a message that is not acknowledged is sent again after this time
MAX_UNACKED = 200  # what a lamp's memory holds; then the oldest message is given up
RECONNECT_S = 0.5
KEEPALIVE_S = 10
SESSION_EXPIRY_S = 3600  # the broker keeps commands and acknowledgements for a lamp that is away


class Place(NamedTuple):
    """Who a lamp is: in the configuration, on the broker, and by its model."""

    device: str
    topic_id: str
    profile: Profile
    captures: Mapping[str, str] = {}
    groups: Sequence[str] = ()


class Lights:
    """Up to 20 lamps of one street. `run` simulates until cancelled, whatever the broker does.

    `log` gets one JSON line per message, when it is made: device, id, time (ns, decimal text), values.
    """

    def __init__(
        self,
        host: str,
        port: int,
        places: Sequence[Place],
        *,
        interval_s: float = 10.0,
        seed: int = 0,
        log: TextIO | None = None,
        day_s: float = DAY_S,
        dusk_after_s: float = DUSK_AFTER_S,
    ) -> None:
        if len(places) > MAX_LAMPS:
            msg = f"{len(places)} lamps: one simulation has at most {MAX_LAMPS}"
            raise ValueError(msg)
        self.host, self.port, self.interval_s = host, port, interval_s
        self.log = log
        self._day_s, self._dusk_after_s = day_s, dusk_after_s
        self._started_s = time.monotonic()
        self._fixed_lx: float | None = None
        self.lamps = {p.device: Lamp(p, self, random.Random(f"{seed}:{p.device}")) for p in places}

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            for device, lamp in self.lamps.items():
                group.create_task(lamp.measure_for_ever(), name=f"lamp:{device}:measure")
                group.create_task(lamp.stay_connected(), name=f"lamp:{device}:connection")

    @property
    def illuminance_lx(self) -> float:
        if self._fixed_lx is not None:
            return self._fixed_lx
        elapsed_s = time.monotonic() - self._started_s
        return daylight_lx(elapsed_s, day_s=self._day_s, dusk_after_s=self._dusk_after_s)

    def set_illuminance(self, lx: float | None) -> None:
        """Hold the sky at `lx`, or let the day go on (None); every lamp reports at once."""
        self._fixed_lx = lx
        for lamp in self.lamps.values():
            lamp.measure()


def daylight_lx(
    elapsed_s: float, *, day_s: float = DAY_S, dusk_after_s: float = DUSK_AFTER_S
) -> float:
    """Illuminance `elapsed_s` after the start, in a day of `day_s` with 12 hours of light."""
    height = math.sin(2 * math.pi * (0.5 + (elapsed_s - dusk_after_s) / day_s))
    twilight = SUNSET_LX * math.exp(40 * min(0.0, height))
    return NIGHT_LX + twilight + NOON_LX * math.pow(max(0.0, height), 1.2)


@dataclass(slots=True)
class Unacked:
    topic: str
    payload: bytes
    sent_s: float | None = None  # monotonic; None: not on this connection


@dataclass(eq=False)
class Lamp:
    """One streetlight. `level` is in %; one that `failed` is dark and obeys no command."""

    place: Place
    street: Lights
    rng: random.Random
    level: float = 0
    failed: bool = False
    obeyed: int = 0
    given_up: int = 0  # messages that fell out of the memory
    outbox: OrderedDict[str, Unacked] = field(default_factory=OrderedDict)

    def __post_init__(self) -> None:
        self._prefix = secrets.token_hex(5)  # no id comes again after a restart
        self._count = 0
        self._energy_kwh = self.rng.uniform(100, 2000)
        self._metered_s = time.monotonic()
        self._news = asyncio.Event()
        self._reachable = asyncio.Event()
        self._reachable.set()
        self._client: aiomqtt.Client | None = None

    def fail(self, *, failed: bool = True) -> None:
        """Burn out, or be repaired; told at once, as an event."""
        self._meter()
        self.failed = failed
        self._report("event", {"alarm.lamp_failure": failed})

    def go_offline(self) -> None:
        """Lose the network without a goodbye, so that the broker sends the last will."""
        self._reachable.clear()
        connection = (
            None if self._client is None else self._client._client.socket()
        )  # aiomqtt has no public way
        if isinstance(connection, socket.socket):
            with contextlib.suppress(OSError):  # already cut by the other side
                connection.shutdown(socket.SHUT_RDWR)

    def come_back(self) -> None:
        self._reachable.set()

    def measure(self) -> None:
        """Report everything that the profile has a point for."""
        self._meter()
        sky_lx = self.street.illuminance_lx * self.rng.uniform(0.98, 1.02)
        shown: dict[str, Value] = {
            "light.level": 0 if self.failed else self.level,
            "light.on": self.level > 0 and not self.failed,
            "env.illuminance": round(sky_lx, 2),
            "elec.power.total": round(self.power_w, 1),
            "elec.energy.total": round(self._energy_kwh, 6),
            "alarm.lamp_failure": self.failed,
        }
        known = self.place.profile.by_id
        self._report("state", {name: value for name, value in shown.items() if name in known})

    @property
    def power_w(self) -> float:
        lit = 0.0 if self.failed else self.level / 100
        return STANDBY_W + (RATED_W - STANDBY_W) * lit

    async def measure_for_ever(self) -> None:
        await asyncio.sleep(self.rng.uniform(0, min(1.0, self.street.interval_s)))  # not in step
        while True:
            self.measure()
            await asyncio.sleep(self.street.interval_s)

    async def stay_connected(self) -> None:
        while True:
            await self._reachable.wait()
            try:
                await self._session()
            except* aiomqtt.MqttError as errors:
                log.info("%s: %s", self.place.device, errors.exceptions[0])
            await asyncio.sleep(RECONNECT_S * self.rng.uniform(0.5, 1.5))

    async def _session(self) -> None:
        client = self._new_client()
        try:
            async with client:
                self._client = client
                # Only who listens notices the end of the connection: the others wait for 5 s.
                async with asyncio.TaskGroup() as group:
                    name = f"lamp:{self.place.device}"
                    group.create_task(self._send(client), name=f"{name}:send")
                    group.create_task(self._listen(client), name=f"{name}:listen")
        finally:
            self._client = None
            client._client._sock_close()  # aiomqtt leaves it open after a cancelled connect

    def _new_client(self) -> aiomqtt.Client:
        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]  # not typed in paho
        properties.SessionExpiryInterval = SESSION_EXPIRY_S
        return aiomqtt.Client(
            self.street.host,
            self.street.port,
            identifier=self.place.topic_id,
            protocol=aiomqtt.ProtocolVersion.V5,
            clean_start=False,
            properties=properties,
            will=aiomqtt.Will(f"d/{self.place.topic_id}/online", b"0", qos=1, retain=True),
            keepalive=KEEPALIVE_S,
            timeout=5.0,
        )

    async def _send(self, client: aiomqtt.Client) -> None:
        """Send what is new, and again what is not acknowledged: oldest first on a new connection."""
        topic = f"d/{self.place.topic_id}"
        await client.subscribe(f"{topic}/cmd", qos=1)
        await client.subscribe(f"{topic}/ack", qos=1)
        await client.publish(f"{topic}/online", b"1", qos=1, retain=True)
        obey_cancellation()
        for entry in self.outbox.values():
            entry.sent_s = None
        while True:
            self._news.clear()
            now_s = time.monotonic()
            for entry in list(self.outbox.values()):
                if entry.sent_s is None or now_s - entry.sent_s >= REPEAT_S:
                    entry.sent_s = now_s
                    await client.publish(entry.topic, entry.payload, qos=1)
                    obey_cancellation()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(REPEAT_S / 5):
                    await self._news.wait()

    async def _listen(self, client: aiomqtt.Client) -> None:
        async for message in client.messages:
            try:
                content = json.loads(message.payload)
                message_id, values = content["id"], content.get("values", {})
            except (ValueError, TypeError, KeyError, AttributeError) as error:
                log.warning("%s: %s on %s", self.place.device, error, message.topic)
                continue
            if message.topic.value.endswith("/ack"):
                self.outbox.pop(message_id, None)
            elif not message.retain:  # a command that somebody kept is no command
                await self._obey(values)

    async def _obey(self, values: Mapping[str, Value]) -> None:
        spec = self.place.profile.by_command.get("light.level")
        level = values.get("light.level")
        if self.failed or spec is None or not isinstance(level, int | float):
            return
        if spec.refuse(level) is not None:
            return
        await asyncio.sleep(self.rng.uniform(*OBEY_S))
        self._meter()
        self.level = level
        self.obeyed += 1
        self.measure()

    def _meter(self) -> None:
        """Count the energy since the last call at the power that held since then."""
        now_s = time.monotonic()
        self._energy_kwh += self.power_w * (now_s - self._metered_s) / 3_600_000
        self._metered_s = now_s

    def _report(self, kind: str, values: Mapping[str, Value]) -> None:
        self._count += 1
        message_id = f"{self._prefix}-{self._count}"
        message = {"id": message_id, "time": str(time.time_ns()), "values": values}
        if self.street.log is not None:
            self.street.log.write(json.dumps({"device": self.place.device, **message}) + "\n")
            self.street.log.flush()
        topic = f"d/{self.place.topic_id}/{kind}"
        self.outbox[message_id] = Unacked(topic, json.dumps(message).encode())
        if len(self.outbox) > MAX_UNACKED:
            self.outbox.popitem(last=False)
            self.given_up += 1
        self._news.set()

"""A day of a small compound, written into a real journal: what the operation report is made from.

Everything has a seed, and something of everything went wrong: an outage, bad values, late messages,
an untrusted clock, a failed lamp, alarms that came again, records that wait.
"""

import random
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

from gateway.config import Config, load_config
from gateway.inventory import infos
from gateway.model import Event, EventKind, Level, Quality, Sample, Severity, Value, uuid7
from gateway.store.index import Position
from gateway.store.journal import Chores
from tests.harness.clock import FakeClock
from tests.harness.rollups import Rolled

NS = 10**9
DAY_S = 86_400
DAY = "2025-03-03"
MIDNIGHT = 1_740_931_200  # when it begins in Shanghai
BEGIN = MIDNIGHT - 7_200
EVERY_S = 60
CHUNK_S = 600
BOOT_NS = NS  # of the clock when the journal is opened

CONFIG = """\
version: 1
gateway: {id: gw-1, name: 玉华苑, timezone: Asia/Shanghai, state_dir: state, locale: zh}
links:
  meters: {driver: modbus, host: 127.0.0.1, port: 5020}
  lights: {driver: mqtt, url: "mqtt://127.0.0.1:18830"}
devices:
  meter-101: {profile: eastron-sdm120, link: meters, unit: 1, poll: 60s, tags: {room: "101"}}
  meter-102: {profile: eastron-sdm120, link: meters, unit: 2, poll: 60s, tags: {room: "102"}}
  meter-103: {profile: eastron-sdm120, link: meters, unit: 3, poll: 60s, tags: {room: "103"}}
  meter-201: {profile: eastron-sdm120, link: meters, unit: 4, poll: 60s, tags: {room: "201"}}
  meter-202: {profile: eastron-sdm120, link: meters, unit: 5, poll: 60s, tags: {room: "202"}}
  pump: {profile: eastron-sdm120, link: meters, unit: 6, name: 水泵房, poll: 60s}
  water: {profile: water-meter, link: meters, unit: 7, name: 总水表, poll: 60s}
  light-1: {profile: streetlight-native, link: lights, topic_id: s1, supervise: 10m}
  light-2: {profile: streetlight-native, link: lights, topic_id: s2, supervise: 10m}
  light-3: {profile: streetlight-native, link: lights, topic_id: s3, supervise: 10m}
profiles: [profiles/]
upstream:
  platform: {url: "mqtt://127.0.0.1:18831", lanes: [0, 1, 2]}
report: {online: 95, timely_within: 30s, min_households: 5}
"""
WATER = """\
profile: water-meter
schema: 1
type: water_meter
facility: utilities
protocol: modbus
sources: ["made up for a test"]
status: code
points:
  - {id: water.volume, at: {table: input, addr: 0x0000, type: f32}, unit: m3, kind: counter, poll: slow}
vectors:
  - {name: computed, request: "01040000000271cb", response: "010404414800006fae", values: {water.volume: 12.5}}
"""
LIGHTS = ("light-1", "light-2", "light-3")
ON_S, OFF_S = 18 * 3600 + 120, 22 * 3600 + 120  # told to burn, told to go out


class Chronicle:
    """`config` fits the journal in `state_dir`; `now_ns` is just after the day."""

    def __init__(self, folder: Path, seed: int = 1) -> None:
        (folder / "profiles").mkdir(parents=True)
        (folder / "profiles" / "water-meter.yaml").write_text(WATER, encoding="utf-8")
        self.path = folder / "gateway.yaml"
        self.path.write_text(CONFIG, encoding="utf-8")
        self.config: Config = load_config(self.path)
        self.now_ns = (MIDNIGHT + DAY_S + 30) * NS
        self._random = random.Random(seed)
        self._n = 0
        self.taken: dict[int, int] = {}
        self._kwh = {name: 1000.0 + 100 * k for k, name in enumerate(self.config.devices)}
        self._write()

    def _write(self) -> None:
        clock = FakeClock(time_ns=BEGIN * NS)
        rolled = Rolled(self.config.state_dir, clock=clock)
        rolled.journal.describe(infos(self.config))
        rolled.core()  # the boot has seen a trusted time
        for t in range(BEGIN, MIDNIGHT + DAY_S, CHUNK_S):
            clock.advance(CHUNK_S)
            part = list(self._samples(t))
            for begin in range(0, len(part), 1_000):
                rolled.commit(part[begin : begin + 1_000])
            if t == MIDNIGHT + 20 * 3600:
                rolled.settle()  # what comes later is in no rollup yet
        events = sorted(self._events(rolled.clock.boot), key=lambda event: event.time_ns)
        rolled.journal.commit_core(events, Chores())
        epoch = rolled.files.state.epoch
        self.taken = {0: 6, 1: 9, 2: 14_500}
        places = {("platform", lane): Position(epoch, seq) for lane, seq in self.taken.items()}
        rolled.journal.commit_core((), Chores(cursors=places))
        rolled.close()

    def _samples(self, begin: int) -> Iterator[Sample]:
        for t in range(begin, begin + CHUNK_S, EVERY_S):
            for name, device in self.config.devices.items():
                if name == "meter-202" and MIDNIGHT + 36_000 <= t < MIDNIGHT + 43_200:
                    continue  # away for two hours
                if name == "light-3" and t >= MIDNIGHT + 75_000:
                    continue
                made = self._light(name, t) if name in LIGHTS else self._meter(name, t)
                bad = {p for p in made if self._random.random() < 0.003}
                quality = {p: Quality(Level.BAD, "timeout") for p in bad}
                values = {p: value for p, value in made.items() if p not in bad}
                if device.profile.protocol == "mqtt" or self._random.random() > 0.01:
                    yield self._sample(name, t, values, quality)

    def _sample(
        self, name: str, t: int, values: dict[str, Value], quality: dict[str, Quality]
    ) -> Sample:
        self._n += 1
        time_ns = t * NS + self._random.randrange(NS)
        age_s = self._random.choice((0.2, 0.5, 2.0, 40.0)) if name in LIGHTS else 0.1
        received = time_ns + round(age_s * NS) - BEGIN * NS + BOOT_NS
        trusted = not MIDNIGHT + 3_600 <= t < MIDNIGHT + 4_200
        time_ns = time_ns if trusted else received + BEGIN * NS - BOOT_NS
        return Sample(name, time_ns, received, 1, trusted, values, quality, None, self._n)

    def _meter(self, name: str, t: int) -> dict[str, Value]:
        hour = (t - MIDNIGHT) / 3600 % 24
        watts = (
            150 + 900 * (7 <= hour < 9) + 1500 * (18 <= hour < 22) + self._random.uniform(0, 200)
        )
        self._kwh[name] += watts / 1000 * EVERY_S / 3600
        if name == "water":
            return {"water.volume": round(self._kwh[name] / 3, 6)}
        point = self.config.devices[name].profile.points
        values: dict[str, Value] = {p.id: round(self._random.uniform(0.1, 1), 3) for p in point}
        values["elec.power.total"] = round(watts, 1)
        values["elec.energy.import"] = round(self._kwh[name], 6)
        return values

    def _light(self, name: str, t: int) -> dict[str, Value]:
        at = t - MIDNIGHT
        level = 60 if ON_S <= at < OFF_S and name != "light-2" else 0
        self._kwh[name] += level * 0.001 * EVERY_S / 3600
        return {
            "light.level": level,
            "light.on": level > 0,
            "elec.energy.total": round(self._kwh[name], 6),
        }

    def _event(
        self, at_s: float, kind: EventKind, severity: Severity, device: str, boot: int, cause: UUID | None = None, **told: object
    ) -> Event:  # fmt: skip
        self._n += 1
        time_ns = MIDNIGHT * NS + round(at_s * NS)
        received = time_ns - BEGIN * NS + BOOT_NS
        return Event(
            uuid7(time_ns),
            kind,
            severity,
            device,
            time_ns,
            received,
            boot,
            True,
            told,
            cause,
            self._n,
        )

    def _events(self, boot: int) -> Iterator[Event]:
        operational, gateway = Severity.OPERATIONAL, "gateway"
        for k in range(4):
            raised = self._event(
                30_000 + k * 250,
                EventKind.ALARM_RAISED,
                operational,
                "meter-101",
                boot,
                rule="overvoltage",
                instance="overvoltage.meter-101",
            )
            yield raised
            yield self._event(
                30_060 + k * 290,
                EventKind.ALARM_CLEARED,
                operational,
                "meter-101",
                boot,
                raised.event_id,
                rule="overvoltage",
                instance="overvoltage.meter-101",
            )
        life = self._event(
            50_000,
            EventKind.ALARM_RAISED,
            Severity.LIFE,
            "meter-102",
            boot,
            rule="sos",
            instance="sos.meter-102",
        )
        yield life
        notice = self._event(
            50_000.3,
            EventKind.NOTIFICATION,
            Severity.LIFE,
            gateway,
            boot,
            life.event_id,
            recipient="guard",
            text="SOS",
        )
        yield notice
        for at, outcome in ((50_002.5, "delivered"), (50_007, "delivered")):
            yield self._event(
                at,
                EventKind.NOTIFIED,
                operational,
                gateway,
                boot,
                notice.event_id,
                recipient="guard",
                outcome=outcome,
            )
        alone = self._event(
            52_000,
            EventKind.NOTIFICATION,
            operational,
            gateway,
            boot,
            recipient="guard",
            text="test",
        )
        yield alone
        yield self._event(
            53_000,
            EventKind.NOTIFIED,
            operational,
            gateway,
            boot,
            alone.event_id,
            recipient="guard",
            outcome="expired",
        )
        yield self._event(
            66_000,
            EventKind.POINT_ALARM,
            operational,
            "light-2",
            boot,
            point="alarm.lamp_failure",
            value=True,
            was=False,
        )
        yield self._event(
            -100,
            EventKind.POINT_ALARM,
            operational,
            "light-1",
            boot,
            point="alarm.lamp_failure",
            value=True,
            was=False,
        )
        yield self._event(
            40_000,
            EventKind.LINK_DOWN,
            operational,
            gateway,
            boot,
            link="meters",
            state="down",
            reason="no answer",
        )
        yield self._event(
            40_900,
            EventKind.LINK_UP,
            operational,
            gateway,
            boot,
            link="meters",
            state="up",
            reason="",
        )
        yield self._event(
            45_000,
            EventKind.DATA_LOSS,
            operational,
            gateway,
            boot,
            lane=2,
            count=17,
            reason="store_stalled",
        )
        for name in LIGHTS:
            for at, value in ((ON_S - 10, 60), (OFF_S - 10, 0)):
                outcome = "unconfirmed" if name == "light-2" and value else "confirmed"
                yield self._event(
                    at,
                    EventKind.COMMAND_RESULT,
                    Severity.TELEMETRY,
                    name,
                    boot,
                    point="light.level",
                    value=value,
                    outcome=outcome,
                )
        yield self._event(
            50_000.8,
            EventKind.COMMAND_RESULT,
            Severity.TELEMETRY,
            "light-1",
            boot,
            life.event_id,
            point="light.level",
            value=0,
            outcome="confirmed",
        )

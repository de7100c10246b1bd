"""A gateway, its broker and its platform, any of them killed at any moment; and who judges.

After Vector's model of an oracle: an acknowledgement is an obligation. Every alarm that was
acknowledged to its device arrives, nothing else does, each once and as it was told; and when the
faults stop, a new alarm comes through.
"""

import asyncio
import random
import sys
import time
from asyncio.subprocess import Process
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from gateway.snapshot import Snapshot
from simulators import broker as programs
from tests.harness.broker import HOST, Mosquitto
from tests.harness.daemon import Daemon
from tests.harness.oracle import Arrived, Json
from tests.harness.teller import PROFILE, Teller, level_of, number_of, text_of

GATEWAY = "gw-test-01"
POINT = "alarm.code"
RATE_PER_S = 60.0  # of each device: more would only make the journals longer
DRAIN_S = 90.0
PROBE_S = 30.0

_CONFIG = """\
version: 1
gateway: {{id: {gateway}, timezone: Asia/Shanghai, state_dir: state}}
profiles: [profiles/]
links:
  panels: {{driver: mqtt, url: "{url}"}}
devices:
{devices}
store: {{group_commit: 1s}}
upstream:
  platform: {{url: "{url}", lanes: [0, 1, 2]}}
log: {{format: console, level: info}}
"""


@dataclass(slots=True)
class Platform:
    """The stub in a process of its own; what it has acknowledged is in its log."""

    port: int
    log: Path
    process: Process | None = None

    async def start(self) -> None:
        command = [sys.executable, "-m", "tests.harness.platform_child"]
        arguments = [HOST, str(self.port), GATEWAY, str(self.log)]
        self.process = await programs.spawn([*command, *arguments], self.log.with_suffix(".err"))

    async def kill(self) -> None:
        assert self.process
        self.process.kill()
        await self.process.wait()


@dataclass(slots=True)
class Place:
    daemon: Daemon
    broker: Mosquitto
    platform: Platform
    tellers: list[Teller]
    kills: Counter[str] = field(default_factory=Counter)

    async def kill(self, victim: str, moments: random.Random) -> None:
        """Kill one and start it again; the gateway now and then a second time while it starts."""
        everybody: dict[str, Daemon | Mosquitto | Platform] = {
            "gateway": self.daemon,
            "broker": self.broker,
            "platform": self.platform,
        }
        one = everybody[victim]
        await one.kill()
        self.kills[victim] += 1
        if one is self.daemon and moments.random() < 0.2:
            await self.daemon.spawn()
            await asyncio.sleep(moments.uniform(0, 0.5))
            await self.daemon.kill()
            self.kills[victim] += 1
        await one.start()


@asynccontextmanager
async def place(
    folder: Path, *, tellers: int = 3, sabotage: str | None = None
) -> AsyncIterator[Place]:
    """Everything runs, the devices tell alarms, the first of each has been acknowledged."""
    config = folder / "gateway.yaml"
    (folder / "profiles").mkdir()
    (folder / "profiles" / "panel-oracle.yaml").write_text(PROFILE, encoding="utf-8")
    names = [f"panel-{n}" for n in range(1, tellers + 1)]
    devices = [f"  {n}: {{profile: panel-oracle, link: panels, topic_id: {n}}}" for n in names]
    async with AsyncExitStack() as stack:
        broker = Mosquitto(folder / "broker", shipped=False)
        await stack.enter_async_context(broker)
        text = _CONFIG.format(gateway=GATEWAY, url=broker.url, devices="\n".join(devices))
        config.write_text(text, encoding="utf-8")
        platform = Platform(broker.port, folder / "platform.jsonl")
        await platform.start()
        stack.push_async_callback(platform.kill)
        daemon = Daemon(config, folder / "state", sabotage=sabotage)
        await daemon.start()
        stack.push_async_callback(daemon.stop)
        telling = [Teller(HOST, broker.port, name, rate_per_s=RATE_PER_S) for name in names]
        for teller in telling:
            task = asyncio.create_task(teller.run(), name=teller.device)
            stack.push_async_callback(_stopped, task)
        await _until(lambda: all(teller.acked for teller in telling), 30)
        yield Place(daemon, broker, platform, telling)


async def kill_at_random(one: Place, kills: int, moments: random.Random) -> None:
    """Gateway, broker, platform or any two of them, until `kills` processes have been killed."""
    everybody = ("gateway", "broker", "platform")
    while one.kills.total() < kills:
        await asyncio.sleep(moments.uniform(0, 0.5))
        victims = moments.sample(everybody, moments.choice((1, 1, 2)))
        async with asyncio.TaskGroup() as group:
            for victim in victims:
                group.create_task(one.kill(victim, moments), name=f"kill:{victim}")


async def settle(one: Place) -> float:
    """The faults have stopped: seconds that a new alarm takes; returns when all is delivered."""
    log = one.platform.log
    for teller in one.tellers:
        teller.telling = False
    began = time.monotonic()
    probes = {(t.device, text_of(t.device, t.mint())) for t in one.tellers}
    while not probes <= {key for key, _ in _told(await asyncio.to_thread(Arrived.read, log))}:
        assert time.monotonic() - began < PROBE_S, one.daemon.text()[-3000:]
        await asyncio.sleep(0.1)
    took_s = time.monotonic() - began
    await _until(lambda: not any(teller.waiting for teller in one.tellers), DRAIN_S)
    await one.daemon.until(_delivered, DRAIN_S)
    return took_s


@dataclass(slots=True)
class Verdict:
    """`lost` alarms were acknowledged and are not there, `spurious` ones were never told.

    `changed`: not what the device said. `doubled`: there twice under different ids. Alarms and
    samples are judged alike; `alarms` counts the distinct alarms that arrived, `repeated` the
    deliveries that the platform dropped.
    """

    alarms: int = 0
    repeated: int = 0
    lost: int = 0
    spurious: int = 0
    changed: int = 0
    doubled: int = 0

    @property
    def faults(self) -> tuple[int, int, int, int]:
        return self.lost, self.spurious, self.changed, self.doubled


def judge(one: Place) -> Verdict:
    arrived = Arrived.read(one.platform.log)
    told = list(_told(arrived))
    verdict = Verdict(alarms=len({key for key, _ in told}), repeated=arrived.duplicates)
    for items in (told, list(_shown(arrived))):
        there = Counter(key for key, _ in items)
        verdict.doubled += sum(count - 1 for count in there.values())
        verdict.changed += sum(not right for _, right in items)
        for teller in one.tellers:
            acked = {(teller.device, text_of(teller.device, n)) for n in teller.acked}
            minted = {(teller.device, text_of(teller.device, n)) for n in range(teller.minted)}
            verdict.lost += len(acked - there.keys())
            verdict.spurious += sum(key[0] == teller.device and key not in minted for key in there)
    return verdict


Key = tuple[str, str]  # device, what it said


def _told(arrived: Arrived) -> Iterator[tuple[Key, bool]]:
    for event in arrived.events:
        if event["kind"] == "point_alarm" and event["attributes"]["point"] == POINT:
            right = event["severity"] == "life" and event["lane"] == 0
            yield (event["device"], event["attributes"]["value"]), right


def _shown(arrived: Arrived) -> Iterator[tuple[Key, bool]]:
    for sample in arrived.samples:
        if POINT in sample["values"]:
            yield (sample["device"], sample["values"][POINT]), _right(sample)


def _right(sample: Json) -> bool:
    device, values = sample["device"], sample["values"]
    return bool(values["env.illuminance"] == level_of(device, number_of(values[POINT])))


def _delivered(status: Snapshot) -> bool:
    (sink,) = status["upstream"]
    return sink["state"] == "up" and not any(lane["backlog"] for lane in sink["lanes"])


async def _until(condition: Callable[[], bool], within_s: float) -> None:
    async with asyncio.timeout(within_s):
        while not condition():
            await asyncio.sleep(0.02)


async def _stopped(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait({task})

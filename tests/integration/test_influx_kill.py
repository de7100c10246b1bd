"""What is in InfluxDB after kills of either side is what is in the journal: no more, no less."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import pytest

from gateway.cli.main import main
from gateway.model import EventKind
from gateway.snapshot import Snapshot
from gateway.store.readonly import core, read_register
from tests.harness.broker import Mosquitto
from tests.harness.daemon import Daemon
from tests.harness.influx import BUCKET, ORG, TOKEN, shim
from tests.harness.influxd import Influxd, needs_influxd
from tests.harness.lamps import LAMPS, Lamps, changes, name, values

pytestmark = needs_influxd
SAMPLES, KILLS = 20_000, 10
POISON: dict[str, object] = {
    "env.illuminance": 4.5
}  # InfluxDB has it as a text: a number is refused for good
POISONED = 10
TAGS = {"gateway": "gw-test-01", "profile": "streetlight-native"}
CONFIG = """\
version: 1
gateway: {{id: gw-test-01, timezone: Asia/Shanghai, state_dir: state}}
links:
  lights: {{driver: mqtt, url: "{url}", device_rate: 100000, device_burst: 1000000}}
devices:
{devices}
store: {{group_commit: 1s, ack_linger: 20ms}}
log: {{format: console, level: info}}
"""
INFLUX = """\
influxdb: {{url: "http://127.0.0.1:{port}", org: {org}, bucket: {bucket}, token: "${{file:token}}"}}
"""
Json = dict[str, Any]


@dataclass(slots=True)
class Place:
    folder: Path
    daemon: Daemon
    lamps: Lamps
    influxd: Influxd
    text: str  # the configuration without its influxdb section
    influx: str  # that section

    @property
    def config(self) -> Path:
        return self.daemon.config

    async def ask(self, text: str) -> list[Json]:
        return await asyncio.to_thread(self.influxd.query, text)

    async def count(self) -> int:
        rows = await self.ask(
            "SELECT count(\"elec.energy.total\") FROM lights WHERE device != 'old'"
        )
        return int(rows[0]["count"]) if rows else 0

    async def store(self, *arguments: str) -> int:
        return await asyncio.to_thread(main, ["store", *arguments, "-c", str(self.config)])


@asynccontextmanager
async def place(folder: Path, sabotage: str) -> AsyncIterator[Place]:
    """Broker, InfluxDB behind the shim, lamps; the daemon is not started."""
    token = folder / "token"
    token.touch(mode=0o600)
    token.write_text(TOKEN)
    async with AsyncExitStack() as stack:
        broker = await stack.enter_async_context(Mosquitto(folder / "broker"))
        influxd = Influxd(folder / "influxd")
        stack.push_async_callback(asyncio.to_thread, influxd.kill)
        await asyncio.to_thread(influxd.start)
        port = await stack.enter_async_context(shim(influxd.port))
        devices = "\n".join(
            f"  {name(n)}: {{profile: streetlight-native, link: lights, topic_id: {name(n)}}}"
            for n in range(LAMPS)
        )
        text = CONFIG.format(url=broker.url, devices=devices)
        influx = INFLUX.format(port=port, org=ORG, bucket=BUCKET)
        config = folder / "gateway.yaml"
        config.write_text(text + influx)
        daemon = Daemon(config, folder / "state", sabotage=sabotage)
        lamps = Lamps(broker.port)
        stack.push_async_callback(ended, daemon)
        task = asyncio.create_task(lamps.run(), name="lamps")
        stack.push_async_callback(cancelled, task)
        yield Place(folder, daemon, lamps, influxd, text, influx)


async def ended(daemon: Daemon) -> None:
    if daemon.process.returncode is None:
        await daemon.kill()


async def cancelled(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait({task})


async def conflict(one: Place) -> None:
    """Types are those of a shard: a week."""
    old = f'lights,device=old env.illuminance="text" {time.time_ns()}'.encode()
    assert await asyncio.to_thread(one.influxd.write, old) == (204, b"")


async def until_more(one: Place, than: int) -> None:
    while await one.count() <= than:
        await asyncio.sleep(0.02)


async def live(one: Place, portion: int, server_dies: str = "") -> None:
    """A start of the daemon, a portion of messages, and power off in the middle of it.

    `server_dies`: before the daemon does, and "first": it is back only after that.
    """
    lamps, before, done = one.lamps, await one.count(), one.lamps.goal
    await one.daemon.start()
    await one.lamps.repeat()
    await lamps.release(done + portion)
    await lamps.until_acked(done + portion // 3)
    await until_more(one, before)
    if server_dies:
        await asyncio.to_thread(one.influxd.kill)
        await lamps.until_acked(done + portion * 2 // 3)
    if server_dies == "first":
        await one.daemon.kill()
    if server_dies:
        await asyncio.to_thread(one.influxd.start)
    if server_dies != "first":
        await one.daemon.kill()


def written(status: Snapshot) -> bool:
    (sink,) = status["upstream"]
    return sink["state"] == "up" and not any(lane["backlog"] for lane in sink["lanes"])


async def write_the_rest(one: Place) -> None:
    await one.daemon.start()
    await one.lamps.repeat()
    await one.lamps.until_acked(one.lamps.goal)
    await one.daemon.until(written)
    assert await one.daemon.stop() == 0, one.daemon.text()[-3000:]


async def journal(one: Place) -> tuple[list[Json], list[Json]]:
    """Samples of lamps, and events of the lanes that InfluxDB gets, as `gateway store export` tells them."""
    file = one.folder / "journal.jsonl"
    lanes = [word for lane in "012" for word in ("--lane", lane)]
    assert await one.store("export", *lanes, "-o", str(file)) == 0
    records = [orjson.loads(line) for line in file.read_bytes().splitlines()]
    samples = [r for r in records if r["lane"] == 2 and r["device"] != "gateway"]
    return samples, [r for r in records if r["lane"] < 2]


def dead(one: Place) -> set[tuple[int, int]]:
    """(lane, seq) of what InfluxDB has refused for good."""
    with core(one.folder / "state") as db:
        letters = read_register(db, one.folder / "state").dead
    found = {(lane, seq) for sink, lane, seq, _ in letters if sink == "influxdb"}
    assert len(found) == len(letters)
    return found


async def missing(one: Place) -> tuple[int, int]:
    """Samples and events of the journal, less dead letters, that are not in InfluxDB.

    What is there must be in the journal, once, with every value.
    """
    samples, events = await journal(one)
    letters = await asyncio.to_thread(dead, one)
    due = {
        (r["device"], int(r["time_ns"])): r["values"]
        for r in samples
        if (r["lane"], r["seq"]) not in letters
    }
    assert len(due) == len(samples) - len(letters)
    rows = await one.ask("SELECT * FROM lights WHERE device != 'old'")
    points = {(r["device"], r["time"]): r for r in rows}
    assert len(points) == len(rows)
    for (device, time_ns), row in points.items():
        whole = {"time": time_ns, "device": device, **TAGS, **due[device, time_ns]}
        expected = {**dict.fromkeys(row), **whole}
        assert row == expected
    found = [r["event_id"] for r in await one.ask("SELECT event_id FROM event")]
    told = {r["event_id"] for r in events}
    assert len(found) == len(set(found))
    assert set(found) <= told
    return len(due) - len(points), len(told) - len(found)


def as_told(one: Place, samples: list[Json]) -> bool:
    """Each message is in the journal once, as its lamp told it."""
    said = sorted((int(r["source_id"]), r["device"], r["values"]) for r in samples)
    return said == [
        (n, name(n % LAMPS), {**values(n), **one.lamps.poison.get(n, {})})
        for n in range(one.lamps.goal)
    ]


async def begin_again(one: Place) -> None:
    """The sink's place is forgotten, its dead letters too: it begins at the beginning."""
    one.config.write_text(one.text)
    assert await one.store("retire", "influxdb", "--yes") == 0
    assert await asyncio.to_thread(dead, one) == set()
    one.config.write_text(one.text + one.influx)


@pytest.mark.timeout(120)
async def test_the_bucket_equals_the_journal_less_dead_letters_after_kills_of_server_and_gateway(
    tmp_path: Path,
) -> None:
    async with place(tmp_path, "quick_influx") as one, asyncio.timeout(110):
        await conflict(one)
        one.lamps.poison = {SAMPLES // POISONED * n + 7: POISON for n in range(POISONED)}
        for number in range(1, KILLS + 1):
            await live(one, SAMPLES // KILLS, {3: "first", 7: "later"}.get(number, ""))
        assert (one.daemon.kills, one.lamps.goal) == (KILLS, SAMPLES)
        await write_the_rest(one)
        samples, events = await journal(one)
        assert as_told(one, samples)
        alarms = sum(e["kind"] == EventKind.POINT_ALARM for e in events)
        assert alarms == changes(SAMPLES)
        refused = {(2, r["seq"]) for r in samples if int(r["source_id"]) in one.lamps.poison}
        assert await asyncio.to_thread(dead, one) == refused
        assert (len(refused), await one.count()) == (POISONED, SAMPLES - POISONED)
        assert await missing(one) == (0, 0)
        await begin_again(one)
        await write_the_rest(one)
        assert await asyncio.to_thread(dead, one) == refused
        assert (await one.count(), await missing(one)) == (SAMPLES - POISONED, (0, 0))


@pytest.mark.timeout(60)
async def test_teeth_a_gateway_that_takes_any_answer_for_a_yes_loses_points(tmp_path: Path) -> None:
    async with place(tmp_path, "any_answer_is_a_yes") as one, asyncio.timeout(50):
        await live(one, 3_000, "later")
        await write_the_rest(one)
        samples, _events = await journal(one)
        assert as_told(one, samples)
        lost, _ = await missing(one)
        assert lost > 0

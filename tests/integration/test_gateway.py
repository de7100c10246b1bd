"""The whole gateway against a whole compound: nothing that was acknowledged is ever lost."""

import asyncio
import itertools
import random
import time
from pathlib import Path

import aiomqtt
import orjson
import pytest

from gateway.snapshot import Snapshot
from tests.harness.compound import GROUP_COMMIT_S, Site, site
from tests.harness.oracle import (
    Arrived,
    changes_shown,
    changes_told,
    invented_values,
    missing_reads,
    outside,
)

SECOND = 1_000_000_000


def healthy(status: Snapshot) -> bool:
    return status["health"]["word"] == "healthy"


def delivered(status: Snapshot) -> bool:
    return all(lane["backlog"] == 0 for sink in status["upstream"] for lane in sink["lanes"])


async def fail_and_mend(one: Site, rng: random.Random) -> None:
    """Lamps burn out and are repaired, again and again: each time is an alarm."""
    lamps = list(one.running.lights[0].lamps.values())
    while True:
        await asyncio.sleep(rng.uniform(0.1, 0.4))
        lamp = rng.choice(lamps)
        lamp.fail(failed=not lamp.failed)


@pytest.mark.timeout(120)
async def test_everything_arrives_once_through_an_uplink_cut_and_two_kills(tmp_path: Path) -> None:
    rng = random.Random(7)
    kills: list[int] = []
    async with site(tmp_path) as one:
        await one.daemon.until(healthy)
        incidents = asyncio.create_task(fail_and_mend(one, rng))
        one.platform.vanish()
        gone = asyncio.get_running_loop().time()
        for _ in range(2):
            await asyncio.sleep(rng.uniform(4, 8))
            await one.daemon.kill()
            kills.append(time.time_ns())
            await one.daemon.start()
        await asyncio.sleep(max(0, gone + 20 - asyncio.get_running_loop().time()))
        one.platform.come_back()
        await asyncio.sleep(2)
        incidents.cancel()
        await asyncio.wait([incidents])
        end_ns = time.time_ns()
        await asyncio.sleep(
            2 * GROUP_COMMIT_S + 2
        )  # the last reads are committed, repeats are through
        await one.daemon.until(delivered)
        assert await one.daemon.stop() == 0
    arrived = Arrived.read(tmp_path / "platform.jsonl")
    for lamp in ("light-1", "light-2", "light-3"):
        shown = changes_shown(one.device_log, lamp, "alarm.lamp_failure", rest=False)
        assert shown
        assert changes_told(arrived, lamp, "alarm.lamp_failure") == shown
    assert invented_values(one.device_log, arrived) == []
    missing = missing_reads(one.device_log, arrived, end_ns)
    window_ns = int((GROUP_COMMIT_S + 0.5) * SECOND)
    assert outside(missing, kills, before_ns=window_ns, after_ns=SECOND // 10) == []
    assert len(arrived.samples) > 200


async def publish_and_kill(one: Site, count: int, kills: int) -> None:
    """A device publishes `count` numbered messages, QoS 1, while the daemon is killed `kills` times."""
    rng = random.Random(11)
    numbers = iter(range(count))
    async with aiomqtt.Client(
        "127.0.0.1", one.lights_port, protocol=aiomqtt.ProtocolVersion.V5
    ) as client:
        for chunk in range(kills + 1):
            for number in itertools.islice(numbers, count // (kills + 1)):
                payload = {"id": f"m-{number}", "values": {"elec.energy.total": number + 0.5}}
                await client.publish("d/l1/event", orjson.dumps(payload), qos=1)
            if chunk < kills:
                await asyncio.sleep(rng.uniform(0, 0.3))
                await one.daemon.kill()
                await one.daemon.start()
        for number in numbers:
            payload = {"id": f"m-{number}", "values": {"elec.energy.total": number + 0.5}}
            await client.publish("d/l1/event", orjson.dumps(payload), qos=1)


async def numbers_lost(
    tmp_path: Path, count: int, *, kills: int, sabotage: str | None
) -> tuple[int, int]:
    """(lost, told twice) of the numbered messages, by what the platform has at the end."""
    async with site(tmp_path, sabotage=sabotage, lamp_interval_s=60, meters=1) as one:
        await publish_and_kill(one, count, kills=kills)
        await asyncio.sleep(2 * GROUP_COMMIT_S + 1)
        await one.daemon.until(delivered, 30)
        assert await one.daemon.stop() == 0
    arrived = Arrived.read(tmp_path / "platform.jsonl")
    numbers = [
        s["values"]["elec.energy.total"]
        for s in arrived.samples
        if s["device"] == "light-1" and set(s["values"]) == {"elec.energy.total"}
    ]
    wanted = {number + 0.5 for number in range(count)}
    return len(wanted - set(numbers)), len(numbers) - len(set(numbers))


@pytest.mark.parametrize(
    ("count", "kills"),
    [
        pytest.param(5000, 3, marks=pytest.mark.timeout(90)),
        pytest.param(50_000, 60, marks=[pytest.mark.chaos, pytest.mark.timeout(900)]),
    ],
)
async def test_no_acknowledged_message_is_lost_through_kills(
    tmp_path: Path, count: int, kills: int
) -> None:
    assert await numbers_lost(tmp_path, count, kills=kills, sabotage=None) == (0, 0)


@pytest.mark.timeout(90)
async def test_with_the_ack_before_the_commit_messages_are_lost(tmp_path: Path) -> None:
    lost, _twice = await numbers_lost(tmp_path, 5000, kills=3, sabotage="ack_before_commit")
    assert lost > 0

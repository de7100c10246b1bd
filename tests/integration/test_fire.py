"""From two smoke detectors to doors and lights, with the uplink down and the disk stalled."""

import asyncio
import time
from pathlib import Path
from typing import NamedTuple

import pytest

from simulators.ledger import arrivals
from tests.harness.blaze import GUARDS, Blaze, Write, blaze
from tests.harness.bluez import needs_dbus, until

pytestmark = [needs_dbus, pytest.mark.timeout(60)]

FIRE = "fire-confirmed[1/1-1]"
TOLD = {"door-1", "light-1", GUARDS}
UPLINK_S = 10.0  # GB 26875.1-2011, 4.1.2.1


class Begun(NamedTuple):
    """How a fire began: who was told first, and which alarms were on the disk then."""

    first: Write
    stored: list[str]


async def begun(one: Blaze) -> Begun:
    _, first = await one.burn(1)
    stored = await one.raised()
    await until(lambda: {w.device for w in one.wire.writes} >= TOLD, 10)
    return Begun(first, stored)


async def test_fire_opens_doors_and_lights_the_way_before_the_disk_has_the_alarm_and_kill_9_loses_none(
    tmp_path: Path,
) -> None:
    async with blaze(tmp_path, 2, qos=1) as one:
        fire = await begun(one)
        assert FIRE not in fire.stored
        assert {(w.device, w.value) for w in one.wire.writes} == {
            ("door-1", "unlocked"),
            ("light-1", 100),
            (GUARDS, "Confirmed fire"),
        }
        async with asyncio.timeout(15):
            while FIRE not in await one.raised():
                await asyncio.sleep(0.05)
        await one.daemon.kill()
        one.wire.writes.clear()
        await one.daemon.start()
        await until(lambda: one.wire.of("door-1") and one.wire.of("light-1"), 20)
        async with one.platform(), asyncio.timeout(15):
            while FIRE not in (told := await asyncio.to_thread(told_of, one)):
                await asyncio.sleep(0.05)
        assert told.count(FIRE) == 1
        assert {w.device for w in one.wire.writes} <= TOLD


async def test_the_platform_hears_of_a_fire_within_ten_seconds_though_the_disk_stalls(
    tmp_path: Path,
) -> None:
    async with blaze(tmp_path, 1) as one, one.platform() as platform:
        await platform.until(lambda platform: platform.items > 0)
        sent, _ = await one.burn(1)
        while FIRE not in await asyncio.to_thread(told_of, one):
            await asyncio.sleep(0.05)
        assert time.monotonic() - sent < UPLINK_S


def told_of(one: Blaze) -> list[str]:
    """Instances of the raises that the platform has."""
    log = one.folder / "platform.jsonl"
    return [
        str(item["attributes"]["instance"])
        for item in arrivals(log, 0)
        if item.get("kind") == "alarm_raised"
    ]


async def test_when_actions_wait_for_the_commit_the_alarm_is_on_the_disk_first(
    tmp_path: Path,
) -> None:
    async with blaze(tmp_path, 1, sabotage="act_after_the_commit") as one:
        assert FIRE in (await begun(one)).stored

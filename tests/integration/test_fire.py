"""From two smoke detectors to doors and lights, with the uplink down and the disk stalled."""

import asyncio
from pathlib import Path
from typing import NamedTuple

import pytest

from simulators.ledger import arrivals
from tests.harness.blaze import Blaze, Write, blaze
from tests.harness.bluez import needs_dbus, until

pytestmark = [needs_dbus, pytest.mark.timeout(60)]

FIRE = "fire-confirmed[1/1-1]"


class Begun(NamedTuple):
    """How a fire began: who was told first, and which alarms were on the disk then."""

    first: Write
    stored: list[str]


async def begun(one: Blaze) -> Begun:
    _, first = await one.burn(1)
    stored = await one.raised()
    await until(lambda: {"door-1", "light-1"} <= {w.device for w in one.wire.writes}, 10)
    return Begun(first, stored)


async def test_two_detectors_open_doors_and_light_the_way_before_the_disk_has_the_alarm(
    tmp_path: Path,
) -> None:
    async with blaze(tmp_path, 2) as one:
        fire = await begun(one)
        assert FIRE not in fire.stored
        assert {(w.device, w.value) for w in one.wire.writes} == {
            ("door-1", "unlocked"),
            ("light-1", 100),
        }


async def test_a_fire_that_nobody_could_be_told_of_reaches_the_platform_after_kill_9(
    tmp_path: Path,
) -> None:
    async with blaze(tmp_path, 2, qos=1) as one:
        await begun(one)
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
        assert {w.device for w in one.wire.writes} == {"door-1", "light-1"}


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

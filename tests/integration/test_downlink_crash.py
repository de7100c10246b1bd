"""At most once, whatever is killed: the whole daemon, a simulated lamp, a platform that asks again."""

import asyncio
import random
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any

import aiomqtt
import pytest

from gateway.audit_chain import verify
from tests.harness.compound import Site, site
from tests.harness.oracle import Arrived
from tests.integration.test_daemon import healthy

ID = "dim-17"


async def answer(one: Site, level: int = 35) -> dict[str, Any]:
    """What the gateway says to one command of the platform."""
    had = len(one.platform.results)
    await one.platform.command("light-1", "light.level", level, id=ID)
    async with asyncio.timeout(15):
        await one.platform.until(lambda p: len(p.results) > had)
    return one.platform.results[had]


def up(one: Site) -> int:
    return one.running.lights[0].lamps["light-1"].obeyed


async def outcomes(one: Site) -> list[str]:
    """Of the command, as lane 0 tells them."""
    arrived = await asyncio.to_thread(Arrived.read, one.platform_log)
    return [
        e["attributes"]["outcome"] for e in arrived.events if e["attributes"].get("command") == ID
    ]


@pytest.mark.parametrize(("moment", "written"), [("intent", 0), ("write", 1)])
@pytest.mark.timeout(60)
async def test_a_command_that_a_kill_came_between_is_unknown_and_never_done_again(
    tmp_path: Path, moment: str, written: int
) -> None:
    async with site(tmp_path, meters=1, sabotage=f"die_after_the_{moment}") as one:
        await one.daemon.until(healthy)
        before = up(one)
        await one.platform.command("light-1", "light.level", 35, id=ID)
        async with asyncio.timeout(10):
            assert await one.daemon.process.wait() < 0
        one.daemon.sabotage = None
        await one.daemon.start()
        await one.daemon.until(healthy)
        repeated = await answer(one)
        assert (repeated["outcome"], repeated["earlier"]) == ("refused", "unknown")
        assert up(one) - before == written
        async with asyncio.timeout(10):
            while not await outcomes(one):
                await asyncio.sleep(0.05)
        assert await outcomes(one) == ["unknown"]
        assert await one.daemon.stop() == 0
        found = await asyncio.to_thread(verify, one.state_dir)
        assert (found.faults, found.lines >= 3) == ([], True)


async def writes_of_a_repeat(folder: Path, sabotage: str | None) -> int:
    """How often the lamp obeyed one command that is sent again after a restart."""
    async with site(folder, meters=1, sabotage=sabotage) as one:
        await one.daemon.until(healthy)
        before = up(one)
        assert (await answer(one))["outcome"] == "confirmed"
        await one.daemon.kill()
        await one.daemon.start()
        await one.daemon.until(healthy)
        await answer(one, 80)  # another value: what was there before confirms nothing
        return up(one) - before


@pytest.mark.timeout(60)
async def test_a_command_that_comes_again_after_a_kill_is_done_once(tmp_path: Path) -> None:
    assert await writes_of_a_repeat(tmp_path, None) == 1


@pytest.mark.timeout(60)
async def test_without_the_memory_of_commands_it_is_done_twice(tmp_path: Path) -> None:
    assert await writes_of_a_repeat(tmp_path, "no_memory_of_commands") == 2


@pytest.mark.parametrize(
    ("sabotage", "outcome"), [(None, "refused"), ("everything_is_allowed", "confirmed")]
)
@pytest.mark.timeout(60)
async def test_only_the_allow_list_lets_a_platform_write(
    tmp_path: Path, sabotage: str | None, outcome: str
) -> None:
    async with site(tmp_path, meters=1, sabotage=sabotage) as one:
        await one.daemon.until(healthy)
        await one.platform.command("light-3", "light.level", 35, id=ID)
        async with asyncio.timeout(15):
            await one.platform.until(lambda p: len(p.results) > 0)
        assert one.platform.results[0]["outcome"] == outcome


async def answered(one: Site, name: str, level: int) -> str:
    """As a platform does it: ask again with the same id until there is an answer. Its outcome."""
    while True:
        with suppress(aiomqtt.MqttError, TimeoutError):
            async with asyncio.timeout(3):
                await one.platform.command("light-1", "light.level", level, id=name)
                await one.platform.until(lambda p: any(r["id"] == name for r in p.results))
                first = next(r for r in one.platform.results if r["id"] == name)
                return str(first.get("earlier", first["outcome"]))
        await asyncio.sleep(0.1)


async def kill_again_and_again(one: Site, rng: random.Random) -> None:
    while True:
        await asyncio.sleep(rng.uniform(0.8, 3))
        await one.daemon.kill()
        await one.daemon.start()


@pytest.mark.chaos
@pytest.mark.parametrize("sabotage", [None, "no_memory_of_commands"])
@pytest.mark.timeout(600)
async def test_through_random_kills_no_command_is_done_twice(
    tmp_path: Path, sabotage: str | None
) -> None:
    """40 commands; a lamp that obeys counts. What is confirmed was done, what is unknown perhaps."""
    async with site(tmp_path, meters=1, sabotage=sabotage) as one:
        await one.daemon.until(healthy)
        before = up(one)
        killer = asyncio.create_task(kill_again_and_again(one, random.Random(5)))
        found = [await answered(one, f"c-{n}", n % 100) for n in range(40)]
        killer.cancel()
        await asyncio.wait([killer])
        counted, done = Counter(found), up(one) - before
        told = f"{counted}, done {done}, kills {one.daemon.kills}"
        print(told)
        assert one.daemon.kills >= 5, told
        assert set(counted) <= {"confirmed", "unknown"} or sabotage, told
        assert (counted["confirmed"] <= done <= 40) is (sabotage is None), told
        if one.daemon.process.returncode is not None:
            await one.daemon.start()
        assert await one.daemon.stop() == 0
    assert (await asyncio.to_thread(verify, one.state_dir)).faults == []

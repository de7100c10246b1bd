"""At most once, whatever is killed: the whole daemon, a simulated lamp, a platform that asks again."""

import asyncio
from pathlib import Path
from typing import Any

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

"""A gateway that crashes again and again keeps what protects people, says so, and comes back."""

import asyncio
from pathlib import Path

import pytest

from tests.harness.compound import Site, site
from tests.harness.daemon import Daemon


@pytest.mark.timeout(90)
async def test_five_kills_in_a_minute_lead_to_safe_mode_which_ends_by_itself(
    tmp_path: Path,
) -> None:
    async with site(tmp_path) as one:
        daemon = one.daemon
        daemon.counts_crashes = True
        assert await daemon.stop() == 0
        for _ in range(5):
            await daemon.start()
            status = await daemon.status()
            assert not any("safe mode" in reason for reason in status["health"]["reasons"])
            await daemon.kill()
        await daemon.start()
        status = await daemon.until(lambda s: all(x["state"] == "up" for x in s["links"]))
        assert status["health"]["word"] == "critical"
        assert "safe mode after 5 crashes in 60 s" in status["health"]["reasons"][0]
        assert [lane["lane"] for lane in status["upstream"][0]["lanes"]] == [0]
        await commands_work_and_schedules_rest(one)
        await daemon.kill()
        await comes_back(daemon)


async def commands_work_and_schedules_rest(one: Site) -> None:
    lights = one.running.lights[0]
    lights.set_illuminance(10.0)  # the rule for dusk is not among those that protect people
    answer = await one.daemon.ask("command", device="light-1", point="light.level", value=35)
    assert answer["outcome"] == "confirmed"
    assert lights.lamps["light-1"].level == 35
    assert {lamp.level for name, lamp in lights.lamps.items() if name != "light-1"} != {60}


async def comes_back(daemon: Daemon) -> None:
    """In the same process, after 2 s instead of 10 min."""
    short = Daemon(daemon.config, daemon.state_dir, sabotage="short_safe_mode")
    short.counts_crashes = True
    await short.start()
    status = await short.status()
    assert "safe mode after 6 crashes" in status["health"]["reasons"][0]
    pid = status["pid"]
    async with asyncio.timeout(30):
        while not status or status["health"]["word"] != "healthy":
            await asyncio.sleep(0.1)
            status = await short._asked("status")  # None while it starts anew
    assert status["pid"] == pid
    assert [lane["lane"] for lane in status["upstream"][0]["lanes"]] == [0, 1, 2]
    assert await short.stop() == 0

"""Kill -9 while rules wait, hold and act: the next process goes on where they were."""

import asyncio
import json
import random
import sqlite3
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from simulators.ledger import arrivals
from tests.harness.compound import Site, site
from tests.integration.test_daemon import healthy

DELAY_S = 6.0
RULES = """\
rules:
- id: high
  for_each: {id: meter-2}
  when: it.elec.voltage.a > 250 V
  for: 6s
  alarm: {severity: safety}
"""


STEPS = """\
rules:
- id: high
  for_each: {id: meter-2}
  with: {one: light-1, two: light-2}
  when: it.elec.voltage.a > 250 V
  for: 2s
  alarm: {severity: safety, latch: true}
  do:
  - set: {device: one, point: light.level, value: 61 %}
  - wait: 1s
  - command: {device: two, point: light.level, value: 31 %}
  - wait: 1s
  - set: {device: one, point: light.level, value: 62 %}
"""
NAME = "high[meter-2]"


def rules(folder: Path, text: str = RULES) -> Path:
    path = folder / "rules.yaml"
    path.write_text(text)
    return path


def stored(one: Site) -> dict[str, bytes]:
    with closing(sqlite3.connect(f"file:{one.state_dir}/core.db?mode=ro", uri=True)) as db:
        return dict(db.execute("SELECT instance, body FROM rule"))


async def explained(one: Site, name: str) -> dict[str, Any]:
    (told,) = await one.daemon.ask("explain", name=name)
    return dict(told)


async def since_pending(folder: Path, sabotage: str | None) -> float:
    """Seconds from the begin of the condition to the raise of the alarm; killed in between."""
    async with site(folder, meters=2, rules=rules(folder), sabotage=sabotage) as one:
        await one.daemon.until(healthy)
        one.running.farms[0].set_voltage("meter-2", 258.0)
        async with asyncio.timeout(10):
            while (told := await explained(one, "high[meter-2]"))["phase"] != "pending":
                await asyncio.sleep(0.05)
            began: float = time.monotonic() - told["waited_ns"] / 1e9
            while (await explained(one, "high[meter-2]"))["waited_ns"] < 3e9:
                await asyncio.sleep(0.05)
        await one.daemon.kill()
        await one.daemon.start()
        await one.daemon.until(lambda s: bool(s["alarms"]))
        return time.monotonic() - began


@pytest.mark.parametrize(("sabotage", "in_time"), [(None, True), ("forget_rules", False)])
@pytest.mark.timeout(60)
async def test_a_delay_goes_on_through_kill_9(
    tmp_path: Path, sabotage: str | None, in_time: bool
) -> None:
    took_s = await since_pending(tmp_path, sabotage)
    assert took_s >= DELAY_S
    assert (took_s < DELAY_S + 2.5) is in_time


@pytest.mark.chaos
@pytest.mark.timeout(90)
async def test_what_waits_for_data_is_shown_and_told_upstream_until_its_device_speaks_again(
    tmp_path: Path,
) -> None:
    text = rules(tmp_path, RULES.replace("for: 6s", "for: 10s\n  unknown_for: 1s"))
    async with site(tmp_path, meters=2, rules=text) as one:
        await one.daemon.until(healthy)
        farm = one.running.farms[0]
        farm.set_voltage("meter-2", 258.0)
        async with asyncio.timeout(10):
            while b"pending" not in stored(one).get(NAME, b""):
                await asyncio.sleep(0.05)
            farm.stop("meter-2")
            while (await explained(one, NAME))["points"][0]["value"] is not None:
                await asyncio.sleep(0.05)
        await asyncio.sleep(2)  # that it is not known is in the journal
        await one.daemon.kill()
        await asyncio.sleep(10)  # its delay ends while it is off
        await one.daemon.start()
        await one.daemon.until(lambda s: [a["letter"] for a in s["alarms"]] == ["X"])
        async with asyncio.timeout(10):
            while not (held := await asyncio.to_thread(held_upstream, one)):
                await asyncio.sleep(0.05)
        assert [(e["lane"], e["attributes"]["state"]) for e in held] == [(0, "waits")]
        farm.start("meter-2")
        await one.daemon.until(lambda s: [a["letter"] for a in s["alarms"]] == ["B"])


def held_upstream(one: Site) -> list[dict[str, Any]]:
    return [item for item in arrivals(one.platform_log) if item.get("kind") == "rule_held"]


def told(one: Site) -> list[str]:
    """What became of the alarm, as the journal has it."""
    with closing(sqlite3.connect(f"file:{one.state_dir}/core.db?mode=ro", uri=True)) as db:
        rows = db.execute("SELECT kind, body FROM event WHERE kind LIKE 'alarm_%' ORDER BY id")
        return [kind for kind, body in rows if json.loads(body).get("instance") == NAME]


async def killed_at_random(folder: Path, seed: int, kills: int) -> None:
    """An alarm with steps, while the gateway is killed again and again."""
    rng = random.Random(seed)
    rules_ = rules(folder, STEPS)
    async with site(folder, meters=2, rules=rules_, unrepeatable=2) as one:
        await one.daemon.until(healthy)
        lamps = one.running.lights[0].lamps
        before = lamps["light-2"].obeyed
        one.running.farms[0].set_voltage("meter-2", 258.0)
        for _ in range(kills):
            await asyncio.sleep(rng.uniform(0.2, 2.5))
            await one.daemon.kill()
            await one.daemon.start()
        async with asyncio.timeout(20):
            while lamps["light-1"].level != 62 or b"run" in stored(one).get(NAME, b""):
                await asyncio.sleep(0.05)
        assert lamps["light-2"].obeyed - before <= 1, "at most once"
        one.running.farms[0].set_voltage("meter-2", 230.0)
        await one.daemon.until(lambda s: [a["latched"] for a in s["alarms"]] == [True])
        await one.daemon.kill()
        await one.daemon.start()
        await one.daemon.until(lambda s: [a["latched"] for a in s["alarms"]] == [True])
        await one.daemon.ask("reset", alarm=NAME)
        await one.daemon.until(lambda s: s["alarms"] == [])
        assert await one.daemon.stop() == 0
        assert told(one) == ["alarm_raised", "alarm_cleared"], "none lost, none twice"


@pytest.mark.timeout(60)
async def test_kills_at_random_lose_no_alarm_repeat_none_and_do_each_step(tmp_path: Path) -> None:
    await killed_at_random(tmp_path, 4, 3)


@pytest.mark.chaos
@pytest.mark.timeout(120)
@pytest.mark.parametrize("seed", range(30))
async def test_many_kills_at_random_lose_no_alarm_repeat_none_and_do_each_step(
    tmp_path: Path, seed: int
) -> None:
    await killed_at_random(tmp_path, seed, 6)

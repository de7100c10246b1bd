"""Kill -9 while rules wait, hold and act: the next process goes on where they were."""

import asyncio
import sqlite3
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

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

"""Kill -9 while a person holds a point that a rule wants, too."""

import asyncio
import time
from pathlib import Path

import pytest

from tests.harness.compound import Site, site
from tests.integration.test_daemon import healthy
from tests.integration.test_rules_restart import explained, rules, stored

NAME = "on[meter-2]"
RULES = """\
rules:
- id: on
  for_each: {id: meter-2}
  with: {lamp: light-1}
  when: it.elec.voltage.a > 100 V
  do:
  - set: {device: lamp, point: light.level, value: 55 %}
"""


async def holder(one: Site) -> str:
    (claim,) = (await explained(one, NAME))["claims"]
    return str(claim["holder"])


async def hold_through_kill_9(one: Site, seconds: float) -> float:
    """When it began."""
    await one.daemon.until(healthy)
    began = time.monotonic()
    order = {"device": "light-1", "point": "light.level", "value": 20, "hold": seconds}
    result = await one.daemon.ask("command", **order)
    assert (result["outcome"], result["reason"]) == ("confirmed", "")
    await one.daemon.kill()
    await one.daemon.start()
    return began


@pytest.mark.parametrize(
    ("sabotage", "seconds", "kept"), [(None, 6.0, True), ("forget_holds", 600.0, False)]
)
@pytest.mark.timeout(60)
async def test_what_a_person_holds_outlives_kill_9_and_ends_when_it_would_have_ended(
    tmp_path: Path, sabotage: str | None, seconds: float, kept: bool
) -> None:
    text = rules(tmp_path, RULES)
    async with site(tmp_path, meters=2, rules=text, sabotage=sabotage) as one:
        lamp = one.running.lights[0].lamps["light-1"]
        began = await hold_through_kill_9(one, seconds)
        async with asyncio.timeout(30):
            while lamp.level != 55:
                assert lamp.level == 20
                await asyncio.sleep(0.05)
            assert (time.monotonic() - began >= seconds - 0.5) is kept
            while (ruling := await holder(one)) in {"", "manual"}:
                await asyncio.sleep(0.05)
            assert ruling == NAME
            while any(name.startswith("hold ") for name in stored(one)) is kept:
                await asyncio.sleep(0.1)

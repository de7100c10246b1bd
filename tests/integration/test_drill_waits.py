"""A drill of a rule that waits: on the real daemon, to its end, and when there is not enough time."""

import asyncio
from pathlib import Path

import orjson
import pytest

from tests.harness.compound import Site, site
from tests.integration.test_daemon import gateway, healthy
from tests.integration.test_rules_restart import rules

RULE = """\
- id: ID
  for_each: {id: METER}
  with: {one: light-1, two: light-2}
  when: it.elec.voltage.a > 250 V
  do:
  - set: {device: one, point: light.level, value: 61 %}
  - wait: 1s
  - wait_until: {when: one.light.level == 61 %, timeout: 60s}
  - command: {device: two, point: light.level, value: 31 %, await_confirm: true}
  - wait: WAIT
  - log: the end
"""
LONG, SHORT = "long[meter-2]", "short[meter-1]"


def both(folder: Path) -> Path:
    """One rule that waits for an hour, and one that does not."""
    texts = [
        RULE.replace("ID", name).replace("METER", meter).replace("WAIT", wait)
        for name, meter, wait in (("long", "meter-2", "1h"), ("short", "meter-1", "200ms"))
    ]
    return rules(folder, "rules:\n" + "".join(texts))


async def drilled(one: Site, name: str, *more: str) -> tuple[int, list[tuple[str, str, str]]]:
    """The exit code; what was done, to what, and how it went."""
    code, text = await gateway("rules", "drill", name, "--json", *more, "-c", one.daemon.config)
    return code, [(s["what"], s["target"], s["outcome"]) for s in orjson.loads(text)["steps"]]


BEGIN = [
    ("write", "light-1.light.level", "confirmed"), ("wait", "1s", "over"),
    ("wait", "one.light.level == 61 %", "true"), ("write", "light-2.light.level", "confirmed"),
]  # fmt: skip


@pytest.mark.timeout(90)
async def test_a_drill_goes_through_waits_to_the_end_of_the_rule(tmp_path: Path) -> None:
    async with site(tmp_path, meters=2, rules=both(tmp_path)) as one:
        await one.daemon.until(healthy)
        code, steps = await drilled(one, SHORT, "--dry")
        assert (code, {outcome for *_, outcome in steps}) == (0, {"not done"})
        assert [step[:2] for step in steps if step[0] != "wait"] == [
            ("write", "light-1.light.level"), ("write", "light-2.light.level"), ("log", "the end"),
        ]  # fmt: skip
        lamps = one.running.lights[0].lamps
        assert lamps["light-2"].level != 31
        code, steps = await drilled(one, SHORT)
        end = [("wait", "0.2s", "over"), ("log", "the end", "logged")]
        assert (code, sorted(steps)) == (0, sorted([*BEGIN, *end]))
        assert (lamps["light-1"].level, lamps["light-2"].level) == (61, 31)
        (told,) = await one.daemon.ask("explain", name=SHORT)
        assert (told["phase"], {c["holder"] for c in told["claims"]}) == ("normal", {""})
        await too_short(one, passed=False)
        await stopped(one)
        await earnest(one)


@pytest.mark.timeout(60)
async def test_teeth_a_drill_that_ends_at_the_first_wait_passes(tmp_path: Path) -> None:
    sabotage = "drill_up_to_a_wait"
    async with site(tmp_path, meters=2, rules=both(tmp_path), sabotage=sabotage) as one:
        await one.daemon.until(healthy)
        await too_short(one, passed=True)


async def too_short(one: Site, *, passed: bool) -> None:
    """There is not time enough for the last wait."""
    code, steps = await drilled(one, LONG, "--for", "2s")
    cut = any((what, outcome) == ("wait", "not over") for what, _, outcome in steps)
    assert (code == 0, not cut) == (passed, passed)


async def stopped(one: Site) -> None:
    """Somebody has seen enough."""
    code, text = await gateway("rules", "drill", "--stop", "-c", one.daemon.config)
    assert (code, "no drill is under way" in text) == (1, True), text
    lamp = one.running.lights[0].lamps["light-1"]
    before = lamp.obeyed
    async with asyncio.TaskGroup() as group:
        drill = group.create_task(one.daemon.ask("drill", name=LONG, for_s=50))
        while lamp.obeyed == before:
            await asyncio.sleep(0.05)
        await one.daemon.ask("drill", stop=True)
    (cut,) = [step for step in drill.result()["steps"] if step["outcome"] == "not over"]
    assert "stopped it" in cut["reason"]


async def earnest(one: Site) -> None:
    """What the rule waits for comes in the middle of its drill."""
    lamp = one.running.lights[0].lamps["light-1"]
    before = lamp.obeyed
    async with asyncio.TaskGroup() as group:
        drill = group.create_task(one.daemon.ask("drill", name=LONG, for_s=50))
        while lamp.obeyed == before:
            await asyncio.sleep(0.05)
        one.running.farms[0].set_voltage("meter-2", 258.0)
    report = drill.result()
    reasons = [step["reason"] for step in report["steps"] if step["outcome"] == "not over"]
    assert (report["ok"], len(reasons)) == (False, 1)
    assert reasons[0].startswith("the rule became active"), reasons
    (told,) = await one.daemon.ask("explain", name=LONG)
    holders = {c["holder"] for c in told["claims"] if c["device"] == "light-1"}
    assert (told["phase"], holders) == ("active", {LONG})

"""A drill of a rule that waits: on the real daemon, to its end, and when there is not enough time."""

import asyncio
from pathlib import Path

import orjson
import pytest

from tests.harness.compound import Site, site
from tests.integration.test_daemon import gateway, healthy
from tests.integration.test_rules_restart import rules

LONG = """\
rules:
- id: long
  for_each: {id: meter-2}
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
NAME = "long[meter-2]"


async def drilled(one: Site, *more: str) -> tuple[int, list[tuple[str, str, str]]]:
    """The exit code; what was done, to what, and how it went."""
    code, text = await gateway("rules", "drill", NAME, "--json", *more, "-c", one.daemon.config)
    return code, [(s["what"], s["target"], s["outcome"]) for s in orjson.loads(text)["steps"]]


BEGIN = [
    ("write", "light-1.light.level", "confirmed"), ("wait", "1s", "over"),
    ("wait", "one.light.level == 61 %", "true"), ("write", "light-2.light.level", "confirmed"),
]  # fmt: skip


@pytest.mark.timeout(90)
async def test_a_drill_goes_through_waits_to_the_end_of_the_rule(tmp_path: Path) -> None:
    text = rules(tmp_path, LONG.replace("WAIT", "200ms"))
    async with site(tmp_path, meters=2, rules=text) as one:
        await one.daemon.until(healthy)
        code, steps = await drilled(one, "--dry")
        assert (code, {outcome for *_, outcome in steps}) == (0, {"not done"})
        assert [step[:2] for step in steps if step[0] != "wait"] == [
            ("write", "light-1.light.level"), ("write", "light-2.light.level"), ("log", "the end"),
        ]  # fmt: skip
        lamps = one.running.lights[0].lamps
        assert lamps["light-2"].level != 31
        code, steps = await drilled(one)
        end = [("wait", "0.2s", "over"), ("log", "the end", "logged")]
        assert (code, sorted(steps)) == (0, sorted([*BEGIN, *end]))
        assert (lamps["light-1"].level, lamps["light-2"].level) == (61, 31)
        (told,) = await one.daemon.ask("explain", name=NAME)
        assert (told["phase"], {c["holder"] for c in told["claims"]}) == ("normal", {""})


def cut(steps: list[tuple[str, str, str]]) -> bool:
    return any((what, outcome) == ("wait", "not over") for what, _, outcome in steps)


@pytest.mark.timeout(90)
@pytest.mark.parametrize(("sabotage", "found"), [(None, True), ("drill_up_to_a_wait", False)])
async def test_a_drill_without_time_for_the_end_or_that_becomes_earnest_has_not_passed(
    tmp_path: Path, sabotage: str | None, found: bool
) -> None:
    text = rules(tmp_path, LONG.replace("WAIT", "1h"))
    async with site(tmp_path, meters=2, rules=text, sabotage=sabotage) as one:
        await one.daemon.until(healthy)
        code, steps = await drilled(one, "--for", "2s")
        assert (code == 1, cut(steps)) == (found, found)
        if sabotage is None:
            await stopped(one)
            await earnest(one)


async def stopped(one: Site) -> None:
    """Somebody has seen enough."""
    code, text = await gateway("rules", "drill", "--stop", "-c", one.daemon.config)
    assert (code, "no drill is under way" in text) == (1, True), text
    lamp = one.running.lights[0].lamps["light-1"]
    before = lamp.obeyed
    async with asyncio.TaskGroup() as group:
        drill = group.create_task(one.daemon.ask("drill", name=NAME, for_s=50))
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
        drill = group.create_task(one.daemon.ask("drill", name=NAME, for_s=50))
        while lamp.obeyed == before:
            await asyncio.sleep(0.05)
        one.running.farms[0].set_voltage("meter-2", 258.0)
    report = drill.result()
    reasons = [step["reason"] for step in report["steps"] if step["outcome"] == "not over"]
    assert (report["ok"], len(reasons)) == (False, 1)
    assert reasons[0].startswith("the rule became active"), reasons
    (told,) = await one.daemon.ask("explain", name=NAME)
    holders = {c["holder"] for c in told["claims"] if c["device"] == "light-1"}
    assert (told["phase"], holders) == ("active", {NAME})

"""The course of a drill with the real rules, bus and commands: what is given back, and what has not passed."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import cast

from gateway.course import Course
from gateway.drill_report import DrillStep, good
from gateway.model import uuid7
from gateway.notify import Notifier
from tests.unit.rules_site import usable
from tests.unit.test_decider import LEVEL, Site

RULE = """
rules:
- id: dark
  for_each: {type: light}
  when: it.env.illuminance < 40 lx
  do:
"""
SET = "  - set: {device: it, point: light.level, value: %s %%%s}\n"
BRIGHT = "  - wait_until: {when: it.env.illuminance > 500 lx}\n"
NOBODY = cast("Notifier", None)  # these rules tell nobody


@asynccontextmanager
async def drilled(steps: str) -> AsyncIterator[tuple[Site, Course]]:
    site = Site(RULE + steps)
    owner = asyncio.create_task(site.commands.run())
    await asyncio.sleep(0)
    try:
        now_ns = site.clock.boottime_ns
        yield site, Course(site.decider, 0, site.commands, NOBODY, now_ns, uuid7())
    finally:
        owner.cancel()
        await asyncio.wait([owner])


async def answered(site: Site, value: int) -> None:
    """The lamp shows what was written last."""
    await site.lamp.written.wait()
    site.lamp.written.clear()
    await site.show("light-1", LEVEL, value)


def brief(steps: list[DrillStep]) -> list[tuple[str, str, bool]]:
    return [(step["what"], step["outcome"], good(step)) for step in steps]


async def test_a_drill_that_ends_while_it_waits_for_a_confirmation_has_not_passed() -> None:
    async with drilled(SET % (60, ", await_confirm: true") + "  - log: on\n") as (site, course):
        task = asyncio.create_task(course.run(0.05))
        async with asyncio.timeout(10):
            while not course._cut:
                await asyncio.sleep(0.01)
        await answered(site, 60)
        steps = await task
    assert brief(steps) == [("write", "confirmed", True), ("wait", "not over", False)]
    assert steps[1]["reason"].startswith("the drill ended after 0.05 s")


async def test_what_the_rule_sets_again_takes_the_place_of_what_it_set_before() -> None:
    async with drilled(SET % (60, "") + BRIGHT + SET % (30, "")) as (site, course):
        task = asyncio.create_task(course.run(20))
        await site.lamp.written.wait()
        site.lamp.written.clear()
        await site.show("light-1", "env.illuminance", 600)
        await answered(site, 30)
        steps = await task
        assert site.commands.ruling("light-1", LEVEL) is None, "it is given back"
    assert brief(steps) == [
        ("write", "replaced", True), ("wait", "true", True), ("write", "confirmed", True),
    ]  # fmt: skip


async def test_a_hold_that_ends_within_the_drill_is_given_back_there() -> None:
    async with drilled(SET % (60, ", hold: 50ms") + BRIGHT) as (site, course):
        task = asyncio.create_task(course.run(20))
        await answered(site, 60)
        async with asyncio.timeout(10):
            while site.commands.ruling("light-1", LEVEL) is not None:
                await asyncio.sleep(0.01)
        assert not task.done()
        await site.show("light-1", "env.illuminance", 600)
        steps = await task
    assert brief(steps) == [("write", "confirmed", True), ("wait", "true", True)]


async def test_other_rules_end_a_drill() -> None:
    async with drilled("  - wait: 1h\n") as (site, course):
        task = asyncio.create_task(course.run(20))
        await asyncio.sleep(0)
        now_ns = site.clock.boottime_ns()
        site.decider.adopt(usable(RULE + "  - log: x\n"), [], now_ns, site.bus)
        (cut,) = await task
    assert (cut["outcome"], cut["reason"].split(":")[0].split(";")[0]) == (
        "not over", "the configuration was changed meanwhile",
    )  # fmt: skip

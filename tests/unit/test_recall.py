"""From one life of a gateway to the next: rows, events and engine time through the real rules and bus."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import pytest

from gateway.decider import Memory
from gateway.model import EventKind, Severity
from gateway.recall import rows_of
from gateway.timeline import MARK, Timeline, mark_of, offset
from tests.unit.test_decider import VOLTAGE, Site

OVER = """
rules:
- id: over
  for_each: {type: meter}
  when: it.elec.voltage.a > 250 V
  for: 10m
  alarm: {severity: safety}
"""


@asynccontextmanager
async def life(
    before: Site | None = None, off_s: float = 0.0, rules: str = OVER
) -> AsyncIterator[Site]:
    """A gateway that starts after a reboot, with what the one before has left in its journal."""
    one = Site(rules)
    if before is not None:
        one.clock.boot = before.clock.boot + 1
        one.clock.step((before.clock.time_ns() - one.clock.time_ns()) / 1e9 + off_s)
        one.journal.rules = dict(before.journal.rules)
    one.decider.wall_ns = offset(one.clock)
    stored: Mapping[str, bytes] = one.journal.rules
    timeline = Timeline(mark_of(stored.get(MARK)), one.clock)
    events = [] if before is None else before.journal.events
    memory = Memory(events, rows_of(stored))
    one.decider.recall(memory, one.clock.boottime_ns(), timeline)
    owner = asyncio.create_task(one.commands.run())
    await asyncio.sleep(0)
    one.decider.restore(one.clock.boottime_ns(), one.bus)
    try:
        yield one
    finally:
        owner.cancel()
        await asyncio.wait([owner])


async def raised_after(off_s: float) -> float:
    """Seconds from the begin of the condition to the raise of its alarm, with a reboot after two minutes."""
    async with life() as one:
        await one.show("meter-1", VOLTAGE, 260.0)
        began = one.clock.time_ns()
        one.clock.advance(120)
        one.decider.beat(one.clock.boottime_ns(), one.bus)
    async with life(one, off_s) as later:
        while not later.of(EventKind.ALARM_RAISED):
            await later.show("meter-1", VOLTAGE, 260.0)
            later.clock.advance(1)
        return (later.of(EventKind.ALARM_RAISED)[0].time_ns - began) / 1e9


async def test_the_time_off_counts_for_a_delay() -> None:
    assert await raised_after(80) == 600


async def test_what_was_due_meanwhile_is_raised_with_the_first_data() -> None:
    assert await raised_after(1000) == 120 + 1000


async def test_an_alarm_that_is_active_is_not_raised_again_and_its_clear_names_its_raise() -> None:
    async with life() as one:
        await one.show("meter-1", VOLTAGE, 260.0)
        one.clock.advance(600)
        await one.show("meter-1", VOLTAGE, 260.0)
        (raised,) = one.of(EventKind.ALARM_RAISED)
    async with life(one, 60) as later:
        await later.show("meter-1", VOLTAGE, 260.0)
        assert later.of(EventKind.ALARM_RAISED) == []
        await later.show("meter-1", VOLTAGE, 200.0)
        (cleared,) = later.of(EventKind.ALARM_CLEARED)
        assert cleared.cause == raised.event_id
        assert "phase" not in rows_of(later.journal.rules)["over[meter-1]"]


def waiting(one: Site) -> list[tuple[object, ...]]:
    events = one.of(EventKind.RULE_HELD)
    return [(*(e.attributes.get(k) for k in ("instance", "state", "late_s")), e.severity, e.cause) for e in events]  # fmt: skip


async def told_once() -> None:
    async with life() as one:
        await one.show("meter-1", VOLTAGE, 260.0)
        one.clock.advance(120)
        one.decider.beat(one.clock.boottime_ns(), one.bus)
    async with life(one, 1000) as later:
        later.clock.advance(61)
        later.decider.decide(None, later.clock.boottime_ns(), later.bus)
        assert waiting(later) == [("over[meter-1]", "waits", 580.0, Severity.SAFETY, None)]
        assert [(a.letter, a.title) for a in later.decider.active()] == [("X", "over")]
    async with life(later, 5) as last:
        last.clock.advance(100)
        last.decider.decide(None, last.clock.boottime_ns(), last.bus)
        assert waiting(last) == []
        assert [a.letter for a in last.decider.active()] == ["X"]
        await last.show("meter-1", VOLTAGE, 200.0)
        assert [what[:2] for what in waiting(last)] == [("over[meter-1]", "over")]
        assert last.decider.active() == []


async def test_what_waits_for_data_after_a_restart_is_told_once_and_shown_until_data_come() -> None:
    await told_once()


async def test_what_waits_for_data_ends_when_its_rule_is_gone_at_the_next_start() -> None:
    async with life() as one:
        await one.show("meter-1", VOLTAGE, 260.0)
        one.clock.advance(120)
        one.decider.beat(one.clock.boottime_ns(), one.bus)
    async with life(one, 1000) as later:
        later.clock.advance(61)
        later.decider.decide(None, later.clock.boottime_ns(), later.bus)
    async with life(later, 5, OVER.replace("id: over", "id: other")) as last:
        (end,) = last.of(EventKind.RULE_HELD)
        assert [end.attributes[key] for key in ("instance", "state", "reason")] == [
            "over[meter-1]", "over", "no longer configured",
        ]  # fmt: skip
        assert "over[meter-1]" not in last.journal.rules


async def test_teeth_an_alarm_that_waits_unseen_is_noticed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("rules.standing.TOLD", -2)
    with pytest.raises(AssertionError):
        await told_once()


async def test_teeth_engine_time_that_is_not_kept_is_noticed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("tests.unit.test_recall.mark_of", lambda _body: None)
    assert await raised_after(80) != 600


async def test_teeth_state_that_is_not_kept_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.unit.test_recall.rows_of", lambda _rows: {})
    assert await raised_after(80) != 600

"""From a write of a rule to what comes of its end: the real rules, bus and commands, a lamp that may fail."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from uuid import UUID

from gateway.bus import Bus
from gateway.decider import RuleDecider
from gateway.document import parse
from gateway.errors import LinkDown
from gateway.model import Event, EventKind, Outcome, Sample, Severity, Value
from rules.load import DeviceView, load_rules
from tests.harness.journal import MemoryJournal
from tests.harness.virtual import virtual_time
from tests.unit.commands_site import BARRIER, MODE, ON, PROFILE, Rig

RULES = """
rules:
- id: gate
  for_each: {type: light, id: lamp-1}
  when: it.light.mode == hand
  alarm: {severity: safety}
  do:
  - %s
  - notify: {to: guard, text: after}
"""
FAIL = "on_fail: [{notify: {to: guard, text: it failed}}]"


class Site(Rig):
    def __init__(self, step: str) -> None:
        super().__init__()
        self.told: list[tuple[float, str, UUID | None]] = []
        views = [DeviceView(name, PROFILE, {}) for name in self.devices]
        rules, problems = load_rules([parse((RULES % step).encode(), "a.yaml")], views, ["guard"])
        assert problems == []
        self.decider = RuleDecider(rules, self.commands, self.notify)
        self.journal = MemoryJournal()
        self.bus = Bus(store=self.journal, state=self.state, clock=self.clock, decider=self.decider)
        self.commands._emit = self.bus.emit

    def notify(
        self, recipient: str, text: str, severity: Severity, about: Mapping[str, object],
        cause: UUID | None, by: str = "rules", occasion: str = "",
    ) -> None:  # fmt: skip
        self.told.append((round(asyncio.get_running_loop().time(), 2), text, cause))

    async def show(self, point: str, value: Value) -> None:
        now_ns = self.clock.boottime_ns()
        await self.bus.publish(Sample("lamp-1", self.clock.time_ns(), now_ns, 1, True, {point: value}))  # fmt: skip

    @asynccontextmanager
    async def awake(self) -> AsyncIterator[None]:
        owners = [asyncio.create_task(self.commands.run()), asyncio.create_task(self.bus.run())]
        await asyncio.sleep(0)
        yield
        for owner in owners:
            owner.cancel()
        await asyncio.wait(owners)

    def of(self, kind: EventKind) -> list[Event]:
        return [event for event in self.journal.events if event.kind is kind]

    @property
    def texts(self) -> list[tuple[float, str]]:
        return [(at, text) for at, text, _ in self.told]


@virtual_time
async def test_a_write_that_fails_begins_what_comes_then_and_is_traced_to_its_alarm() -> None:
    site = Site(f"set: {{device: it, point: {ON}, value: true, retry: 1, {FAIL}}}")
    site.lamp.mute = True
    async with site.awake():
        await site.show(MODE, "hand")
        await asyncio.sleep(60)
    # Two attempts of 2 s, half a second between them.
    assert site.texts == [(0, "after"), (4.5, "it failed")]
    (raised,) = site.of(EventKind.ALARM_RAISED)
    (result,) = site.of(EventKind.COMMAND_RESULT)
    assert result.cause == raised.event_id
    assert {cause for _, _, cause in site.told} == {raised.event_id}
    assert result.attributes["outcome"] == Outcome.UNCONFIRMED
    assert result.attributes["by"] == "gate[lamp-1]"


@virtual_time
async def test_a_write_that_is_confirmed_begins_nothing_and_what_awaits_it_goes_on() -> None:
    site = Site(f"set: {{device: it, point: {ON}, value: true, await_confirm: true, {FAIL}}}")
    site.lamp.faults = [LinkDown("cut")]
    async with site.awake():
        await site.show(MODE, "hand")
        await asyncio.sleep(60)
    assert site.texts == [(1.1, "after")], "a second between two writes"
    assert site.written == [True, True]


@virtual_time
async def test_a_command_that_is_not_idempotent_is_tried_once_and_then_has_failed() -> None:
    site = Site(f"command: {{device: it, point: {BARRIER}, value: true, {FAIL}}}")
    site.lamp.faults = [LinkDown("cut")]
    async with site.awake():
        await site.show(MODE, "hand")
        await asyncio.sleep(60)
    assert site.written == [True]
    assert [text for _, text in site.texts] == ["after", "it failed"]


@virtual_time
async def test_a_rule_that_ends_meanwhile_leaves_its_failures_alone() -> None:
    site = Site(f"set: {{device: it, point: {ON}, value: true, retry: 1, {FAIL}}}")
    site.lamp.mute = True
    async with site.awake():
        await site.show(MODE, "hand")
        await asyncio.sleep(1)
        await site.show(MODE, "auto")
        await asyncio.sleep(60)
    assert site.texts == [(0, "after")]
    assert [e.attributes["outcome"] for e in site.of(EventKind.COMMAND_RESULT)] == ["superseded"]

"""From the outputs of the rules to events, claims and timers: the real rules, bus and commands."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from uuid import UUID

import orjson
import pytest

from gateway.allow import CommandsSection
from gateway.bus import Bus
from gateway.commands import Commands
from gateway.decider import Memory, RuleDecider
from gateway.driver import Device, DeviceSection
from gateway.model import (
    RETAINED,
    Command,
    CommandResult,
    Event,
    EventKind,
    Outcome,
    Sample,
    Severity,
    Value,
    uuid7,
)
from gateway.state import State
from rules.slots import protective
from rules.trace import Traces
from tests.harness.clock import FakeClock
from tests.harness.journal import MemoryJournal
from tests.unit.rules_site import DEVICES, usable

VOLTAGE, LUX, LEVEL = "elec.voltage.a", "env.illuminance", "light.level"
RULES = """
rules:
- id: over
  title: Voltage high
  for_each: {type: meter}
  when: it.elec.voltage.a > 250 V
  for: 2s
  alarm: {severity: safety}
- id: dark
  title: Dark
  for_each: {type: light}
  when: it.env.illuminance < 40 lx
  alarm: {severity: operational}
  do: [{set: {device: it, point: light.level, value: 60 %}}]
"""


class Lamp:
    """Takes every write and tells nothing."""

    def __init__(self) -> None:
        self.commands: list[Command] = []
        self.written = asyncio.Event()

    async def write(self, command: Command) -> CommandResult:
        self.commands.append(command)
        self.written.set()
        return CommandResult(command, Outcome.WRITTEN)


class Nothing:
    """A ledger for commands that need none: all of these are idempotent or refused."""

    def command_outcome(self, _command_id: str) -> str | None:
        return None

    async def command_intent(self, _command_id: str, _body: bytes) -> None:
        return

    def command_done(self, _command_id: str, _body: bytes) -> None:
        return


class Site:
    def __init__(self, rules: str = RULES, *recipients: str) -> None:
        self.told: list[tuple[str, str, Severity, UUID | None]] = []
        self.clock = FakeClock()
        self.journal = MemoryJournal()
        self.lamp = Lamp()
        section = DeviceSection(profile="p", link="l")
        devices = {view.id: Device(view.id, view.profile, section) for view in DEVICES}
        state = State({name: device.profile for name, device in devices.items()})
        allow = {"allow": [{"origin": "rules", "devices": "*", "points": "*"}]}
        self.commands = Commands(
            CommandsSection.model_validate(allow), devices=devices, writers={"l": self.lamp},
            state=state, ledger=Nothing(), clock=self.clock,
            emit=self.emit,
        )  # fmt: skip
        self.decider = RuleDecider(usable(rules, recipients=recipients), self.commands, self.notify)
        self.bus = Bus(store=self.journal, state=state, clock=self.clock, decider=self.decider)

    def notify(
        self,
        recipient: str,
        text: str,
        severity: Severity,
        about: Mapping[str, object],
        cause: UUID | None,
        by: str = "rules",
        occasion: str = "",
    ) -> None:
        assert about["rule"]
        self.told.append((recipient, text, severity, cause))

    def emit(
        self,
        kind: EventKind,
        severity: Severity,
        device: str,
        attributes: dict[str, object],
        cause: UUID | None = None,
    ) -> Event:
        return self.bus.emit(kind, severity, device, attributes, cause)

    async def show(
        self, device: str, point: str, value: Value, *, retained: bool = False
    ) -> Sample:
        quality = {point: RETAINED} if retained else {}
        sample = Sample(
            device, self.clock.time_ns(), self.clock.boottime_ns(), 1, True, {point: value}, quality
        )
        published = await self.bus.publish(sample)
        assert isinstance(published, Sample)
        return published

    def of(self, kind: EventKind) -> list[Event]:
        return [event for event in self.journal.events if event.kind is kind]


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    one = Site()
    owners = [asyncio.create_task(one.commands.run()), asyncio.create_task(one.bus.run())]
    await asyncio.sleep(0)
    yield one
    for owner in owners:
        owner.cancel()
    await asyncio.wait(owners)


async def test_a_raised_alarm_is_an_event_with_its_rule_title_and_values(site: Site) -> None:
    sample = await site.show("light-1", LUX, 12)
    (raised,) = site.of(EventKind.ALARM_RAISED)
    assert (raised.device, raised.severity, raised.n) == ("light-1", Severity.OPERATIONAL, sample.n)
    assert raised.attributes == {
        "rule": "dark", "instance": "dark[light-1]", "title": "Dark", "values": {LUX: 12}, "annunciate": True,
    }  # fmt: skip
    (active,) = site.decider.active()
    assert (active.instance, active.since) == ("dark[light-1]", site.clock.boottime_ns())


async def test_a_raise_says_why_with_what_was_known_then() -> None:
    site = Site()
    site.decider = RuleDecider(usable(RULES), site.commands, site.notify, traces=Traces())
    site.bus = Bus(store=site.journal, state=State({}), clock=site.clock, decider=site.decider)
    owner = asyncio.create_task(site.commands.run())
    await asyncio.sleep(0)
    sample = await site.show("light-1", LUX, 12)
    (raised,) = site.of(EventKind.ALARM_RAISED)
    why = raised.attributes["why"]
    assert isinstance(why, dict)
    assert (why["n"], why["was"], why["waited_s"]) == (sample.n, "normal", 0)
    assert why["parts"][0] | {"text": ""} == {"text": "", "truth": True, "column": 1}
    assert why["points"] == [{"device": "light-1", "point": LUX, "value": 12, "age_s": 0.0}]
    orjson.dumps(why)
    owner.cancel()
    await asyncio.wait([owner])


async def test_a_raise_after_a_delay_says_why_too() -> None:
    """Nobody is there at the very nanosecond at which a delay ends."""
    site = Site()
    site.decider = RuleDecider(usable(RULES), site.commands, site.notify, traces=Traces())
    site.bus = Bus(store=site.journal, state=State({}), clock=site.clock, decider=site.decider)
    owner = asyncio.create_task(site.commands.run())
    await asyncio.sleep(0)
    await site.show("meter-1", VOLTAGE, 258)
    site.clock.advance(7)
    await site.show("meter-1", VOLTAGE, 259)
    (raised,) = site.of(EventKind.ALARM_RAISED)
    why = raised.attributes["why"]
    assert isinstance(why, dict)
    assert (why["was"], why["waited_s"]) == ("pending", 2)
    seen = {"device": "meter-1", "point": VOLTAGE, "value": 258, "age_s": 2.0}
    assert why["points"] == [seen]
    owner.cancel()
    await asyncio.wait([owner])


async def test_a_cleared_alarm_names_the_event_that_raised_it(site: Site) -> None:
    await site.show("light-1", LUX, 12)
    await site.show("light-1", LUX, 90)
    (raised,) = site.of(EventKind.ALARM_RAISED)
    (cleared,) = site.of(EventKind.ALARM_CLEARED)
    assert cleared.cause == raised.event_id
    assert cleared.severity is raised.severity
    assert cleared.attributes == {
        "rule": "dark", "instance": "dark[light-1]", "reason": "condition no longer true",
    }  # fmt: skip
    assert site.decider.active() == []
    await site.show("light-1", LUX, 12)
    await site.show("light-1", LUX, 90)
    second = site.of(EventKind.ALARM_RAISED)[1]
    assert site.of(EventKind.ALARM_CLEARED)[1].cause == second.event_id != raised.event_id


async def test_what_a_rule_sets_is_written_at_once_and_caused_by_its_alarm(site: Site) -> None:
    site.journal.gate.clear()  # nothing is durable: the reaction does not wait for it
    await site.show("light-1", LUX, 12)
    async with asyncio.timeout(2):
        await site.lamp.written.wait()
    (command,) = site.lamp.commands
    assert (command.device, command.point, command.value) == ("light-1", LEVEL, 60)
    assert (command.origin, command.cause) == ("rules", site.of(EventKind.ALARM_RAISED)[0].event_id)


async def test_a_claim_ends_with_its_condition(site: Site) -> None:
    await site.show("light-1", LUX, 12)
    await site.show("light-1", LUX, 90)
    async with asyncio.timeout(2):
        while not site.of(EventKind.COMMAND_RESULT):
            await asyncio.sleep(0)
    (result,) = site.of(EventKind.COMMAND_RESULT)
    assert result.attributes["outcome"] == "superseded"
    assert site.lamp.commands == [], "it was given back before it was written"


async def test_an_on_delay_raises_without_a_further_sample(site: Site) -> None:
    assert site.decider.next_due_ns() is None
    await site.show("meter-1", VOLTAGE, 260.0)
    assert site.of(EventKind.ALARM_RAISED) == []
    due_ns = site.decider.next_due_ns()
    assert due_ns == site.clock.boottime_ns() + 2_000_000_000
    site.clock.advance(2)
    site.decider.decide(None, site.clock.boottime_ns(), site.bus)
    (raised,) = site.of(EventKind.ALARM_RAISED)
    assert (raised.device, raised.severity) == ("meter-1", Severity.SAFETY)
    assert (site.decider.next_due_ns() or 0) > 60_000_000_000  # its values grow old


async def test_a_retained_value_decides_nothing(site: Site) -> None:
    await site.show("light-1", LUX, 12, retained=True)
    assert site.journal.events == []
    assert site.decider.active() == []
    await site.show("light-1", LUX, 12)
    assert len(site.of(EventKind.ALARM_RAISED)) == 1
    await site.show("light-1", LUX, 90, retained=True)
    assert site.of(EventKind.ALARM_CLEARED) == []


async def test_instances_of_one_rule_are_independent(site: Site) -> None:
    for meter in ("meter-1", "meter-2"):
        await site.show(meter, VOLTAGE, 260.0)
    site.clock.advance(2)
    await site.show("meter-2", VOLTAGE, 230.0)
    raised = {event.device: event for event in site.of(EventKind.ALARM_RAISED)}
    assert set(raised) == {"meter-1", "meter-2"}
    (cleared,) = site.of(EventKind.ALARM_CLEARED)
    assert cleared.cause == raised["meter-2"].event_id


def raised_before(device: str) -> Event:
    """An alarm of the run before, that was not cleared."""
    attributes = {"rule": "dark", "instance": f"dark[{device}]", "title": "Dark"}
    return Event(
        uuid7(), EventKind.ALARM_RAISED, Severity.OPERATIONAL, device, 0, 0, 1, True, attributes
    )


async def test_an_alarm_of_before_the_restart_goes_on_and_is_cleared_once(site: Site) -> None:
    before = raised_before("light-1")
    site.decider.recall(Memory([before]), site.clock.boottime_ns())
    site.decider.restore(site.clock.boottime_ns(), site.bus)
    assert [alarm.instance for alarm in site.decider.active()] == ["dark[light-1]"]
    assert site.journal.events == [], "it is not raised again"
    async with asyncio.timeout(2):
        await site.lamp.written.wait()
    assert site.lamp.commands[0].cause == before.event_id, "what it sets is set again"
    await site.show("light-1", LUX, 12)
    assert site.of(EventKind.ALARM_RAISED) == []
    await site.show("light-1", LUX, 90)
    (cleared,) = site.of(EventKind.ALARM_CLEARED)
    assert cleared.cause == before.event_id


async def test_an_alarm_of_a_rule_that_safe_mode_leaves_out_stays_as_it_is(site: Site) -> None:
    site.decider.restrict(protective(usable(RULES)))
    site.decider.recall(Memory([raised_before("light-1")]), site.clock.boottime_ns())
    site.decider.restore(site.clock.boottime_ns(), site.bus)
    await site.show("light-1", LUX, 90)
    assert site.journal.events == []
    assert site.decider.active() == []
    await site.show("meter-1", VOLTAGE, 260)
    site.clock.advance(3)
    await site.show("meter-1", VOLTAGE, 260)
    assert [alarm.instance for alarm in site.decider.active()] == ["over[meter-1]"]


async def test_an_alarm_whose_device_is_gone_is_cleared_at_the_start(site: Site) -> None:
    before = raised_before("light-9")
    site.decider.recall(Memory([before]), site.clock.boottime_ns())
    site.decider.restore(site.clock.boottime_ns(), site.bus)
    (cleared,) = site.of(EventKind.ALARM_CLEARED)
    assert (cleared.device, cleared.cause) == ("light-9", before.event_id)
    assert cleared.attributes["reason"] == "no longer configured"
    assert site.decider.active() == []


async def test_events_of_other_kinds_restore_nothing(site: Site) -> None:
    other = raised_before("light-1")._replace(kind=EventKind.POINT_ALARM)
    site.decider.recall(Memory([other]), site.clock.boottime_ns())
    site.decider.restore(site.clock.boottime_ns(), site.bus)
    assert site.decider.active() == []
    assert site.journal.events == []


async def test_a_rule_commands_and_tells_people_with_its_cause() -> None:
    site = Site(
        """
rules:
- id: dark
  title: It is dark
  for_each: {type: light}
  when: it.env.illuminance < 5 lx
  alarm: {severity: safety}
  do:
  - command: {device: it, point: light.level, value: 60 %}
  - notify: {to: guard, text: "only {it.env.illuminance} lx"}
  - log: dark
""",
        "guard",
    )
    async with asyncio.TaskGroup() as group:
        running = group.create_task(site.commands.run())
        await asyncio.sleep(0)
        await site.show("light-1", "env.illuminance", 2.5)
        (raised,) = site.of(EventKind.ALARM_RAISED)
        assert site.told == [("guard", "only 2.5 lx", Severity.SAFETY, raised.event_id)]
        async with asyncio.timeout(2):
            while not site.lamp.commands:
                await asyncio.sleep(0)
        (command,) = site.lamp.commands
        assert (command.point, command.value, command.cause) == ("light.level", 60, raised.event_id)
        running.cancel()


async def test_a_rule_about_nothing_that_speaks_is_decided_at_the_start() -> None:
    site = Site("""
rules:
- id: quiet
  for_each: {type: light}
  when: count(it.env.illuminance, 1m) == 0
  alarm: {severity: operational}
""")
    site.decider.recall(Memory(()), site.clock.boottime_ns())
    site.decider.restore(site.clock.boottime_ns(), site.bus)
    assert [event.device for event in site.of(EventKind.ALARM_RAISED)] == ["light-1"]

"""Hours follow the clock on the wall, whatever is done to it, in the real bus and decider."""

import asyncio
from pathlib import Path

import pytest

from gateway.bus import Bus
from gateway.calendar import LocalCalendar
from gateway.decider import Memory, RuleDecider
from gateway.document import parse
from gateway.model import EventKind
from gateway.moments import Moments
from gateway.state import State
from gateway.timeline import offset
from gateway.wall import Wall
from rules.hours import During
from rules.load import load_rules
from tests.unit.rules_site import DEVICES
from tests.unit.test_decider import VOLTAGE, Site

# The clock of the tests begins at 03:00 in Shanghai.
RULES = """
rules:
- id: early
  for_each: {id: meter-1}
  during: {from: "03:10", to: "03:20"}
  when: it.elec.voltage.a > 250 V
  alarm: {severity: operational}
- id: hourly
  at: {every: 1h}
  do:
  - log: an hour
"""

CALENDAR = LocalCalendar("Asia/Shanghai", None)
LOADED, PROBLEMS = load_rules([parse(RULES.encode(), "a.yaml")], DEVICES, (), CALENDAR)
assert PROBLEMS == []


class Room(Site):
    def __init__(self) -> None:
        super().__init__()
        self.decider = RuleDecider(LOADED, self.commands, self.notify, offset(self.clock))
        state = State({view.id: view.profile for view in DEVICES})
        self.bus = Bus(store=self.journal, state=state, clock=self.clock, decider=self.decider)
        self.wall = Wall(self.clock, self.decider, self.bus, Moments(Path("nowhere")))

    def raised(self) -> int:
        return len(self.of(EventKind.ALARM_RAISED)) - len(self.of(EventKind.ALARM_CLEARED))


async def stepped() -> list[int]:
    room = Room()
    room.decider.recall(Memory([]), room.clock.boottime_ns())
    room.decider.restore(room.clock.boottime_ns(), room.bus)
    await room.show("meter-1", VOLTAGE, 260)
    said = [room.raised()]
    for seconds in (0.02, 660.0, -660.0, 660.0):
        room.clock.step(seconds)
        room.wall.look()
        said.append(room.raised())
    room.clock.ok = False
    room.wall.look()
    said.append(room.raised())
    return said


async def test_an_alarm_of_certain_hours_follows_a_clock_that_is_set() -> None:
    assert await stepped() == [0, 0, 1, 0, 1, 0]


async def test_hours_that_do_not_hear_of_the_clock_are_noticed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(During, "turn", lambda _self, _wall_ns: None)
    assert await stepped() != [0, 0, 1, 0, 1, 0]


async def test_what_occurred_is_kept_and_a_failing_disk_costs_no_rule(tmp_path: Path) -> None:
    room = Room()
    wall = Wall(room.clock, room.decider, room.bus, Moments(tmp_path / "missing"))
    room.decider.decide(None, room.clock.boottime_ns(), room.bus)
    assert room.decider.occurred()
    task = asyncio.create_task(wall.run())
    await asyncio.sleep(0.05)
    assert not task.done()
    (tmp_path / "missing").mkdir()
    task.cancel()
    await asyncio.wait([task])
    kept = Moments(tmp_path / "missing")
    await asyncio.to_thread(kept.load)
    assert kept.kept == room.decider.occurred()


async def test_after_a_restart_hours_know_what_time_it_is() -> None:
    room = Room()
    room.clock.step(660.0)
    room.wall.look()
    room.decider.recall(Memory([]), room.clock.boottime_ns())
    room.decider.restore(room.clock.boottime_ns(), room.bus)
    await room.show("meter-1", VOLTAGE, 260)
    assert room.raised() == 1


async def test_hours_that_begin_are_noticed_without_a_sample_though_the_clock_was_set() -> None:
    room = Room()
    owner = asyncio.create_task(room.bus.run())
    await asyncio.sleep(0)
    await room.show("meter-1", VOLTAGE, 260)
    room.clock.step(599.9)  # 0.1 s before the hours
    room.wall.look()
    await asyncio.sleep(0)
    due = room.decider.next_due_ns()
    assert due is not None
    assert due - room.clock.boottime_ns() == pytest.approx(0.1e9, abs=1e6)
    room.clock.advance(0.1)
    async with asyncio.timeout(2):
        while not room.raised():
            await asyncio.sleep(0.01)
    owner.cancel()
    await asyncio.wait([owner])

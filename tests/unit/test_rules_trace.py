"""What is kept of transitions: what was known, what followed, and never too much of it."""

from typing import Any

import pytest

from rules.account import Account, accounts, reason
from rules.explain import explained
from rules.flow import State
from rules.outputs import Logged
from rules.step import ClockStep, Tick, reset, start, step
from rules.trace import LATER, RING, Known, Result, Trace, Traces
from tests.unit.rules_site import SECOND, sample, usable

RULES = """\
rules:
- id: high
  for_each: {type: meter}
  when: it.elec.power.total > 1 kW and (it.elec.voltage.a < 200 V or it.env.temperature > 60 °C)
  for: 30s
  keep_for: 20s
  alarm: {severity: safety, latch: true}
  do: [{log: "{it.elec.power.total} W"}]
"""
LOADED = usable(RULES)
NAME = "high[meter-1]"
HIGH: dict[str, Any] = {"elec.power.total": 1500, "elec.voltage.a": 190}


def begun(most: int = 1_000_000) -> State:
    state = start(LOADED)
    state.traces = Traces(most)
    return state


def take(state: State, at_s: float, values: dict[str, Any], n: int = 0) -> None:
    given = sample("meter-1", at_s, values)._replace(n=n)
    step(state, given, round(at_s * SECOND))


def last(state: State, now_s: float, count: int = 9) -> list[Account]:
    return accounts(state, NAME, count, round(now_s * SECOND))


def test_a_transition_keeps_what_was_known_and_what_followed() -> None:
    state = begun()
    take(state, 1, HIGH, n=41)
    step(state, Tick(), 31 * SECOND)
    raised, pending = last(state, 35)
    assert (pending.was, pending.phase, pending.n, pending.ago_ns) == ("normal", "pending", 41, 34 * SECOND)  # fmt: skip
    assert (raised.was, raised.phase, raised.n, raised.ago_ns) == ("pending", "active", 0, 4 * SECOND)  # fmt: skip
    assert (raised.waited_ns, raised.wait_ns) == (30 * SECOND, 30 * SECOND)
    assert raised.deeds == ("alarm raised (safety)", "log: 1500 W")
    assert [(p.text, p.truth, p.column) for key, p in raised.parts if key == "when"] == [
        ("all of", True, 0), ("elec.power.total (1500) > 1000", True, 1), ("any of", True, 0),
        ("elec.voltage.a (190) < 200", True, 33), ("env.temperature (unknown) > 60", None, 62),
    ]  # fmt: skip
    assert raised.points[0] == Known("meter-1", "elec.power.total", 1500, 30 * SECOND, "")
    assert (raised.points[2].point, raised.points[2].why) == ("env.temperature", "never seen")
    assert raised.hash == pending.hash


def test_a_near_miss_says_how_near_it_was() -> None:
    state = begun()
    take(state, 0, HIGH)
    take(state, 12, {"elec.power.total": 900})
    miss = last(state, 13)[0]
    assert (miss.was, miss.phase, miss.waited_ns, miss.wait_ns) == (
        "pending", "normal", 12 * SECOND, 30 * SECOND,
    )  # fmt: skip
    assert miss.deeds == ()


def test_what_changes_nothing_is_not_kept() -> None:
    state = begun()
    for at in range(20):
        take(state, at, {"elec.power.total": 900 + at})
    step(state, ClockStep(None), 30 * SECOND)
    assert last(state, 30) == []


def test_a_latched_alarm_and_its_reset_are_kept() -> None:
    state = begun()
    take(state, 0, HIGH)
    step(state, Tick(), 30 * SECOND)
    take(state, 31, {"elec.power.total": 900})
    step(state, Tick(), 51 * SECOND)
    reset(state, NAME, 60 * SECOND, "reset by x")
    assert [(one.was, one.phase) for one in last(state, 61)] == [
        ("latched", "normal"), ("clearing", "latched"), ("active", "clearing"),
        ("pending", "active"), ("normal", "pending"),
    ]  # fmt: skip
    assert last(state, 61)[0].deeds[0] == "alarm cleared: reset by x"


def test_the_result_of_a_write_belongs_to_the_newest_transition_that_did_something() -> None:
    state = begun()
    take(state, 0, HIGH)
    step(state, Tick(), 30 * SECOND)
    take(state, 31, {"elec.power.total": 900})
    assert state.traces is not None
    state.traces.result(NAME, Result("light-1", "light.level", "confirmed"))
    state.traces.result("other[x]", Result("light-1", "light.level", "failed"))
    clearing, raised = last(state, 32)[:2]
    assert clearing.results == ()
    assert raised.results == (Result("light-1", "light.level", "confirmed"),)


WRITES = usable("""\
rules:
- id: dim
  with: {m: meter-1, lamp: light-1}
  when: m.elec.power.total > 1 kW
  alarm: {severity: safety}
  do: [{command: {device: lamp, point: light.level, value: 60 %}}]
""")  # fmt: skip


def test_a_write_that_ends_when_the_alarm_is_over_belongs_to_the_transition_that_wanted_it() -> (
    None
):
    """Three attempts take longer than many an alarm, which is cleared by then, and wrote nothing."""
    state = start(WRITES)
    state.traces = Traces()
    take(state, 0, {"elec.power.total": 1500})
    take(state, 2, {"elec.power.total": 900})
    failed = Result("light-1", "light.level", "failed")
    state.traces.result("dim", failed)
    cleared, raised = accounts(state, "dim", 9, 3 * SECOND)
    assert raised.deeds == ("alarm raised (safety)", "writes light-1.light.level = 60")
    assert cleared.deeds[0].startswith("alarm cleared")
    assert (cleared.results, raised.results) == ((), (failed,))


def test_what_a_later_step_does_is_told_with_the_transition_that_began_the_steps() -> None:
    state = start(usable("""\
rules:
- id: dim
  with: {m: meter-1, lamp: light-1}
  when: m.elec.power.total > 1 kW
  alarm: {severity: safety}
  do: [{log: now}, {wait: 5s}, {command: {device: lamp, point: light.level, value: 60 %}}]
"""))  # fmt: skip
    state.traces = Traces()
    take(state, 0, {"elec.power.total": 1500})
    step(state, Tick(), 5 * SECOND)
    state.traces.result("dim", Result("light-1", "light.level", "confirmed"))
    (raised,) = accounts(state, "dim", 9, 6 * SECOND)
    assert raised.deeds == ("alarm raised (safety)", "log: now", "writes light-1.light.level = 60")
    assert raised.results == (Result("light-1", "light.level", "confirmed"),)
    kept = state.traces.of("dim")
    assert state.traces.bytes == sum(one.bytes for one in kept)
    state.traces.later("dim", kept[0].outputs * 100)
    assert (len(kept[0].outputs), state.traces.bytes) == (LATER, kept[0].bytes)


def flap(state: State, times: int) -> None:
    for number in range(times):
        take(state, 2 * number, HIGH)
        take(state, 2 * number + 1, {"elec.power.total": 900})


def test_of_one_rule_fifty_are_kept() -> None:
    state = begun()
    flap(state, 100)
    found = last(state, 300, 1_000)
    assert len(found) == RING
    assert found[0].ago_ns < found[-1].ago_ns


def trace(rule: str, size: int) -> Trace:
    points = tuple(Known("d", "p", 1, 0, "") for _ in range(size))
    return Trace(0, 0, rule, rule, "", "normal", "pending", 0, 0, (), points, 0, ())


def test_all_together_stay_below_their_bound_and_the_stalest_go() -> None:
    most = 10 * trace("x", 10).bytes
    book = Traces(most)
    for number in range(100):
        book.keep(trace(f"r-{number % 20}", 10))
        assert book.bytes <= most
    assert book.of("r-0") == []
    assert len(book.of("r-19")) == 1


@pytest.mark.parametrize("count", [0, 1, 50])
def test_what_is_counted_as_kept_is_what_is_kept(count: int) -> None:
    book = Traces()
    for _ in range(count):
        book.keep(trace("r", 3))
    assert book.bytes == sum(one.bytes for one in book.of("r"))


def test_the_reason_in_an_event_is_bounded_whatever_the_rule() -> None:
    told = reason(trace("r", 500))
    points = told["points"]
    assert isinstance(points, list)
    assert len(points) == 16


def test_without_a_book_nothing_is_kept_and_the_same_follows() -> None:
    plain, kept = start(LOADED), begun()
    for state in (plain, kept):
        take(state, 0, HIGH)
    outputs = [step(state, Tick(), 30 * SECOND)[1] for state in (plain, kept)]
    assert outputs[0] == outputs[1]
    assert isinstance(outputs[0][1], Logged)
    assert explained(plain, 0, 31 * SECOND) == explained(kept, 0, 31 * SECOND)

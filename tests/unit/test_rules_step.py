"""The engine: conditions, timers at their boundaries, unknown values, claims, order of outputs."""

import pytest

from gateway.model import Sample, Severity, Value
from rules.flow import Kind, alive
from rules.model import RuleSet
from rules.step import (
    Claimed,
    Cleared,
    Output,
    Raised,
    Released,
    State,
    Tick,
    active,
    next_due,
    start,
    step,
)
from tests.unit.rules_site import SECOND, sample, usable

VOLTAGE = "elec.voltage.a"
OVER = """
rules:
- id: over
  title: Voltage high
  for_each: {type: meter}
  when: it.elec.voltage.a > 250 V
  until: it.elec.voltage.a < 240 V
  for: 2s
  alarm: {severity: operational}
"""
TWO_POINTS = """
rules:
- id: two
  for_each: {type: meter}
  when: it.elec.voltage.a > 250 V
  until: it.elec.power.total > 100 W
  alarm: {severity: safety}
"""
DUSK = """
rules:
- id: dusk
  for_each: {type: light}
  when: it.env.illuminance < 40 lx
  until: it.env.illuminance > 120 lx
  priority: schedule
  do:
  - set: {device: it, point: light.level, value: 60 %}
  - set: {device: it, point: light.on, value: true}
"""


class Engine:
    """Runs steps and keeps the state, as the bus does."""

    def __init__(self, rules: RuleSet) -> None:
        self.state: State = start(rules)

    def see(
        self, at_s: float, values: dict[str, Value], *, device: str = "meter-1",
        received_s: float | None = None, bad: tuple[str, ...] = (), uncertain: tuple[str, ...] = (),
    ) -> list[Output]:  # fmt: skip
        received = at_s if received_s is None else received_s
        return self.step(sample(device, received, values, bad=bad, uncertain=uncertain), at_s)

    def volts(self, at_s: float, volts: float) -> list[Output]:
        return self.see(at_s, {VOLTAGE: volts})

    def tick(self, at_s: float) -> list[Output]:
        return self.step(Tick(), at_s)

    def step(self, taken: Sample | Tick, at_s: float) -> list[Output]:
        self.state, outputs = step(self.state, taken, round(at_s * SECOND))
        return outputs

    def waits(self) -> bool:
        """`for` or `keep_for` of some instance is running."""
        return any(t.kind is Kind.INSTANCE and alive(self.state, t) for t in self.state.timers)

    def due_s(self) -> float | None:
        due = next_due(self.state)
        return None if due is None else due / SECOND


def kinds(outputs: list[Output]) -> list[str]:
    return [type(output).__name__ for output in outputs]


def test_an_alarm_is_raised_after_for_and_cleared_by_until() -> None:
    engine = Engine(usable(OVER))
    assert engine.volts(1, 230) == []
    assert engine.volts(2, 251) == []
    assert engine.due_s() == 4
    assert engine.tick(3) == []
    assert engine.tick(4) == [
        Raised("over[meter-1]", "over", "meter-1", Severity.OPERATIONAL, "Voltage high", {VOLTAGE: 251})
    ]  # fmt: skip
    assert not engine.waits()
    assert engine.volts(5, 245) == []
    assert engine.volts(6, 239) == [
        Cleared("over[meter-1]", "over", "meter-1", Severity.OPERATIONAL, "release condition true")
    ]
    assert engine.volts(7, 239) == []


def test_each_device_has_its_own_instance() -> None:
    engine = Engine(usable(OVER))
    engine.volts(1, 251)
    engine.see(2, {VOLTAGE: 252}, device="meter-2")
    raised = engine.tick(9)
    assert [output.instance for output in raised] == ["over[meter-1]", "over[meter-2]"]
    assert [(a.instance, a.since, a.title) for a in active(engine.state)] == [
        ("over[meter-1]", 3 * SECOND, "Voltage high"),
        ("over[meter-2]", 4 * SECOND, "Voltage high"),
    ]


def test_without_until_an_alarm_clears_when_the_condition_is_false() -> None:
    engine = Engine(
        usable(OVER.replace("  until: it.elec.voltage.a < 240 V\n", "").replace("  for: 2s\n", ""))
    )
    assert kinds(engine.volts(1, 251)) == ["Raised"]
    assert [o.reason for o in engine.volts(2, 250) if isinstance(o, Cleared)] == [
        "condition no longer true"
    ]
    assert active(engine.state) == []


def test_a_timer_due_exactly_now_fires_before_the_sample_that_ends_it() -> None:
    engine = Engine(usable(OVER))
    engine.volts(1, 251)
    assert kinds(engine.volts(3, 239)) == ["Raised", "Cleared"]


def test_a_condition_that_ends_just_before_for_is_over_raises_nothing() -> None:
    engine = Engine(usable(OVER))
    engine.volts(1, 251)
    assert engine.volts(2.999_999_999, 239) == []
    assert not engine.waits()
    assert engine.tick(3) == []
    engine.volts(4, 251)
    assert engine.tick(5.999_999_999) == []
    assert kinds(engine.tick(6)) == ["Raised"]


def test_for_counts_from_the_time_of_the_sample_not_of_its_arrival() -> None:
    engine = Engine(usable(OVER))
    engine.see(10, {VOLTAGE: 251}, received_s=9)
    assert engine.due_s() == 11
    late = Engine(usable(OVER))
    assert kinds(late.see(10, {VOLTAGE: 251}, received_s=8)) == ["Raised"]


def test_a_sample_from_the_future_counts_from_now() -> None:
    engine = Engine(usable(OVER))
    engine.see(10, {VOLTAGE: 251}, received_s=99)
    assert engine.due_s() == 12
    assert kinds(engine.volts(13, 239)) == ["Raised", "Cleared"]


def test_a_pending_condition_that_starts_again_waits_the_whole_time_again() -> None:
    engine = Engine(usable(OVER))
    engine.volts(1, 251)
    engine.volts(2, 230)
    engine.volts(2.5, 251)
    assert engine.due_s() == 4.5
    assert engine.tick(3) == []
    assert kinds(engine.tick(4.5)) == ["Raised"]


def test_an_older_sample_does_not_overwrite_and_an_equal_one_does() -> None:
    engine = Engine(usable(OVER.replace("  for: 2s\n", "")))
    engine.volts(10, 230)
    assert engine.see(11, {VOLTAGE: 251}, received_s=9) == []
    assert kinds(engine.see(11, {VOLTAGE: 251}, received_s=10)) == ["Raised"]


def test_all_points_of_a_sample_are_applied_before_anything_is_evaluated() -> None:
    engine = Engine(usable(TWO_POINTS))
    engine.see(1, {VOLTAGE: 251, "elec.power.total": 5})
    assert kinds(engine.see(2, {VOLTAGE: 230, "elec.power.total": 101})) == ["Cleared"]
    assert kinds(engine.see(3, {"elec.power.total": 5, VOLTAGE: 251})) == ["Raised"]


def test_when_wins_while_until_is_true_too() -> None:
    engine = Engine(usable(TWO_POINTS))
    assert kinds(engine.see(1, {VOLTAGE: 251, "elec.power.total": 101})) == ["Raised"]
    assert engine.see(2, {VOLTAGE: 252, "elec.power.total": 102}) == []


def test_a_raise_tells_the_known_values_of_every_point_that_the_condition_reads() -> None:
    engine = Engine(usable(TWO_POINTS))
    engine.see(1, {"elec.power.total": 7, "elec.pf.total": 0.9})
    raised = engine.volts(2, 251)[0]
    assert isinstance(raised, Raised)
    assert raised.values == {VOLTAGE: 251, "elec.power.total": 7}
    later = Engine(usable(TWO_POINTS))
    later.see(1, {"elec.power.total": 7})
    raised = later.volts(31, 251)[0]
    assert isinstance(raised, Raised)
    assert raised.values == {VOLTAGE: 251}


def test_a_bad_point_neither_raises_nor_clears() -> None:
    engine = Engine(usable(OVER.replace("  for: 2s\n", "")))
    assert engine.see(1, {}, bad=(VOLTAGE,)) == []
    engine.volts(2, 251)
    assert engine.see(3, {}, bad=(VOLTAGE,)) == []
    assert len(active(engine.state)) == 1
    assert kinds(engine.volts(4, 239)) == ["Cleared"]


def test_a_bad_point_does_not_stop_for() -> None:
    engine = Engine(usable(OVER))
    engine.volts(1, 251)
    engine.see(2, {}, bad=(VOLTAGE,))
    raised = engine.tick(3)
    assert kinds(raised) == ["Raised"]
    assert isinstance(raised[0], Raised)
    assert raised[0].values == {}


def test_an_uncertain_point_is_known() -> None:
    engine = Engine(usable(OVER.replace("  for: 2s\n", "")))
    assert kinds(engine.see(1, {VOLTAGE: 251}, uncertain=(VOLTAGE,))) == ["Raised"]


@pytest.mark.parametrize("value", ["high", float("nan")])
def test_what_does_not_compare_with_a_number_is_unknown(value: Value) -> None:
    text = OVER.replace("  for: 2s\n", "").replace("  until: it.elec.voltage.a < 240 V\n", "")
    engine = Engine(usable(text))
    engine.volts(1, 251)
    assert engine.see(2, {VOLTAGE: value}) == []
    assert len(active(engine.state)) == 1


@pytest.mark.parametrize(("at_s", "cleared"), [(30.999_999_999, True), (31, False)])
def test_a_stale_value_is_unknown_from_its_limit_on(at_s: float, cleared: bool) -> None:
    engine = Engine(usable(TWO_POINTS))
    engine.see(1, {VOLTAGE: 251, "elec.power.total": 101})
    assert bool(engine.volts(at_s, 230)) is cleared


def test_an_unknown_until_does_not_release_and_a_known_one_not_while_when_is_unknown() -> None:
    engine = Engine(usable(TWO_POINTS))
    engine.volts(1, 251)
    assert engine.volts(2, 230) == []
    engine.see(3, {}, bad=(VOLTAGE,))
    assert engine.see(4, {"elec.power.total": 101}) == []
    assert kinds(engine.volts(5, 230)) == ["Cleared"]


def test_a_latched_point_is_never_stale() -> None:
    rules = usable(TWO_POINTS.replace("it.elec.power.total > 100 W", "it.water.pressure > 100 kPa"))
    engine = Engine(rules)
    engine.see(1, {VOLTAGE: 251, "water.pressure": 200})
    assert kinds(engine.volts(1_000_000, 230)) == ["Cleared"]


def test_a_new_start_raises_nothing_before_data_came() -> None:
    rules = usable(OVER.replace("  for: 2s\n", ""))
    before = Engine(rules)
    assert kinds(before.volts(1, 251)) == ["Raised"]
    after = Engine(rules)
    assert active(after.state) == []
    assert not after.waits()
    assert after.tick(1000) == []
    assert after.see(1001, {"elec.power.total": 5}) == []
    assert kinds(after.volts(1002, 251)) == ["Raised"]


def test_a_rule_claims_points_while_it_holds_and_gives_them_back() -> None:
    engine = Engine(usable(DUSK))
    assert engine.see(1, {"env.illuminance": 39}, device="light-1") == [
        Claimed("dusk[light-1]", "light-1", "light.level", 60, 16, 0),
        Claimed("dusk[light-1]", "light-1", "light.on", True, 16, 0),
    ]
    assert engine.see(2, {"env.illuminance": 80}, device="light-1") == []
    assert active(engine.state) == []
    assert engine.see(3, {"env.illuminance": 121}, device="light-1") == [
        Released("dusk[light-1]", "light-1", "light.level"),
        Released("dusk[light-1]", "light-1", "light.on"),
    ]


def test_an_alarm_comes_before_the_claims_of_its_rule() -> None:
    engine = Engine(usable(DUSK + "  alarm: {severity: operational}\n"))
    assert kinds(engine.see(1, {"env.illuminance": 39}, device="light-1")) == [
        "Raised", "Claimed", "Claimed",
    ]  # fmt: skip
    assert kinds(engine.see(2, {"env.illuminance": 130}, device="light-1")) == [
        "Cleared", "Released", "Released",
    ]  # fmt: skip


def _ranked(name: str, priority: str, delay: str) -> str:
    return f"- {{id: {name}, for_each: {{type: meter}}, when: it.elec.voltage.a > 250 V, for: {delay}, priority: {priority}, alarm: {{severity: life}}}}\n"


def test_instances_are_evaluated_by_priority_then_in_the_order_of_the_file() -> None:
    text = "rules:\n" + "".join(
        _ranked(name, priority, "0s")
        for name, priority in [("c", "schedule"), ("b", "life"), ("a", "life"), ("d", "safety")]
    )
    outputs = Engine(usable(text)).volts(1, 251)
    assert [output.instance for output in outputs] == [
        "b[meter-1]", "a[meter-1]", "d[meter-1]", "c[meter-1]",
    ]  # fmt: skip


def test_a_sample_of_several_points_evaluates_each_instance_once_and_by_rank() -> None:
    text = """
rules:
- {id: z, for_each: {type: meter}, when: it.elec.voltage.a > 250 V, alarm: {severity: operational}}
- {id: y, for_each: {type: meter}, when: it.elec.power.total > 9 W, alarm: {severity: safety}}
- {id: x, for_each: {type: meter}, when: it.elec.power.total > 9 W, until: it.elec.voltage.a < 9 V, alarm: {severity: life}}
"""
    outputs = Engine(usable(text)).see(1, {VOLTAGE: 251, "elec.power.total": 10})
    assert [output.instance for output in outputs] == ["x[meter-1]", "y[meter-1]", "z[meter-1]"]


def test_timers_fire_by_due_time_then_by_rank() -> None:
    text = "rules:\n" + "".join(
        _ranked(name, priority, delay)
        for name, priority, delay in [("c", "schedule", "1s"), ("b", "life", "2s"), ("a", "safety", "1s")]
    )  # fmt: skip
    engine = Engine(usable(text))
    engine.volts(1, 251)
    assert [output.instance for output in engine.tick(9)] == [
        "a[meter-1]", "c[meter-1]", "b[meter-1]",
    ]  # fmt: skip


def test_a_device_without_rules_changes_nothing() -> None:
    engine = Engine(usable(OVER))
    assert engine.see(1, {VOLTAGE: 251}, device="nobody") == []
    assert not engine.waits()


def test_a_timer_fires_with_a_sample_of_any_device() -> None:
    engine = Engine(usable(OVER))
    engine.volts(1, 251)
    assert kinds(engine.see(4, {VOLTAGE: 1}, device="nobody")) == ["Raised"]


def test_a_condition_that_flaps_does_not_fill_the_memory_with_timers() -> None:
    engine = Engine(usable(OVER.replace("for: 2s", "for: 1h")))
    for second in range(0, 3000, 2):
        engine.volts(second, 251)
        engine.volts(second + 1, 230)
    assert len(engine.state.timers) <= 73
    engine.volts(3000, 251)
    assert engine.waits()
    assert engine.tick(6599.9) == []
    engine.volts(6599.9, 251)
    assert kinds(engine.tick(6600)) == ["Raised"]


def test_the_same_inputs_give_the_same_outputs() -> None:
    def run() -> list[Output]:
        engine = Engine(usable(OVER, DUSK))
        outputs = []
        for second in range(60):
            outputs += engine.see(second, {VOLTAGE: 230 + second * 7 % 31})
            outputs += engine.see(second, {"env.illuminance": second * 53 % 200}, device="light-1")
            outputs += engine.tick(second + 0.5)
        return outputs

    first = run()
    assert len(first) > 10
    assert repr(first) == repr(run())

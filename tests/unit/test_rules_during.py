"""`during`: hours are a part of the condition; a wall clock that is set moves them and no delay."""

from pathlib import Path

import pytest

from gateway.calendar import LocalCalendar
from gateway.document import parse
from gateway.errors import Problem
from gateway.fixture import load_fixture
from gateway.trial import judge
from rules.explain import explained
from rules.load import load_rules
from rules.model import RuleSet
from rules.step import ClockStep, Output, State, Tick, next_due, reset, start, step
from tests.unit.rules_site import DEVICES, SECOND, sample

VOLTAGE = "elec.voltage.a"
NIGHT = """
rules:
- id: night
  for_each: {id: meter-1}
  during: {from: "22:00", to: "06:00"%s}
  when: it.elec.voltage.a > 250 V
  for: 10s
  alarm: {severity: operational}
"""
# Engine time 0 is 21:59:00 in Shanghai.
BEFORE_TEN = 1_772_373_540 * SECOND  # 2026-03-01T21:59:00+08:00
SEVEN_HOURS_S = 7 * 3600


def load(text: str, place: tuple[float, float] | None = None) -> tuple[RuleSet, list[Problem]]:
    calendar = LocalCalendar("Asia/Shanghai", place)
    return load_rules([parse(text.encode(), "a.yaml")], DEVICES, (), calendar)


class Engine:
    def __init__(self, text: str, wall_ns: int | None = BEFORE_TEN) -> None:
        rules, problems = load(text)
        assert problems == []
        self.state: State = start(rules, wall_ns=wall_ns)

    def volts(self, at_s: float, volts: float) -> list[str]:
        return self.take(sample("meter-1", at_s, {VOLTAGE: volts}), at_s)

    def turn(self, at_s: float, wall_ns: int | None) -> list[str]:
        return self.take(ClockStep(wall_ns), at_s)

    def tick(self, at_s: float) -> list[str]:
        return self.take(Tick(), at_s)

    def take(self, taken: object, at_s: float) -> list[str]:
        outputs: list[Output]
        self.state, outputs = step(self.state, taken, round(at_s * SECOND))  # type: ignore[arg-type] # one of the three above
        return [type(output).__name__ for output in outputs]

    @property
    def due_s(self) -> float:
        due = next_due(self.state)
        assert due is not None
        return due / SECOND


def test_a_condition_that_holds_already_begins_its_delay_when_the_hours_begin() -> None:
    engine = Engine(NIGHT % "")
    assert engine.volts(1, 251) == []
    assert engine.due_s == 60
    assert engine.tick(60) == []
    assert engine.due_s == 70
    assert engine.tick(70) == ["Raised"]


def test_at_the_end_of_the_hours_the_alarm_is_cleared_and_a_delay_is_over() -> None:
    engine = Engine(NIGHT % "")
    engine.tick(100)
    engine.volts(101, 251)
    assert engine.tick(111) == ["Raised"]
    for hour in range(1, 8):
        engine.volts(111 + 3600 * hour, 251)
    assert engine.tick(60 + 8 * 3600 - 0.001) == []
    assert engine.tick(60 + 8 * 3600) == ["Cleared"]


def test_a_clock_that_is_set_moves_the_hours_and_no_delay() -> None:
    engine = Engine(NIGHT % "")
    engine.volts(1, 251)
    assert engine.turn(2, BEFORE_TEN + 3600 * SECOND) == []  # 22:59 now: inside
    assert engine.turn(5, BEFORE_TEN + 3601 * SECOND) == []  # still inside: the delay goes on
    assert engine.tick(11.999) == []
    assert engine.tick(12) == ["Raised"]
    assert engine.turn(13, BEFORE_TEN) == ["Cleared"]  # back before ten
    assert engine.volts(59, 251) == []
    assert engine.tick(69) == []
    assert engine.tick(70) == ["Raised"]


@pytest.mark.parametrize(
    ("without", "said"), [("", []), (", without_clock: outside", []), (", without_clock: inside", ["Raised"])]
)  # fmt: skip
def test_while_the_time_is_not_known_the_rule_says_what_holds(
    without: str, said: list[str]
) -> None:
    engine = Engine(NIGHT % without, wall_ns=None)  # a start in 1970: nobody knows what time it is
    engine.volts(1, 251)
    assert engine.tick(11) == said
    assert engine.turn(12, BEFORE_TEN) == ["Cleared"] * len(said)  # it is 21:59 after all
    engine.volts(15, 251)
    assert engine.tick(70) == ["Raised"]
    assert engine.turn(71, None) == ([] if said else ["Cleared"])


def test_a_wall_clock_56_years_ahead_is_followed_and_left_again() -> None:
    engine = Engine(NIGHT % "")
    engine.volts(1, 251)
    years = 56 * 365 * 86_400 * SECOND
    engine.turn(2, BEFORE_TEN + years)
    engine.turn(3, BEFORE_TEN)
    assert engine.due_s <= 60
    engine.volts(30, 251)
    assert engine.tick(70) == ["Raised"]


def test_hours_without_a_condition_are_a_timer_switch() -> None:
    engine = Engine(NIGHT.replace("it.elec.voltage.a > 250 V", "true") % "")
    assert engine.tick(60) == []
    assert engine.tick(70) == ["Raised"]


def test_what_was_assumed_of_an_unknown_condition_counts_from_when_it_became_unknown() -> None:
    engine = Engine(NIGHT.replace("for: 10s", "on_unknown: assume_true\n  unknown_for: 30s") % "")
    assert engine.tick(0) == []
    assert engine.tick(30) == []
    assert engine.tick(60) == ["Raised"]  # at once: it has been unknown for a minute


def test_explain_says_that_it_is_not_the_hour() -> None:
    engine = Engine(NIGHT % "")
    engine.volts(1, 251)
    hours = explained(engine.state, 0, SECOND).when_parts[0]
    assert (hours.text, hours.truth) == ("within the hours of `during`", False)
    engine.tick(60)
    assert explained(engine.state, 0, 60 * SECOND).when_parts[0][2] is True


UNKNOWN = """
rules:
- id: unknown
  for_each: {id: meter-1}
  during: {from: "22:00", to: "22:01"}
  when: it.elec.power.total > 100 W
  until: it.water.pressure < 100 kPa
  on_unknown: assume_true
  unknown_for: 5s
  alarm: {severity: operational}
"""


def test_what_was_assumed_within_the_hours_is_no_condition_beyond_them() -> None:
    engine = Engine(UNKNOWN)
    engine.take(sample("meter-1", 1, {"water.pressure": 200}), 1)
    assert engine.tick(60) == ["Raised"]
    assert engine.tick(120) == ["Cleared"]
    assert engine.tick(60 + 86_400) == ["Raised"]  # at once: unknown since the day before


def test_what_was_assumed_and_then_held_by_until_is_unknown_anew_after_the_hours() -> None:
    engine = Engine(UNKNOWN)
    engine.take(sample("meter-1", 1, {"water.pressure": 200}), 1)
    assert engine.tick(60) == ["Raised"]
    assert engine.turn(70, BEFORE_TEN - 3600 * SECOND) == ["Cleared"]
    assert engine.turn(71, BEFORE_TEN) == []
    assert engine.tick(75) == ["Raised"]


def test_a_latched_alarm_may_be_reset_when_its_hours_are_over() -> None:
    engine = Engine(NIGHT.replace("operational", "operational, latch: true") % "")
    engine.volts(61, 251)
    engine.tick(71)
    with pytest.raises(ValueError, match="still holds"):
        reset(engine.state, "night[meter-1]", 72 * SECOND, "test")
    engine.turn(73, BEFORE_TEN - SEVEN_HOURS_S * SECOND)
    engine.volts(74, 251)
    _, outputs = reset(engine.state, "night[meter-1]", 75 * SECOND, "test")
    assert [type(output).__name__ for output in outputs] == ["Cleared"]


@pytest.mark.parametrize(
    ("during", "message"),
    [
        ("{from: 22h}", "a.yaml:5:18: rules[0].during.from: '22h' is no time of day: write e.g. \"22:00\" or sunset - 15m"),
        ("{from: 24:00}", "a.yaml:5:18: rules[0].during.from: 24:00 is an end: write 00:00"),
        ("{to: sunset + 7h}", "a.yaml:5:16: rules[0].during.to: more than 6 h from sunset: write a time of day, such as 03:00"),
        ("{from: 1320}", 'a.yaml:5:18: rules[0].during.from: 1320 is no time of day: write e.g. "22:00" or sunset - 15m'),
        ("{from: sunset - 15m}", "a.yaml:5:18: rules[0].during.from: sunset is known only where the place is known: add gateway.location: {lat: 31.23, lon: 121.47}"),
        ("{from: 06:00, to: 06:00}", "a.yaml:5:11: rules[0].during: no time between 06:00 and 06:00: let it end later"),
        ("{from: sunset + 1h, to: sunset}", "a.yaml:5:11: rules[0].during: no time between sunset +60m and sunset: let it end later"),
        ("{days: [mo]}", "a.yaml:5:19: rules[0].during.days[0]: "),
        ("{form: 06:00}", "a.yaml:5:12: rules[0].during.form: unknown key 'form': did you mean 'from'?"),
    ],
)  # fmt: skip
def test_wrong_hours_are_refused_at_their_place(during: str, message: str) -> None:
    text = NIGHT.replace('{from: "22:00", to: "06:00"%s}', during)
    said = [str(problem) for problem in load(text)[1]]
    assert len(said) == 1
    assert said[0].startswith(message)


def test_a_rule_that_protects_people_must_say_what_holds_without_a_clock() -> None:
    text = NIGHT.replace("operational", "safety")
    assert [p.fix for p in load(text % "")[1]] == ["add without_clock: inside, or outside"]
    assert load(text % ", without_clock: inside")[1] == []


CASES = """
gateway: {timezone: Asia/Shanghai, location: {lat: 31.23, lon: 121.47}}
devices:
  light-1: {profile: streetlight-native}
tests:
- name: the light burns in the evening and is off at eleven
  start: 2026-06-21T18:00:00+08:00
  input:
  - {series: light-1.env.illuminance, every: 1m, values: "30x330", unit: lx}
  expect:
  - {by: +47m, written: [{light-1.light.level: 60 %}]}
  - {at: +5h, written: [{light-1.light.level: 0 %}]}
  only: true
"""
EVENING = """
rules:
- id: evening
  for_each: {type: light, has: env.illuminance}
  during: {from: sunset - 15m, to: "23:00"}
  when: it.env.illuminance < 40 lx
  do:
  - set: {device: it, point: light.level, value: 60 %}
- id: off
  for_each: {type: light}
  when: "true"
  priority: schedule
  do:
  - set: {device: it, point: light.level, value: 0 %}
"""


def test_a_test_case_of_rules_says_where_and_when_it_is(tmp_path: Path) -> None:
    (tmp_path / "evening.yaml").write_text(EVENING)
    (tmp_path / "evening.test.yaml").write_text(CASES.replace("only: true", ""))
    fixture = load_fixture(tmp_path / "evening.test.yaml")
    verdict = judge(fixture, fixture.cases[0])
    assert verdict.problems == ()
    assert [one.value for one in verdict.happened] == [0, 60, 0]
    assert abs(verdict.happened[1].at - 46.5 * 60 * SECOND) < 60 * SECOND  # sunset is at 19:01

"""`at`: at a moment, once, if the condition is true; what was missed is skipped or made up for once."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from gateway.calendar import LocalCalendar
from gateway.document import parse
from gateway.errors import Problem
from gateway.fixture import load_fixture
from gateway.trial import judge
from rules.hours import At, mark
from rules.load import load_rules
from rules.model import RuleSet
from rules.outputs import Input, Occurred, Output
from rules.restart import Past, restore
from rules.step import ClockStep, State, Tick, next_due, occurred, start, step
from tests.unit.rules_site import DEVICES, SECOND, sample

RULE = """
rules:
- id: morning
  for_each: {id: light-1}
  at: %s
  do:
  - log: good morning
"""
SEVEN = 1_772_406_000 * SECOND  # 2026-03-02T07:00:00+08:00
HALF_PAST = SEVEN + 1800 * SECOND
HOUR = 3600 * SECOND
SHANGHAI = LocalCalendar("Asia/Shanghai", (31.2304, 121.4737))
BERLIN = LocalCalendar("Europe/Berlin", (52.52, 13.405))


def load(
    at: str, more: str = "", calendar: LocalCalendar = SHANGHAI
) -> tuple[RuleSet, list[Problem]]:
    return load_rules([parse((RULE % at + more).encode(), "a.yaml")], DEVICES, (), calendar)


class Engine:
    """Engine time 0 is 07:00 in Shanghai."""

    def __init__(self, at: str, more: str = "", wall_ns: int | None = SEVEN) -> None:
        self.rules, problems = load(at, more)
        assert problems == []
        self.state: State = start(self.rules, wall_ns=wall_ns)
        self.first: list[Output] = []

    def take(self, taken: Input, at_s: float) -> list[tuple[bool, float]]:
        """(ran, how late in s) of each moment that came."""
        self.state, outputs = step(self.state, taken, round(at_s * SECOND))
        outputs, self.first = [*self.first, *outputs], []
        moments = [output for output in outputs if isinstance(output, Occurred)]
        assert len(outputs) - len(moments) == sum(one.ran for one in moments)
        return [(one.ran, one.late_ns / SECOND) for one in moments]

    def tick(self, at_s: float) -> list[tuple[bool, float]]:
        return self.take(Tick(), at_s)

    def turn(self, at_s: float, wall_ns: int | None) -> list[tuple[bool, float]]:
        return self.take(ClockStep(wall_ns), at_s)

    def restarted(self, wall_ns: int | None) -> "Engine":
        before = occurred(self.state)
        self.state, self.first = restore(self.rules, Past(moments=before), 0, wall_ns=wall_ns)
        return self

    @property
    def due_s(self) -> float:
        due = next_due(self.state)
        assert due is not None
        return due / SECOND


def test_a_moment_comes_once_a_day() -> None:
    engine = Engine('"07:30"')
    assert engine.tick(0) == []
    assert engine.due_s == 1800
    assert engine.tick(1800) == [(True, 0)]
    assert engine.due_s == 1800 + 86_400
    assert engine.tick(1801) == []
    assert engine.tick(1800 + 86_400) == [(True, 0)]


def test_a_start_makes_up_for_nothing_that_was_before_the_first_one() -> None:
    assert Engine("{time: 06:00, catch_up: last}").tick(1) == []


def test_when_is_a_filter_and_unknown_is_not_true() -> None:
    engine = Engine("{every: 15m}", "  when: it.env.illuminance < 40 lx\n")
    assert engine.tick(900) == [(False, 0)]
    engine.take(sample("light-1", 1799, {"env.illuminance": 30.0}), 1799)
    assert engine.tick(1800) == [(True, 0)]
    engine.take(sample("light-1", 1801, {"env.illuminance": 20.0}), 1801)
    engine.take(sample("light-1", 2699, {"env.illuminance": 50.0}), 2699)
    assert engine.tick(2700) == [(False, 0)]


def test_hours_and_days_are_a_filter_too() -> None:
    monday = "during: {days: [mon], without_clock: outside}"  # 2 March 2026 is one
    assert Engine("07:30", f"  {monday}\n").tick(1800) == [(True, 0)]
    assert Engine("07:30", f"  {monday.replace('mon', 'tue')}\n").tick(1800) == [(False, 0)]


@pytest.mark.parametrize(
    ("keys", "hours", "said"),
    [
        ("", 3, [(False, 2.5 * 3600)]),
        (", catch_up: last", 3, [(True, 2.5 * 3600)]),
        (", catch_up: last, catch_up_max: 2h", 3, [(False, 2.5 * 3600)]),
        (", catch_up: last", 75, [(True, 2.5 * 3600)]),  # of four days the last one
    ],
)
def test_what_a_step_of_the_clock_leaps_over_is_skipped_or_made_up_for_once(
    keys: str, hours: int, said: list[tuple[bool, float]]
) -> None:
    engine = Engine(f"{{time: 07:30{keys}}}")
    engine.tick(0)
    assert engine.turn(1, SEVEN + hours * HOUR - SECOND) == said
    assert engine.tick(2) == []


@pytest.mark.parametrize(("keys", "ran"), [("", False), (", catch_up: last", True)])
def test_what_was_missed_while_the_gateway_was_down_is_skipped_or_made_up_for_once(
    keys: str, ran: bool
) -> None:
    engine = Engine(f"{{time: 07:30{keys}}}")
    engine.tick(1800)
    engine.restarted(SEVEN + 25 * HOUR)
    assert engine.tick(0) == [(ran, 1800)]
    assert engine.restarted(SEVEN + 26 * HOUR).tick(0) == []


def test_a_moment_that_was_processed_is_not_repeated_by_a_restart_or_a_clock_set_back() -> None:
    engine = Engine('"07:30"')
    engine.tick(1800)
    engine.restarted(HALF_PAST + 5 * SECOND)
    assert engine.tick(1) == []
    assert engine.turn(2, SEVEN - HOUR) == []
    assert engine.tick(2 * 3600) == []  # 08:00, for the second time


def test_a_start_within_the_minute_after_a_moment_has_missed_it_all_the_same() -> None:
    engine = Engine('"07:30"')  # else a crash just after it would repeat it
    engine.tick(0)
    assert engine.restarted(HALF_PAST + 5 * SECOND).tick(0) == [(False, 5)]


def test_a_small_correction_over_the_moment_does_not_miss_it() -> None:
    engine = Engine('"07:30"')
    engine.tick(1799)
    assert engine.turn(1799, SEVEN + 2 * SECOND) == [(True, 1)]


def test_while_the_time_is_not_known_nothing_fires() -> None:
    engine = Engine("{every: 1m}", wall_ns=None)
    assert engine.tick(600) == []
    assert engine.turn(601, SEVEN) == []
    assert engine.tick(660) == [(True, 0)]


def test_a_clock_that_was_56_years_ahead_does_not_silence_a_rule_until_then() -> None:
    engine = Engine('"07:30"')
    engine.tick(0)
    engine.turn(1, SEVEN + 56 * 365 * 24 * HOUR)
    engine.turn(2, SEVEN)
    assert engine.tick(1800) == [(True, 0)]


@pytest.mark.parametrize(
    ("at", "begin", "expected"),
    [
        # 29 March 2026: 02:30 does not exist, clocks leap at 01:00 UTC; 25 October: it comes twice.
        (At(mark("02:30")), "2026-03-28T12:00", ["29 01:00", "30 00:30"]),
        (At(cron="30 2 * * *"), "2026-03-28T12:00", ["29 01:00", "30 00:30"]),
        (At(mark("02:30")), "2026-10-24T12:00", ["25 00:30", "26 01:30"]),
        (At(cron="30 2 * * *"), "2026-10-24T12:00", ["25 00:30", "26 01:30"]),
        (At(every_min=720), "2026-10-24T12:00", ["24 22:00", "25 10:00", "25 22:00", "25 23:00"]),
        (At(cron="0 9 * * 1"), "2026-10-24T12:00", ["26 08:00"]),
        (At(mark("sunset + 10m")), "2026-10-24T12:00", ["24 16:02", "25 16:00"]),
    ],
)  # fmt: skip
def test_moments_on_days_on_which_clocks_leap(at: At, begin: str, expected: list[str]) -> None:
    now = int(datetime.fromisoformat(f"{begin}+00:00").timestamp()) * SECOND
    found = []
    for _ in expected:
        coming = BERLIN.next(at, now)
        assert coming is not None
        assert BERLIN.latest(at, coming) == coming
        earlier = BERLIN.latest(at, coming - 1)
        assert earlier is not None
        assert earlier < coming
        now = coming
        found.append(datetime.fromtimestamp(now / 1e9, UTC).strftime("%d %H:%M"))
    assert found == expected


@pytest.mark.parametrize(
    ("at", "what"),
    [
        ("{every: 7m}", "does not divide a day"),
        ("{every: 90s}", "does not divide a day"),
        ("{cron: 0 9 * *}", "Wrong number of fields"),
        ("{cron: 0 25 * * *}", "Bad hour"),
        ("{cron: 0 9 30 2 *}", "Bad day-of-month"),
        ("{}", "no single kind of moment"),
        ("{time: 07:30, every: 1h}", "no single kind of moment"),
        ("{time: 7.30}", "no time of day"),
        ("{time: 07:30, catch_up: last, catch_up_max: 8d}", "more than 7 d"),
    ],
)
def test_wrong_moments_are_refused(at: str, what: str) -> None:
    problems = load(at)[1]
    assert len(problems) == 1
    assert what in problems[0].what
    assert problems[0].line == 5


def test_the_sun_needs_a_place() -> None:
    problems = load("{sun: sunset}", calendar=LocalCalendar("Asia/Shanghai", None))[1]
    assert [p.fix for p in problems] == ["add gateway.location: {lat: 31.23, lon: 121.47}"]


@pytest.mark.parametrize("key", ["until: it.light.on", "for: 5s", "keep_for: 5s", "alarm: {severity: life}", "on_unknown: hold", "unknown_for: 5s", "on_clear: []"])  # fmt: skip
def test_what_needs_a_state_is_refused(key: str) -> None:
    problems = load('"07:30"', f"  {key}\n")[1]
    assert [p.what for p in problems] == [
        f"'{key.split(':', maxsplit=1)[0]}' with `at`: such a rule acts at a moment and has no end"
    ]


def test_nothing_is_held_from_a_moment_on() -> None:
    text = RULE.replace("log: good morning", "if: {cond: it.light.on, then: [{set: {device: it, point: light.on, value: false}}]}")  # fmt: skip
    _, problems = load_rules([parse((text % "07:30").encode(), "a.yaml")], DEVICES, (), SHANGHAI)
    assert "`set` holds until a rule ends, which `at` never does" in [p.what for p in problems]


CASES = """
gateway: {timezone: Europe/Berlin}
devices:
  light-1: {profile: streetlight-native}
tests:
- name: off at half past two, also in the night in which there is none, and not again after a restart
  start: 2026-03-28T00:00:00+01:00
  input:
  - {at: +2h31m, reboot: 10s}
  expect:
  - {at: +2h30m, written: [{light-1.light.level: 0 %}]}
  - {by: +26h, written: [{light-1.light.level: 0 %}]}
  only: true
  end: +26h
"""


def test_a_test_case_of_rules_goes_by_the_clock_of_its_place(tmp_path: Path) -> None:
    command = "command: {device: it, point: light.level, value: 0 %}"
    rule = (RULE % "02:30").replace("log: good morning", command)
    (tmp_path / "off.yaml").write_text(rule)
    (tmp_path / "off.test.yaml").write_text(CASES)
    fixture = load_fixture(tmp_path / "off.test.yaml")
    verdict = judge(fixture, fixture.cases[0])
    assert verdict.problems == ()
    assert [one.at / HOUR for one in verdict.happened] == [2.5, 26]

"""What rules write: for how long they hold it, and what becomes of it."""

import pytest

from gateway.calendar import LocalCalendar
from gateway.document import parse
from gateway.model import Value
from rules.load import load_rules
from rules.outputs import Claimed, ClockStep, Output, Released, Tick
from rules.step import next_due, start, step
from tests.unit.rules_site import DEVICES, SECOND, sample

HEAD = "rules:\n- id: r\n  with: {lamp: light-1}\n  when: lamp.light.group > 0\n  do:\n"
AT = "rules:\n- id: r\n  with: {lamp: light-1}\n  at: {every: 1m}\n  do:\n"
SET = "  - set: {device: lamp, point: light.level, value: 60 %"
DAY = 1_767_225_600  # 2026-01-01 UTC


class Engine:
    """One rule for light-1; `at` rules know the time."""

    def __init__(self, text: str) -> None:
        calendar = LocalCalendar("UTC", None)
        rules, problems = load_rules([parse(text.encode(), "a.yaml")], DEVICES, ["guard"], calendar)
        assert problems == []
        self.state = start(rules, 0, DAY * SECOND)

    def on(self, at_s: float, value: Value = 1) -> list[str]:
        return self._step(sample("light-1", at_s, {"light.group": value}), at_s)

    def off(self, at_s: float) -> list[str]:
        return self.on(at_s, 0)

    def until(self, at_s: float) -> list[str]:
        """Every timer up to then, each at its time."""
        happened: list[str] = []
        while (due := next_due(self.state)) is not None and due <= at_s * SECOND:
            happened += [f"{due / SECOND:g} {what}" for what in self._step(Tick(), due / SECOND)]
        return happened

    def _step(self, taken: object, at_s: float) -> list[str]:
        assert isinstance(taken, Tick | ClockStep) or hasattr(taken, "values")
        self.state, outputs = step(self.state, taken, round(at_s * SECOND))  # type: ignore[arg-type] # one of its inputs
        return [shown for output in outputs if (shown := said(output))]


def said(output: Output) -> str:
    match output:
        case Claimed():
            return f"{output.point} = {output.value}"
        case Released():
            return f"{output.point} given back"
    return ""


def test_what_is_set_is_held_as_long_as_the_rule_lasts() -> None:
    engine = Engine(f"{HEAD}{SET}}}\n")
    assert engine.on(1) == ["light.level = 60"]
    assert engine.until(100) == []
    assert engine.off(101) == ["light.level given back"]


def test_what_is_set_with_hold_is_given_back_in_time_or_at_the_end_of_the_rule() -> None:
    engine = Engine(f"{HEAD}{SET}, hold: 30s}}\n")
    assert engine.on(1) == ["light.level = 60"]
    assert engine.until(100) == ["31 light.level given back"]
    assert engine.off(101) == []
    assert engine.on(102) == ["light.level = 60"]
    assert engine.off(110) == ["light.level given back"]
    assert engine.until(200) == []


def test_of_two_sets_of_one_point_the_last_counts() -> None:
    lower = SET.replace("60", "20")
    engine = Engine(f"{HEAD}{SET}, hold: 10s}}\n  - wait: 5s\n{lower}}}\n")
    assert engine.on(1) == ["light.level = 60"]
    assert engine.until(100) == ["6 light.level = 20"], "the hold of the first has ended with it"
    assert engine.off(101) == ["light.level given back"]


def test_at_a_moment_a_point_is_held_for_a_while_and_longer_when_the_next_comes_before() -> None:
    engine = Engine(f"{AT}{SET}, hold: 90s}}\n")
    assert engine.until(125) == ["60 light.level = 60", "120 light.level = 60"]
    assert engine.until(179) == []
    engine = Engine(f"{AT}{SET}, hold: 20s}}\n")
    assert engine.until(125) == [
        "60 light.level = 60", "80 light.level given back", "120 light.level = 60",
    ]  # fmt: skip


@pytest.mark.parametrize("hold", ["0s", "-1s", "soon"])
def test_a_hold_is_a_time(hold: str) -> None:
    text = f"{HEAD}{SET}, hold: {hold}}}\n"
    _, problems = load_rules([parse(text.encode(), "a.yaml")], DEVICES)
    assert [problem.path for problem in problems] == ["rules[0].do[0].set.hold"]

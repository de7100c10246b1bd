"""What rules write: for how long they hold it, and what becomes of it."""

import pytest

from gateway.calendar import LocalCalendar
from gateway.document import parse
from gateway.model import Outcome, Value
from gateway.terms import Terms
from rules.load import load_rules
from rules.outputs import Answer, Claimed, Input, Logged, Notified, Output, Ref, Released, Tick
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
        self.outputs: list[Output] = []

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

    def answer(self, at_s: float, outcome: Outcome, activation: int = 1) -> list[str]:
        """The first watched step has ended so."""
        ref = Ref("r", activation, 1)
        return self._step(Answer(ref, "light-1", "light.level", outcome), at_s)

    def _step(self, taken: Input, at_s: float) -> list[str]:
        self.state, outputs = step(self.state, taken, round(at_s * SECOND))
        self.outputs += outputs
        return [shown for output in outputs if (shown := said(output))]


def said(output: Output) -> str:
    match output:
        case Claimed():
            return f"{output.point} = {output.value}"
        case Released():
            return f"{output.point} given back"
        case Logged():
            return f"log {output.text}"
        case Notified():
            return f"told {output.text}"
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


# The end of a write


FAIL = "on_fail: [{notify: {to: guard, text: it failed}}]"


def test_what_comes_on_failure_comes_once_and_the_next_steps_do_not_wait() -> None:
    engine = Engine(f"{HEAD}{SET}, {FAIL}}}\n  - log: next\n")
    assert engine.on(1) == ["light.level = 60", "log next"]
    assert engine.answer(9, Outcome.UNCONFIRMED) == ["told it failed"]
    assert engine.answer(10, Outcome.UNCONFIRMED) == []


def test_steps_wait_for_a_write_that_is_to_be_confirmed_however_it_ends() -> None:
    for outcome, failed in ((Outcome.CONFIRMED, []), (Outcome.FAILED, ["told it failed"])):
        engine = Engine(f"{HEAD}{SET}, await_confirm: true, {FAIL}}}\n  - log: next\n")
        assert engine.on(1) == ["light.level = 60"]
        assert engine.until(50) == []
        assert engine.answer(60, outcome) == [*failed, "log next"]


def test_nothing_comes_of_a_write_whose_rule_has_ended() -> None:
    engine = Engine(f"{HEAD}{SET}, {FAIL}}}\n")
    engine.on(1)
    engine.off(2)
    assert engine.answer(3, Outcome.FAILED) == []
    engine.on(4)
    assert engine.answer(5, Outcome.FAILED, activation=1) == [], "that was the time before"
    assert engine.answer(5, Outcome.FAILED, activation=2) == ["told it failed"]


def test_what_comes_on_failure_may_hold_and_wait() -> None:
    fail = "on_fail: [{wait: 5s}, {set: {device: lamp, point: light.on, value: true}}]"
    engine = Engine(f"{HEAD}{SET}, {fail}}}\n")
    engine.on(1)
    assert engine.answer(2, Outcome.REFUSED) == []
    assert engine.until(10) == ["7 light.on = True"]
    assert engine.off(11) == ["light.level given back", "light.on given back"]


def test_how_a_write_is_done_goes_with_it() -> None:
    engine = Engine(f"{HEAD}{SET}, confirm: {{point: light.mode, equals: hand, within: 3s}}, retry: 5, backoff: 1s, timeout: 2s}}\n")  # fmt: skip
    engine.on(1)
    (claim,) = (output for output in engine.outputs if isinstance(output, Claimed))
    assert claim.terms == Terms("light.mode", "hand", 3.0, 5, 1.0, 2.0)


WRONG = {
    "confirm: {point: light.colour}": ("confirm.point", "point 'light.colour' of profile 'test-light' does not exist"),
    "confirm: {point: light.mode, equals: open}": ("confirm.equals", "'open' is never a value of light.mode"),
    "confirm: {within: 11m}": ("confirm.within", "660 s is not above 0 up to 600 s"),
    "confirm: {for: 1s}": ("confirm.for", "unknown key 'for'"),
    "retry: 21": ("retry", "21: Input should be less than or equal to 20"),
    "retry: -1": ("retry", "-1: Input should be greater than or equal to 0"),
    "backoff: 11s": ("backoff", "11 s is not above 0 up to 10 s"),
    "timeout: 0s": ("timeout", "0 s is not above 0 up to 60 s"),
    "await_confirm: 1": ("await_confirm", "1 is not true or false"),
    "on_fail: [{notify: {to: nobody}}]": ("on_fail[0].notify.to", "unknown recipient 'nobody'"),
    "on_fail: [{set: {device: x, point: light.on, value: true}}]": ("on_fail[0].set.device", "'x' is no device of this rule"),
}  # fmt: skip


@pytest.mark.parametrize("written", WRONG)
def test_wrong_ways_to_write_are_refused_at_their_place(written: str) -> None:
    path, what = WRONG[written]
    text = f"{HEAD}{SET}, {written}}}\n"
    _, problems = load_rules([parse(text.encode(), "a.yaml")], DEVICES, ["guard"])
    assert [(problem.path, problem.what) for problem in problems] == [
        (f"rules[0].do[0].set.{path}", what)
    ]


def test_what_is_not_idempotent_is_commanded_once() -> None:
    text = f"{HEAD}{SET.replace('set', 'command')}, retry: 1}}\n"
    _, problems = load_rules([parse(text.encode(), "a.yaml")], DEVICES, ["guard"])
    assert [problem.what for problem in problems] == [
        "'light.level' is not idempotent: a command writes it once"
    ]


def test_nothing_is_held_after_the_end_of_a_rule_however_deep_it_is_written() -> None:
    inner = "{set: {device: lamp, point: light.on, value: true}}"
    text = f"{HEAD}  - log: x\n  on_clear: [{{if: {{cond: lamp.light.on, then: [{inner}]}}}}]\n"
    _, problems = load_rules([parse(text.encode(), "a.yaml")], DEVICES, ["guard"])
    assert [problem.path for problem in problems] == ["rules[0].on_clear[0]"]


@pytest.mark.parametrize("hold", ["0s", "-1s", "soon"])
def test_a_hold_is_a_time(hold: str) -> None:
    text = f"{HEAD}{SET}, hold: {hold}}}\n"
    _, problems = load_rules([parse(text.encode(), "a.yaml")], DEVICES)
    assert [problem.path for problem in problems] == ["rules[0].do[0].set.hold"]

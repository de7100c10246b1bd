"""What becomes of an activation while the steps of one before run, and of too many of them."""

import pytest

from rules.outputs import Limited, Output, Skipped
from tests.unit.rules_site import load
from tests.unit.test_rules_writes import AT, HEAD, Engine, said

STEPS = "  - log: begin\n  - wait: 150s\n  - log: end\n"
LATCHED = HEAD.replace("  do:", "  alarm: {severity: safety, latch: true}\n  do:")


def minutes(engine: Engine, until_s: float) -> list[str]:
    """What the rule says, with the time in minutes."""
    return [
        f"{float(at) / 60:g} {what.removeprefix('log ')}"
        for at, what in (line.split(" ", 1) for line in engine.until(until_s))
    ]


MODES = {
    "restart": ["1 begin", "2 begin", "3 begin", "4 begin"],
    "single": ["1 begin", "3.5 end", "4 begin"],
    "{queued: 1}": ["1 begin", "3.5 end", "3.5 begin"],
    "{queued: 2}": ["1 begin", "3.5 end", "3.5 begin"],
    "{parallel: 2}": ["1 begin", "2 begin", "3.5 end", "4 begin"],
    "{parallel: 3}": ["1 begin", "2 begin", "3 begin", "3.5 end", "4 begin"],
}


@pytest.mark.parametrize("mode", MODES)
def test_a_moment_that_comes_while_the_steps_run_does_what_the_mode_says(mode: str) -> None:
    engine = Engine(f"{AT}{STEPS}  mode: {mode}\n")
    assert minutes(engine, 4 * 60) == MODES[mode]


def test_a_queue_holds_as_many_as_it_says_and_what_is_left_out_is_counted() -> None:
    engine = Engine(f"{AT}{STEPS}  mode: {{queued: 1}}\n")
    engine.until(6 * 60 - 1)
    # At 2 min one waits, at 3 min there is no room; at 3.5 the second begins, at 4 one waits, at 5 no room.
    assert [output for output in engine.outputs if isinstance(output, Skipped)] == [
        Skipped("r", "queued")
    ] * 2


def test_a_latched_alarm_that_comes_again_is_an_activation_too() -> None:
    for mode, then in (("restart", ["log begin"]), ("single", [])):
        engine = Engine(f"{LATCHED}{STEPS}  mode: {mode}\n")
        assert engine.on(1) == ["log begin"]
        assert engine.off(2) == []
        assert engine.on(3) == then


def test_what_comes_at_the_end_never_keeps_the_steps_from_beginning() -> None:
    after = "  on_clear: [{wait: 60s}, {log: ended}]\n  mode: single\n"
    engine = Engine(f"{HEAD}{STEPS}{after}")
    assert engine.on(1) == ["log begin"]
    assert engine.off(2) == []
    assert engine.on(3) == ["log begin"]


def often(text: str, times: int) -> Engine:
    """The condition comes and goes, once a second."""
    engine = Engine(text)
    for at in range(1, times + 1):
        engine.on(at)
        engine.off(at + 0.5)
    return engine


def count(engine: Engine, what: str) -> int:
    return [said(output) for output in engine.outputs].count(what)


def limits(outputs: list[Output]) -> list[Limited]:
    return [output for output in outputs if isinstance(output, Limited)]


def test_steps_begin_no_more_than_so_often_in_ten_minutes_and_that_is_told_once() -> None:
    engine = often(f"{HEAD}  - log: x\n  on_clear: [{{log: ended}}]\n", 50)
    assert count(engine, "log x") == 20
    assert count(engine, "log ended") == 20, "nothing ends that has not begun"
    assert limits(engine.outputs) == [Limited("r", "r", "gateway", 12, 20)]
    assert engine.outputs.count(Skipped("r", "max_run")) == 30
    assert engine.on(600) == [], "the first was at 1 s"
    engine.off(600.5)
    assert engine.on(601) == ["log x"]


def test_the_alarm_comes_though_its_steps_do_not() -> None:
    text = f"{HEAD}  - log: x\n  alarm: {{severity: operational}}\n  max_run: 2\n"
    engine = often(text, 5)
    names = [type(output).__name__ for output in engine.outputs]
    assert (names.count("Raised"), names.count("Cleared"), names.count("Logged")) == (5, 5, 2)


def test_what_saves_lives_is_never_limited() -> None:
    engine = often(f"{HEAD}  - log: x\n  priority: life\n  max_run: 2\n", 50)
    assert count(engine, "log x") == 50
    assert limits(engine.outputs) == []


WRONG = {
    "mode: twice": "'twice' is no mode", "mode: queued": "'queued' is no mode",
    "mode: {queued: 0}": "{'queued': 0} is no mode", "mode: {parallel: 11}": "{'parallel': 11} is no mode",
    "mode: {queued: 1, parallel: 1}": "{'queued': 1, 'parallel': 1} is no mode",
    "max_run: 0": "0: Input should be greater than or equal to 1",
}  # fmt: skip


@pytest.mark.parametrize("written", WRONG)
def test_wrong_modes_are_refused(written: str) -> None:
    problems = load(f"{HEAD}  - log: x\n  {written}\n")[1]
    assert [problem.what for problem in problems] == [WRONG[written]]

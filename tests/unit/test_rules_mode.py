"""What becomes of an activation while the steps of one before run, and of too many of them."""

import orjson
import pytest

from rules.keep import changes, everything
from rules.outputs import Limited, Output, Skipped, Tick
from rules.restart import Past, late, restore
from rules.step import reset, step
from tests.unit.rules_site import SECOND, load
from tests.unit.test_rules_writes import AT, DAY, HEAD, Engine, said

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


# Over restarts


def restarted(engine: Engine, at_s: float, off_s: float = 0) -> None:
    """A restart after which the time off is known; what rows hold goes through JSON."""
    rows = orjson.loads(orjson.dumps(everything(engine.state)))
    past = Past(rows, off_ns=round(off_s * SECOND))
    now = round((at_s + off_s) * SECOND)
    engine.state, outputs = restore(engine.state.rules, past, now, wall_ns=DAY * SECOND)
    engine.outputs += outputs


THRICE = f"{HEAD}  - log: x\n  on_clear: [{{log: ended}}]\n  max_run: 3\n"


def begun_after_a_restart(off_s: float = 0, owed_s: float = 0) -> list[int]:
    """At which of the seconds after a restart the steps begin; they began at 1, 2 and 3 s."""
    engine = often(THRICE, 3)
    restarted(engine, 4, off_s)
    if owed_s:
        engine.state, _ = late(engine.state, round(owed_s * SECOND), round((4 + off_s) * SECOND))
    began = []
    for at in range(5 + int(off_s), 620 + int(off_s), 5):
        began += [at - int(off_s)] if engine.on(at) else []
        engine.off(at + 2)
    return began


def test_a_restart_does_not_let_the_steps_begin_more_often() -> None:
    assert begun_after_a_restart() == [605, 610, 615], "the first was at 1 s"


def test_the_time_off_counts_for_how_often_the_steps_may_begin() -> None:
    assert begun_after_a_restart(300)[0] == 305
    assert begun_after_a_restart(0, 300)[0] == 305, "also when it is known only later"
    assert begun_after_a_restart(700)[:3] == [5, 10, 15]


def test_after_a_restart_nothing_ends_that_has_not_begun_and_the_limit_is_told_once() -> None:
    engine = often(THRICE, 4)
    engine.on(5)
    restarted(engine, 6)
    engine.off(7)
    assert count(engine, "log ended") == 3
    engine.on(8)
    assert len(limits(engine.outputs)) == 1


def test_teeth_a_count_that_is_not_kept_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rules.restart.recount", lambda _state, _rank, _row: None)
    assert begun_after_a_restart()[0] == 5


def test_what_began_long_ago_is_kept_no_longer() -> None:
    engine = often(THRICE, 3)
    assert everything(engine.state)["r"]["begun"] == [1 * SECOND, 2 * SECOND, 3 * SECOND]
    engine.state, _ = step(engine.state, Tick(), 700 * SECOND)
    assert everything(engine.state) == {}


# What the naive reading found (tests/property/test_rules_mode.py)


def test_an_activation_that_is_left_out_does_not_count_as_one_that_began() -> None:
    engine = Engine(f"{AT}{STEPS}  mode: single\n  max_run: 2\n")
    assert minutes(engine, 4 * 60) == ["1 begin", "3.5 end", "4 begin"]
    assert limits(engine.outputs) == []


def test_what_was_done_before_an_alarm_came_again_too_often_is_ended_at_its_reset() -> None:
    engine = often(f"{LATCHED}  - log: x\n  on_clear: [{{log: ended}}]\n  max_run: 2\n", 3)
    engine.state, outputs = reset(engine.state, "r", 10 * SECOND, "reset")
    assert [said(output) for output in outputs if said(output)] == ["log ended"]


def test_the_end_of_what_was_limited_does_not_stop_the_end_of_what_was_done_before() -> None:
    engine = often(
        f"{HEAD}  - log: x\n  on_clear: [{{wait: 5s}}, {{log: ended}}]\n  max_run: 1\n", 2
    )
    assert engine.until(10) == ["6.5 log ended"]


def test_who_waits_in_line_waits_on_after_a_restart() -> None:
    engine = Engine(f"{AT}{STEPS}  mode: {{queued: 1}}\n  priority: life\n")
    engine.until(90)
    changes(engine.state)
    engine.until(2 * 60)
    assert "r" in changes(engine.state)
    restarted(engine, 130)
    assert minutes(engine, 3 * 60 + 30) == ["3.5 end", "3.5 begin"]

"""A restart at any moment, with what was kept, changes nothing; one that takes time does what is written."""

from collections.abc import Sequence

import orjson
import pytest
from hypothesis import given, settings

from gateway.model import Sample
from rules.keep import everything
from rules.model import RuleSet
from rules.outputs import Cleared, ClockStep, Output, Raised, Tick
from rules.restart import Past, restore
from rules.step import start, step
from tests.harness.reference import SECOND
from tests.property.test_rules_oracle import (
    NARROW,
    NARROW_FOR,
    NARROW_GAPS,
    WALLS,
    WIDE,
    WIDE_FOR,
    WIDE_GAPS,
    Case,
    Taken,
    cases,
    compiled,
    inputs,
    oracle,
)  # fmt: skip

BEGIN = 1_000 * SECOND


def names(outputs: Sequence[Output]) -> list[str]:
    return [type(output).__name__ for output in outputs if isinstance(output, Raised | Cleared)]


def cut(rules: RuleSet, taken: Sequence[Taken], at: int) -> list[list[str]]:
    """The engine, that is stopped after `at` inputs and goes on at once with what it kept."""
    state = start(rules, BEGIN, WALLS[0])
    wall: int | None = WALLS[0]
    early: list[str] = []
    said: list[list[str]] = []
    now = BEGIN
    history: list[tuple[Sample, int]] = []
    for number, (came, seen) in enumerate(taken):
        if number == at:
            rows = orjson.loads(orjson.dumps(everything(state)))
            state, outputs = restore(
                rules, Past(rows, history=history, began=BEGIN), now, wall_ns=wall
            )
            early = names(outputs)
            assert not (number and early), "what was decided is not decided anew"
        now = came
        if isinstance(seen, Sample):
            history.append((seen, now))
        elif isinstance(seen, ClockStep):
            wall = seen.wall_ns
        state, outputs = step(state, seen or Tick(), now)
        said.append([*(early if number == at == 0 else ()), *names(outputs)])
    return said


def check(case: Case, taken: list[Taken]) -> None:
    rules = compiled(case)
    if rules is None:
        return
    whole = oracle(case, taken)
    for at in range(len(taken)):
        assert cut(rules, taken, at) == whole, at


@pytest.mark.timeout(120)
@settings(max_examples=150, deadline=None)
@given(cases(NARROW, (1, 2, 5), NARROW_FOR), inputs(NARROW, NARROW_GAPS))
def test_a_restart_at_any_input_changes_nothing(case: Case, taken: list[Taken]) -> None:
    check(case, taken)


@pytest.mark.timeout(120)
@settings(max_examples=60, deadline=None)
@given(cases(WIDE, (5, 30, 90), WIDE_FOR), inputs(WIDE, WIDE_GAPS))
def test_a_restart_at_any_input_changes_nothing_far_and_wide(
    case: Case, taken: list[Taken]
) -> None:
    check(case, taken)

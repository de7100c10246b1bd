"""A restart at any moment, with what was kept, changes nothing; one that takes time does what is written."""

from collections.abc import Sequence

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.model import Sample
from rules.keep import everything
from rules.model import RuleSet
from rules.outputs import Cleared, ClockStep, Output, Raised, Tick
from rules.restart import Past, restore
from rules.standing import letter
from rules.step import start, step
from tests.harness.reference import SECOND
from tests.harness.reference_alarm import Alarm, Terms
from tests.property.test_alarm_oracle import STEPS, TERMS, Engine, Step, naive, said
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
    reference_of,
)  # fmt: skip
from tests.unit.rules_site import sample

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


def stopped(rules: RuleSet, taken: Sequence[Taken], at: int, off: int) -> list[list[str]]:
    """The engine, that is off for `off` ns after `at` inputs."""
    state = start(rules, BEGIN, WALLS[0])
    wall: int | None = WALLS[0]
    history: list[tuple[Sample, int]] = []
    said: list[list[str]] = []
    for number, (now, seen) in enumerate(later(taken, at, off)):
        early: list[str] = []
        if number == at:
            rows = orjson.loads(orjson.dumps(everything(state)))
            past = Past(rows, history=history, off_ns=off, began=BEGIN)
            state, outputs = restore(rules, past, taken[at - 1].now + off, wall_ns=wall)
            early = names(outputs)
        if isinstance(seen, Sample):
            history.append((seen, now))
        elif isinstance(seen, ClockStep):
            wall = seen.wall_ns
        state, outputs = step(state, seen or Tick(), now)
        said.append([*early, *names(outputs)])
    return said


def later(taken: Sequence[Taken], at: int, off: int) -> list[Taken]:
    """What comes after the restart comes so much later."""
    moved = [
        Taken(
            now + off,
            seen._replace(received_ns=seen.received_ns + off) if isinstance(seen, Sample) else seen,
        )
        for now, seen in taken[at:]
    ]
    return [*taken[:at], *moved]


def expected(case: Case, taken: Sequence[Taken], at: int, off: int) -> list[list[str]]:
    reference = reference_of(case)
    said: list[list[str]] = []
    for number, (now, seen) in enumerate(later(taken, at, off)):
        early: list[str] = []
        if number == at:
            early = reference.restart(taken[at - 1].now + off)
        said.append([*early, *reference.step(seen, now)])
    return said


# Conditions that are pending, silent or unknown at most cuts: the wide ones hardly ever are.
PLAIN = st.sampled_from([
    "it.a.number > 10 V", "it.c.state", "not it.c.state", "stale(it.a.number, 5s)", "not stale(it.c.state, 30s)",
    "it.a.number > 10 V or stale(it.c.state, 20s)", "count(it.a.number, 30s) >= 2", "any(near.c.state)",
])  # fmt: skip
PLAIN_CASES = st.builds(
    Case, PLAIN, st.none() | PLAIN, st.sampled_from([0, 1, 5, 30]), st.sampled_from([0, 5, 30]),
    st.sampled_from(["hold", "assume_true", "assume_false"]), st.sampled_from([1, 5, 60]), st.none(), st.just(False),
)  # fmt: skip


def off_somewhere(case: Case, taken: list[Taken], data: st.DataObject) -> None:
    rules = compiled(case)
    if rules is not None and len(taken) > 1:
        at = data.draw(st.integers(1, len(taken) - 1))
        off = data.draw(st.sampled_from([0, 1, 2, 5, 30, 100])) * SECOND
        assert stopped(rules, taken, at, off) == expected(case, taken, at, off)


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


@pytest.mark.timeout(120)
@settings(max_examples=1200, deadline=None)
@given(PLAIN_CASES | cases(NARROW, (1, 2, 5), NARROW_FOR), inputs(NARROW, NARROW_GAPS), st.data())
def test_a_gateway_that_was_off_goes_on_as_it_is_written(
    case: Case, taken: list[Taken], data: st.DataObject
) -> None:
    off_somewhere(case, taken, data)


@pytest.mark.chaos
@pytest.mark.timeout(1200)
@settings(max_examples=20_000, deadline=None)
@given(PLAIN_CASES | cases(NARROW, (1, 2, 5), NARROW_FOR), inputs(NARROW, NARROW_GAPS), st.data())
def test_a_gateway_that_was_off_goes_on_as_it_is_written_in_20000_cases(
    case: Case, taken: list[Taken], data: st.DataObject
) -> None:
    off_somewhere(case, taken, data)


class Stopped(Engine):
    """Alarms with a life of their own, that go on after a restart with what was kept."""

    def __init__(self, terms: Terms) -> None:
        super().__init__(terms)
        self.history: list[tuple[Sample, int]] = []

    def take(self, one: Step) -> list[str] | None:
        if one.what in {"show", "other"}:
            point = "elec.voltage.a" if one.what == "show" else "elec.pf.total"
            now = self.now * SECOND
            self.history.append((sample("meter-1", self.now, {point: one.number}), now))
        return super().take(one)

    def restart(self) -> None:
        rows = orjson.loads(orjson.dumps(everything(self.state)))
        past = Past(rows, history=self.history, began=0)
        self.state, outputs = restore(self.state.rules, past, self.now * SECOND)
        assert set(said(outputs)) <= {"claimed"}, "nothing is told anew"


@pytest.mark.timeout(120)
@settings(max_examples=300, deadline=None)
@given(TERMS, STEPS, st.sets(st.integers(1, 12)))
def test_alarms_stand_through_restarts_as_without_them(
    terms: Terms, steps: list[Step], cuts: set[int]
) -> None:
    engine, alarm = Stopped(terms), Alarm(terms)
    for number, one in enumerate(steps):
        if number in cuts:
            engine.restart()
        assert engine.take(one) == naive(alarm, one), (number, steps[: number + 1])
        assert letter(engine.state, engine.rank) == alarm.letter, (number, steps[: number + 1])

"""The steps of rules against a naive reading of them: random steps, and every end of a write."""

from itertools import product
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.model import Outcome
from rules.deeds import FAILED
from rules.predicate import Predicate
from rules.sequence import (
    Branches,
    Choice,
    Deed,
    Message,
    Note,
    Order,
    Run,
    Setting,
    Step,
    Steps,
    Wait,
    WaitUntil,
    Watched,
)
from rules.term import Const
from tests.harness.reference_steps import WELL, ReferenceRun, told

DEVICES = ("a", "b", "c")
CASES = 300


def condition(name: str) -> Predicate:
    """Its truth comes from the test, by name."""
    return Predicate(name, Const(value=True), lambda _values: True, (), ())


WRITES = st.tuples(
    st.sampled_from([Setting, Order]), st.sampled_from(DEVICES), st.integers(0, 3)
).map(lambda drawn: drawn[0](drawn[1], "p", drawn[2]))
GROUPS = st.lists(WRITES, min_size=1, max_size=3, unique_by=lambda write: write.device).map(tuple)
CONDITIONS = st.sampled_from(["x", "y"]).map(condition)
TIMES = st.integers(0, 5)
DEPTH = 3


@st.composite
def steps_of(draw: st.DrawFn, depth: int = DEPTH) -> Steps:
    return tuple(draw(step_of(depth)) for _ in range(draw(st.integers(0, 2 + depth))))


@st.composite
def step_of(draw: st.DrawFn, depth: int) -> Step:
    inner = steps_of(depth - 1) if depth else st.just(())
    step: Step = draw(WRITES)
    match draw(st.integers(0, 6 if depth else 2)):
        case 1:
            step = Wait(draw(TIMES))
        case 2:
            step = Note(Message((str(draw(st.integers(0, 9))),)))
        case 3:
            step = WaitUntil(draw(CONDITIONS), draw(st.none() | TIMES), draw(inner))
        case 4:
            step = Choice(draw(CONDITIONS), draw(inner), draw(inner))
        case 5:
            step = Branches(tuple(draw(inner) for _ in range(draw(st.integers(0, 3)))))
        case 6:
            on_fail = draw(inner)
            step = Watched(draw(GROUPS), on_fail, not on_fail or draw(st.booleans()))
    return step


HAPPENINGS = st.lists(
    st.tuples(st.just("time"), st.integers(0, 4))
    | st.tuples(st.sampled_from(["x", "y"]), st.sampled_from([True, False, None]))
    | st.tuples(st.just("answer"), st.tuples(st.integers(0, 9), st.sampled_from(list(Outcome)))),
    max_size=20,
)


class Both:
    """The engine's run and the reference, fed with the same; they must say the same."""

    def __init__(self, steps: Steps) -> None:
        self.now = 0
        self.truths: dict[str, bool | None] = {"x": False, "y": None}
        self.run = Run.of(steps)
        self.reference = ReferenceRun(steps, self.truth)
        self.open: list[tuple[int, tuple[str, str]]] = []
        self.said: list[str] = []
        self.go_on()

    def truth(self, predicate: Any) -> bool | None:
        return self.truths[predicate.text]

    def go_on(self) -> None:
        deeds = self.run.go_on(self.now, self.truth)
        found = [told(deed, self._number(deed)) for deed in deeds]
        assert found == self.reference.go_on(self.now)
        assert self.run.over == self.reference.over
        self.said += found

    def _number(self, deed: Deed) -> int | None:
        if not isinstance(deed, Setting | Order) or deed.step is None:
            return None
        self.open.append((deed.step, (deed.device, deed.point)))
        return deed.step

    def answer(self, which: int, outcome: Outcome) -> None:
        if self.open:
            number, place = self.open[which % len(self.open)]
            self.run.answer(number, place, failed=outcome in FAILED)
            self.reference.answer(number, place, outcome)
            self.go_on()


@settings(max_examples=CASES, deadline=None)
@given(steps_of(), HAPPENINGS)
def test_steps_go_on_as_a_naive_reading_says(
    steps: Steps, happenings: list[tuple[str, Any]]
) -> None:
    both = Both(steps)
    for what, value in happenings:
        if what == "time":
            both.now += value
            both.go_on()
        elif what == "answer":
            both.answer(*value)
        else:
            both.truths[what] = value
            both.go_on()


def table() -> list[Any]:
    ends = list(Outcome)
    kinds = (Setting, Order)
    return [
        pytest.param(kind, awaited, first, second, id=f"{kind.__name__}-{awaited}-{first}-{second}")
        for kind, awaited, first, second in product(kinds, (False, True), ends, ends)
    ]


@pytest.mark.parametrize(("kind", "awaited", "first", "second"), table())
def test_every_pair_of_ends_of_a_group_does_what_it_should(
    kind: type[Setting] | type[Order], awaited: bool, first: Outcome, second: Outcome
) -> None:
    """`on_fail` once if one has failed; what follows at once, or when both have ended."""
    fail, after = Note(Message(("failed",))), Note(Message(("after",)))
    step = Watched((kind("a", "p", 1), kind("b", "p", 1)), (fail,), awaited)
    both = Both((step, after))
    assert ("log ('after',)" in both.said) is not awaited
    both.answer(0, first)
    assert ("log ('after',)" in both.said) is not awaited
    both.answer(0, Outcome.FAILED)  # told twice: it counts once
    both.answer(1, second)
    assert both.said.count("log ('failed',)") == (not (WELL[first] and WELL[second]))
    assert both.said.count("log ('after',)") == 1
    assert both.run.over

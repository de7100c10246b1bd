"""Whatever a counter does, and wherever the gateway restarts: one event for each step back."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from gateway.counter import Counters, Range, Step
from gateway.model import Event, EventKind, Sample, Severity, uuid7

SECOND = 1_000_000_000
KEY = ("meter-1", "gas.volume")
WINDOW_S = 300


def fresh() -> Counters:
    return Counters({"meter-1": [KEY[1]]}, {KEY: Range(0, 65_535)})


def sample(index: int, value: int) -> Sample:
    """One a minute."""
    return Sample("meter-1", index * 60 * SECOND, 0, 1, True, {KEY[1]: value})


def event(step: Step, at: Sample) -> Event:
    attributes = {"point": step.point, "value": step.value, "was": step.was}
    return Event(
        uuid7(), step.kind, Severity.OPERATIONAL, "meter-1", at.time_ns, 0, 1, True, attributes
    )


def rolled_up(shown: list[Sample]) -> dict[tuple[str, str], tuple[float, int]]:
    """What the 5 min windows that have closed tell of the last value."""
    end_s = shown[-1].time_ns // SECOND // WINDOW_S * WINDOW_S if shown else 0
    closed = [one for one in shown if one.time_ns < end_s * SECOND]
    if not closed:
        return {}
    value = closed[-1].values[KEY[1]]
    assert isinstance(value, int)
    return {KEY: (value, closed[-1].time_ns // SECOND // WINDOW_S * WINDOW_S)}


VALUES = st.lists(st.sampled_from([0, 5, 1_000, 30_000, 30_001, 64_000, 65_535]), max_size=30)


@given(VALUES)
def test_the_events_are_the_falls_of_the_series(values: list[int]) -> None:
    known = fresh()
    found = [step for i, value in enumerate(values) for step in known.steps(sample(i, value))]
    falls = [(a, b) for a, b in pairwise(values) if b < a]
    assert [(step.was, step.value) for step in found] == falls
    for step in found:
        wraps = step.was >= 62_259 and step.value <= 3_276
        assert (step.kind is EventKind.COUNTER_WRAP) is wraps


@given(VALUES, st.sets(st.integers(0, 29)))
def test_restarts_add_no_event(values: list[int], restarts: set[int]) -> None:
    """A restart may miss a step whose last value was not rolled up, and never tells one twice."""
    known, shown, newest = fresh(), list[Sample](), list[Event]()
    told: list[tuple[float, float]] = []
    for index, value in enumerate(values):
        if index in restarts:
            known = fresh()
            known.restore(rolled_up(shown), newest)
        now = sample(index, value)
        for step in known.steps(now):
            newest = [event(step, now)]
            told.append((index, step.value))
        shown.append(now)
    falls = [(i, values[i]) for i in range(1, len(values)) if values[i] < values[i - 1]]
    assert len(told) <= len(falls)
    assert len(set(told)) == len(told)


@given(st.lists(st.integers(0, 9), max_size=30), st.integers(0, 29))
def test_a_counter_that_only_rises_is_silent_across_a_restart(
    rises: list[int], restart: int
) -> None:
    known, shown, value = fresh(), list[Sample](), 0
    for index, rise in enumerate(rises):
        value += rise
        if index == restart:
            known = fresh()
            known.restore(rolled_up(shown), [])
        assert known.steps(sample(index, value)) == []
        shown.append(sample(index, value))

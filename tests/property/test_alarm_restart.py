"""The life of an alarm with a restart anywhere: it goes on as if there had been none."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.model import Sample
from rules.incident import Incident
from rules.keep import everything
from rules.restart import Past, restore
from rules.standing import letter
from tests.harness.reference_alarm import Alarm, Terms
from tests.property.test_alarm_oracle import STEPS, TERMS, Engine, Step, cases, naive, said
from tests.unit.rules_site import SECOND, sample

POINTS = {"show": "elec.voltage.a", "other": "elec.pf.total"}


def restarted(engine: Engine, heard: list[tuple[Sample, int]]) -> list[str]:
    """What is told at once; what is held is claimed again by every start."""
    rows = json.loads(json.dumps(everything(engine.state)))
    past = Past(rows, history=heard)
    engine.state, outputs = restore(engine.state.rules, past, engine.now * SECOND)
    return [word for word in said(outputs) if word != "claimed"]


def check(terms: Terms, steps: list[Step], cut: int) -> None:
    engine, alarm = Engine(terms), Alarm(terms)
    heard: list[tuple[Sample, int]] = []
    for number, one in enumerate(steps):
        if number == cut:
            assert restarted(engine, heard) == []
            assert letter(engine.state, engine.rank) == alarm.letter
        assert engine.take(one) == naive(alarm, one), (number, cut, steps[: number + 1])
        assert letter(engine.state, engine.rank) == alarm.letter
        if one.what in POINTS:
            values = {POINTS[one.what]: one.number}
            heard.append((sample("meter-1", engine.now, dict(values)), engine.now * SECOND))


@settings(max_examples=300, deadline=None)
@given(TERMS, STEPS, st.integers(0, 29))
def test_an_alarm_goes_on_after_a_restart_anywhere(
    terms: Terms, steps: list[Step], cut: int
) -> None:
    check(terms, steps, cut)


@pytest.mark.parametrize(
    "lost", ["acked_ns", "shelved_ns", "out_ns", "raises", "levels", "stage", "told_ns", "open"]
)
def test_teeth_what_a_restart_forgets_is_noticed(
    lost: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    proper = Incident.dump

    def dump(self: Incident) -> dict[str, object]:
        return {key: value for key, value in proper(self).items() if key != lost}

    monkeypatch.setattr(Incident, "dump", dump)
    with pytest.raises(AssertionError):
        check_all()


def check_all() -> None:
    for number, (terms, steps) in enumerate(cases(300)):
        check(terms, steps, number % len(steps))


def test_the_cases_that_find_what_is_forgotten_pass_when_nothing_is() -> None:
    check_all()

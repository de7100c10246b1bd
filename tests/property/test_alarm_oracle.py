"""The life of alarms against a naive reading of it: every operation in every state, and at random."""

import random
from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache
from itertools import product
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.model import Severity
from rules.due import steady
from rules.flow import State
from rules.incident import Incident
from rules.model import RuleSet
from rules.outputs import Cleared, Operation, OperationKind, Output, Raised
from rules.standing import letter
from rules.step import Tick, next_due, operate, start, step
from tests.harness.reference_alarm import LIFE, SAFETY, Alarm, Terms
from tests.unit.rules_site import SECOND, sample, usable

NAMES = {SAFETY: "safety", LIFE: "life"}
X = "x[meter-1]"
OPERATIONS: dict[str, OperationKind] = {
    "ack": "ack", "shelve": "shelve", "one_shot": "shelve", "unshelve": "unshelve",
    "out_of_service": "out_of_service", "in_service": "in_service", "reset": "reset",
}  # fmt: skip


def written(terms: Terms) -> str:
    keys = [f"ack: {terms.ack}", f"latch: {str(terms.latch).lower()}", "suppressed_by: [y]"]
    keys += [f"cooldown: {terms.cooldown}s"] if terms.cooldown else []
    keys += [f"realarm: {terms.realarm}s"] if terms.realarm else []
    keys += [f"flap: {{raises: {terms.flap[0]}, in: {terms.flap[1]}s}}"] if terms.flap else []
    levels = ", ".join(
        f"{{when: it.elec.voltage.a > {limit} V, for: {delay}s, severity: {NAMES[severity]}}}"
        for limit, delay, severity in terms.levels
    )
    keys += [f"levels: [{levels}]"] if levels else []
    stages = ", ".join(
        f"{{after: {after}s, if: {only}, notify: {{to: guard}}}}" for after, only in terms.escalate
    )
    keys += [f"escalate: [{stages}]"] if stages else []
    return f"""
rules:
- id: x
  for_each: {{id: meter-1}}
  with: {{lamp: light-1}}
  when: it.elec.voltage.a > 250 V
  alarm: {{severity: operational, {", ".join(keys)}}}
  do:
  - set: {{device: lamp, point: light.level, value: 60 %}}
  - notify: {{to: guard}}
- id: y
  for_each: {{id: meter-1}}
  when: it.elec.pf.total > 0
  alarm: {{severity: safety}}
"""


class Step(NamedTuple):
    """`what`: wait, show, other, or an operation. `number`: seconds, volts, or 0 and 1."""

    what: str
    number: int = 0


@lru_cache(maxsize=256)
def compiled(terms: Terms) -> RuleSet:
    return usable(written(terms), recipients=["guard"])


class Engine:
    def __init__(self, terms: Terms) -> None:
        self.state = start(compiled(terms))
        self.rank = next(r for r, one in enumerate(self.state.rules.instances) if one.id == X)
        self.now = 0

    def take(self, one: Step) -> list[str] | None:
        if one.what == "wait":
            return self._wait(self.now + one.number)
        if one.what == "show":
            return self._see({"elec.voltage.a": one.number})
        if one.what == "other":
            return self._see({"elec.pf.total": one.number})
        span = one.number * SECOND
        shot = one.what == "one_shot"
        operation = Operation(OPERATIONS[one.what], X, "ann", span, "work", one_shot=shot)
        try:
            self.state, outputs = operate(self.state, operation, self.now * SECOND)
        except ValueError:
            return None
        return said(outputs)

    def _see(self, values: dict[str, float]) -> list[str]:
        taken = sample("meter-1", self.now, dict(values))
        self.state, outputs = step(self.state, taken, self.now * SECOND)
        return said(outputs)

    def _wait(self, until: int) -> list[str]:
        found: list[str] = []
        while (due := next_due(self.state)) is not None and due <= until * SECOND:
            self.state, outputs = step(self.state, Tick(), due)
            found += said(outputs)
        self.now = until
        return found


def said(outputs: list[Output]) -> list[str]:
    found = []
    for one in outputs:
        if one.instance != X:
            continue
        match one:
            case Raised():
                found.append("raised" if one.annunciate else "raised quietly")
            case Cleared():
                found.append("cleared")
            case _:
                found.append(getattr(one, "change", type(one).__name__.lower()))
    return found


def naive(alarm: Alarm, one: Step) -> list[str] | None:
    match one.what:
        case "wait":
            return alarm.until(alarm.now + one.number)
        case "show":
            return alarm.show(one.number)
        case "other":
            return alarm.suppress(other=bool(one.number))
    return alarm.do(one.what, one.number)


def check(terms: Terms, steps: list[Step]) -> Alarm:
    engine, alarm = Engine(terms), Alarm(terms)
    for number, one in enumerate(steps):
        found, wanted = engine.take(one), naive(alarm, one)
        assert found == wanted, (number, steps[: number + 1])
        assert letter(engine.state, engine.rank) == alarm.letter, (number, steps[: number + 1])
    return alarm


HOUR = 3_600
EVERYTHING = [
    Step("show", 260), Step("show", 230), Step("other", 1), Step("other", 0), Step("ack"), Step("shelve", HOUR),
    Step("one_shot", HOUR), Step("unshelve"), Step("out_of_service", HOUR), Step("in_service"),
    Step("reset"), Step("wait", 2 * HOUR),
]  # fmt: skip


def states(terms: Terms) -> Iterator[list[Step]]:
    """A shortest way to each combination of flags."""
    seen: set[tuple[object, ...]] = set()
    ways: list[list[Step]] = [[]]
    while ways:
        way = ways.pop(0)
        alarm = Alarm(terms)
        for one in way:
            naive(alarm, one)
        flags = (
            alarm.active, alarm.latched, alarm.open, alarm.acked is None, alarm.shelf is None, alarm.shot,
            alarm.out is None, alarm.suppressed, alarm.other, alarm.heard is None, alarm.holding,
        )  # fmt: skip
        if flags not in seen:
            seen.add(flags)
            yield way
            ways += [[*way, Step("wait", 1), one] for one in EVERYTHING]


@pytest.mark.parametrize(
    ("ack", "latch"), [*product(("required", "optional", "none"), (False, True))]
)
def test_every_operation_does_what_it_should_in_every_state(ack: str, *, latch: bool) -> None:
    terms = Terms(ack=ack, latch=latch)
    count = 0
    for way in states(terms):
        for one in EVERYTHING:
            check(terms, [*way, Step("wait", 1), one])
            count += 1
    assert count >= 250


TERMS = st.builds(
    Terms,
    ack=st.sampled_from(["required", "optional", "none"]),
    latch=st.booleans(),
    cooldown=st.sampled_from([0, 0, 5, 20]),
    realarm=st.sampled_from([0, 0, 4, 10]),
    flap=st.none() | st.tuples(st.integers(1, 3), st.sampled_from([5, 10])),
    levels=st.sampled_from([
        (), ((270, 0, SAFETY),), ((270, 2, LIFE),), ((270, 1, SAFETY), (290, 3, LIFE)),
    ]),
    escalate=st.sampled_from([
        (), ((3, "unacked"),), ((3, "active"), (3, "unacked")), ((2, "unacked"), (6, "active")),
    ]),
).map(lambda terms: replace(terms, realarm=0) if terms.ack == "none" else terms)  # fmt: skip
STEPS = st.lists(
    st.one_of(
        st.builds(Step, st.just("wait"), st.sampled_from([1, 1, 2, 3, 5, 10, 20])),
        st.builds(Step, st.just("show"), st.sampled_from([230, 260, 260, 280, 295])),
        st.builds(Step, st.just("other"), st.integers(0, 1)),
        st.builds(Step, st.sampled_from(["ack", "unshelve", "in_service", "reset"])),
        st.builds(Step, st.sampled_from(["shelve", "one_shot", "out_of_service"]), st.sampled_from([2, 5, 10])),
    ),
    max_size=30,
)  # fmt: skip


@pytest.mark.timeout(120)
@settings(max_examples=1200, deadline=None)
@given(TERMS, STEPS)
def test_the_life_of_an_alarm_equals_its_definition(terms: Terms, steps: list[Step]) -> None:
    check(terms, steps)


@pytest.mark.chaos
@settings(max_examples=20_000, deadline=None)
@given(TERMS, STEPS)
def test_the_life_of_an_alarm_equals_its_definition_in_20000_cases(
    terms: Terms, steps: list[Step]
) -> None:
    check(terms, steps)


def cases(count: int) -> Iterator[tuple[Terms, list[Step]]]:
    """The same ones every time."""
    dice = random.Random(7)
    for _ in range(count):
        ack = dice.choice(["required", "optional", "none"])
        yield (
            Terms(
                ack, latch=dice.random() < 0.4, cooldown=dice.choice([0, 0, 5]),
                realarm=0 if ack == "none" else dice.choice([0, 4]),
                flap=dice.choice([None, (1, 10), (2, 10)]),
                levels=dice.choice([(), ((270, 0, SAFETY), (290, 3, LIFE)), ((270, 2, LIFE),)]),
                escalate=dice.choice([(), ((3, "active"), (3, "unacked")), ((2, "unacked"),)]),
            ),
            [_random_step(dice) for _ in range(25)],
        )  # fmt: skip


def _random_step(dice: random.Random) -> Step:
    what = dice.choice(["wait", "wait", "show", "show", "other", "ack", *OPERATIONS])
    numbers = {"wait": [1, 2, 3, 5, 10], "show": [230, 260, 280, 295], "other": [0, 1]}
    return Step(what, dice.choice(numbers.get(what, [2, 5, 10])))


def _steady_late(state: State, rank: int, one: Incident) -> int | None:
    due = steady(state, rank, one)
    return None if due is None else due + SECOND


def _forgets_other_mutes(state: State, rank: int) -> bool:
    return state.incidents.get(rank, Incident()).shelved_ns is not None


def _unknown_who(state: State, rank: int, now: int) -> Severity:
    return state.rules.instances[rank].rule.severity or Severity.OPERATIONAL


@pytest.mark.parametrize(("place", "mutant"), [
    ("rules.alarming.muted", _forgets_other_mutes),
    ("rules.deeds.muted", _forgets_other_mutes),
    ("rules.alarming.suppressed", lambda *_: False),
    ("rules.alarming.effective", _unknown_who),
    ("rules.levels.effective", _unknown_who),
    ("rules.due.steady", _steady_late),
    ("rules.due.realarm", lambda *_: None),
    ("rules.care._applies", lambda *_: True),
    ("rules.alarming.settle", lambda *_: None),
    ("rules.alarming.related", lambda *_: None),
    ("rules.levels.review", lambda *_: None),
    ("rules.care.hush", lambda *_, **__: None),
    ("rules.operator.hush", lambda *_: None),
    ("rules.alarming.told_end", lambda *_: None),
    ("rules.alarming._flap", lambda *_: False),
    ("rules.activation.out", lambda *_: False),
    ("rules.alarming.run_steps", lambda *_: None),
    ("rules.incident.Incident.unacked", property(lambda one: one.open)),
])  # fmt: skip
def test_teeth_a_changed_engine_is_told_from_its_definition(
    place: str, mutant: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(place, mutant)
    with pytest.raises(AssertionError):
        check_all()


def check_all() -> None:
    for terms, steps in cases(400):
        check(terms, steps)


def test_the_cases_that_find_mutants_pass_without_one() -> None:
    check_all()

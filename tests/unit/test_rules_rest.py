"""A window rests while no condition that reads it can be true; only what it costs shows that."""

from types import ModuleType

import pytest

from rules import flow, rest
from rules.explain import explained, named
from rules.flow import State
from rules.outputs import Logged, Notified, Output
from rules.step import Tick, next_due, start, step
from tests.harness.mutant import mutant
from tests.unit.rules_site import SECOND, sample, usable

GUARDED = """
rules:
- id: high
  for_each: {id: meter-1}
  when: it.elec.pf.total > 0.5 and avg(it.elec.voltage.a, 10s) > 230 V
"""
ALARM = GUARDED + "  alarm: {severity: safety}\n"
SAYS = (
    GUARDED
    + '  do: [{log: begins}]\n  on_clear: [{wait: 60s}, {log: "{avg(it.elec.voltage.a, 10s)}"}]\n'
)
GROUPED = """
rules:
- id: high
  for_each: {id: meter-1}
  with: {meters: {type: meter, tags: {building: "1"}}}
  when: avg(it.elec.voltage.a, 10s) > 230 V and any(meters.elec.pf.total > 0.5)
  alarm: {severity: safety}
"""
LISTS = (
    ALARM
    + """
- id: list
  for_each: {id: light-1}
  with: {meters: {type: meter}}
  when: it.light.on
  digest: {list: meters, where: "avg(meters.elec.voltage.a, 10s) > 230 V", columns: [building]}
  do: [{notify: {to: guard, digest: true}}]
"""
)


def shown(rules: str, factor: float) -> tuple[State, list[Output]]:
    """Half a minute: the voltage rises by a volt a second, the power factor is as given, then 0."""
    state, said = start(usable(rules, recipients=["guard"])), []
    for at in range(1, 31):
        pf = factor if at < 20 else 0.0
        one = sample("meter-1", at, {"elec.voltage.a": 220 + at, "elec.pf.total": pf})
        state, outputs = step(state, one, at * SECOND)
        said += outputs
    return state, said


def rests(rules: str) -> bool:
    return bool(shown(rules, 0.1)[0].asleep)


def average(state: State) -> str:
    one = explained(state, named(state, "high[meter-1]")[0], 30 * SECOND)
    return next(part.text for part in one.when_parts if part.text.startswith("avg"))


def test_a_window_that_cannot_matter_sets_no_timer() -> None:
    state, said = shown(ALARM, 0.1)
    assert (said, next_due(state), state.asleep) == ([], 181 * SECOND, {0})  # values too old


def test_who_asks_why_sees_the_window_as_it_is_also_while_it_rests() -> None:
    assert average(shown(ALARM, 0.1)[0]) == "avg(elec.voltage.a, 10s) (245.5) > 230"


@pytest.mark.parametrize("rules", [ALARM, GROUPED])
def test_a_window_wakes_as_soon_as_it_can_matter(rules: str) -> None:
    wakes(rules)


def wakes(rules: str = ALARM) -> None:
    state, _ = shown(rules, 0.1)
    assert state.asleep
    state, outputs = step(state, sample("meter-1", 31, {"elec.pf.total": 0.9}), 31 * SECOND)
    assert [type(one).__name__ for one in outputs] == ["Raised"]
    assert outputs[0].values["avg(elec.voltage.a, 10s)"] == 246  # type: ignore[union-attr] # it is a Raised
    state, outputs = step(state, Tick(), 60 * SECOND)
    assert average(state).startswith("avg(elec.voltage.a, 10s) (unknown)")


@pytest.mark.parametrize("rules", [SAYS, LISTS])
def test_a_window_that_a_text_tells_never_rests(rules: str) -> None:
    assert rests(ALARM)
    assert not rests(rules)


def test_what_is_told_after_the_end_is_as_it_is_then() -> None:
    state, said = shown(SAYS, 0.9)
    state, outputs = step(state, sample("meter-1", 79, {"elec.voltage.a": 300}), 79 * SECOND)
    state, outputs = step(state, Tick(), 80 * SECOND)
    assert [one.text for one in [*said, *outputs] if isinstance(one, Logged | Notified)] == ["begins", "300"]  # fmt: skip


@pytest.mark.parametrize(
    ("module", "old", "new", "test"),
    [
        (flow, "value(state.now)", "value(0)", test_who_asks_why_sees_the_window_as_it_is_also_while_it_rests),
        (rest, " and index not in rest", "", test_what_is_told_after_the_end_is_as_it_is_then),
        (flow, "state.asleep.remove(number)", "continue", wakes),
        (rest, "inputs[one.number] not in able", "one", wakes),
        (flow, "state.asleep.add(number)", "return False", test_a_window_that_cannot_matter_sets_no_timer),
    ],
)  # fmt: skip
def test_teeth_a_window_that_rests_wrongly_is_seen(
    module: ModuleType, old: str, new: str, test: object
) -> None:
    with mutant(module, old, new), pytest.raises(AssertionError):
        test()  # type: ignore[operator] # a test of above

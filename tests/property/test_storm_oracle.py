"""Storms against a naive reading of them: many alarms that come and go, acknowledged or not."""

from collections.abc import Sequence
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.document import parse
from gateway.profile import Profile
from rules.load import DeviceView, load_rules
from rules.model import RuleSet
from rules.outputs import Changed, Cleared, Operation, Raised
from rules.step import operate, start, step
from tests.unit.rules_site import SECOND, sample

MOST, SPAN = 2, 10
PROFILE = Profile.model_validate({
    "profile": "thing", "type": "thing", "facility": "utilities", "protocol": "test",
    "sources": ["tests"], "status": "bench", "points": [{"id": "a.state", "kind": "state", "latched": True}],
})  # fmt: skip
NAMES = ("a1", "a2", "a3", "b1", "b2", "b3")
RULES = f"""
rules:
- id: x
  for_each: {{type: thing}}
  when: it.a.state
  alarm: {{severity: operational, ack: required, storm: {{as: many, more_than: {MOST}, in: {SPAN}s, group_by: [house]}}}}
"""


def compiled() -> RuleSet:
    devices = [DeviceView(name, PROFILE, {"house": name[0]}) for name in NAMES]
    rules, problems = load_rules([parse(RULES.encode(), "r.yaml")], devices)
    assert problems == []
    return rules


class Step(NamedTuple):
    """So many seconds later; `what` is on, off or ack of `name`, a device or `many[house]`."""

    later: int
    what: str
    name: str


class Naive:
    """All raises are kept, and looked through each time."""

    def __init__(self) -> None:
        self.raises: list[tuple[int, str]] = []
        self.active: set[str] = set()
        self.open: set[str] = set()  # seen or not, not over yet
        self.acked: set[str] = set()

    def take(self, now: int, one: Step) -> list[str]:
        if one.what == "ack":
            return self._ack(one.name)
        if (one.what == "on") is (one.name in self.active):
            return []
        return self._raise(now, one.name) if one.what == "on" else self._clear(one.name)

    def _raise(self, now: int, name: str) -> list[str]:
        house, whole = name[0], f"many[{name[0]}]"
        self.active.add(name)
        self._begin(name)
        self.raises.append((now, house))
        recent = sum(1 for at, where in self.raises if where == house and at > now - SPAN)
        many = whole in self.open or recent > MOST
        said = []
        if many and whole not in self.active:
            self.active.add(whole)
            self._begin(whole)
            said.append(f"raised {whole}")
        return [*said, f"raised x[{name}]{' quietly' if many else ''}"]

    def _begin(self, name: str) -> None:
        self.open.add(name)
        self.acked.discard(name)

    def _clear(self, name: str) -> list[str]:
        whole = f"many[{name[0]}]"
        said = [f"cleared x[{name}]"]
        self.active.discard(name)
        self._close(name)
        if whole in self.active and not any(
            other[0] == name[0] for other in self.active - {whole} if other in NAMES
        ):
            self.active.discard(whole)
            said.append(f"cleared {whole}")
            self._close(whole)
        return said

    def _close(self, name: str) -> None:
        if name in self.acked and name not in self.active:
            self.open.discard(name)

    def _ack(self, name: str) -> list[str]:
        if name not in self.open:
            return ["refused"]
        house = name.removeprefix("many[")[0]
        members = [one for one in NAMES if one[0] == house] if name.startswith("many") else []
        said = []
        for one in (name, *members):
            if one in self.open and one not in self.acked:
                self.acked.add(one)
                self._close(one)
                said.append(f"acked {one if one.startswith('many') else f'x[{one}]'}")
        return said


def engine(steps: Sequence[Step]) -> list[list[str]]:
    state = start(RULE_SET)
    found, now = [], 0
    for one in steps:
        now += one.later
        if one.what == "ack":
            alarm = one.name if one.name.startswith("many") else f"x[{one.name}]"
            try:
                state, outputs = operate(state, Operation("ack", alarm, "ann"), now * SECOND)
            except ValueError:
                found.append(["refused"])
                continue
        else:
            taken = sample(one.name, now, {"a.state": one.what == "on"})
            state, outputs = step(state, taken, now * SECOND)
        found.append([said(output) for output in outputs])
    return found


def said(output: object) -> str:
    match output:
        case Raised():
            return f"raised {output.instance}{'' if output.annunciate else ' quietly'}"
        case Cleared():
            return f"cleared {output.instance}"
        case Changed():
            return f"{output.change} {output.instance}"
    raise AssertionError(output)


def naive(steps: Sequence[Step]) -> list[list[str]]:
    reading, found, now = Naive(), [], 0
    for one in steps:
        now += one.later
        found.append(reading.take(now, one))
    return found


RULE_SET = compiled()
STEPS = st.lists(
    st.one_of(
        st.builds(Step, st.sampled_from([0, 0, 1, 3, SPAN]), st.sampled_from(["on", "on", "off"]), st.sampled_from(NAMES)),
        st.builds(Step, st.just(1), st.just("ack"), st.sampled_from([*NAMES, "many[a]", "many[b]"])),
    ),
    max_size=40,
)  # fmt: skip


@settings(max_examples=500, deadline=None)
@given(STEPS)
def test_storms_equal_their_definition(steps: list[Step]) -> None:
    assert engine(steps) == naive(steps)


@pytest.mark.parametrize("place", ["rules.alarming._storm", "rules.alarming._calm"])
def test_teeth_a_storm_that_does_not_begin_or_end_is_noticed(
    place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    burst = [Step(0, "on", name) for name in NAMES] + [Step(1, "off", name) for name in NAMES]
    assert engine(burst) == naive(burst)
    monkeypatch.setattr(place, lambda *_: None)
    assert engine(burst) != naive(burst)

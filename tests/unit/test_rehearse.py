"""The steps of a rule for a drill: what is done, which waits there are, and how each ends."""

from collections.abc import Sequence

import pytest

from gateway.model import Outcome
from rules.outputs import Answer, Claimed, Commanded, Logged, Notified, Ref
from rules.rehearse import Part, Pause, Rehearsal, planned
from tests.unit.rules_site import SECOND
from tests.unit.test_rules_writes import HEAD, Engine

SET = "set: {device: lamp, point: light.level, value: 60 %"
UNTIL = "wait_until: {when: lamp.light.group > 5, timeout: 30s, on_timeout: [{log: late}]}"
ALL = f"""{HEAD}  - {SET}, hold: 1h}}
  - wait: 10s
  - {UNTIL}
  - command: {{device: lamp, point: light.level, value: 10 %, await_confirm: true, on_fail: [{{log: failed}}]}}
  - parallel: [{{log: a}}, {{wait: 5s}}]
  - notify: {{to: guard}}
"""


def shown(parts: Sequence[Part | Pause]) -> list[str]:
    return [_shown(part) for part in parts]


def _shown(part: Part | Pause) -> str:
    if isinstance(part, Pause):
        return f"wait {part.text}"
    match part.output:
        case Claimed() | Commanded():
            return f"{part.output.value}"
        case Logged():
            return part.output.text
        case Notified():
            return "told"


class Drill:
    def __init__(self, text: str, group: int = 1) -> None:
        self.engine = Engine(text)
        self.engine.on(1, group)
        self.rehearsal = Rehearsal(self.engine.state, 0)
        self.parts: list[Part | Pause] = []

    def at(self, seconds: float) -> list[str]:
        parts = self.rehearsal.go_on(round(seconds * SECOND))
        self.parts += parts
        return shown(parts)

    def answer(self, outcome: Outcome) -> None:
        part = next(p for p in self.parts if isinstance(p, Part) and p.step is not None)
        assert part.step is not None
        ref = Ref("r", 0, part.step)
        self.rehearsal.answer(part.step, Answer(ref, "light-1", "light.level", outcome))

    @property
    def pauses(self) -> list[tuple[str, str]]:
        return [(p.text, p.outcome) for p in self.parts if isinstance(p, Pause)]


CONDITION = "lamp.light.group > 5"


def test_it_goes_through_waits_and_says_how_each_ended() -> None:
    drill = Drill(ALL)
    assert drill.at(100) == ["60", "wait 10s"]
    (held, _) = drill.parts
    assert isinstance(held, Part)
    assert held.hold_ns == 3600 * SECOND
    assert drill.rehearsal.due() == 110 * SECOND
    assert drill.at(109) == []
    assert drill.at(110) == [f"wait {CONDITION}"]
    drill.engine.on(115, 6)
    assert drill.at(115) == ["10"]
    assert drill.at(116) == [], "it waits for its confirmation"
    drill.answer(Outcome.CONFIRMED)
    assert drill.at(117) == ["a", "wait 5s"]
    assert drill.at(122) == ["told"]
    assert drill.rehearsal.over
    assert drill.pauses == [("10s", "over"), (CONDITION, "true"), ("5s", "over")]


def test_what_never_comes_true_has_timed_out_and_what_fails_does_what_the_rule_says() -> None:
    drill = Drill(ALL)
    drill.at(100)
    drill.at(110)
    assert drill.at(140) == ["late", "10"]
    drill.answer(Outcome.UNCONFIRMED)
    assert drill.at(141) == ["failed", "a", "wait 5s"]
    assert drill.pauses[1] == (CONDITION, "timed out")


def test_a_condition_that_is_true_at_once_is_a_wait_that_is_over() -> None:
    drill = Drill(f"{HEAD}  - {UNTIL}\n  - log: on\n", group=7)
    assert sorted(drill.at(100)) == ["on", f"wait {CONDITION}"]
    assert drill.pauses == [(CONDITION, "true")]
    assert drill.rehearsal.over


def test_a_plan_shows_all_as_if_everything_went_well() -> None:
    engine = Engine(ALL)
    parts = planned(engine.state, 0, 100 * SECOND)
    assert shown(parts) == [
        "60", "wait 10s", "10", f"wait {CONDITION}", "a", "wait 5s", "told",
    ]  # fmt: skip


@pytest.mark.parametrize("step", ["wait: 24h", UNTIL])
def test_a_rehearsal_leaves_the_engine_as_it_is(step: str) -> None:
    engine = Engine(f"{HEAD}  - {SET}}}\n  - {step}\n")
    planned(engine.state, 0, SECOND)
    Rehearsal(engine.state, 0).go_on(SECOND)
    assert (engine.state.runs, engine.state.claimed, engine.state.touched) == ({}, {}, set())

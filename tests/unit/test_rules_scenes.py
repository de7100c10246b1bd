"""Scenes: several points under one name, held by rules that end, written once by those that do not."""

import pytest

from gateway.calendar import LocalCalendar
from gateway.document import parse
from rules.load import load_rules
from rules.outputs import Claimed, Commanded
from tests.unit.rules_site import DEVICES, load
from tests.unit.test_rules_writes import AT, HEAD, Engine

SCENES = """
scenes:
  evening:
  - {device: light-1, point: light.level, value: 60 %}
  - {device: light-1, point: light.on, value: true}
"""


def test_a_scene_is_held_until_the_rule_ends() -> None:
    engine = Engine(f"{HEAD}  - scene: evening\n{SCENES}")
    assert engine.on(1) == ["light.level = 60", "light.on = True"]
    assert engine.off(2) == ["light.level given back", "light.on given back"]


def test_at_a_moment_a_scene_is_written_once_or_held_for_a_while() -> None:
    engine = Engine(f"{AT}  - scene: evening\n{SCENES}")
    engine.until(60)
    assert [type(o) for o in engine.outputs[1:]] == [Commanded, Commanded]
    engine = Engine(f"{AT}  - scene: {{name: evening, hold: 30s}}\n{SCENES}")
    assert engine.until(100) == [
        "60 light.level = 60", "60 light.on = True", "90 light.level given back",
        "90 light.on given back",
    ]  # fmt: skip
    assert any(isinstance(output, Claimed) for output in engine.outputs)


def test_when_a_rule_ends_a_scene_is_written_once() -> None:
    engine = Engine(f"{HEAD}  - log: x\n  on_clear: [{{scene: evening}}]\n{SCENES}")
    engine.on(1)
    engine.off(2)
    assert [type(o) for o in engine.outputs[1:]] == [Commanded, Commanded]


def test_a_file_may_hold_scenes_alone_for_the_rules_of_others() -> None:
    assert load(SCENES, f"{HEAD}  - scene: evening\n")[1] == []


WRONG = {
    (SCENES.replace("light-1, point: light.level", "light-9, point: light.level"), "scenes.evening[0].device: unknown device 'light-9': did you mean 'light-1'?"),
    (SCENES.replace("60 %", "101 %"), "scenes.evening[0].value: 101 is outside 0 to 100: write 0 % to 100 %"),
    (SCENES.replace("light.on", "light.level").replace("true", "5 %"), "scenes.evening[1].point: 'light.level' of this device twice in the scene: remove one"),
    (SCENES.replace("light.on", "env.illuminance"), "scenes.evening[1].point: point 'env.illuminance' of profile 'test-light' cannot be written"),
    ("\nscenes: {evening: []}", "scenes.evening: this: List should have at least 1 item after validation, not 0"),
    (SCENES.replace("evening", "morning"), "rules[0].do[0].scene: unknown scene 'evening': write one of morning"),
    ("", "rules[0].do[0].scene: unknown scene 'evening': add it under `scenes:`, beside `rules:`"),
}  # fmt: skip


@pytest.mark.parametrize(("scenes", "message"), sorted(WRONG))
def test_wrong_scenes_are_refused_where_they_stand(scenes: str, message: str) -> None:
    problems = load(f"{HEAD}  - scene: evening\n{scenes}")[1]
    assert message in str(problems[0]).split(": ", 1)[1]


def test_a_scene_has_one_place() -> None:
    problems = load(f"{HEAD}  - scene: evening\n{SCENES}", SCENES)[1]
    assert [str(p) for p in problems] == [
        "b.yaml:3:3: scenes.evening: scene 'evening' twice: give it another name: the first stands at a.yaml:10:3"
    ]


def test_what_saves_lives_writes_no_scene_once_that_cannot_be_repeated() -> None:
    text = f"{HEAD}  - log: x\n  priority: life\n  on_clear: [{{scene: evening}}]\n{SCENES}"
    assert {p.path for p in load(text)[1]} == {"rules[0].on_clear[0].scene"}


def test_a_scene_is_not_held_after_the_end() -> None:
    text = f"{HEAD}  - log: x\n  on_clear: [{{scene: {{name: evening, hold: 5s}}}}]\n{SCENES}"
    documents = [parse(text.encode(), "a.yaml")]
    _, problems = load_rules(documents, DEVICES, (), LocalCalendar("UTC", None))
    assert [p.path for p in problems] == ["rules[0].on_clear[0]"]

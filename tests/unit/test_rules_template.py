"""Templates: inputs are values, never text; what is wrong names the use and the template."""

import re
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.document import parse
from gateway.errors import ConfigError
from gateway.words.text import Said, say
from rules import inputs, template
from rules.inputs import Given, InputSection
from rules.load import load_rules
from rules.parse import parse as parse_expression
from tests.unit.rules_site import DEVICES, load, usable

TEMPLATE = """\
templates:
  high:
    inputs:
      where: {type: selector}
      what: {type: point}
      limit: {type: number, unit: V, min: 100, max: 280}
      wait: {type: duration, default: 30s}
      how: {type: enum, values: [safety, operational], default: operational}
    rule:
      for_each: ${where}
      when: it.${what} > ${limit}
      for: ${wait}
      alarm: {severity: "${how}"}
"""
USE = """\
rules:
- id: r
  title: too high
  template: high
  inputs: {where: {type: meter}, what: elec.voltage.a, limit: 253 V}
"""
PLAIN = """\
rules:
- id: r
  title: too high
  for_each: {type: meter}
  when: it.elec.voltage.a > (253 V)
  for: 30s
  alarm: {severity: operational}
"""


def test_a_rule_of_a_template_is_the_rule_written_out() -> None:
    made, plain = usable(TEMPLATE + USE), usable(PLAIN)
    assert made.rules == plain.rules
    shown = [[(one.id, one.when.text, one.when.term) for one in r.instances] for r in (made, plain)]
    assert shown[0] == shown[1]
    assert made.notes == ()


def test_templates_of_one_file_serve_all_files() -> None:
    assert [rule.id for rule in usable(USE, TEMPLATE).rules] == ["r"]


def test_defaults_stand_where_nothing_is_given_and_give_way_otherwise() -> None:
    (rule,) = usable(TEMPLATE + USE.replace("limit: 253 V", "limit: 0.25 kV, wait: 1m, how: safety")).rules  # fmt: skip
    assert (rule.for_ns, rule.severity.name) == (60 * 10**9, "SAFETY")  # type: ignore[union-attr]  # -- it has an alarm


def test_inputs_stand_in_texts_for_people_and_steps() -> None:
    text = """\
templates:
  light:
    inputs: {level: {type: number, unit: "%"}, said: {type: text}, lamp: {type: device}, limit: {type: number}}
    rule:
      for_each: {type: meter}
      with: {lamp: "${lamp}"}
      when: {any: ["it.elec.voltage.a > ${limit}", it.elec.pf.total < 0]}
      do:
      - set: {device: lamp, point: light.level, value: "${level}"}
      - notify: {to: guard, text: "${said}"}
      - log: "now {it.elec.voltage.a - ${limit}} above"
      - if: {cond: "it.elec.voltage.a > ${limit}", then: [{wait: 5s}]}
rules:
- {id: r, template: light, inputs: {level: 60 %, said: Look, lamp: light-1, limit: 250 V}}
"""
    rules = usable(text, recipients=["guard"])
    (setting, notice, note, _) = rules.instances[0].do
    assert (setting.device, setting.point, setting.value) == ("light-1", "light.level", 60)  # type: ignore[union-attr]  # -- a Setting
    assert notice.text.parts == ("Look",)  # type: ignore[union-attr]  # -- a Notice
    assert note.text.parts[1].text == "it.elec.voltage.a - (250 V)"  # type: ignore[union-attr]  # -- a Note
    assert rules.instances[0].when.text == "(it.elec.voltage.a > (250 V)) or (it.elec.pf.total < 0)"


@pytest.mark.parametrize(
    ("old", "new", "line", "column", "said", "fix"),
    [
        ("template: high", "template: hihg", 17, 13, "unknown template 'hihg'", "did you mean 'high'?"),
        (", limit: 253 V", "", 18, 11, "input 'limit' of template 'high' (a.yaml:6:14) is missing", "add it below `inputs`"),
        ("limit: 253 V", "limit: 253 V, x: 1", 18, 70, "template 'high' (a.yaml:4:7) has no input 'x'", "write one of how, limit, wait, what, where"),
        ("limit: 253 V", "limit: 253 A", 18, 63, "a current where a voltage should be (template 'high', a.yaml:6:14)", "write it in V"),
        ("limit: 253 V", "limit: 253", 18, 63, "number without a unit, but the other side is a voltage (template 'high', a.yaml:6:14)", "write e.g. 253 V"),
        ("limit: 253 V", "limit: 1 kV", 18, 63, "1 kV is not between 100 and 280 V (template 'high', a.yaml:6:14)", "write a number inside"),
        ("limit: 253 V", "limit: 253 things", 18, 63, "'things' is no unit (template 'high', a.yaml:6:14)", "write a unit such as V, A, kW, kWh, °C, % or lx"),
        ("limit: 253 V", "limit: '1 V or true'", 18, 63, "'1 V or true' is no number (template 'high', a.yaml:6:14)", "write a number with its unit, e.g. 253 V"),
        ("what: elec.voltage.a", "what: 'elec.voltage.a or x'", 18, 40, "'elec.voltage.a or x' is no name of a point (template 'high', a.yaml:5:13)", "write e.g. elec.voltage.a"),
        ("where: {type: meter}", "where: meter", 18, 19, "'meter' selects no devices (template 'high', a.yaml:4:14)", "write a selector: {type: meter}"),
        ("limit: 253 V", "limit: 253 V, wait: 30", 18, 76, "30 is no duration (template 'high', a.yaml:7:13)", "write a number and one of ms, s, m, h, d: 30s"),
        ("limit: 253 V", "limit: 253 V, how: life", 18, 75, "'life' is not allowed (template 'high', a.yaml:8:12)", "write one of safety, operational"),
        ("  template: high", "  template: high\n  for: 5s", 18, 3, "'for' beside `template`", "only id, title and enabled stand there: make an input of it, or write the rule out"),
        # found when the rule is checked
        ("what: elec.voltage.a", "what: elec.voltage.b", 17, 13, "profile 'test-meter' has no point 'elec.voltage.b' (template 'high', a.yaml:11:13)", "did you mean 'elec.voltage.a'?"),
        ("{type: meter}", "{typ: meter}", 18, 19, "unknown key 'typ' (template 'high', a.yaml:10:17)", "did you mean 'type'?"),
        ("{type: meter}", "{id: meter-9}", 18, 19, "unknown device 'meter-9' (template 'high', a.yaml:10:17)", "did you mean 'meter-2'?"),
        ("id: r", "id: R", 15, 7, "'R' is no id", "use 1 to 63 of a-z, 0-9 and '-', beginning with a letter or digit"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_use_names_the_use_and_the_template(
    old: str, new: str, line: int, column: int, said: str, fix: str
) -> None:
    (problem,) = load(TEMPLATE + USE.replace(old, new))[1]
    assert (problem.what, problem.fix, problem.line, problem.column) == (said, fix, line, column)
    assert isinstance(problem.what, Said)
    assert re.search(r"[\u4e00-\u9fff]", say(problem.what, "zh"))


@pytest.mark.parametrize(
    ("old", "new", "line", "column", "said"),
    [
        ("${what} > ${limit}", "${what} > ${limits}", 11, 13, "'${limits}' is no input of the template"),
        ("for: ${wait}", "for: 30s", 7, 7, "the rule does not use the input 'wait'"),
        ("default: 30s", "default: 30", 7, 39, "30 is no duration"),
        ("{type: duration,", "{type: duration, unit: s,", 7, 13, "'unit' is for numbers, not for the type duration"),
        ("values: [safety, operational], ", "", 8, 12, "`values` lists what an enum may be, and only that"),
        ("unit: V", "unit: Volt", 6, 14, "'Volt' is no unit"),
        ("    rule:", "    rule:\n      id: x", 10, 7, "'id' in the rule of a template"),
        ("{type: point}", "{type: path}", 5, 20, "'path' is not allowed"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_template_is_told_at_the_template(
    old: str, new: str, line: int, column: int, said: str
) -> None:
    problems = load(TEMPLATE.replace(old, new) + "rules: []\n")[1]
    assert (line, column, said) in [(one.line, one.column, one.what) for one in problems]


@pytest.mark.parametrize(
    ("when", "said"),
    [
        ("it.${what}.x > ${limit}", "input 'what' touches what stands beside it"),
        ("it.${what} > 1${limit}", "input 'limit' touches what stands beside it"),
        ("it.${what} > ${limit}0", "input 'limit' touches what stands beside it"),
        ("it.${what} > ${limit}${limit}", "input 'limit' touches what stands beside it"),
        ("it.${what} > ${limit} V", "'V' after a finished expression"),
        ("any(${where}.${what})", "input 'where' cannot stand in an expression"),
    ],
)
def test_an_input_is_never_a_part_of_something_else(when: str, said: str) -> None:
    text = TEMPLATE.replace("it.${what} > ${limit}", when) + USE
    problems = [problem.what for problem in load(text)[1]]
    assert any(what.startswith(f"{said} (template 'high', a.yaml:11:13)") for what in problems)


def test_an_input_in_the_middle_of_a_text_is_refused() -> None:
    text = TEMPLATE.replace("alarm:", "do: [{log: 'above ${limit}'}]\n      alarm:") + USE
    assert [p.what for p in load(text)[1]] == [
        "an input as a part of a text (template 'high', a.yaml:13:18)"
    ]


def test_a_template_that_no_rule_uses_is_warned_of() -> None:
    (note,) = usable(TEMPLATE + "rules: []\n").notes
    assert str(note) == "a.yaml:2:3: templates.high: no rule uses this template: use it, or remove it"  # fmt: skip


def test_the_same_name_twice_is_refused() -> None:
    (problem,) = load(TEMPLATE + USE, TEMPLATE)[1]
    assert problem.what == "template 'high' twice"
    assert (problem.file, problem.line) == ("b.yaml", 2)


# -- whatever is given --------------------------------------------------------------------------

SECTIONS = [
    InputSection(type="point"), InputSection(type="number"), InputSection(type="duration"),
    InputSection(type="text"), InputSection(type="enum", values=["a", "b c", "or"]), InputSection(type="device"),
]  # fmt: skip
VALUES = st.one_of(
    st.text(max_size=30), st.integers(), st.floats(), st.none(), st.booleans(),
    st.sampled_from(["5 V", "-5 V", "30s", "a", "b c", "or", "it.x", "x) or (y", 'a" or "b', "${x}", "{it.x}", "a.b[*]"]),
)  # fmt: skip


@settings(max_examples=500, deadline=None)
@given(st.sampled_from(SECTIONS), VALUES)
def test_a_literal_is_one_value_in_an_expression(section: InputSection, value: object) -> None:
    """Multiplied from both sides it is the same operand: nothing of it leaks out."""
    found = inputs.given(section, value)
    if not isinstance(found, Given) or found.literal is None:
        return
    alias = "it." if section.type == "point" else ""
    tree = parse_expression(f"2 * {alias}{found.literal} == 3")
    assert tree.op == "=="  # type: ignore[union-attr]  # -- a comparison
    assert tree.left.op == "*"  # type: ignore[union-attr]  # -- of a product
    assert not hasattr(tree.left.right, "left")  # type: ignore[union-attr]  # -- with one operand


@settings(max_examples=200, deadline=None)
@given(st.dictionaries(st.sampled_from(["where", "what", "limit", "wait", "how", "x"]), VALUES))
def test_a_use_is_made_or_refused_with_its_place(given_: dict[str, object]) -> None:
    import orjson

    use = {"id": "r", "template": "high", "inputs": given_}
    try:
        document = parse(orjson.dumps({"rules": [use]}), "b.yaml")
    except (ConfigError, orjson.JSONEncodeError):
        return
    _, problems = load_rules([parse(TEMPLATE.encode(), "a.yaml"), document], DEVICES)
    assert all(problem.file == "b.yaml" and problem.line for problem in problems)


@pytest.mark.parametrize(
    ("module", "name", "instead"),
    [
        (inputs, "_point", lambda _, value: Given(value, str(value))),
        (inputs, "_number", lambda _, value: Given(value, str(value))),
        (template, "_is_condition", lambda _: False),
        (template, "_named", lambda _: iter(())),
        (template.Templates, "unused", lambda _: iter(())),
    ],
)
def test_teeth_text_that_is_pasted_is_noticed(
    module: Any, name: str, instead: Callable[..., object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, name, instead)
    kind = name.removeprefix("_")
    if kind in {"point", "number"}:
        monkeypatch.setattr(inputs, "_READ", dict(inputs._READ) | {kind: instead})
    red = 0
    tables: tuple[Any, ...] = (
        test_what_is_wrong_with_a_use_names_the_use_and_the_template,
        test_what_is_wrong_with_a_template_is_told_at_the_template,
        test_an_input_is_never_a_part_of_something_else,
    )
    for table in tables:
        (mark,) = table.pytestmark
        for row in mark.args[1]:
            red += _fails(table, *row)
    red += _fails(test_a_template_that_no_rule_uses_is_warned_of)
    assert red


def _fails(test: Callable[..., None], *row: object) -> bool:
    try:
        test(*row)
    except (AssertionError, ValueError, KeyError, IndexError):
        return True
    return False

"""What is said about a wrong rule file: the place, the fault and the fix, all at once."""

import pytest

from tests.unit.rules_site import load, usable

HEAD = "rules:\n- id: r\n  for_each: {type: meter}\n"
LAMP = "rules:\n- id: r\n  for_each: {type: light}\n  when: it.env.illuminance < 40 lx\n"
ONE = "write one comparison, e.g. it.elec.voltage.a > 253 V"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "a.yaml:1:1: no rules: begin with `rules:`"),
        ("- id: r", "a.yaml:1:1: no rules: begin with `rules:`"),
        ("rules: {}", "a.yaml:1:8: rules: this is not a list: write `- item` lines below it"),
        ("rules: []\nscenes: {}", "a.yaml:2:1: scenes: 'scenes' is not in this version: remove it"),
        ("rules: []\nrule: []", "a.yaml:2:1: rule: unknown key 'rule': did you mean 'rules'?"),
        ("rules: [x]", "a.yaml:1:9: rules[0]: 'x' is not a mapping: write `key: value` lines below it"),
        (f"{HEAD}  wen: 1\n  when: it.elec.voltage.a > 1 V", "a.yaml:4:3: rules[0].wen: unknown key 'wen': did you mean 'when'?"),
        ("rules:\n- id: r\n  when: it.elec.voltage.a > 1 V", "a.yaml:2:3: rules[0].for_each: missing: add this key"),
        ("rules:\n- id: R 1\n  for_each: {type: meter}\n  when: it.elec.voltage.a > 1 V",
         "a.yaml:2:7: rules[0].id: 'R 1' is no id: use 1 to 63 of a-z, 0-9 and '-', beginning with a letter or digit"),
    ],
)  # fmt: skip
def test_a_wrong_shape_is_refused_at_its_place(text: str, message: str) -> None:
    assert [str(problem) for problem in load(text)[1]] == [message]


@pytest.mark.parametrize(
    ("keys", "key"),
    [
        (f"{key}: {{}}", key)
        for key in (
            "with", "keep_for", "during", "at", "catch_up", "catch_up_max", "on_unknown",
            "unknown_for", "on_clear", "mode", "restart", "digest", "allow_feedback", "max_run",
            "template", "inputs",
        )
    ]
    + [(f"alarm: {{severity: life, {key}: 1}}", key) for key in (
        "latch", "ack", "cooldown", "realarm", "shelve_max", "flap", "storm", "escalate",
        "suppressed_by", "group_by", "levels")]
    + [(f"do: [{{set: {{device: it, point: light.level, value: 60 %, {key}: 1}}}}]", key) for key in (
        "hold", "confirm", "retry", "backoff", "timeout", "on_fail", "await_confirm")]
    + [(f"do: [{{{key}: {{}}}}]", key) for key in (
        "command", "scene", "wait", "wait_until", "if", "parallel", "notify", "log")],
)  # fmt: skip
def test_what_later_versions_bring_is_refused_not_ignored(keys: str, key: str) -> None:
    problems = load(f"{LAMP}  {keys}\n")[1]
    assert [(p.line, p.what, p.fix) for p in problems] == [
        (5, f"'{key}' is not in this version", "remove it")
    ]


@pytest.mark.parametrize(
    ("selector", "problem"),
    [
        ("{}", "a.yaml:3:13: rules[0].for_each: selects nothing in particular: give type, has, profile, tags or id"),
        ("{tags: {}}", "a.yaml:3:13: rules[0].for_each: selects nothing in particular: give type, has, profile, tags or id"),
        ("{each: [building]}", "a.yaml:3:14: rules[0].for_each.each: 'each' is not in this version: remove it"),
        ("{typ: meter}", "a.yaml:3:14: rules[0].for_each.typ: unknown key 'typ': did you mean 'type'?"),
        ("{tags: {building: 1}}", "a.yaml:3:31: rules[0].for_each.tags.building: 1 is not a text: put it in quotes"),
        ("{tags: {bilding: '1'}}", "a.yaml:3:21: rules[0].for_each.tags.bilding: no device has a tag 'bilding': did you mean 'building'?"),
        ("{id: meter-9}", "a.yaml:3:18: rules[0].for_each.id[0]: unknown device 'meter-9': did you mean 'meter-2'?"),
        ("{id: [meter-1, lihgt-1]}", "a.yaml:3:28: rules[0].for_each.id[1]: unknown device 'lihgt-1': did you mean 'light-1'?"),
        ("{has: Smoke}", "a.yaml:3:19: rules[0].for_each.has: 'Smoke' is no point name: use a-z, 0-9, '_' and dots, e.g. elec.voltage.a"),
    ],
)  # fmt: skip
def test_a_wrong_selector_is_refused(selector: str, problem: str) -> None:
    text = f"rules:\n- id: r\n  for_each: {selector}\n  when: it.elec.voltage.a > 253 V\n"
    assert str(load(text)[1][0]) == problem


@pytest.mark.parametrize(
    ("condition", "what", "fix"),
    [
        ("it.elec.voltage.a > 253 V and it.elec.pf.total < 1", "'and' is not in this version (at character 27, 'and it.elec.pf.total')", "write one comparison"),
        ("it.elec.voltage.a > 253 V || x", "'||' is not in this version (at character 27, '|| x')", "write one comparison"),
        ("it.elec.voltage.a > 253V*2", "'*' is not in this version (at character 25, '*2')", "write one comparison"),
        ("it.elec.pf.total > 0.5 - 0.2", "'-' is not in this version (at character 24, '- 0.2')", "write one comparison"),
        ("it.elec.voltage.a > 200 V < 253 V", "comparisons cannot be chained (at character 27, '< 253 V')", "write one comparison"),
        ("it.elec.voltage.a > 200 V 5", "not understood (at character 27, '5')", "end the condition after the unit"),
        ("not it.alarm.smoke", "'not' is not in this version (at character 1, 'not it.alarm.smoke')", ONE),
        ("(it.elec.pf.total < 1)", "'(' is not in this version (at character 1, '(it.elec.pf.total < ')", ONE),
        ("avg(it.elec.voltage.a, 1m) > 253 V", "'avg()' is not in this version (at character 1, 'avg(it.elec.voltage.')", ONE),
        ("it.alarm.smoke", "a point without comparison is not in this version (at the end)", ONE),
        ("it.elec.voltage.a = 5 V", "'=' compares nothing (at character 19, '= 5 V')", "use '=='"),
        ("it.elec.voltage.a in [1, 2]", "'in' is not in this version (at character 19, 'in [1, 2]')", ONE),
        ("it.elec.voltage.a ~ 5 V", "no comparison (at character 19, '~ 5 V')", "write one of == != < <= > >= after the point"),
        ("it.elec.voltage.a >", "nothing after '>' (at the end)", "write a number and its unit"),
        ("it.elec.voltage.a > it.elec.pf.total", "comparing two points is not in this version (at character 21, 'it.elec.pf.total')", "compare with a number"),
        ("it.door.state == open", "comparing with open is not in this version (at character 18, 'open')", "compare with a number and its unit"),
        ("it.alarm.smoke == true", "comparing with true is not in this version (at character 19, 'true')", "compare with a number and its unit"),
        ("it.fire.device[3].state > 1", "'[' after a point is not in this version (at character 15, '[3].state > 1')", ONE),
        ("elec.voltage.a > 253 V", "'elec' is no alias (at character 1, 'elec.voltage.a > 253')", "write it.elec.voltage.a"),
        ("253 V < it.elec.voltage.a", "a condition begins with it.<point> (at character 1, '253 V < it.elec.volt')", ONE),
        ("it.Elec.voltage > 1 V", "a condition begins with it.<point> (at character 1, 'it.Elec.voltage > 1 ')", ONE),
        ("it > 1 V", "a condition begins with it.<point> (at character 1, 'it > 1 V')", ONE),
        ("it.elec.voltage.a > 253 v", "'v' is no unit (at character 25, 'v')", "did you mean 'V'?"),
        ("it.elec.voltage.a > 253 bra", "'bra' is no unit (at character 25, 'bra')", "did you mean 'bar'?"),
        ("it.elec.voltage.a > 253 things", "'things' is no unit (at character 25, 'things')", "write a unit such as V, A, kW, kWh, °C, % or lx"),
        ("it.elec.voltage.a > 1e3 V", "'e3' is no unit (at character 22, 'e3 V')", "write a unit such as V, A, kW, kWh, °C, % or lx"),
        ("it.elec.voltage.a > " + "9" * 200, "a condition longer than 200 characters", ONE),
        ("it.elec.voltage.a > 253", "number without a unit, but the other side is a voltage", "write e.g. 253 V"),
        ("it.elec.voltage.a > 253 A", "253 A is a current, but elec.voltage.a is a voltage", "write e.g. 253 V"),
        ("it.elec.pf.total > 50 %", "50 % is a ratio, but elec.pf.total is a number", "write e.g. 50"),
        ("it.elec.voltage.b > 253 V", "profile 'test-meter' has no point 'elec.voltage.b'", "did you mean 'elec.voltage.a'?"),
        ("it.elec.voltage.a > 300 V", "never true: '> 300 V', but elec.voltage.a is 0 to 300 V", "write a limit inside"),
        ("it.elec.voltage.a == 0.4 kV", "never true: '== 0.4 kV', but elec.voltage.a is 0 to 300 V", "write a limit inside"),
        ("it.elec.pf.total < -1", "never true: '< -1', but elec.pf.total is -1 to 1", "write a limit inside"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("key", ["when", "until"])
def test_a_wrong_condition_is_refused_with_its_fix(key: str, condition: str, what: str, fix: str) -> None:  # fmt: skip
    other = "  when: it.meter.serial > 1\n" if key == "until" else ""
    problems = load(f'{HEAD}{other}  {key}: "{condition}"\n')[1]
    line, column = (5, 10) if other else (4, 9)
    assert [(p.line, p.column, p.path, p.what, p.fix) for p in problems] == [
        (line, column, f"rules[0].{key}", what, fix)
    ]


@pytest.mark.parametrize(
    ("condition", "what"),
    [
        ("true", "True is no condition"),
        ("5", "5 is no condition"),
        ("", "None is no condition"),
        ("'  '", "'  ' is no condition"),
        ("[it.elec.pf.total > 1]", "a list of conditions is not in this version"),
        ("{all: [it.elec.pf.total > 1]}", "'all' is not in this version"),
        ("{any: []}", "'any' is not in this version"),
    ],
)
def test_a_condition_is_one_text(condition: str, what: str) -> None:
    problems = load(f"{HEAD}  when: {condition}\n")[1]
    assert [(p.line, p.what, p.fix) for p in problems] == [(4, what, ONE)]


@pytest.mark.parametrize("point", ["light.on", "light.mode"])
def test_a_state_is_not_compared_with_a_number(point: str) -> None:
    problems = load(f"rules: [{{id: r, for_each: {{type: light}}, when: it.{point} > 1}}]")[1]
    assert problems[0].what == f"'{point}' is a state; only comparing numbers is in this version"


def test_a_point_that_only_some_selected_devices_have_asks_for_has() -> None:
    text = "rules: [{id: r, for_each: {tags: {building: '1'}}, when: it.elec.voltage.a > 253 V}]"
    problems = load(text)[1]
    assert [(p.what, p.fix) for p in problems] == [
        ("profile 'test-light' has no point 'elec.voltage.a'", "add `has: elec.voltage.a` to for_each")
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("when", "until", "overlaps"),
    [
        ("< 40 lx", "> 120 lx", False),
        ("< 40 lx", ">= 40 lx", False),
        ("<= 40 lx", ">= 40 lx", True),
        ("> 40 lx", "> 120 lx", True),
        ("> 40 lx", "!= 50 lx", True),
        ("!= 50 lx", "== 50 lx", False),
        ("== 50 lx", "< 50 lx", False),
        ("> 0", "<= 0", False),
    ],
)
def test_until_may_not_hold_together_with_when(when: str, until: str, overlaps: bool) -> None:
    rule = f"{{id: r, for_each: {{type: light}}, when: it.env.illuminance {when}, until: it.env.illuminance {until}, alarm: {{severity: life}}}}"
    problems = load(f"rules: [{rule}]")[1]
    assert bool(problems) is overlaps
    if problems:
        assert problems[0].path == "rules[0].until"
        assert problems[0].what == "some values of env.illuminance fit both `when` and `until`"


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ("device: light-1, point: light.level, value: 60 %", "a.yaml:5:23: rules[0].do[0].set.device: device 'light-1' is not in this version: write it, the device of `for_each`"),
        ("device: it, point: env.illuminance, value: 60 lx", "a.yaml:5:34: rules[0].do[0].set.point: point 'env.illuminance' of profile 'test-light' cannot be written: write one of light.fade, light.group, light.level, light.mode, light.on"),
        ("device: it, point: light.lvel, value: 60 %", "a.yaml:5:34: rules[0].do[0].set.point: point 'light.lvel' of profile 'test-light' does not exist: did you mean 'light.level'?"),
        ("device: it, point: light.level, value: 60", "a.yaml:5:54: rules[0].do[0].set.value: number without a unit, but the other side is a ratio: write e.g. 60 %"),
        ("device: it, point: light.level, value: 60 V", "a.yaml:5:54: rules[0].do[0].set.value: 60 V is a voltage, but light.level is a ratio: write e.g. 60 %"),
        ("device: it, point: light.level, value: 60 pct2", "a.yaml:5:54: rules[0].do[0].set.value: 'pct2' is no unit (at character 4, 'pct2'): did you mean 'pct'?"),
        ("device: it, point: light.level, value: 101 %", "a.yaml:5:54: rules[0].do[0].set.value: 101 is outside 0 to 100: write 0 % to 100 %"),
        ("device: it, point: light.level, value: on", "a.yaml:5:54: rules[0].do[0].set.value: 'on' is no value of light.level: write 0 % to 100 %"),
        ("device: it, point: light.level, value: true", "a.yaml:5:54: rules[0].do[0].set.value: True is no value of light.level: write 0 % to 100 %"),
        ("device: it, point: light.on, value: on", "a.yaml:5:51: rules[0].do[0].set.value: 'on' is no value of light.on: write true or false"),
        ("device: it, point: light.on, value: 1", "a.yaml:5:51: rules[0].do[0].set.value: 1 is no value of light.on: write true or false"),
        ("device: it, point: light.mode, value: hnad", "a.yaml:5:53: rules[0].do[0].set.value: 'hnad' is never a value of light.mode: write one of auto, hand"),
        ("device: it, point: light.fade, value: true", "a.yaml:5:53: rules[0].do[0].set.value: True is no value of light.fade: write a number with its unit, e.g. 1 s"),
        ("device: it, point: light.group, value: x", "a.yaml:5:54: rules[0].do[0].set.value: 'x' is no value of light.group: write a number, true or false"),
        ("device: it, point: light.level, value: [1]", "a.yaml:5:54: rules[0].do[0].set.value: no value to write: write a number with its unit (60 %), true, false or a text"),
        ("device: it, point: light.level", "a.yaml:5:14: rules[0].do[0].set.value: missing: add this key"),
    ],
)  # fmt: skip
def test_a_wrong_set_is_refused_with_its_fix(written: str, message: str) -> None:
    problems = load(f"{LAMP}  do: [{{set: {{{written}}}}}]\n")[1]
    assert [str(problem) for problem in problems] == [message]


def test_a_meter_takes_no_commands() -> None:
    text = f"{HEAD}  when: it.elec.voltage.a > 253 V\n  do: [{{set: {{device: it, point: elec.voltage.a, value: 0}}}}]\n"
    assert load(text)[1][0].fix == "remove it: the device takes no commands"


def test_one_rule_sets_a_point_once() -> None:
    step = "{set: {device: it, point: light.level, value: 60 %}}"
    problems = load(f"{LAMP}  do: [{step}, {step}]\n")[1]
    assert [(p.path, p.what) for p in problems] == [
        ("rules[0].do[1].set.point", "'light.level' is set twice")
    ]


def test_an_id_is_unique_over_all_files() -> None:
    text = f"{HEAD}  when: it.elec.voltage.a > 253 V\n"
    problems = load(text, text)[1]
    assert [str(p) for p in problems] == [
        "b.yaml:2:7: rules[0].id: rule 'r' twice: give it another id: the first stands at a.yaml:2:7"
    ]


def test_a_title_keeps_braces_for_later() -> None:
    problems = load(f"{LAMP}  title: 'Dark in {{building}}'\n")[1]
    assert [(p.line, p.what) for p in problems] == [
        (5, "placeholders in a title are not in this version")
    ]


def test_rules_that_feed_themselves_are_refused() -> None:
    def rule(name: str, reads: str, sets: str) -> str:
        return f"- {{id: {name}, for_each: {{type: light}}, when: it.{reads}, do: [{{set: {{device: it, point: {sets}}}}}]}}\n"

    itself = rule("a", "light.level > 5 %", "light.level, value: 0 %")
    assert [p.what for p in load("rules:\n" + itself)[1]] == [
        "on 'light-1' the rule sets what it reads itself: a -> a"
    ]
    there = rule("there", "light.level > 5 %", "light.group, value: 1")
    back = rule("back", "light.group > 5", "light.level, value: 0 %")
    problems = load("rules:\n" + there, "rules:\n" + back)[1]
    assert len(problems) == 1
    assert "there -> back" in problems[0].what
    assert problems[0].path == "rules[0].do"
    usable("rules:\n" + there)


def test_everything_wrong_is_reported_at_once() -> None:
    text = """
rules:
- id: a
  for_each: {type: meter}
  when: it.elec.voltage.a > 253
  until: it.elec.voltage.x < 5 V
- id: b
  for_each: {type: meter}
  when: it.elec.voltage.a >
  for: 5
  alarm: {severity: bad}
- id: a
  for_each: {tags: {flat: "1"}}
  when: it.elec.voltage.a > 253 V
"""
    rules, problems = load(text)
    assert sorted(p.line for p in problems) == [5, 6, 9, 10, 11, 12, 13]
    assert rules.instances == ()

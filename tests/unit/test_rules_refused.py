"""What is said about a wrong rule file: the place, the fault and the fix, all at once."""

import pytest

from tests.unit.rules_site import load, usable

HEAD = "rules:\n- id: r\n  for_each: {type: meter}\n"
LAMP = "rules:\n- id: r\n  for_each: {type: light}\n  when: it.env.illuminance < 40 lx\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "a.yaml:1:1: no rules: begin with `rules:`"),
        ("- id: r", "a.yaml:1:1: no rules: begin with `rules:`"),
        ("rules: {}", "a.yaml:1:8: rules: this is not a list: write `- item` lines below it"),
        ("rules: []\nrule: []", "a.yaml:2:1: rule: unknown key 'rule': did you mean 'rules'?"),
        ("rules: [x]", "a.yaml:1:9: rules[0]: 'x' is not a mapping: write `key: value` lines below it"),
        (f"{HEAD}  wen: 1\n  when: it.elec.voltage.a > 1 V", "a.yaml:4:3: rules[0].wen: unknown key 'wen': did you mean 'when'?"),
        ("rules:\n- id: r\n  for_each: {type: meter}", "a.yaml:2:3: rules[0].when: missing: add this key"),
        ("rules:\n- id: r\n  when: it.elec.voltage.a > 1 V", "a.yaml:3:9: rules[0].when: 'it' is no alias: name a device in `with`"),
        ("rules:\n- id: R 1\n  for_each: {type: meter}\n  when: it.elec.voltage.a > 1 V",
         "a.yaml:2:7: rules[0].id: 'R 1' is no id: use 1 to 63 of a-z, 0-9 and '-', beginning with a letter or digit"),
    ],
)  # fmt: skip
def test_a_wrong_shape_is_refused_at_its_place(text: str, message: str) -> None:
    assert [str(problem) for problem in load(text)[1]] == [message]


@pytest.mark.parametrize(
    ("selector", "problem"),
    [
        ("{}", "a.yaml:3:13: rules[0].for_each: selects nothing in particular: give type, has, profile, tags or id"),
        ("{tags: {}}", "a.yaml:3:13: rules[0].for_each: selects nothing in particular: give type, has, profile, tags or id"),
        ("{each: []}", "a.yaml:3:13: rules[0].for_each: selects nothing in particular: give type, has, profile, tags or id"),
        ("{each: [use]}", "a.yaml:3:20: rules[0].for_each.each: device 'meter-1' has no tag 'use': give it one, or select fewer devices"),
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
    ("condition", "what", "fix", "marked"),
    [
        ("it.elec.voltage.a > 253 V || x", "'x' is no point", "write a point such as it.x", "x"),
        ("it.elec.voltage.a > 200 V < 253 V", "comparisons cannot be chained", "write 'a < b and b < c'", "<"),
        ("it.elec.voltage.a > 200 V 5", "'5' after a finished expression", "join the two with `and` or `or`", "5"),
        ("it.elec.voltage.a > 200 V)", "')' is too much", "remove it", ")"),
        ("not it.elec.pf.total", "a number where true or false is needed", "compare it, e.g. with >", "it.elec.pf.total"),
        ("it.elec.pf.total", "a number, not true or false", "compare it, e.g. with >", "it.elec.pf.total"),
        ("(it.elec.pf.total < 1", "the end where ')' should be", "close the parenthesis", ""),
        ("it.elec.voltage.a = 5 V", "'=' compares nothing", "use '=='", "="),
        ("it.elec.voltage.a in [1 V, 2]", "number without a unit, but the other side is a voltage", "write e.g. 2 V", "2"),
        ("it.elec.voltage.a in 5 V", "'5' where '[' should be", "write the choices in brackets: in [open, closed]", "5 V"),
        ("it.elec.voltage.a ~ 5 V", "'~' is no part of the language", "remove it", "~"),
        ("it.elec.voltage.a >", "the expression ends too early", "write e.g. it.elec.voltage.a > 253 V", ""),
        ("it.elec.voltage.a > it.elec.pf.total", "a number where a voltage should be", "write it in V", "it.elec.pf.total"),
        ("it.elec.voltage.a > it.elec.power.total", "a power where a voltage should be", "write it in V", "it.elec.power.total"),
        ("it.elec.voltage.a * it.elec.power.total > 0", "a product of two quantities", "multiply by a plain number", "it.elec.voltage.a * it.elec.power.total"),
        ("it.elec.voltage.a / it.elec.power.total > 1", "a voltage divided by a power", "divide by a plain number or the same quantity", "it.elec.voltage.a / it.elec.power.total"),
        ("it.elec.voltage.a == open", "'open' is no point", "write a point such as it.open", "open"),
        ("it.elec.voltage.a == true", "a voltage is compared with a state (true or false)", "write a number with its unit, e.g. 5 V", "true"),
        ("elec.voltage.a > 253 V", "'elec' is no alias", "write it.elec.voltage.a", "elec.voltage.a"),
        ("bell.state > 1", "'bell' is no alias", "write one of it", "bell.state"),
        ("it > 1 V", "'it' is a device", "write a point of it: it.<point>", "it"),
        ("avg > 1", "'avg' is a function", "write avg(...)", "avg"),
        ("agv(it.elec.voltage.a, 1m) > 253 V", "unknown function 'agv'", "did you mean 'avg'?", "agv(it.elec.voltage.a, 1m)"),
        ("avg(it.elec.voltage.a) > 253 V", "avg() with 1 arguments", "write avg(it.water.flow, 1h)", "avg(it.elec.voltage.a)"),
        ("avg(it.elec.voltage.a, 5) > 253 V", "no duration", "write a number and one of ms, s, m, h, d: 30s", "5"),
        ("avg(it.elec.voltage.a, 3d) > 253 V", "a duration of 259200 s", "write more than 0s, at most 24h", "3d"),
        ("avg(253 V, 1m) > 253 V", "avg() is about a point", "write e.g. avg(it.water.flow, 1h)", "253 V"),
        ("rises(it.elec.voltage.a, 1m) > 2", "rises() of a voltage", "it counts how often a state becomes true", "rises(it.elec.voltage.a, 1m)"),
        ("rate(it.elec.voltage.a, 1m) > 2 V", "a rate of a voltage has no unit here", "write delta(elec.voltage.a, ...)", "rate(it.elec.voltage.a, 1m)"),
        ("any(it.elec.pf.total > 1)", "any() is about the devices of one group", "write e.g. any(members.alarm.smoke); name one in `with`", "any(it.elec.pf.total > 1)"),
        ("active(r)", "active() takes the id of a rule", 'write active("rule-id") or active("rule-id", any)', "active(r)"),
        ("it.elec.voltage.a > 253 v", "'v' is no unit", "did you mean 'V'?", "253 v"),
        ("it.elec.voltage.a > 253 bra", "'bra' is no unit", "did you mean 'bar'?", "253 bra"),
        ("it.elec.voltage.a > 253 things", "'things' is no unit", "write a unit such as V, A, kW, kWh, °C, % or lx", "253 things"),
        ("it.elec.voltage.a > 253", "number without a unit, but the other side is a voltage", "write e.g. 253 V", "253"),
        ("it.elec.voltage.a > 253 A", "a current where a voltage should be", "write it in V", "253 A"),
        ("it.elec.pf.total > 50 %", "a ratio where a number should be", "write a plain number", "50 %"),
        ("it.elec.voltage.b > 253 V", "profile 'test-meter' has no point 'elec.voltage.b'", "did you mean 'elec.voltage.a'?", "it.elec.voltage.b"),
        ("1 " + "+ 1 " * 300 + "> 0", "more than 200 parts", "split it into two rules", None),
        ("(" * 50 + "1" + ")" * 50 + " > 0", "nested deeper than 40 levels", "split it into two rules", None),
        ("x" * 2001, "an expression of 2001 characters", "write at most 2000", None),
    ],
)  # fmt: skip
@pytest.mark.parametrize("key", ["when", "until"])
def test_a_wrong_condition_is_refused_with_place_mark_and_fix(
    key: str, condition: str, what: str, fix: str, marked: str | None
) -> None:
    other = "  when: it.meter.serial > 1\n" if key == "until" else ""
    (problem,) = load(f"{HEAD}{other}  {key}: '{condition}'\n")[1]
    assert (problem.path, problem.what, problem.fix) == (f"rules[0].{key}", what, fix)
    text, mark = problem.excerpt.split("\n")
    assert text == condition
    start, end = mark.index("^"), len(mark)
    if marked is not None:
        assert condition[start:end] == marked
    line, column = (5, 11) if other else (4, 10)
    assert (problem.line, problem.column) == (line, column + start)


@pytest.mark.parametrize(
    ("condition", "what"),
    [
        ("it.elec.voltage.a > 300 V", "never true: '> 300 V', but elec.voltage.a is 0 to 300 V"),
        ("it.elec.voltage.a == 0.4 kV", "never true: '== 400 V', but elec.voltage.a is 0 to 300 V"),
        ("it.elec.pf.total < -1", "never true: '< -1', but elec.pf.total is -1 to 1"),
        ("it.elec.voltage.a < 20 V and it.elec.voltage.a > 50 V", "never true: 'it.elec.voltage.a < 20 V and it.elec.voltage.a > 50 V'"),
        ("it.elec.voltage.a > 400 V or it.elec.pf.total > 2", "never true: 'it.elec.voltage.a > 400 V or it.elec.pf.total > 2'"),
        ("not (it.elec.pf.total <= 1)", "never true: 'not (it.elec.pf.total <= 1)'"),
        ("it.elec.voltage.a in [400 V, 500 V]", "never true: 'it.elec.voltage.a in [400 V, 500 V]'"),
        ("500 V < it.elec.voltage.a and it.elec.power.total > 0", "never true: '500 V < it.elec.voltage.a and it.elec.power.total > 0'"),
    ],
)  # fmt: skip
def test_a_condition_that_can_never_be_true_is_refused(condition: str, what: str) -> None:
    assert [p.what for p in load(f"{HEAD}  when: '{condition}'\n")[1]] == [what]


def test_the_place_is_right_in_every_style_of_text() -> None:
    for written, line, column in (
        ("it.elec.pf.total > 1 V", 4, 28),
        ("'it.elec.pf.total > 1 V'", 4, 29),
        ('"it.elec.pf.total > 1 V"', 4, 29),
        ("\n    it.elec.pf.total > 1 V", 5, 24),
        ("{all: [it.elec.pf.total < 1, it.elec.pf.total > 1 V]}", 4, 57),
    ):
        (problem,) = load(f"{HEAD}  when: {written}\n")[1]
        assert (problem.line, problem.column) == (line, column), written
    (problem,) = load(f"{HEAD}  when: |\n    it.elec.pf.total > 1 V\n")[1]
    assert problem.line == 4


@pytest.mark.parametrize(
    ("condition", "what"),
    [
        ("5", "5 is no condition"),
        ("", "None is no condition"),
        ("'  '", "'  ' is no condition"),
        ("[it.elec.pf.total < 1]", "['it.elec.pf.total < 1'] is no condition"),
        ("{any: []}", "a condition is a text, or a list under all: or any:"),
        ("{none: [a]}", "a condition is a text, or a list under all: or any:"),
        ("{all: [5]}", "5 is no condition"),
    ],
)
def test_a_condition_is_a_text_or_a_list(condition: str, what: str) -> None:
    problems = load(f"{HEAD}  when: {condition}\n")[1]
    assert [(p.line, p.what) for p in problems] == [(4, what)]


@pytest.mark.parametrize(
    ("point", "what"),
    [("light.on", "a state (true or false)"), ("light.mode", "one of auto, hand")],
)
def test_a_state_is_not_compared_with_a_number(point: str, what: str) -> None:
    problems = load(f"rules: [{{id: r, for_each: {{type: light}}, when: it.{point} > 1}}]")[1]
    assert problems[0].what == f"{what} is compared with a number"
    problems = load(f"rules: [{{id: r, for_each: {{type: light}}, when: it.{point} > 1}}]")[1]


def test_a_text_that_a_point_never_has_is_refused() -> None:
    for condition in ("it.light.mode == hnad", 'it.light.mode == "hnad"', "hnad == it.light.mode"):
        problems = load(f"rules: [{{id: r, for_each: {{type: light}}, when: '{condition}'}}]")[1]
        assert [(p.what, p.fix) for p in problems] == [
            ("'hnad' is never a value of light.mode", "allowed: auto, hand")
        ]


@pytest.mark.parametrize(
    ("with_", "when", "what", "fix"),
    [
        ("{main: meter-9}", "main.elec.pf.total < 1", "unknown device 'meter-9'", "did you mean 'meter-2'?"),
        ("{main: 'meter-{bilding}'}", "main.elec.pf.total < 1", "'meter-{bilding}': the devices of the rule have no tag 'bilding'", "write one of building, use"),
        ("{it: meter-1}", "it.light.on", "'it' is no name for a device or group", "choose another name"),
        ("{Main: meter-1}", "it.light.on", "'Main' is no name for a device or group", "use a-z, 0-9 and '_'"),
        ("{near: {type: light}}", "near.light.on", "'near' is a group of devices", "write any(near.light.on), all(...) or count_of(...)"),
        ("{near: {type: light}}", "any(near.light.on and it.light.on)", "'it' is not the group", "read only points of near inside, and join the rest with `and`"),
        ("{near: {type: light}}", "any(avg(near.light.level, 1m) > 5 %)", "'avg' inside of a group function", "read points of the group only"),
        ("{near: {type: light}}", "sum_of(near.light.on) > 1", "sum_of() of a state (true or false)", "give it a point that is a number"),
        ("{near: {typ: light}}", "it.light.on", "unknown key 'typ'", "did you mean 'type'?"),
    ],
)  # fmt: skip
def test_a_wrong_name_of_a_device_or_group_is_refused(
    with_: str, when: str, what: str, fix: str
) -> None:
    text = f"rules: [{{id: r, for_each: {{type: light}}, with: {with_}, when: '{when}', alarm: {{severity: life}}}}]"
    assert (what, fix) in [(p.what, p.fix) for p in load(text)[1]]


def test_rules_that_ask_about_each_other_in_a_circle_are_refused() -> None:
    def rule(name: str, other: str) -> str:
        return f"- {{id: {name}, for_each: {{type: light}}, when: 'active(\"{other}\") or it.light.on', alarm: {{severity: life}}}}\n"

    problems = load("rules:\n" + rule("a", "b") + rule("b", "a"))[1]
    assert len(problems) == 1
    assert problems[0].what.startswith("it asks about itself: ")
    usable(
        "rules:\n"
        + rule("a", "b")
        + rule("b", "c")
        + "- {id: c, for_each: {type: light}, when: it.light.on, alarm: {severity: life}}\n"
    )


def test_a_point_that_only_some_selected_devices_have_asks_for_has() -> None:
    text = "rules: [{id: r, for_each: {tags: {building: '1'}}, when: it.elec.voltage.a > 253 V}]"
    problems = load(text)[1]
    assert [(p.what, p.fix) for p in problems] == [
        ("profile 'test-light' has no point 'elec.voltage.a'", "add `has: elec.voltage.a` to its selector")
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
        ("device: light-1, point: light.level, value: 60 %", "a.yaml:5:23: rules[0].do[0].set.device: 'light-1' is no device of this rule: write one of it"),
        ("device: it, point: env.illuminance, value: 60 lx", "a.yaml:5:34: rules[0].do[0].set.point: point 'env.illuminance' of profile 'test-light' cannot be written: write one of light.fade, light.group, light.level, light.mode, light.on"),
        ("device: it, point: light.lvel, value: 60 %", "a.yaml:5:34: rules[0].do[0].set.point: point 'light.lvel' of profile 'test-light' does not exist: did you mean 'light.level'?"),
        ("device: it, point: light.level, value: 60", "a.yaml:5:54: rules[0].do[0].set.value: number without a unit, but the other side is a ratio: write e.g. 60 %"),
        ("device: it, point: light.level, value: 60 V", "a.yaml:5:54: rules[0].do[0].set.value: 60 V is a voltage, but light.level is a ratio: write e.g. 60 %"),
        ("device: it, point: light.level, value: 60 pct2", "a.yaml:5:54: rules[0].do[0].set.value: 'pct2' is no unit: did you mean 'pct'?"),
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


def test_one_rule_sets_a_point_once_at_a_time() -> None:
    step = "{set: {device: it, point: light.level, value: 60 %}}"
    assert load(f"{LAMP}  do: [{step}, {{wait: 5s}}, {step}]\n")[1] == []
    problems = load(f"{LAMP}  do: [{step}, {step}]\n")[1]
    assert [(p.path, p.what) for p in problems] == [
        ("rules[0].do[1].set.point", "'light.level' is set twice at once")
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

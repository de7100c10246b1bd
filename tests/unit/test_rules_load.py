"""What a rule file may say, and what becomes of it."""

import pytest

from gateway.document import parse
from gateway.model import Severity, Value
from rules.load import DeviceView, load_rules
from rules.nodes import NEVER_NS
from rules.predicate import Predicate
from rules.sequence import Setting
from rules.term import Compare, Const
from tests.unit.rules_site import DEVICES, METER, load, usable

HEAD = "rules:\n- id: r\n  for_each: {type: meter}\n"
LAMP = "rules:\n- id: r\n  for_each: {type: light}\n  when: it.env.illuminance < 40 lx\n"
NOTHING = "  alarm: {severity: operational}\n"


def test_a_full_rule_becomes_one_instance_for_each_device_in_the_order_of_ids() -> None:
    rules = usable("""
rules:
- id: low
  title: Voltage low
  for_each: {type: meter, has: elec.voltage.a}
  when: it.elec.voltage.a < 0.2kV
  until: it.elec.voltage.a >= 207 V
  for: 1500ms
  alarm: {severity: safety}
""")
    assert [i.id for i in rules.instances] == ["low[meter-1]", "low[meter-2]"]
    rule = rules.rules[0]
    assert (rule.title, rule.severity, rule.level) == ("Voltage low", Severity.SAFETY, 5)
    assert rule.for_ns == 1_500_000_000
    first = rules.instances[0]
    assert limit_of(first.when) == 200
    assert first.until is not None
    assert limit_of(first.until) == 207
    assert rules.notes == ()


def limit_of(test: Predicate) -> object:
    """What the point of a comparison is compared with."""
    assert isinstance(test.term, Compare)
    assert isinstance(test.term.right, Const)
    return test.term.right.value


@pytest.mark.parametrize(
    ("keys", "level"),
    [
        ("alarm: {severity: life}", 2),
        ("alarm: {severity: safety}", 5),
        ("alarm: {severity: operational}", 12),
        ("alarm: {severity: life}\n  priority: schedule", 16),
        ("priority: life", 2),
    ],
)
def test_an_alarm_gives_its_rule_a_priority_unless_one_is_written(keys: str, level: int) -> None:
    rules, problems = load(f"{HEAD}  when: it.elec.voltage.a > 253 V\n  {keys}\n")
    assert problems == []
    assert rules.rules[0].level == level


def test_the_rank_is_priority_then_file_then_device() -> None:
    def file(*rules: tuple[str, str]) -> str:
        return "rules:\n" + "\n".join(
            f"- {{id: {name}, for_each: {{type: meter}}, when: it.elec.voltage.a > 253 V, priority: {priority}}}"
            for name, priority in rules
        )

    rules = usable(file(("z", "automation"), ("y", "life")), file(("a", "life")))
    assert [i.id for i in rules.instances] == [
        "y[meter-1]", "y[meter-2]", "a[meter-1]", "a[meter-2]", "z[meter-1]", "z[meter-2]",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("selector", "selected"),
    [
        ("{type: meter}", ["meter-1", "meter-2"]),
        ("{profile: test-meter, tags: {building: '1'}}", ["meter-1"]),
        ("{has: elec.voltage.a, tags: {building: '2', medium: electricity}}", ["meter-2"]),
        ("{id: meter-2}", ["meter-2"]),
        ("{id: [meter-2, meter-1, light-1], type: meter}", ["meter-1", "meter-2"]),
    ],
)
def test_a_device_is_selected_when_it_fits_every_key(selector: str, selected: list[str]) -> None:
    rules = usable(f"rules: [{{id: r, for_each: {selector}, when: it.elec.voltage.a > 253 V}}]")
    assert [instance.device for instance in rules.instances] == selected


def test_a_disabled_rule_is_checked_and_has_no_instances() -> None:
    rule = f"{HEAD}  enabled: false\n{NOTHING}  when: it.elec.voltage"
    assert usable(f"{rule}.a > 253 V\n").instances == ()
    assert load(f"{rule}.x > 253 V\n")[1][0].fix == "did you mean 'elec.voltage.a'?"


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("light.level, value: 60 %", 60),
        ("light.level, value: '12.5%'", 12.5),
        ("light.level, value: 0", 0),
        ("light.on, value: true", True),
        ("light.mode, value: hand", "hand"),
        ("light.group, value: 7", 7),
        ("light.fade, value: 1.5 min", 90),
        ("light.group, value: '7'", 7),
    ],
)
def test_a_set_value_is_in_the_unit_of_its_point(written: str, value: Value) -> None:
    rules = usable(f"{LAMP}  do: [{{set: {{device: it, point: {written}}}}}]\n")
    assert rules.instances[0].sets == (
        Setting("light-1", written.split(",", maxsplit=1)[0], value),
    )
    assert type(rules.instances[0].sets[0].value) is type(value)


@pytest.mark.parametrize(
    ("condition", "limit"),
    [
        ("it.elec.power.total > 1.5 kW", 1500),
        ("it.water.pressure > 1.1 bar", 110),
        ("it.env.temperature > -5 °C", -5),
        ("it.env.temperature >= 212 [degF]", 100),
        ("  it.elec.pf.total<0.5 ", 0.5),
        ("it.elec.power.total > 0", 0),
    ],
)
def test_a_limit_is_converted_to_the_unit_of_the_point(condition: str, limit: float) -> None:
    rules = usable(f"{HEAD}  when: '{condition}'\n{NOTHING}")
    assert limit_of(rules.instances[0].when) == limit


@pytest.mark.parametrize(
    ("condition", "stale_s"),
    [
        ("it.elec.voltage.a > 253 V", 180),
        ("it.elec.power.total > 5 W", 30),
        ("it.env.temperature > 5 °C", 900),
        ("it.water.pressure > 5 kPa", NEVER_NS / 1e9),
        ("it.meter.serial > 5", NEVER_NS / 1e9),
    ],
)
def test_a_value_is_known_for_as_long_as_its_point_says(condition: str, stale_s: float) -> None:
    rules = usable(f"{HEAD}  when: '{condition}'\n{NOTHING}")
    assert rules.stale_ns[rules.instances[0].when.inputs[0]] == stale_s * 1e9


@pytest.mark.parametrize(("supervise", "stale_s"), [(None, 180), (60.0, 180), (960.0, 960)])
def test_a_value_of_a_supervised_device_is_known_until_it_is_missing(
    supervise: float | None, stale_s: float
) -> None:
    devices = [device._replace(supervise=supervise) for device in DEVICES]
    text = f"{HEAD}  when: it.elec.voltage.a > 253 V\n{NOTHING}"
    rules, problems = load_rules([parse(text.encode(), "a.yaml")], devices)
    assert problems == []
    assert rules.stale_ns[rules.instances[0].when.inputs[0]] == stale_s * 1e9


@pytest.mark.parametrize(
    ("selector", "what", "fix"),
    [
        ("{type: metre}", "the rule has no device: none has the type 'metre'", "did you mean 'meter'?"),
        ("{has: elec.voltage.q}", "the rule has no device: none has the point 'elec.voltage.q'", "did you mean 'elec.voltage.a'?"),
        ("{profile: test-mater}", "the rule has no device: none has the profile 'test-mater'", "did you mean 'test-meter'?"),
        ("{type: meter, tags: {use: street}}", "the rule has no device: none fits all keys", "check them together"),
        ("{id: light-1, tags: {building: '9'}}", "the rule has no device: none fits all keys", "check them together"),
    ],
)  # fmt: skip
def test_a_rule_without_device_is_only_noted(selector: str, what: str, fix: str) -> None:
    rules, problems = load(
        f"rules:\n- id: r\n  for_each: {selector}\n  when: it.elec.voltage.a > 253 V\n{NOTHING}"
    )
    assert problems == []
    assert [(n.line, n.what, n.fix) for n in rules.notes] == [(3, what, fix)]


def test_until_may_read_another_point() -> None:
    usable(
        f"{HEAD}  when: it.elec.voltage.a > 253 V\n  until: it.elec.power.total > 1 W\n{NOTHING}"
    )


@pytest.mark.parametrize(
    ("keys", "line", "what"),
    [
        ("when: it.env.illuminance >= 0", 4, "always true: '>= 0 lx', and env.illuminance is 0 to 100000 lx"),
        ("when: it.env.illuminance > 5 lx", 2, "neither alarm nor do: the rule does nothing"),
    ],
)  # fmt: skip
def test_what_can_be_meant_but_hardly_is_noted(keys: str, line: int, what: str) -> None:
    alarm = "" if "neither" in what else NOTHING
    rules = usable(f"rules:\n- id: r\n  for_each: {{type: light}}\n  {keys}\n{alarm}")
    assert [(note.line, note.what) for note in rules.notes] == [(line, what)]


def test_a_fault_is_reported_once_however_many_devices_and_profiles_show_it() -> None:
    other = METER.model_copy(update={"profile": "test-meter-2"})
    devices = [*DEVICES, DeviceView("meter-3", other, {})]
    text = f"{HEAD}  when: it.elec.voltage.a > 253\n"
    assert len(load_rules([parse(text.encode(), "a.yaml")], devices)[1]) == 1
    text = f"{HEAD}  when: it.elec.voltage.a > 253 V\n  do: [{{set: {{device: light-1, point: light.level, value: 5 %}}}}]\n"
    (problem,) = load_rules([parse(text.encode(), "a.yaml")], devices)[1]
    assert "'light-1' is no device of this rule" in problem.what
    text = f"{HEAD}  when: it.elec.pf.total >= -1\n{NOTHING}"
    rules, problems = load_rules([parse(text.encode(), "a.yaml")], devices)
    assert problems == []
    assert len(rules.notes) == 1
    assert len(rules.instances) == 3


def test_no_devices_and_no_files_make_an_empty_rule_set() -> None:
    rules, problems = load_rules([], [])
    assert problems == []
    assert rules.instances == ()

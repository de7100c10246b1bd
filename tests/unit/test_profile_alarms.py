"""Alarms of profiles: what is refused, what each device gets, and how they behave."""

from typing import NamedTuple

import pytest

from gateway.document import parse
from gateway.model import Sample, Severity, Value
from gateway.profile import Profile, load_profile, shipped_folder
from gateway.site_limit import SiteLimit
from rules.alarms import Alarms, check_alarms
from rules.check import Report
from rules.model import RuleSet
from rules.restart import Past, restore
from rules.step import Cleared, Output, Raised, Tick, active, next_due, reset, start, step
from tests.harness.panel import SECOND, compiled, document, panel, profile, shows, view

FIRE3 = "test-panel.fire.signal[panel-1][3]"


class Said(NamedTuple):
    kind: str
    instance: str


class Engine:
    """The real engine with the alarms of some devices."""

    def __init__(self, rules: RuleSet) -> None:
        self.state = start(rules)

    def take(self, sample: Sample | float) -> list[Output]:
        given = (Tick(), round(sample * SECOND)) if not isinstance(sample, Sample) else (sample, sample.received_ns)  # fmt: skip
        self.state, outputs = step(self.state, *given)
        return outputs

    def says(self, sample: Sample | float) -> list[Said]:
        outputs = self.take(sample)
        assert all(isinstance(output, Raised | Cleared) for output in outputs)
        return [Said(type(output).__name__, output.instance) for output in outputs]


def told(whole: Profile) -> list[tuple[str, str]]:
    problems, _notes = check_alarms(whole, document())
    return [(problem.path, problem.what) for problem in problems]


def test_good_alarms_have_no_problems() -> None:
    assert check_alarms(panel(), document()) == ([], [])


@pytest.mark.parametrize(
    ("key", "condition", "what", "fix"),
    [
        ("when", "fire.devise[*] == fire", "no point 'fire.devise[*]'", "did you mean 'fire.device'?"),
        ("when", "fire.device == fire", "no point 'fire.device'", "write fire.device[*] for each"),
        ("when", "fire.device[6] == fire", "no point 'fire.device[6]'", "or one of its elements"),
        ("when", "fire.bus[*] == fire", "no point 'fire.bus[*]'", "write fire.bus"),
        ("when", "fire.device[*] == flame", "'flame' is never a value of fire.device[*]", "allowed: normal, fire"),
        ("when", "fire.bus == 2", "is compared with a number", "write one of normal"),
        ("when", "fire.bus", "fault, isolated, not true or false", "compare it"),
        ("when", "water.level > 3", "number without a unit", "write e.g. 3 m"),
        ("when", "water.level > 3 V", "a voltage where a length should be", "write it in m"),
        ("when", "water.level > 11 m", "never true", "write a limit inside"),
        ("when", "water.level == high", "'high' is no point", "write a point such as"),
        ("when", "water.level", "a length, not true or false", "compare it"),
        ("when", "door.open > 3", "a state (true or false) is compared with a number", "write true or false"),
        ("when", "door.open > limit.x", "a state (true or false) is compared with a number", "write true or false"),
        ("when", "door.count == many", "'many' is no point", "write a point such as"),
        ("when", "fire.bus = fault", "'=' compares nothing", "use '=='"),
        ("clear", "water.level > 2 m", "fit both `when` and `clear`", "let `clear` begin where"),
        ("clear", "fire.device[*] == normal", "is not for the same elements", "write [*] in both"),
        ("clear", "door.opened == false", "no point 'door.opened'", "did you mean 'door.open'?"),
        ("when", "limit.x * 2 < water.level", "'limit.x' is no side of a comparison", "water.level > limit.x"),
        ("when", "fire.bus == 'fault'", "is no part of the language", "a value without quotes"),
        ("when", "water.level > 3 m and door.opened", "no point 'door.opened'", "did you mean 'door.open'?"),
        ("when", "fire.device[* == fire", "'[' is too much", "remove it"),
        ("when", "it.smoke", "no point 'smoke'", "did you mean 'alarm.smoke'?"),
    ],
)  # fmt: skip
def test_a_condition_that_fits_no_point_is_refused(
    key: str, condition: str, what: str, fix: str
) -> None:
    alarm: dict[str, object] = {"id": "x", "when": "water.level > 3 m", "severity": "safety"}
    problems, _notes = check_alarms(panel([alarm | {key: condition}]), document())
    (problem,) = problems
    assert problem.path == f"alarms[0].{key}"
    assert what in problem.what
    assert fix in problem.fix


@pytest.mark.parametrize(
    ("when", "clear"), [("fire.bus == fault", "fire.bus != normal"), ("door.open", "door.open != false")]
)  # fmt: skip
def test_states_that_fit_begin_and_end_are_refused(when: str, clear: str) -> None:
    alarm: dict[str, object] = {"id": "x", "when": when, "clear": clear, "severity": "safety"}
    assert [path for path, _what in told(panel([alarm]))] == ["alarms[0].clear"]
    alarm["clear"] = clear.replace("!= normal", "== normal").replace("!= false", "== false")
    assert told(panel([alarm])) == []


def test_a_problem_has_the_place_of_its_condition() -> None:
    text = b"alarms:\n  - id: a\n    severity: safety\n    when: fire.bus == flame\n"
    written = parse(text, "test-panel.yaml")
    whole = panel([{"id": "a", "severity": "safety", "when": "fire.bus == flame"}])
    ((problem,), _notes) = check_alarms(whole, written)
    assert str(problem).startswith("test-panel.yaml:4:23: alarms[0].when: 'flame' is never")
    assert problem.excerpt == "fire.bus == flame\n            ^^^^^"


def test_each_element_of_each_device_has_its_own_alarm() -> None:
    rules = compiled(view(device="panel-2"), view())
    assert len(rules.instances) == 2 * (5 + 5 + 1)
    assert rules.rules == (), "of files there are none"
    names = [one.id for one in rules.instances]
    assert names[0] == "test-panel.fire.signal[panel-1][1]"
    assert "test-panel.fire.bus[panel-2]" in names


def test_every_matching_element_raises_and_clears_alone() -> None:
    engine = Engine(compiled(view()))
    fault = "test-panel.fire.fault[panel-1]"
    assert engine.says(shows(1, fire_1="normal", fire_2="fault", fire_4="fault")) == [
        Said("Raised", f"{fault}[2]"), Said("Raised", f"{fault}[4]"),
    ]  # fmt: skip
    assert engine.says(shows(2, fire_2="fault", fire_4="normal")) == [Said("Cleared", f"{fault}[4]")]  # fmt: skip
    assert engine.says(shows(3, fire_2="isolated")) == [Said("Cleared", f"{fault}[2]")]


def test_an_alarm_of_an_element_names_it_and_its_label() -> None:
    labels: dict[str, dict[str, str | dict[str, str]]] = {
        "fire.device": {"3": {"place": "B3 4F east", "type": "detector"}, "4": "车库"},
    }  # fmt: skip
    engine = Engine(compiled(view(labels=labels)))
    third, fourth, fifth = engine.take(shows(1, fire_3="fire", fire_4="fire", fire_5="fire"))
    assert isinstance(third, Raised)
    assert third.about == {
        "point": "fire.device[3]", "label": {"place": "B3 4F east", "type": "detector"},
    }  # fmt: skip
    assert third.title == "Fire: fire.device[3] (B3 4F east, detector)"
    assert third.values == {"fire.device[3]": "fire"}
    assert (third.severity, third.rule) == (Severity.SAFETY, "test-panel.fire.signal")
    assert isinstance(fourth, Raised)
    assert (fourth.title, fourth.about["label"]) == ("Fire: fire.device[4] (车库)", "车库")
    assert isinstance(fifth, Raised)
    assert (fifth.title, fifth.about) == ("Fire: fire.device[5]", {"point": "fire.device[5]"})
    titles = [alarm.title for alarm in active(engine.state)]
    assert titles == [third.title, fourth.title, fifth.title]


def test_hold_delays_the_raise() -> None:
    engine = Engine(compiled(view()))
    assert engine.says(shows(1, fire_bus="fault")) == []
    assert next_due(engine.state) == 6 * SECOND
    assert engine.says(6.0) == [Said("Raised", "test-panel.fire.bus[panel-1]")]


def test_a_bad_or_strange_value_changes_nothing() -> None:
    engine = Engine(compiled(view()))
    engine.take(shows(1, fire_2="fault"))
    for value in (None, 7, True):
        assert engine.says(shows(2, fire_2=value)) == []
    assert len(active(engine.state)) == 1


def alone(when: str, clear: str | None = None) -> Profile:
    alarm: dict[str, object] = {"id": "x", "when": when, "severity": "life"}
    return panel([alarm | ({} if clear is None else {"clear": clear})])


@pytest.mark.parametrize(
    ("when", "name", "on", "off"),
    [
        ("alarm.smoke", "alarm_smoke", (True, 1, 3), (False, 0)),
        ("door.open == true", "door_open", (True, 1), (False, 0)),
        ("door.open != true", "door_open", (False, 0), (True, 1)),
        ("door.count == 3", "door_count", (3, 3.0), (2, 4)),
        ("water.level > 300 cm", "water_level", (3.5,), (3, 2.5)),
        ("fire.device[2] != normal", "fire_2", ("fire", "fault"), ("normal",)),
        ("300 cm < it.water.level", "water_level", (3.5,), (3, 2.5)),
        ("fire.device[2] in [fire, fault]", "fire_2", ("fire", "fault"), ("normal", "isolated")),
        ("not door.open", "door_open", (False,), (True,)),
        ("abs(water.level - 5 m) > 2 m", "water_level", (2, 8), (3, 7)),
    ],
)
def test_numbers_texts_and_truth_compare(
    when: str, name: str, on: tuple[Value, ...], off: tuple[Value, ...]
) -> None:
    for value in on:
        engine = Engine(compiled(view(alone(when))))
        assert [said.kind for said in engine.says(shows(1, **{name: off[0]}))] == []
        assert [said.kind for said in engine.says(shows(2, **{name: value}))] == ["Raised"]
        for ended in off:
            again = Engine(engine.state.rules)
            again.take(shows(1, **{name: value}))
            assert [said.kind for said in again.says(shows(2, **{name: ended}))] == ["Cleared"]


def test_clear_ends_it_and_nothing_else() -> None:
    engine = Engine(compiled(view(alone("water.level > 3 m", "water.level < 2 m"))))
    kinds = [[said.kind for said in engine.says(shows(at, water_level=level))] for at, level in enumerate((3.5, 2.5, 2, 1.5))]  # fmt: skip
    assert kinds == [["Raised"], [], [], ["Cleared"]]


def test_a_clear_for_each_element_is_of_the_same_element() -> None:
    whole = alone("fire.device[*] == fire", "fire.device[*] == normal")
    engine = Engine(compiled(view(whole)))
    engine.take(shows(1, fire_1="fire", fire_2="fire"))
    assert engine.says(shows(2, fire_1="fault", fire_2="normal")) == [
        Said("Cleared", "test-panel.x[panel-1][2]")
    ]


def test_a_limit_is_that_of_the_device_in_its_own_unit() -> None:
    whole = alone("water.level > limit.high")
    low = view(whole, limits={"high": SiteLimit(250, "cm")})
    high = view(whole, device="panel-2", limits={"high": SiteLimit(4, "m")})
    engine = Engine(compiled(low, high, view(whole, device="panel-3")))
    assert len(engine.state.rules.instances) == 2, "without its limit it is off"
    assert [said.instance for said in engine.says(shows(1, water_level=3))] == ["test-panel.x[panel-1]"]  # fmt: skip
    assert engine.says(shows(1, "panel-2", water_level=3)) == []


def test_a_condition_joins_what_the_whole_language_can_say() -> None:
    whole = alone("fire.device[*] == fire and (fire.bus == normal or stale(water.level, 10s))")
    engine = Engine(compiled(view(whole)))
    assert engine.says(shows(1, fire_2="fire", fire_bus="fault", water_level=1)) == []
    assert engine.says(shows(2, fire_bus="normal")) == [Said("Raised", "test-panel.x[panel-1][2]")]
    assert engine.says(shows(3, fire_bus="fault")) == [Said("Cleared", "test-panel.x[panel-1][2]")]
    assert engine.says(11.0) == [Said("Raised", "test-panel.x[panel-1][2]")]


def test_an_alarm_may_ask_for_another_of_its_profile() -> None:
    one: dict[str, object] = {"id": "x", "when": "fire.device[*] == fire", "severity": "safety"}
    two: dict[str, object] = {"id": "y", "severity": "safety", "when": 'active("test-panel.x") and door.open'}  # fmt: skip
    engine = Engine(compiled(view(panel([two, one]))))
    engine.take(shows(1, door_open=True, fire_3="fault"))
    assert engine.says(shows(2, fire_3="fire")) == [
        Said("Raised", "test-panel.x[panel-1][3]"), Said("Raised", "test-panel.y[panel-1]"),
    ]  # fmt: skip
    (told_,) = told(panel([{**two, "when": 'active("test-panel.z")'}]))
    assert told_ == ("alarms[0].when", "unknown rule 'test-panel.z'")


def faults(one: Profile, limits: dict[str, SiteLimit] | None = None, **labels: dict[str, str]) -> tuple[list[str], list[str]]:  # fmt: skip
    report = Report(document(), ("devices", "panel-1"))
    named = {name.replace("_", "."): dict[str, str | dict[str, str]](found) for name, found in labels.items()}  # fmt: skip
    Alarms().check_device(view(one, limits=limits, labels=named), report)
    return (
        [f"{p.path}: {p.what}: {p.fix}" for p in report.problems],
        [f"{p.path}: {p.what}: {p.fix}" for p in report.notes],
    )


def test_limits_and_labels_of_a_device_are_checked() -> None:
    whole = alone("water.level > limit.high")
    assert faults(whole, {"high": SiteLimit(3, "m")}) == ([], [])
    ((note,),) = faults(whole)[1:]
    assert "no limit 'high'" in note
    assert "limits: {high: 3 m}" in note
    problems, _ = faults(whole, {"hihg": SiteLimit(3, "m")})
    assert problems == [
        "devices.panel-1.limits.hihg: no alarm of profile 'test-panel' asks for a limit 'hihg': did you mean 'high'?"
    ]
    for limit, what in (
        (SiteLimit(3), "number without a unit"),
        (SiteLimit(3, "V"), "a voltage where a length should be"),
        (SiteLimit(30, "m"), "never true"),
    ):
        ((problem,), _) = faults(whole, {"high": limit})
        assert problem.startswith("devices.panel-1.limits.high: ")
        assert what in problem
    assert faults(panel(), fire_device={"1": "hall"}) == ([], [])
    assert "no array 'fire.devise'" in faults(panel(), fire_devise={"1": "hall"})[0][0]
    assert "no element 6: write 1 to 5" in faults(panel(), fire_device={"6": "hall"})[0][0]


def test_a_latched_alarm_stays_until_it_is_reset() -> None:
    engine = Engine(compiled(view()))
    assert engine.says(shows(1, fire_3="fire")) == [Said("Raised", FIRE3)]
    with pytest.raises(ValueError, match="still holds"):
        reset(engine.state, FIRE3, 2 * SECOND, "x")
    assert engine.says(shows(2, fire_3="normal")) == []
    ((alarm,)) = active(engine.state)
    assert (alarm.instance, alarm.latched, alarm.since) == (FIRE3, True, SECOND)
    engine.state, (cleared,) = reset(engine.state, FIRE3, 3 * SECOND, "reset by uid 0")
    assert isinstance(cleared, Cleared)
    assert (cleared.instance, cleared.reason) == (FIRE3, "reset by uid 0")
    assert cleared.about == {"point": "fire.device[3]"}
    assert active(engine.state) == []
    with pytest.raises(ValueError, match="no active alarm"):
        reset(engine.state, FIRE3, 4 * SECOND, "x")


def test_a_latched_alarm_that_happens_again_is_told_again() -> None:
    engine = Engine(compiled(view()))
    engine.take(shows(1, fire_3="fire"))
    engine.take(shows(2, fire_3="normal"))
    assert engine.says(shows(3, fire_3="fire")) == [Said("Raised", FIRE3)]
    assert [alarm.latched for alarm in active(engine.state)] == [False]
    assert engine.says(shows(4, fire_3="normal")) == []


def test_only_by_force_is_reset_what_nobody_knows_to_be_over() -> None:
    engine = Engine(compiled(view()))
    engine.take(shows(1, fire_3="fire"))
    engine.take(shows(2, fire_3=None))
    with pytest.raises(ValueError, match="not known at present"):
        reset(engine.state, FIRE3, 3 * SECOND, "x")
    engine.state, outputs = reset(engine.state, FIRE3, 3 * SECOND, "x", force=True)
    assert [type(output) for output in outputs] == [Cleared]
    assert engine.says(shows(4, fire_3="fire")) == [Said("Raised", FIRE3)]


@pytest.mark.parametrize("level", [2.5, None])
def test_a_latched_alarm_between_its_limits_is_not_reset(level: float | None) -> None:
    alarm: dict[str, object] = {
        "id": "x", "when": "water.level > 3 m", "clear": "door.count == 0", "severity": "life",
        "latch": True,
    }  # fmt: skip
    engine = Engine(compiled(view(panel([alarm]))))
    engine.take(shows(1, water_level=3.5, door_count=1))
    engine.take(shows(2, water_level=2.5, door_count=1 if level else None))
    name = "test-panel.x[panel-1]"
    why = "still holds" if level else "not known"
    with pytest.raises(ValueError, match=why):
        reset(engine.state, name, 3 * SECOND, "x")
    if level is None:
        engine.state, outputs = reset(engine.state, name, 3 * SECOND, "x", force=True)
        assert len(outputs) == 1


def test_what_is_not_latched_is_not_reset() -> None:
    engine = Engine(compiled(view()))
    engine.take(shows(1, fire_2="fault"))
    with pytest.raises(ValueError, match="not latched"):
        reset(engine.state, "test-panel.fire.fault[panel-1][2]", 2 * SECOND, "x")


def test_a_restart_raises_nothing_twice_and_keeps_the_latch() -> None:
    engine = Engine(compiled(view()))
    engine.state, outputs = restore(engine.state.rules, Past(raised={FIRE3: 1}), 1)
    assert outputs == []
    assert engine.says(shows(5, fire_3="fire")) == []
    assert engine.says(shows(6, fire_3="normal")) == []
    assert [alarm.latched for alarm in active(engine.state)] == [True]


def test_alarms_of_a_profile_and_rules_of_the_site_see_the_same_points() -> None:
    whole = profile(
        [{"id": "water.level", "unit": "m"}],
        [{"id": "high", "when": "water.level > 3 m", "severity": "operational"}],
        "test-level",
    )
    rules = compiled(view(whole, device="tank-1"))
    assert rules.slots == {"tank-1": {"water.level": 0}}


def test_the_shipped_fire_panel_tells_which_detector_and_where() -> None:
    whole, written = load_profile(shipped_folder() / "gst-fire-panel.yaml")
    assert check_alarms(whole, written) == ([], [])
    labels: dict[str, dict[str, str | dict[str, str]]] = {"fire.device": {"17": "B1 4F east"}}
    engine = Engine(compiled(view(whole, labels=labels)))
    assert len(engine.state.rules.instances) == 3 * 242
    states = {f"fire.device[{n}]": "normal" for n in range(1, 243)}
    assert engine.take(Sample("panel-1", 0, 1, 1, True, states)) == []
    (raised,) = engine.take(Sample("panel-1", 0, 2, 1, True, states | {"fire.device[17]": "fire"}))
    assert isinstance(raised, Raised)
    assert raised.instance == "gst-fire-panel.fire.signal[panel-1][17]"
    assert raised.about == {"point": "fire.device[17]", "label": "B1 4F east"}

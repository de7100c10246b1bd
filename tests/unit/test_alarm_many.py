"""Alarms that get worse, come and go, come in crowds, or that nobody looks after."""

import pytest

from rules.keep import everything
from rules.outputs import Changed, Notified
from rules.restart import Past, restore
from rules.standing import severity
from rules.step import active
from tests.unit.rules_site import SECOND, load, usable
from tests.unit.test_alarm_life import BEGIN, END, OVER, Desk, rule

LEVELS = (
    ", levels: [{when: it.elec.voltage.a > 270 V, severity: safety},"
    " {when: it.elec.voltage.a > 290 V, for: 2s, severity: life}]"
)


def test_a_higher_level_is_news_to_those_who_have_seen_the_alarm() -> None:
    desk = Desk(rule(LEVELS))
    assert desk.volts(1, 260) == BEGIN
    desk.do("ack")
    assert desk.volts(2, 275) == ["severity", "annunciated", "notified"]
    assert (desk.letter, severity(desk.state, 0).name) == ("B", "SAFETY")
    assert desk.volts(3, 295) == []
    assert desk.wait(6) == ["5s severity", "5s annunciated", "5s notified"]
    assert active(desk.state)[0].severity.name == "LIFE"
    assert desk.volts(7, 275) == ["severity"]
    assert desk.volts(8, 260) == ["severity"]
    assert desk.volts(9, 230) == END


def test_an_alarm_begins_as_severe_as_it_is_by_then() -> None:
    desk = Desk(rule(LEVELS, "  for: 5s\n"))
    desk.volts(1, 295)
    assert desk.wait(7) == ["6s raised", "6s claimed", "6s notified"]
    assert active(desk.state)[0].severity.name == "LIFE"
    desk.volts(8, 230)
    desk.volts(9, 260)
    desk.wait(15)
    assert active(desk.state)[0].severity.name == "OPERATIONAL"


def test_what_is_latched_keeps_the_worst() -> None:
    desk = Desk(rule(LEVELS + ", latch: true"))
    desk.volts(1, 275)
    desk.volts(2, 230)
    assert active(desk.state)[0].severity.name == "SAFETY"
    desk.volts(3, 260)
    assert active(desk.state)[0].severity.name == "SAFETY"


def test_getting_worse_ends_the_rest_of_a_shelf() -> None:
    desk = Desk(rule(LEVELS))
    desk.volts(1, 260)
    desk.do("shelve", ns=3_600 * SECOND)
    assert desk.volts(2, 275) == ["severity", "unshelved", "annunciated", "notified"]


def test_getting_worse_within_the_cooldown_is_told() -> None:
    desk = Desk(rule(LEVELS + ", cooldown: 1h"))
    desk.volts(1, 260)
    desk.volts(2, 230)
    assert desk.volts(3, 260) == ["claimed"]
    assert desk.volts(4, 275) == ["raised"]
    assert desk.volts(5, 230) == END


def test_a_level_that_is_unknown_stays_as_it_is() -> None:
    text = rule(", levels: [{when: it.elec.pf.total > 0, severity: safety}]")
    desk = Desk(text)
    desk.volts(1, 290)
    desk.blind(2, "elec.pf.total")
    assert active(desk.state)[0].severity.name == "SAFETY"


FLAP = ", flap: {raises: 2, in: 60s}"


def test_an_alarm_that_comes_and_goes_is_heard_again_when_it_is_steady() -> None:
    desk = Desk(rule(FLAP))
    for at in (0, 10):
        assert desk.volts(at, 260) == BEGIN
        assert desk.volts(at + 5, 230) == END
    assert desk.volts(20, 260) == ["raised quietly", "flapping", "claimed"]
    assert desk.volts(25, 230) == END
    assert desk.volts(30, 260) == ["raised quietly", "claimed"]
    assert desk.wait(79) == []
    assert desk.wait(90) == ["80s steady", "80s annunciated", "80s notified"]


def test_of_a_life_alarm_every_raise_is_heard() -> None:
    desk = Desk(rule(FLAP).replace("operational", "life"))
    for at in (0, 10, 20):
        assert desk.volts(at, 260)[0] == "raised"
        desk.volts(at + 5, 230)


STORM = """
rules:
- id: over
  for_each: {type: meter}
  when: it.elec.voltage.a > 250 V
  alarm: {severity: operational, ack: required, storm: {as: many, more_than: 1, in: 60s, group_by: []}}
  do:
  - notify: {to: guard}
"""
SECOND_METER = "over[meter-2]"


def test_many_alarms_are_one_from_a_certain_number_on() -> None:
    desk = Desk(STORM)
    assert desk.volts(1, 260) == ["raised", "notified"]
    assert desk.volts(2, 260, "meter-2") == ["raised", "notified", "raised quietly"]
    assert {one.instance: one.letter for one in active(desk.state)} == {
        OVER: "B", SECOND_METER: "B", "many": "B",
    }  # fmt: skip
    assert desk.do("ack", "many") == ["acked", "acked", "acked"]
    assert desk.volts(3, 230) == ["cleared: condition no longer true"]
    assert desk.volts(4, 230, "meter-2") == [
        "cleared: condition no longer true", "cleared: none of its alarms is active any more",
    ]  # fmt: skip
    assert active(desk.state) == []
    assert desk.volts(100, 260) == ["raised", "notified"]


def test_while_a_storm_is_open_its_alarms_are_not_heard() -> None:
    desk = Desk(STORM)
    desk.volts(1, 260)
    desk.volts(2, 260, "meter-2")
    desk.volts(3, 230)
    assert desk.volts(90, 260) == ["raised quietly"]


def test_a_storm_is_as_severe_as_the_worst_of_its_alarms() -> None:
    desk = Desk(
        STORM.replace(
            "ack: required,", "levels: [{when: it.elec.voltage.a > 270 V, severity: life}],"
        )
    )
    desk.volts(1, 260)
    desk.volts(2, 260, "meter-2")
    severities = {one.instance: one.severity.name for one in active(desk.state)}
    assert severities["many"] == "OPERATIONAL"
    found = desk.see(3, 275, "meter-2")
    changes = [(one.instance, one.change) for one in found if isinstance(one, Changed)]
    assert changes == [
        (SECOND_METER, "severity"), (SECOND_METER, "annunciated"), ("many", "severity"), ("many", "annunciated"),
    ]  # fmt: skip
    desk.volts(4, 230, "meter-2")
    assert {one.instance: one.severity.name for one in active(desk.state)}["many"] == "OPERATIONAL"


@pytest.mark.parametrize(("said", "when"), [("unacked", True), ("active", False)])
def test_what_nobody_sees_is_told_to_others(said: str, *, when: bool) -> None:
    stages = (
        f", escalate: [{{after: 60s, if: {said}, notify: {{to: guard, text: Look}}}},"
        " {after: 2m, if: unacked, do: [{set: {device: lamp, point: light.mode, value: hand}}]}]"
    )
    desk = Desk(rule(stages))
    desk.volts(0, 260)
    assert desk.wait(60) == ["60s escalated", "60s notified"]
    desk.do("ack")
    assert desk.wait(500) == []
    desk = Desk(rule(stages))
    desk.volts(0, 260)
    desk.do("ack")
    assert bool(desk.wait(60)) is not when
    desk = Desk(rule(stages))
    desk.volts(0, 260)
    assert desk.wait(200)[2:] == ["120s escalated", "120s claimed"]
    assert desk.volts(201, 230) == [*END, "released"]


def test_while_nobody_hears_of_an_alarm_it_is_not_escalated_and_then_from_the_start() -> None:
    desk = Desk(rule(", escalate: [{after: 60s, if: unacked, notify: {to: guard, text: Look}}]"))
    desk.volts(0, 260)
    desk.do("shelve", ns=100 * SECOND)
    assert desk.wait(130) == ["100s unshelved", "100s annunciated", "100s notified"]
    assert desk.wait(200) == ["160s escalated", "160s notified"]


def test_each_time_people_are_told_is_another_occasion() -> None:
    desk = Desk(rule(", escalate: [{after: 60s, if: unacked, notify: {to: guard}}]"))
    desk.volts(0, 260)
    desk.do("shelve", ns=10 * SECOND)
    occasions = [one.occasion for one in desk.outputs(200) if isinstance(one, Notified)]
    assert occasions == ["2", "2.1"]


@pytest.mark.parametrize(("alarm", "what"), [
    ("levels: [{when: it.elec.pf.total > 0, severity: operational}]", "severities that do not rise"),
    ("levels: [{when: it.elec.pf.totl > 0, severity: life}]", "profile 'test-meter' has no point 'elec.pf.totl'"),
    ("escalate: [{after: 1m, if: unacked}]", "a stage without exactly one of `notify` and `do`"),
    ("escalate: [{after: 1m, if: unacked, notify: {to: gard}}]", "unknown recipient 'gard'"),
    ("escalate: [{after: 2m, if: active, notify: {to: guard}}, {after: 1m, if: active, notify: {to: guard}}]", "stages that are not in order"),
    ("storm: {as: over, more_than: 3, in: 1m}", "'over' is a rule or a storm already"),
    ("storm: {as: many, more_than: 3, in: 1m, group_by: [floor]}", "over[meter-1] has no tag 'floor'"),
])  # fmt: skip
def test_a_wrong_alarm_is_refused_where_it_stands(alarm: str, what: str) -> None:
    (problem,) = load(rule(f", {alarm}"), recipients=["guard"])[1]
    assert problem.what == what
    assert problem.path.startswith("rules[0].alarm")


def test_teeth_a_storm_that_is_not_counted_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rules.alarming._storm", lambda *_: None)
    with pytest.raises(AssertionError):
        test_many_alarms_are_one_from_a_certain_number_on()


def test_teeth_an_escalation_that_asks_nobody_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rules.care._applies", lambda *_: True)
    with pytest.raises(AssertionError):
        test_what_nobody_sees_is_told_to_others("unacked", when=True)


def test_a_level_says_what_the_severity_was() -> None:
    desk = Desk(rule(LEVELS))
    desk.volts(1, 260)
    found = [one for one in desk.see(2, 275) if isinstance(one, Changed)]
    assert [(one.change, dict(one.more), one.letter) for one in found] == [
        ("severity", {"was": "operational"}, "B"), ("annunciated", {}, "B"),
    ]  # fmt: skip


def test_an_escalation_that_waits_goes_on_after_a_restart() -> None:
    stages = ", escalate: [{after: 60s, if: unacked, do: [{wait: 30s}, {notify: {to: guard, text: Go}}]}]"
    desk = Desk(rule(stages))
    desk.volts(0, 260)
    assert desk.wait(70) == ["60s escalated"]
    again = Desk(rule(stages))
    kept = everything(desk.state)
    again.state, _ = restore(again.state.rules, Past(kept), desk.now)
    assert again.wait(200) == ["90s notified"]


def test_a_level_that_can_hold_without_its_alarm_is_warned_of() -> None:
    for limit, warned in ((270, False), (240, True)):
        text = rule(f", levels: [{{when: it.elec.voltage.a > {limit} V, severity: life}}]")
        notes = [note.what for note in usable(text, recipients=["guard"]).notes]
        assert any("can hold while" in note for note in notes) is warned


def test_an_alarm_that_flaps_leaves_no_heap_of_timers() -> None:
    desk = Desk(rule(", ack: required, escalate: [{after: 8h, if: unacked, notify: {to: guard}}]"))
    for at in range(1, 2_000):
        desk.volts(at, 260 if at % 2 else 230)
    assert len(desk.state.timers) < 200

"""The life of an alarm: acknowledged, shelved, suppressed, out of service, news again."""

import json
from typing import Any

import pytest

from gateway.model import Value
from rules.explain import explained, named
from rules.incident import Incident
from rules.keep import everything
from rules.outputs import Cleared, Operation, OperationKind, Output, Raised
from rules.restart import Past, restore
from rules.standing import letter
from rules.step import Tick, active, next_due, operate, start, step
from rules.terms import HOUR_NS
from tests.unit.rules_site import SECOND, load, sample, usable

VOLTAGE, OVER = "elec.voltage.a", "over[meter-1]"


def rule(alarm: str = "", more: str = "") -> str:
    return (
        "rules:\n- id: over\n  title: Voltage high\n  for_each: {type: meter, id: meter-1}\n"
        "  with: {lamp: light-1}\n  when: it.elec.voltage.a > 250 V\n"
        f"  alarm: {{severity: operational{alarm}}}\n"
        "  do:\n  - set: {device: lamp, point: light.level, value: 60 %}\n"
        f"  - notify: {{to: guard}}\n{more}"
    )


class Desk:
    """An engine, and somebody who does things with its alarms."""

    def __init__(self, text: str) -> None:
        self.state = start(usable(text, recipients=["guard"]))
        self.now = 0

    def see(self, at_s: float, volts: float, device: str = "meter-1") -> list[Output]:
        self.now = round(at_s * SECOND)
        values: dict[str, Value] = {VOLTAGE: volts, "elec.pf.total": 0.5 if volts > 280 else 0}
        self.state, outputs = step(self.state, sample(device, at_s, values), self.now)
        return outputs

    def volts(self, at_s: float, volts: float, device: str = "meter-1") -> list[str]:
        return [told(one) for one in self.see(at_s, volts, device)]

    def blind(self, at_s: float, point: str) -> None:
        self.now = round(at_s * SECOND)
        self.state, _ = step(self.state, sample("meter-1", at_s, {}, bad=(point,)), self.now)

    def outputs(self, until_s: float) -> list[Output]:
        """Of the timers up to then."""
        return [output for _, output in self._timers(until_s)]

    def wait(self, until_s: float) -> list[str]:
        return [f"{at / SECOND:g}s {told(one)}" for at, one in self._timers(until_s)]

    def _timers(self, until_s: float) -> list[tuple[int, Output]]:
        found: list[tuple[int, Output]] = []
        while (due := next_due(self.state)) is not None and due <= until_s * SECOND:
            self.state, outputs = step(self.state, Tick(), due)
            found += [(due, one) for one in outputs]
        self.now = round(until_s * SECOND)
        return found

    def do(self, kind: OperationKind, alarm: str = OVER, **more: Any) -> list[str]:
        operation = Operation(kind, alarm, "ann", **more)
        self.state, outputs = operate(self.state, operation, self.now)
        return [told(one) for one in outputs]

    def refused(self, kind: OperationKind, alarm: str = OVER, **more: Any) -> str:
        with pytest.raises(ValueError, match=r".") as error:
            self.do(kind, alarm, **more)
        return str(error.value)

    @property
    def letter(self) -> str:
        return letter(self.state, 0)


def told(output: Output) -> str:
    match output:
        case Raised():
            return "raised" if output.annunciate else "raised quietly"
        case Cleared():
            return f"cleared: {output.reason}"
    return getattr(output, "change", type(output).__name__.lower())


BEGIN, END = ["raised", "claimed", "notified"], ["cleared: condition no longer true", "released"]


def test_an_alarm_that_needs_no_acknowledgement_ends_with_its_condition() -> None:
    desk = Desk(rule())
    assert desk.letter == "A"
    assert desk.volts(1, 260) == BEGIN
    assert desk.letter == "B"
    assert desk.volts(2, 230) == END
    assert (desk.letter, active(desk.state)) == ("A", [])


def test_one_that_must_be_acknowledged_stays_open_until_somebody_has_seen_it() -> None:
    desk = Desk(rule(", ack: required"))
    desk.volts(1, 260)
    assert desk.volts(2, 230) == END
    assert desk.letter == "D"
    (alarm,) = active(desk.state)
    assert (alarm.letter, alarm.since, alarm.acked_by) == ("D", SECOND, "")
    assert desk.do("ack") == ["acked"]
    assert (desk.letter, active(desk.state)) == ("A", [])


def test_an_alarm_that_is_acknowledged_while_it_is_active_ends_with_its_condition() -> None:
    desk = Desk(rule(", ack: required"))
    desk.volts(1, 260)
    desk.do("ack")
    assert desk.do("ack") == []
    (alarm,) = active(desk.state)
    assert (alarm.letter, alarm.acked_by) == ("C", "ann")
    desk.volts(2, 230)
    assert active(desk.state) == []


def test_raised_again_before_it_was_seen_it_is_the_same_incident() -> None:
    desk = Desk(rule(", ack: required"))
    desk.volts(1, 260)
    desk.volts(2, 230)
    assert desk.volts(3, 260) == BEGIN
    (alarm,) = active(desk.state)
    assert (alarm.letter, alarm.raises, alarm.since) == ("B", 2, 3 * SECOND)


def test_what_was_seen_is_news_when_a_latched_alarm_is_raised_again() -> None:
    desk = Desk(rule(", latch: true"))
    desk.volts(1, 260)
    assert desk.volts(2, 230) == []
    assert desk.letter == "E"
    desk.do("ack")
    assert desk.letter == "F"
    assert desk.volts(3, 260) == BEGIN
    assert desk.letter == "B"
    assert "still holds" in desk.refused("reset")
    desk.volts(4, 230)
    assert desk.do("reset") == ["cleared: reset by ann", "released"]
    assert desk.letter == "A"


def test_a_latched_alarm_that_must_be_acknowledged_waits_for_both() -> None:
    desk = Desk(rule(", latch: true, ack: required"))
    desk.volts(1, 260)
    desk.volts(2, 230)
    desk.do("reset")
    assert desk.letter == "D"
    desk.do("ack")
    assert desk.letter == "A"


def test_what_cannot_be_acknowledged_is_refused() -> None:
    desk = Desk(rule(", ack: none"))
    assert desk.refused("ack") == f"{OVER} is not to be acknowledged: it says `ack: none`"
    desk.volts(1, 260)
    assert desk.letter == "C"
    assert Desk(rule()).refused("ack").startswith(f"{OVER} has no open incident")
    assert Desk(rule()).refused("ack", "x").startswith("no alarm 'x'")


def test_within_the_cooldown_a_raise_holds_and_writes_but_tells_nothing() -> None:
    desk = Desk(rule(", cooldown: 60s"))
    assert desk.volts(1, 260) == BEGIN
    assert desk.volts(2, 230) == END
    assert desk.volts(3, 260) == ["claimed"]
    assert desk.volts(4, 230) == ["released"]
    assert desk.volts(60.9, 260) == ["claimed"]
    assert desk.volts(60.95, 230) == ["released"]
    assert desk.volts(61, 260) == BEGIN


def test_an_alarm_that_goes_on_long_after_it_was_seen_is_news_again() -> None:
    desk = Desk(rule(", realarm: 1h"))
    desk.volts(0, 260)
    desk.do("ack")
    assert desk.wait(3_600) == ["3600s realarm", "3600s annunciated", "3600s notified"]
    assert desk.letter == "B"
    assert desk.wait(9_000) == []


def test_while_it_is_shelved_an_alarm_acts_and_nobody_hears_of_it() -> None:
    desk = Desk(rule())
    assert desk.do("shelve", ns=HOUR_NS) == ["shelved"]
    assert desk.letter == "G"
    assert desk.volts(1, 260) == ["raised quietly", "claimed"]
    assert desk.do("unshelve") == ["unshelved", "annunciated", "notified"]
    assert desk.letter == "B"


def test_what_was_shelved_is_told_when_its_time_is_over_and_only_if_it_still_holds() -> None:
    desk = Desk(rule())
    desk.do("shelve", ns=10 * SECOND)
    desk.volts(1, 260)
    assert desk.wait(20) == ["10s unshelved", "10s annunciated", "10s notified"]
    desk.do("shelve", ns=10 * SECOND)
    desk.volts(25, 230)
    assert desk.wait(40) == ["30s unshelved"]


def test_a_one_shot_ends_with_the_alarm() -> None:
    desk = Desk(rule())
    desk.volts(1, 260)
    desk.do("shelve", ns=HOUR_NS, one_shot=True)
    assert desk.volts(2, 230) == [*END, "unshelved"]
    assert desk.volts(3, 260) == BEGIN


def test_nothing_is_shelved_for_longer_than_its_rule_allows() -> None:
    desk = Desk(rule(", shelve_max: 30m"))
    longest = f"{OVER} may be shelved for more than 0 and at most 30m"
    assert desk.refused("shelve", ns=HOUR_NS) == longest
    assert desk.refused("shelve", ns=0) == longest
    assert desk.refused("unshelve") == f"{OVER} is not shelved"


def test_of_alarms_that_save_lives_one_is_shelved_and_for_an_hour_at_most() -> None:
    text = rule().replace("operational", "life").replace(", id: meter-1", "")
    desk = Desk(text)
    assert "at most 60m" in desk.refused("shelve", ns=2 * HOUR_NS)
    desk.do("shelve", ns=HOUR_NS)
    desk.do("shelve", ns=HOUR_NS)
    assert desk.refused("shelve", "over[meter-2]", ns=HOUR_NS).startswith(f"{OVER} is shelved")


def test_out_of_service_an_alarm_does_nothing_and_makes_up_for_it_when_it_is_back() -> None:
    desk = Desk(rule())
    desk.volts(1, 260)
    assert desk.do("out_of_service", ns=HOUR_NS, reason="rewired") == ["released", "out_of_service"]
    assert desk.letter == "I"
    (alarm,) = active(desk.state)
    assert (alarm.by, alarm.reason, alarm.until) == ("ann", "rewired", SECOND + HOUR_NS)
    assert desk.volts(2, 230) == ["cleared: condition no longer true"]
    assert desk.volts(3, 260) == ["raised quietly"]
    assert desk.do("in_service") == ["claimed", "in_service", "annunciated", "notified"]
    assert desk.volts(4, 230) == END


def test_out_of_service_needs_a_reason_and_has_an_end() -> None:
    desk = Desk(rule())
    assert "a reason is needed" in desk.refused("out_of_service", ns=HOUR_NS, reason=" ")
    assert "at most 7d" in desk.refused("out_of_service", ns=200 * HOUR_NS, reason="x")
    assert desk.refused("in_service") == f"{OVER} is not out of service"
    desk.do("out_of_service", ns=HOUR_NS, reason="x")
    assert desk.wait(8_000) == ["3600s in_service"]


def test_everybody_is_reminded_each_hour_of_a_life_alarm_that_is_out_of_service() -> None:
    desk = Desk(rule().replace("operational", "life"))
    assert "at most 8h" in desk.refused("out_of_service", ns=9 * HOUR_NS, reason="x")
    desk.do("out_of_service", ns=2 * HOUR_NS + 1, reason="x")
    found = desk.wait(9_000)
    assert found == ["3600s out_of_service", "7200s out_of_service", "7200s in_service"]


def test_after_a_restart_one_reminder_is_enough() -> None:
    text = rule().replace("operational", "life")
    desk = Desk(text)
    desk.do("out_of_service", ns=8 * HOUR_NS, reason="x")
    rows, again = everything(desk.state), Desk(text)
    again.state, _ = restore(again.state.rules, Past(rows), 5 * HOUR_NS + SECOND)
    assert again.wait(5 * 3_600 + 2) == ["3600s out_of_service"]
    assert again.wait(6 * 3_600) == ["21600s out_of_service"]


TWO = """
rules:
- id: fire
  for_each: {each: [building], type: meter}
  when: any(members.elec.pf.total > 0)
  alarm: {severity: safety}
- id: smoke
  for_each: {type: meter}
  when: it.elec.voltage.a > 250 V
  alarm: {severity: operational, suppressed_by: [fire], group_by: [building]}
  do:
  - notify: {to: guard}
"""


def test_a_stronger_alarm_of_the_same_place_makes_an_alarm_needless() -> None:
    desk = Desk(TWO)
    assert desk.volts(1, 290) == ["raised", "raised quietly", "suppressed"]
    assert desk.volts(2, 260, "meter-2") == ["raised", "notified"]
    assert [one.letter for one in active(desk.state)] == ["B", "H", "B"]
    assert desk.volts(3, 260) == [
        "cleared: condition no longer true", "unsuppressed", "annunciated", "notified",
    ]  # fmt: skip
    assert desk.volts(4, 290) == ["raised", "suppressed"]
    assert desk.volts(5, 230) == [
        "cleared: condition no longer true", "unsuppressed", "annunciated", "notified",
        "cleared: condition no longer true",
    ]  # fmt: skip


def test_a_weaker_alarm_suppresses_nothing() -> None:
    desk = Desk(TWO.replace("operational", "life"))
    assert desk.volts(1, 290) == ["raised", "raised", "notified"]


@pytest.mark.parametrize(("alarm", "what"), [
    ("suppressed_by: [over]", "alarms suppress each other: over -> over"),
    ("suppressed_by: [ofer]", "'ofer' is no rule with an alarm"),
    ("suppressed_by: [fire], group_by: [floor]", "over[meter-1] has no tag 'floor'"),
    ("suppressed_by: [all], group_by: [building]", "'all' has no tag 'building'"),
    ("suppressed_by: [under]", "alarms suppress each other: over -> under -> over"),
    ("ack: none, realarm: 1h", "`realarm` of an alarm that nobody acknowledges"),
    ("shelve_max: 9h", "32400 s"),
])  # fmt: skip
def test_a_wrong_alarm_is_refused(alarm: str, what: str) -> None:
    more = (
        "- {id: all, with: {m: meter-1}, when: m.elec.pf.total > 0, alarm: {severity: life}}\n"
        "- {id: under, for_each: {type: meter}, when: it.elec.pf.total > 0, alarm: {severity: life, suppressed_by: [over]}}\n"
    )
    problems = load(TWO + rule(f", {alarm}", more).replace("rules:\n", ""), recipients=["guard"])[1]
    assert what in [problem.what for problem in problems]


def test_an_incident_is_the_same_after_it_was_written_down() -> None:
    one = Incident(open=True, opened=5, count=2, acked_ns=7, acked_by="ann", shelved_ns=9)
    assert Incident.load(one.dump()) == one
    assert Incident.load(one.dump(), 10).shelved_ns == 19
    assert Incident().dump() == {}


def test_after_a_restart_alarms_stand_as_before() -> None:
    desk = Desk(rule(", ack: required, cooldown: 1h"))
    desk.volts(1, 260)
    desk.volts(2, 230)
    desk.do("shelve", ns=10 * SECOND)
    rows = json.loads(json.dumps(everything(desk.state)))
    again = Desk(rule(", ack: required, cooldown: 1h"))
    again.now = 5 * SECOND
    again.state, outputs = restore(again.state.rules, Past(rows), again.now)
    assert outputs == []
    assert again.letter == "G"
    assert again.wait(20) == ["12s unshelved"]
    assert again.letter == "D"
    assert again.do("ack") == ["acked"]
    assert again.volts(21, 260) == ["claimed"]


def test_explain_says_why_nobody_hears_of_an_alarm() -> None:
    desk = Desk(TWO)
    desk.volts(1, 290)
    desk.do("shelve", "smoke[meter-1]", ns=HOUR_NS)
    desk.do("out_of_service", "smoke[meter-1]", ns=HOUR_NS, reason="rewired")
    (rank,) = named(desk.state, "smoke[meter-1]")
    told_of = explained(desk.state, rank, desk.now)
    assert told_of.aside == (
        "suppressed by fire[1]", "out of service: ann, rewired", "shelved by ann",
    )  # fmt: skip


def test_teeth_a_mute_that_mutes_nothing_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rules.deeds.muted", lambda _state, _rank: False)
    with pytest.raises(AssertionError):
        test_while_it_is_shelved_an_alarm_acts_and_nobody_hears_of_it()


def test_teeth_an_incident_that_closes_unseen_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Incident, "unacked", property(lambda _self: False))
    with pytest.raises(AssertionError):
        test_while_it_is_shelved_an_alarm_acts_and_nobody_hears_of_it()

"""What rules go on with after a restart: delays, alarms, steps and claims, and what was due meanwhile."""

from collections.abc import Sequence

import orjson
import pytest

from gateway.model import Sample, Severity, Value
from rules.confirm import confirm
from rules.flow import State
from rules.keep import changes, everything
from rules.outputs import Commanded, Held, Output, Raised
from rules.restart import CHANGED, Past, late, restore
from rules.step import Tick, active, next_due, reset, start, step
from rules.swap import GONE, reload
from tests.unit.rules_site import SECOND, sample, usable
from tests.unit.test_rules_language import said

VOLTS, POWER, LUX = "elec.voltage.a", "elec.power.total", "env.illuminance"  # power: known for 30 s
HIGH = """
rules:
- id: high
  for_each: {{id: meter-1}}
  when: it.elec.power.total > 250 W
  for: 60s
  unknown_for: 20s
  {more}
"""
SILENT = """
rules:
- id: silent
  for_each: {id: meter-1}
  when: stale(it.elec.power.total, 60s)
  alarm: {severity: safety}
"""
ALARM = "alarm: {severity: safety}"


class Life:
    """An engine, and what its journal holds; `off` is a restart. Times are seconds."""

    def __init__(self, text: str, *recipients: str) -> None:
        self.rules = usable(text, recipients=recipients)
        self.state: State = start(self.rules)
        self.history: list[tuple[Sample, int]] = []
        self.outputs: Sequence[Output] = ()
        self.now = 0

    def see(self, at: float, device: str, point: str, value: Value) -> list[str]:
        self.now = round(at * SECOND)
        heard = sample(device, at, {point: value})
        self.history.append((heard, self.now))
        return self._take(heard)

    def tick(self, at: float) -> list[str]:
        self.now = round(at * SECOND)
        return self._take(Tick())

    def off(self, at: float, until: float) -> list[str]:
        self.tick(at)
        rows = orjson.loads(orjson.dumps(everything(self.state)))
        self.now = round(until * SECOND)
        past = Past(rows, history=self.history, off_ns=round((until - at) * SECOND))
        self.state, self.outputs = restore(self.rules, past, self.now)
        return [said(output) for output in self.outputs]

    def longer(self, by: float) -> list[str]:
        self.state, self.outputs = late(self.state, round(by * SECOND), self.now)
        return [said(output) for output in self.outputs]

    def reload(self, text: str, *recipients: str) -> list[str]:
        self.rules = usable(text, recipients=recipients)
        self.state, self.outputs = reload(self.state, self.rules, self.now)
        return [said(output) for output in self.outputs]

    def _take(self, taken: Sample | Tick) -> list[str]:
        self.state, self.outputs = step(self.state, taken, self.now)
        return [said(output) for output in self.outputs]

    @property
    def due(self) -> float | None:
        due = next_due(self.state)
        return None if due is None else due / SECOND


def high(more: str = ALARM) -> Life:
    """Its condition is true from 10 s on, so that its alarm is due at 70 s."""
    one = Life(HIGH.format(more=more))
    assert one.see(10, "meter-1", POWER, 300.0) == []
    return one


def test_a_delay_ends_when_it_would_have_ended() -> None:
    one = high()
    assert one.off(20, 50) == []
    assert one.see(69, "meter-1", POWER, 300.0) == []
    assert one.tick(70) == ["Raised high[meter-1]"]


@pytest.mark.parametrize(("policy", "raised"), [("continue", 70), ("pause", 100), ("reset", 110)])
def test_the_rule_says_what_its_delay_does_meanwhile(policy: str, raised: int) -> None:
    one = high(f"restart: {policy}\n  {ALARM}")
    assert one.off(20, 50) == []
    told = {at: one.see(at, "meter-1", POWER, 300.0) for at in range(50, 130, 5)}
    assert [at for at, outputs in told.items() if outputs] == [raised]


def test_what_was_heard_before_it_was_off_but_is_taken_afterwards_is_no_longer_silence() -> None:
    one = Life(SILENT)
    one.see(50, "meter-1", POWER, 1.0)
    one.off(60, 160)
    one.now = 160 * SECOND
    one.state, _ = step(one.state, sample("meter-1", 55, {POWER: 1.0}), one.now)
    assert one.tick(214.9) == []
    assert one.tick(215) == ["Raised silent[meter-1]"], "5 s before it was off and 55 s after"


def test_an_alarm_that_was_due_meanwhile_is_raised_when_fresh_data_confirm_it() -> None:
    one = high()
    assert one.off(20, 100) == []
    assert one.tick(105) == []
    assert one.see(110, "meter-1", POWER, 300.0) == ["Raised high[meter-1]"]
    (raised,) = one.outputs
    assert isinstance(raised, Raised)
    assert (raised.late_ns, raised.unconfirmed) == (40 * SECOND, False)


def test_a_value_that_is_still_known_confirms_it_at_once() -> None:
    one = high()
    assert one.see(65, "meter-1", POWER, 300.0) == []
    assert one.off(66, 80) == ["Raised high[meter-1]"]


def test_an_alarm_that_was_due_meanwhile_and_does_not_hold_is_a_line_in_the_log() -> None:
    one = high()
    assert one.off(20, 100) == []
    assert one.see(110, "meter-1", POWER, 200.0) == [
        "log was due 40.0 s ago while the gateway was off, and its condition does not hold"
    ]
    assert one.see(111, "meter-1", POWER, 300.0) == []
    assert one.see(140, "meter-1", POWER, 300.0) == []
    assert one.tick(171) == ["Raised high[meter-1]"], "a delay of its own"


@pytest.mark.parametrize(
    ("more", "then"),
    [
        (f"on_unknown: assume_true\n  {ALARM}", "Raised high[meter-1]"),
        (f"on_unknown: assume_false\n  {ALARM}", "log was due"),
        (ALARM, "Held high[meter-1]"),
        ("alarm: {severity: life}", "Raised high[meter-1]"),
    ],
)
def test_what_nobody_confirms_is_decided_after_a_while(more: str, then: str) -> None:
    one = high(more)
    assert one.off(20, 100) == []
    assert one.tick(119) == []
    (what,) = one.tick(120)
    assert what.startswith(then)
    (output,) = one.outputs
    assert not isinstance(output, Raised) or output.unconfirmed
    assert one.tick(500) == [], "told once"
    if isinstance(output, Held):
        assert one.off(510, 520) == [], "and not again after another restart"
        assert one.tick(600) == []
        assert one.see(610, "meter-1", POWER, 300.0) == ["Raised high[meter-1]"]


def held() -> Life:
    """It was due at 70 s while it was off, and at 120 s it has been told that it waits."""
    one = high()
    one.off(20, 100)
    assert active(one.state) == [], "not told yet"
    assert one.tick(120) == ["Held high[meter-1]"]
    return one


def test_an_alarm_that_waits_for_data_is_shown_with_when_it_was_due() -> None:
    one = held()
    (shown,) = active(one.state)
    assert (shown.letter, shown.since, shown.severity) == ("X", 70 * SECOND, Severity.SAFETY)
    one.see(130, "meter-1", POWER, 300.0)
    assert [(shown.letter, shown.since) for shown in active(one.state)] == [("B", 130 * SECOND)]


@pytest.mark.parametrize("off", [False, True])
def test_an_alarm_that_waits_for_data_and_does_not_hold_waits_no_longer_and_that_is_told(
    off: bool,
) -> None:
    one = held()
    if off:
        one.off(130, 140)
    said_ = one.see(150, "meter-1", POWER, 200.0)
    assert said_[0] == "Held high[meter-1]"
    assert isinstance(output := one.outputs[0], Held)
    assert (output.over, output.late_ns) == ("its condition does not hold", 80 * SECOND)
    assert active(one.state) == []


@pytest.mark.parametrize(
    ("text", "why"),
    [(HIGH.format(more=ALARM).replace("250", "260"), CHANGED), ("rules: []", GONE)],
)
def test_an_alarm_that_waits_for_data_ends_with_its_rule_and_that_is_told(
    text: str, why: str
) -> None:
    one = held()
    assert one.reload(text) == ["Held high[meter-1]"]
    assert isinstance(output := one.outputs[0], Held)
    assert (output.over, output.late_ns) == (why, 50 * SECOND)
    assert active(one.state) == []


def test_an_alarm_goes_on_without_being_raised_again_and_ends() -> None:
    one = high(f"keep_for: 30s\n  {ALARM}")
    one.see(60, "meter-1", POWER, 300.0)
    assert one.tick(70) == ["Raised high[meter-1]"]
    assert one.off(75, 80) == []
    assert [alarm.since for alarm in active(one.state)] == [70 * SECOND]
    assert one.see(90, "meter-1", POWER, 200.0) == []
    assert one.off(95, 105) == []
    assert one.tick(119) == []
    assert one.tick(120) == ["Cleared high[meter-1]"]


def test_after_the_clock_is_known_what_was_carried_over_is_due_so_much_earlier() -> None:
    one = high()
    assert one.off(20, 20) == [], "nobody knows how long it was off"
    assert one.see(25, "meter-1", POWER, 300.0) == []
    assert one.longer(30) == []
    assert one.due == 40
    assert one.tick(40) == ["Raised high[meter-1]"]


def test_what_is_due_before_the_clock_was_known_is_confirmed_first() -> None:
    one = high()
    assert one.off(20, 20) == []
    one.tick(45)  # what it read is too old by now
    assert one.longer(60) == []
    assert one.see(50, "meter-1", POWER, 300.0) == ["Raised high[meter-1]"]


def test_a_delay_that_began_after_the_restart_does_not_end_earlier() -> None:
    one = Life(HIGH.format(more=ALARM))
    assert one.off(20, 20) == []
    assert one.see(25, "meter-1", POWER, 300.0) == []
    assert one.longer(1000) == []
    assert one.see(50, "meter-1", POWER, 300.0) == []
    assert one.tick(84) == []
    assert one.tick(85) == ["Raised high[meter-1]"]


STEPS = """
rules:
- id: dark
  for_each: {id: light-1}
  when: it.env.illuminance < 40 lx
  do:
  - set: {device: it, point: light.level, value: 60 %}
  - notify: {to: guard}
  - wait: 30s
  - command: {device: it, point: light.fade, value: 5 s}
  - wait_until: {when: it.light.on, timeout: 100s, on_timeout: [{log: never on}]}
  - set: {device: it, point: light.level, value: 80 %}
"""


def test_steps_go_on_where_they_were_and_nobody_is_told_twice() -> None:
    one = Life(STEPS, "guard")
    assert one.see(0, "light-1", LUX, 10.0) == ["light-1.light.level = 60", "to guard: dark"]
    assert one.off(10, 20) == ["light-1.light.level = 60"], "what is held is written again"
    assert one.tick(29) == []
    assert one.tick(30) == ["light-1.light.fade <- 5"]
    assert one.off(40, 50) == ["light-1.light.level = 60"]
    assert one.see(60, "light-1", "light.on", True) == ["light-1.light.level = 80"]
    assert one.off(70, 80) == ["light-1.light.level = 80"]
    assert one.see(90, "light-1", LUX, 90.0) == ["light-1.light.level released"]


def test_a_wait_that_ended_meanwhile_goes_on_at_once() -> None:
    one = Life(STEPS, "guard")
    one.see(0, "light-1", LUX, 10.0)
    assert one.off(10, 200) == ["light-1.light.level = 60", "light-1.light.fade <- 5"]
    assert one.off(210, 400) == [
        "light-1.light.level = 60",
        "log never on",
        "light-1.light.level = 80",
    ]


def test_a_command_whose_end_is_not_known_is_not_done_again() -> None:
    one = Life("""
rules:
- id: dark
  for_each: {id: light-1}
  when: it.env.illuminance < 40 lx
  do:
  - command: {device: it, point: light.fade, value: 5 s, await_confirm: true, on_fail: [{log: failed}]}
  - log: next
""")
    assert one.see(0, "light-1", LUX, 10.0) == ["light-1.light.fade <- 5"]
    assert one.off(10, 20) == ["log failed", "log next"]
    assert not any(isinstance(output, Commanded) for output in one.outputs)


WINDOW = """
rules:
- id: often
  for_each: {id: meter-1}
  when: count(it.elec.voltage.a, 60s) >= 3
  alarm: {severity: operational}
- id: silent
  for_each: {id: meter-1}
  when: stale(it.elec.power.total, 100s)
  alarm: {severity: operational}
"""


def test_windows_are_made_again_from_what_was_heard() -> None:
    one = Life(WINDOW)
    for at in (10, 20):
        assert one.see(at, "meter-1", VOLTS, 230.0) == []
    assert one.off(25, 40) == []
    assert one.see(45, "meter-1", VOLTS, 230.0) == ["Raised often[meter-1]"]


def test_while_nobody_listened_there_is_no_silence() -> None:
    one = Life(WINDOW)
    one.see(50, "meter-1", POWER, 1.0)
    assert one.off(60, 1000) == []
    assert one.tick(1089) == []
    assert one.tick(1090) == ["Raised silent[meter-1]"]
    one.history.clear()  # it is longer ago than the journal reaches
    assert one.off(1100, 1200) == [], "and who was silent is so still"
    assert one.see(1210, "meter-1", POWER, 1.0) == ["Cleared silent[meter-1]"]


# Other rules


def test_texts_and_notation_are_no_change() -> None:
    one = high()
    one.tick(20)
    other = HIGH.format(more=ALARM).replace("60s", "1m").replace("power.total >", "power.total  >")
    assert one.reload(other.replace("for_each", "title: Hoch\n  for_each")) == []
    assert one.see(30, "meter-1", POWER, 300.0) == []
    assert one.tick(70) == ["Raised high[meter-1]"]


def test_a_changed_rule_begins_its_delay_anew() -> None:
    one = high()
    one.see(30, "meter-1", POWER, 300.0)
    assert one.reload(HIGH.format(more=ALARM).replace("250", "260")) == []
    assert one.see(50, "meter-1", POWER, 300.0) == []
    assert one.tick(89) == []
    assert one.tick(90) == ["Raised high[meter-1]"]


def test_an_alarm_is_decided_anew_when_its_rule_was_changed() -> None:
    one = high()
    one.see(60, "meter-1", POWER, 300.0)
    one.tick(70)
    assert one.reload(HIGH.format(more=ALARM).replace("250", "260")) == []
    assert one.reload(HIGH.format(more=ALARM).replace("250", "400")) == ["Cleared high[meter-1]"]
    (cleared,) = one.outputs
    assert getattr(cleared, "reason", "") == "rule changed"


def test_an_alarm_of_a_rule_that_is_gone_is_cleared_and_what_it_held_given_back() -> None:
    text = STEPS.replace("\n  do:", "\n  alarm: {severity: safety}\n  do:")
    one = Life(text, "guard")
    one.see(0, "light-1", LUX, 10.0)
    assert one.reload(WINDOW) == ["Cleared dark[light-1]", "light-1.light.level released"]
    assert changes(one.state).keys() == {"often[meter-1]", "silent[meter-1]"}


LATCHED = STEPS.replace("\n  do:", "\n  alarm: {severity: safety, latch: true}\n  do:")


def test_a_latched_alarm_of_a_rule_that_is_gone_waits_for_its_reset_and_holds_on() -> None:
    one = Life(LATCHED, "guard")
    one.see(0, "light-1", LUX, 10.0)
    assert one.see(10, "light-1", LUX, 90.0) == []
    assert one.reload(WINDOW) == ["light-1.light.level = 60"]
    assert [(alarm.instance, alarm.latched) for alarm in active(one.state)] == [("dark[light-1]", True)]  # fmt: skip
    assert one.off(20, 30) == ["light-1.light.level = 60"], "over a restart too"
    one.state, outputs = reset(one.state, "dark[light-1]", one.now, "reset")
    assert [said(output) for output in outputs] == [
        "Cleared dark[light-1]", "light-1.light.level released",
    ]  # fmt: skip
    assert active(one.state) == []


def test_a_rule_that_comes_back_takes_its_latched_alarm_over() -> None:
    one = Life(LATCHED, "guard")
    one.see(0, "light-1", LUX, 10.0)
    one.see(10, "light-1", LUX, 90.0)
    one.reload(WINDOW)
    assert one.reload(LATCHED, "guard") == ["light-1.light.level = 60"]
    assert [alarm.latched for alarm in active(one.state)] == [True]
    assert one.see(20, "light-1", LUX, 10.0)[:1] == ["Raised dark[light-1]"], "as ever"


def test_a_reload_of_the_same_rules_changes_nothing() -> None:
    one = Life(WINDOW)
    for at in (10, 20):
        one.see(at, "meter-1", VOLTS, 230.0)
    assert one.reload(WINDOW) == []
    assert one.see(45, "meter-1", VOLTS, 230.0) == ["Raised often[meter-1]"]
    assert one.reload(WINDOW) == []
    assert one.tick(70) == ["Cleared often[meter-1]"]


def test_what_changes_nothing_is_not_kept_anew() -> None:
    one = high()
    assert changes(one.state).keys() == {"high[meter-1]"}
    one.see(20, "meter-1", POWER, 301.0)
    assert changes(one.state) == {}
    one.see(30, "meter-1", POWER, 200.0)
    assert changes(one.state) == {"high[meter-1]": None}


def test_teeth_an_alarm_that_nobody_confirmed_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    def trust(
        state: State, rank: int, _holds: bool | None, now: int, outputs: list[Output]
    ) -> list[int]:
        return confirm(state, rank, True, now, outputs)

    monkeypatch.setattr("rules.step.confirm", trust)
    with pytest.raises(AssertionError):
        test_an_alarm_that_was_due_meanwhile_and_does_not_hold_is_a_line_in_the_log()


STORM = """
rules:
- id: high
  for_each: {type: meter}
  when: it.elec.power.total > 250 W
  alarm: {severity: safety, storm: {as: all-high, more_than: 1, in: 5m}}
"""


def test_a_storm_goes_on_and_ends_with_the_last_of_its_alarms() -> None:
    one = Life(STORM)
    one.see(0, "meter-1", POWER, 300.0)
    assert one.see(1, "meter-2", POWER, 300.0) == ["Raised all-high", "Raised high[meter-2]"]
    assert one.off(10, 20) == []
    assert {alarm.instance for alarm in active(one.state)} == {
        "high[meter-1]", "high[meter-2]", "all-high",
    }  # fmt: skip
    assert one.see(21, "meter-1", POWER, 200.0) == ["Cleared high[meter-1]"]
    assert one.see(22, "meter-2", POWER, 200.0) == ["Cleared high[meter-2]", "Cleared all-high"]

"""What conditions mean in the engine: several points and devices, groups, windows, other rules."""

import pytest

from gateway.document import parse
from gateway.model import EMPTY, Level, Quality, Sample, Value
from gateway.profile import Profile
from rules.load import DeviceView, load_rules
from rules.model import RuleSet
from rules.outputs import (
    Changed,
    Claimed,
    Cleared,
    Commanded,
    Held,
    Input,
    Limited,
    Logged,
    Notified,
    Occurred,
    Output,
    Raised,
    Released,
    Skipped,
    Tick,
)
from rules.step import State, active, next_due, reset, start, step

SECOND = 1_000_000_000


def profile(
    name: str, type_: str, *points: dict[str, object], commands: tuple[str, ...] = ()
) -> Profile:
    return Profile.model_validate({
        "profile": name, "type": type_, "facility": "fire", "protocol": "test", "sources": ["tests"],
        "status": "bench", "points": list(points),
        "commands": [{"id": point, "point": point} for point in commands],
    })  # fmt: skip


SMOKE = profile("smoke", "smoke", {"id": "alarm.smoke", "kind": "state", "stale_after": "1h"}, {"id": "battery.level", "unit": "%", "stale_after": "1h"})  # fmt: skip
HEAT = profile("heat", "heat", {"id": "env.temperature", "unit": "Cel", "stale_after": "1h"})
DOOR = profile("door", "door", {"id": "door.lock", "kind": "state", "enum": {"0": "locked", "1": "unlocked"}}, commands=("door.lock",))  # fmt: skip
FLOW = profile("flow", "meter", {"id": "water.flow", "unit": "m3/h", "stale_after": "10m"}, {"id": "water.volume", "unit": "m3", "kind": "counter", "stale_after": "10m"})  # fmt: skip
DEVICES = [
    DeviceView("smoke-1", SMOKE, {"building": "3", "zone": "3-1"}),
    DeviceView("smoke-2", SMOKE, {"building": "3", "zone": "3-1"}),
    DeviceView("smoke-3", SMOKE, {"building": "3", "zone": "3-2"}),
    DeviceView("smoke-4", SMOKE, {"building": "4", "zone": "4-1"}),
    DeviceView("heat-1", HEAT, {"building": "3", "zone": "3-1"}),
    DeviceView("door-3", DOOR, {"building": "3"}),
    DeviceView("door-4", DOOR, {"building": "4"}),
    DeviceView("riser-3", FLOW, {"building": "3"}),
]
FIRE = """
rules:
- id: fire
  title: Confirmed fire
  for_each: {each: [building, zone], type: smoke}
  with:
    heats: {type: heat, same: [building, zone]}
    doors: {type: door, same: [building]}
  when:
    any:
    - count_of(members.alarm.smoke) >= 2
    - any(members.alarm.smoke) and any(heats.env.temperature > 58 °C)
  alarm: {severity: life, latch: true}
  do:
  - set: {device: doors, point: door.lock, value: unlocked}
"""


def usable(text: str) -> RuleSet:
    rules, problems = load_rules([parse(text.encode(), "r.yaml")], DEVICES, ["guard"])
    assert problems == []
    return rules


class Engine:
    def __init__(self, text: str) -> None:
        self.state: State = start(usable(text), 0)

    def see(self, at_s: float, device: str, **values: Value | None) -> list[str]:
        """Points are written with `__` for the dot; None is BAD."""
        named = {name.replace("__", "."): value for name, value in values.items()}
        bad = {
            name: Quality(Level.BAD, "timeout") for name, value in named.items() if value is None
        }
        at = round(at_s * SECOND)
        good = {name: value for name, value in named.items() if value is not None}
        return self.step(Sample(device, at, at, 1, True, good, bad or EMPTY), at_s)

    def tick(self, at_s: float) -> list[str]:
        return self.step(Tick(), at_s)

    def step(self, taken: Input, at_s: float) -> list[str]:
        self.state, outputs = step(self.state, taken, round(at_s * SECOND))
        return [said(output) for output in outputs]


def said(output: Output) -> str:
    match output:
        case Raised() | Cleared() | Changed() | Occurred() | Held() | Limited() | Skipped():
            return f"{type(output).__name__} {output.instance}"
        case Claimed():
            return f"{output.device}.{output.point} = {output.value}"
        case Released():
            return f"{output.device}.{output.point} released"
        case Commanded():
            return f"{output.device}.{output.point} <- {output.value}"
        case Notified():
            return f"to {output.recipient}: {output.text}"
        case Logged():
            return f"log {output.text}"


def test_two_detectors_of_one_zone_confirm_a_fire_and_open_the_doors_of_the_building() -> None:
    engine = Engine(FIRE)
    assert engine.see(1, "smoke-1", alarm__smoke=True) == []
    assert engine.see(2, "smoke-3", alarm__smoke=True) == [], "another zone"
    assert engine.see(9.2, "smoke-2", alarm__smoke=True) == [
        "Raised fire[3/3-1]", "door-3.door.lock = unlocked",
    ]  # fmt: skip
    (alarm,) = active(engine.state)
    assert (alarm.device, alarm.title) == ("gateway", "Confirmed fire")


def test_one_detector_and_heat_confirm_it_while_the_other_detector_is_unknown() -> None:
    engine = Engine(FIRE)
    assert engine.see(1, "smoke-1", alarm__smoke=True) == []
    assert engine.see(2, "heat-1", env__temperature=57) == []
    assert engine.see(3, "smoke-2", alarm__smoke=None) == []
    assert engine.see(4, "heat-1", env__temperature=61)[0] == "Raised fire[3/3-1]"


def test_a_latched_alarm_keeps_the_doors_open_until_it_is_reset() -> None:
    engine = Engine(FIRE)
    engine.see(1, "smoke-1", alarm__smoke=True)
    engine.see(2, "smoke-2", alarm__smoke=True)
    with pytest.raises(ValueError, match="its condition still holds"):
        reset(engine.state, "fire[3/3-1]", 3 * SECOND, "x")
    assert engine.see(4, "smoke-1", alarm__smoke=False) == []
    assert engine.see(5, "smoke-2", alarm__smoke=False) == []
    assert [a.latched for a in active(engine.state)] == [True]
    engine.see(6, "smoke-1", alarm__smoke=None)
    with pytest.raises(ValueError, match="not known"):
        reset(engine.state, "fire[3/3-1]", 6 * SECOND, "x")
    engine.see(7, "smoke-1", alarm__smoke=False)
    engine.state, outputs = reset(engine.state, "fire[3/3-1]", 8 * SECOND, "reset by uid 0")
    assert [said(output) for output in outputs] == [
        "Cleared fire[3/3-1]", "door-3.door.lock released",
    ]  # fmt: skip
    assert active(engine.state) == []


def test_a_rule_counts_for_another_one_from_its_raise_to_its_end() -> None:
    engine = Engine("""
rules:
- id: evacuate
  with: {doors: {type: door}}
  when: active("smoke", any)
  priority: life
  do: [{set: {device: doors, point: door.lock, value: unlocked}}]
- id: smoke
  for_each: {type: smoke}
  when: it.alarm.smoke
  for: 5s
  keep_for: 10s
  alarm: {severity: safety}
""")
    assert engine.see(1, "smoke-1", alarm__smoke=True) == []
    assert engine.tick(6) == [
        "Raised smoke[smoke-1]", "door-3.door.lock = unlocked", "door-4.door.lock = unlocked",
    ]  # fmt: skip
    assert engine.see(7, "smoke-2", alarm__smoke=True) == []
    assert engine.tick(12) == ["Raised smoke[smoke-2]"]
    assert engine.see(13, "smoke-1", alarm__smoke=False) == []
    assert engine.see(14, "smoke-1", alarm__smoke=True) == [], "keep_for was running"
    assert engine.see(15, "smoke-1", alarm__smoke=False) == []
    assert engine.tick(25) == ["Cleared smoke[smoke-1]"]
    engine.see(30, "smoke-2", alarm__smoke=False)
    assert engine.tick(40) == [
        "Cleared smoke[smoke-2]", "door-3.door.lock released", "door-4.door.lock released",
    ]  # fmt: skip


def test_a_leak_at_night_is_a_flow_that_never_reaches_zero() -> None:
    engine = Engine("""
rules:
- id: leak
  for_each: {type: meter}
  when: min(it.water.flow, 1h) > 15 L/h and count(it.water.flow, 1h) >= 5
  alarm: {severity: operational}
""")
    for minute in range(0, 40, 10):
        assert engine.see(minute * 60, "riser-3", water__flow=0.02) == []
    assert engine.see(2400, "riser-3", water__flow=0.02) == ["Raised leak[riser-3]"]
    assert engine.see(3000, "riser-3", water__flow=0.0) == ["Cleared leak[riser-3]"]
    assert engine.see(6590, "riser-3", water__flow=0.02) == []
    assert engine.tick(6600) == [], "the zero leaves the window, too few samples are in it"


def test_a_silent_detector_is_noticed_without_a_sample() -> None:
    engine = Engine(
        """
rules:
- id: silent
  for_each: {type: smoke, id: [smoke-1]}
  when: stale(it.battery.level, 26h)
  alarm: {severity: operational}
""".replace("26h", "20h")
    )
    engine.see(100, "smoke-1", battery__level=90)
    due = next_due(engine.state)
    while due is not None and due < (72_100) * SECOND:
        assert engine.tick(due / SECOND) == []
        due = next_due(engine.state)
    assert engine.tick(72_100) == ["Raised silent[smoke-1]"]
    assert engine.see(72_200, "smoke-1", battery__level=90) == ["Cleared silent[smoke-1]"]


def test_a_rate_is_in_the_unit_of_a_flow() -> None:
    engine = Engine("""
rules:
- id: burst
  for_each: {type: meter}
  when: rate(it.water.volume, 1m) > 6 m3/h
  alarm: {severity: safety}
""")
    assert engine.see(0, "riser-3", water__volume=100.0) == []
    assert engine.see(10, "riser-3", water__volume=100.01) == []  # 3.6 m3/h
    assert engine.see(20, "riser-3", water__volume=100.05) == ["Raised burst[riser-3]"]


@pytest.mark.parametrize(("policy", "raised"), [("hold", []), ("assume_false", []), ("assume_true", ["Raised r[heat-1]"])])  # fmt: skip
def test_what_stands_for_an_unknown_condition_is_for_the_rule_to_say(
    policy: str, raised: list[str]
) -> None:
    engine = Engine(f"""
rules:
- id: r
  for_each: {{type: heat}}
  when: it.env.temperature > 58 °C
  on_unknown: {policy}
  unknown_for: 30s
  alarm: {{severity: operational}}
""")
    assert engine.tick(29) == []
    assert engine.tick(30) == raised
    cleared = [f"Cleared {name.split()[1]}" for name in raised]
    assert engine.see(31, "heat-1", env__temperature=20) == cleared


def test_a_group_of_nobody_is_no_alarm() -> None:
    engine = Engine("""
rules:
- id: lonely
  for_each: {type: smoke}
  with: {others: {type: heat, same: [zone]}}
  when: any(others.env.temperature > 58 °C) or all(others.env.temperature > 58 °C)
  alarm: {severity: safety}
""")
    assert engine.see(1, "heat-1", env__temperature=60) == [
        "Raised lonely[smoke-1]", "Raised lonely[smoke-2]",
    ]  # fmt: skip


def test_a_text_and_a_state_are_compared() -> None:
    engine = Engine(
        """
rules:
- id: open
  for_each: {type: door}
  with: {near: "smoke-{building}"}
  when: it.door.lock in [unlocked] and near.alarm.smoke == false
  alarm: {severity: operational}
""".replace("{building}", "3")
    )
    assert engine.see(1, "smoke-3", alarm__smoke=False) == []
    assert engine.see(2, "door-3", door__lock="unlocked") == ["Raised open[door-3]"]
    assert engine.see(3, "door-3", door__lock=1) == [], "no text is unknown"
    assert engine.see(4, "door-3", door__lock="locked") == ["Cleared open[door-3]"]


SEQUENCE = """
rules:
- id: sump
  title: Water in the basement
  for_each: {type: meter}
  with: {doors: {type: door}, smokes: {type: smoke}}
  when: it.water.flow > 1 m3/h
  alarm: {severity: safety}
  do:
  - notify: {to: guard}
  - set: {device: doors, point: door.lock, value: unlocked}
  - log: "flow {it.water.flow} m3/h"
  - wait: 10s
  - if:
      cond: it.water.flow > 5 m3/h
      then: [{command: {device: doors, point: door.lock, value: locked}}]
      else: [{notify: {to: guard, text: "only {it.water.flow}, {count_of(smokes.alarm.smoke)} smoke"}}]
  - parallel:
    - wait_until: {when: it.water.flow > 8 m3/h, timeout: 30s, on_timeout: [{log: timed out}]}
    - wait: 5s
    - log: at once
  - log: done
  on_clear:
  - notify: {to: guard, text: over}
"""


def test_the_steps_of_a_rule_follow_each_other() -> None:
    engine = Engine(SEQUENCE)
    assert engine.see(1, "riser-3", water__flow=2.5) == [
        "Raised sump[riser-3]", "to guard: Water in the basement",
        "door-3.door.lock = unlocked", "door-4.door.lock = unlocked", "log flow 2.5 m3/h",
    ]  # fmt: skip
    assert engine.see(5, "riser-3", water__flow=3) == []
    assert engine.tick(11) == ["to guard: only 3, 0 smoke", "log at once"]
    assert engine.tick(16) == []
    assert engine.tick(41) == ["log timed out", "log done"]
    assert engine.see(50, "riser-3", water__flow=0) == [
        "Cleared sump[riser-3]", "door-3.door.lock released", "door-4.door.lock released",
        "to guard: over",
    ]  # fmt: skip


def test_a_wait_ends_when_its_condition_is_true_or_the_rule_is_over() -> None:
    engine = Engine(SEQUENCE)
    engine.see(1, "riser-3", water__flow=6)
    assert engine.tick(11) == [
        "door-3.door.lock <- locked", "door-4.door.lock <- locked", "log at once",
    ]  # fmt: skip
    assert engine.see(12, "riser-3", water__flow=9) == []
    assert engine.tick(16) == ["log done"]
    engine = Engine(SEQUENCE)
    engine.see(1, "riser-3", water__flow=6)
    assert "to guard: over" in engine.see(5, "riser-3", water__flow=0)
    assert engine.tick(100) == [], "what was under way has stopped"


@pytest.mark.parametrize(
    ("step", "what", "fix"),
    [
        ("notify: {to: gaurd}", "unknown recipient 'gaurd'", "did you mean 'guard'?"),
        ("notify: {to: guard, text: 'x {it.x}'}", "profile 'flow' has no point 'x'", "write one of water.flow, water.volume"),
        ("log: 'x {it.water.flow'", "a brace that does not fit", "write {it.water.level}, or leave braces out"),
        ("wait: 5", "5 has no unit", "write e.g. 5ms or 10s"),
        ("wait_until: {when: it.water.flow}", "a flow, not true or false", "compare it, e.g. with >"),
        ("if: {cond: it.water.flow > 1, then: []}", "number without a unit, but the other side is a flow", "write e.g. 1 m3/h"),
        ("command: {device: door, point: door.lock, value: locked}", "'door' is no device of this rule", "did you mean 'doors'?"),
        ("command: {device: doors, point: door.lock, value: open}", "'open' is never a value of door.lock", "write one of locked, unlocked"),
        ("{wait: 5s, log: x}", "a step with 2 keys", "write one step for each: - set: ..., - wait: 5s"),
    ],
)  # fmt: skip
def test_a_wrong_step_is_refused(step: str, what: str, fix: str) -> None:
    text = f"rules:\n- id: r\n  for_each: {{type: meter}}\n  with: {{doors: {{type: door}}}}\n  when: it.water.flow > 1 m3/h\n  do:\n  - {step}\n"
    problems = load_rules([parse(text.encode(), "r.yaml")], DEVICES, ["guard"])[1]
    assert [(p.what, p.fix) for p in problems] == [(what, fix)]


def test_what_saves_lives_is_only_what_may_be_written_again() -> None:
    text = FIRE.replace("set: {device: doors", "command: {device: doors")
    problems = load_rules([parse(text.encode(), "r.yaml")], DEVICES)[1]
    assert [p.what for p in problems] == [
        "'door.lock' is not idempotent: after a crash nobody could write it again"
    ]

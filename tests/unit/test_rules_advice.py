"""Warnings about rules that are well formed: each where it belongs, and none about rules that are right."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gateway.document import load, parse
from gateway.fixture import fixtures, load_fixture
from gateway.profile import Profile
from gateway.words.text import Said, say
from rules import advice, limits, periods
from rules.load import DeviceView, load_rules
from tests.unit.rules_site import DEVICES, SECOND
from tests.unit.test_rules_at import SHANGHAI

RULES = Path(__file__).parents[2] / "configs" / "rules"
COUNTED = Profile.model_validate({
    "profile": "counted", "type": "counted", "facility": "utilities", "protocol": "test", "sources": ["tests"], "status": "bench",
    "points": [{"id": "flow", "unit": "m3/h", "poll": "10m"}, {"id": "power", "unit": "W"}, {"id": "slow", "unit": "W", "poll": "slow"},
               {"id": "valve.open", "kind": "state"}],
    "commands": [{"id": "valve.open", "point": "valve.open", "idempotent": True}],
})  # fmt: skip
SITE = [
    *DEVICES,
    DeviceView("counted-1", COUNTED, {}, poll=(10.0, 60.0)),
    DeviceView("pushed-1", COUNTED, {}),
]
ADVICE = "advice."

LIGHT = "  for_each: {type: light}\n"
SET = "  do: [{set: {device: it, point: light.level, value: %s %%}}]\n"


def rule(id_: str, *keys: str, level: int | None = None) -> str:
    text = f"- id: {id_}\n" + "".join(f"  {key}\n" for key in keys)
    return text if level is None else text + SET % level


def told(*rules: str) -> list[tuple[str, int, int]]:
    """The id, line and column of each warning."""
    text = "rules:\n" + "".join(rules)
    found, problems = load_rules([parse(text.encode(), "a.yaml")], SITE, ["guard"], SHANGHAI)
    assert problems == []
    notes = [note for note in found.notes if isinstance(note.what, Said)]
    for note in notes:
        assert say(note.what, "zh") != note.what
        assert say(note.fix, "zh") != note.fix
    return [(note.what.id, note.line, note.column) for note in notes if isinstance(note.what, Said)]


EACH = "for_each: {type: light}"
DARK = "when: it.env.illuminance < 40 lx"
BRIGHT = "when: it.env.illuminance > 50 lx"
ONE = "for_each: {id: counted-1}"
ALARM = "alarm: {severity: operational}"


@pytest.mark.parametrize(
    ("rules", "warnings"),
    [
        # always true
        ([rule("a", EACH, "when: it.light.level < 50 % or it.light.level > 20 %", ALARM)], [("rule.always", 4, 9)]),
        ([rule("a", EACH, "when: it.light.on or not it.light.on", ALARM)], [("rule.always", 4, 9)]),
        ([rule("a", EACH, "when: it.light.level <= 100 %", ALARM)], [("rule.always_reached", 4, 9)]),
        ([rule("a", EACH, "when: it.light.level < 50 % or it.light.level > 60 %", ALARM)], []),
        # identical
        ([rule("a", EACH, DARK, ALARM), rule("b", EACH, "title: other", DARK, ALARM)], [("advice.identical", 6, 7)]),
        ([rule("a", EACH, DARK, ALARM), rule("b", EACH, "enabled: false", DARK, ALARM)], []),
        ([rule("a", EACH, DARK, ALARM), rule("b", EACH, DARK, "alarm: {severity: safety}")], []),
        # claims that meet
        ([rule("a", EACH, DARK, level=30), rule("b", EACH, "when: it.light.mode == auto", level=60)], [("advice.meet", 9, 14)]),
        ([rule("a", EACH, DARK, level=30), rule("b", EACH, "when: it.light.mode == auto", level=30)], []),
        ([rule("a", EACH, DARK, level=30), rule("b", EACH, BRIGHT, level=60)], []),
        ([rule("a", EACH, DARK, "until: it.env.illuminance > 90 lx", level=30), rule("b", EACH, BRIGHT, level=60)], [("advice.meet", 10, 14)]),
        ([rule("a", EACH, DARK, "keep_for: 1m", level=30), rule("b", EACH, BRIGHT, level=60)], [("advice.meet", 10, 14)]),
        ([rule("a", EACH, DARK, level=30), rule("b", EACH, "when: it.light.mode == auto", "priority: safety", level=60)], []),
        ([rule("a", EACH, "when: true", "during: {from: '06:00', to: '18:00'}", level=30), rule("b", EACH, "when: it.light.mode == auto", "during: {from: '18:00', to: '06:00'}", level=60)], []),
        ([rule("a", EACH, "when: true", "during: {from: '06:00', to: '18:00'}", level=30), rule("b", EACH, "when: it.light.mode == auto", "during: {from: '17:59', to: '06:00'}", level=60)], [("advice.meet", 11, 14)]),
        ([rule("a", EACH, "when: true", "during: {to: sunrise}", level=30), rule("b", EACH, "when: it.light.mode == auto", "during: {from: '12:00'}", level=60)], []),
        ([rule("a", EACH, "when: true", "during: {from: '22:00', to: '02:00', days: [sun]}", level=30), rule("b", EACH, "when: it.light.mode == auto", "during: {from: '01:00', to: '03:00', days: [mon]}", level=60)], [("advice.meet", 11, 14)]),
        ([rule("a", EACH, "with: {all_: {type: light}}", "when: any(all_.env.illuminance < 40 lx)", level=30), rule("b", EACH, "with: {all_: {type: light}}", "when: all(all_.env.illuminance > 50 lx)", level=60)], []),
        # rules behind others
        ([rule("a", EACH, DARK, level=30), rule("b", EACH, "when: it.env.illuminance < 20 lx and it.light.mode == auto", level=30)], [("advice.shadowed", 9, 7)]),
        ([rule("a", EACH, DARK, level=30), rule("b", EACH, "when: it.env.illuminance < 20 lx", "priority: safety", level=30)], []),
        ([rule("a", EACH, DARK, level=30), rule("b", EACH, "when: it.env.illuminance < 60 lx", level=30)], []),
        ([rule("a", EACH, DARK, "for: 1m", level=30), rule("b", EACH, "when: it.env.illuminance < 20 lx", level=30)], []),
        ([rule("a", EACH, DARK, level=30), rule("b", EACH, "when: it.env.illuminance < 20 lx", ALARM, level=30)], []),
        ([rule("a", EACH, DARK, "do: [{set: {device: it, point: light.level, value: 30 %, hold: 1m}}]"), rule("b", EACH, "when: it.env.illuminance < 20 lx", level=30)], []),
        # count at the edge of its window
        ([rule("a", ONE, "when: count(it.flow, 1h) >= 6", ALARM)], [("advice.count", 4, 9)]),
        ([rule("a", ONE, "when: not (count(it.flow, 1h) < 6)", ALARM)], [("advice.count", 4, 9)]),
        ([rule("a", ONE, "when: 5 < count(it.flow, 1h)", ALARM)], [("advice.count", 4, 9)]),
        ([rule("a", ONE, "when: count(it.flow, 1h) >= 5", "until: count(it.flow, 1h) < 7 and it.power > 5 W", ALARM)], [("advice.count", 5, 10)]),
        ([rule("a", ONE, "when: count(it.flow, 1h) > 4", ALARM)], []),
        ([rule("a", "for_each: {id: pushed-1}", "when: count(it.power, 1h) >= 6000", ALARM)], []),
        # `for` below the period
        ([rule("a", ONE, "when: it.power > 5 W", "for: 9s", ALARM)], [("advice.delay", 5, 8)]),
        ([rule("a", ONE, "when: it.power > 5 W and it.slow > 5 W", "for: 9s", ALARM)], [("advice.delay", 5, 8)]),
        ([rule("a", ONE, "when: it.power > 5 W or it.slow > 5 W", "for: 10s", ALARM)], []),
        ([rule("a", "for_each: {id: pushed-1}", "when: it.power > 5 W", "for: 9s", ALARM)], []),
        ([rule("a", ONE, "with: {all_: {type: counted}}", "when: any(all_.power > 5 W)", "for: 9s", ALARM)], []),
        # windows
        ([rule("a", "for_each: {id: meter-1}", "when: avg(it.elec.power.total, 24h) > 5 W", ALARM)], []),
        # lives without confirmation
        ([rule("a", ONE, "when: it.power > 5 W", "priority: life", "do: [{set: {device: it, point: valve.open, value: false}}]")], [("advice.confirm", 6, 34)]),
        ([rule("a", ONE, "when: it.power > 5 W", "priority: life", "do: [{set: {device: it, point: valve.open, value: false, confirm: {within: 5s}}}]")], []),
        ([rule("a", ONE, "when: it.power > 5 W", "do: [{set: {device: it, point: valve.open, value: false}}]")], []),
    ],
)  # fmt: skip
def test_a_rule_that_hardly_does_what_was_meant_is_warned_of(
    rules: list[str], warnings: list[tuple[str, int, int]]
) -> None:
    assert told(*rules) == warnings


def test_windows_that_take_too_much_memory_are_warned_of_where_they_are_largest(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(advice, "WINDOWS_BYTES", 400_000 * periods.BYTES_A_SAMPLE // 128)
    small = rule("a", ONE, "when: avg(it.power, 1h) > 5 W", ALARM)
    large = rule("b", ONE, "when: max(it.power, 10h) > 5 W and min(it.power, 1h) > 5 W", ALARM)
    assert told(small, large) == [("advice.memory", 8, 9)]
    same = rule("c", ONE, "when: max(it.power, 10h) > 6 W", ALARM)  # the window of b
    monkeypatch.setattr(advice, "WINDOWS_BYTES", 560_000 * periods.BYTES_A_SAMPLE // 128)
    assert told(small, large, same) == []


def test_a_window_takes_as_much_memory_as_is_said() -> None:
    import tracemalloc

    from rules.windows import Window

    window = Window("avg", 10_000 * SECOND, SECOND)
    tracemalloc.start()
    for at in range(19_000):  # the most that it keeps of those that are gone
        window.take(0, at * SECOND + 10**15, at * 0.1, at * 0.1, None)
    size, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert 0.8 < size / 10_000 / periods.BYTES_A_SAMPLE < 1.1


def test_the_shipped_rules_are_not_warned_of_together() -> None:
    loaded = [load_fixture(path) for path in fixtures([RULES])]
    devices = {name: device for fixture in loaded for name, device in fixture.devices.items()}
    tags = {"building": "3", "zone": "3-1"}
    polled = [
        device._replace(poll=(1.0, 60.0), tags={**tags, **device.tags})
        for device in devices.values()
    ]
    alternatives = {"street-base"}  # instead of lights-dusk: together they are warned of
    files = [path for path in sorted(RULES.glob("*.yaml")) if ".test" not in path.name]
    documents = [load(path) for path in files if path.stem not in alternatives]
    recipients = {name for document in documents for name in re.findall(r"to: ([a-z-]+)", Path(document.name).read_text("utf-8"))}  # fmt: skip
    found, problems = load_rules(documents, polled, recipients, SHANGHAI)
    assert problems == []
    assert [str(note) for note in found.notes] == []


@pytest.mark.parametrize(
    ("module", "name", "instead"),
    [
        (advice, "_apart", lambda *_: False),
        (advice, "_apart", lambda *_: True),
        (advice, "impossible", lambda *_: False),
        (advice, "impossible", lambda *_: True),
        (advice, "_always", lambda _: ()),
        (advice, "_identical", lambda _: None),
        (advice, "_only_sets", lambda _: True),
        (limits, "_possible", lambda *_: True),
        (periods, "_counts", lambda _: ()),
        (periods, "_period", lambda *_: 10.0),
        (periods, "_check_delay", lambda *_: None),
    ],
)
def test_a_check_that_says_too_much_or_too_little_is_found(
    module: Any, name: str, instead: Callable[..., object], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The table above turns red when a part of the checks is replaced."""
    (mark,) = test_a_rule_that_hardly_does_what_was_meant_is_warned_of.pytestmark  # type: ignore[attr-defined]  # -- its table
    monkeypatch.setattr(module, name, instead)
    right = []
    for rules, warnings in mark.args[1]:
        try:
            right.append(told(*rules) == warnings)
        except AssertionError:
            right.append(False)
    assert not all(right)


BACK = "when: avg(it.power, 6h) > 5 W"


@pytest.mark.parametrize(("hours", "warned"), [(None, False), (6.0, False), (5.9, True)])
def test_a_window_is_longer_than_the_history_that_is_kept(
    hours: float | None, warned: bool
) -> None:
    text = (
        "rules:\n"
        + rule("back", ONE, BACK, ALARM)
        + rule("now", ONE, "when: it.power > 9 W", ALARM)
    )
    history_s = None if hours is None else hours * 3600
    found, problems = load_rules([parse(text.encode(), "a.yaml")], SITE, [], SHANGHAI, history_s)
    assert problems == []
    notes = [(note.line, str(note.what)) for note in found.notes]
    what = "this rule looks back 6 h, and at the present rate the journal keeps samples for about 5.9 h: after a restart its window begins with a gap"
    assert notes == ([(4, what)] if warned else [])

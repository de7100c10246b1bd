"""Fixtures of rules: what passes, what fails, what is refused and where."""

from pathlib import Path

import pytest

from gateway.cli.main import main
from gateway.errors import ConfigError
from gateway.fixture import load_fixture
from gateway.trial import Verdict, judge

RULES = """\
rules:
- id: hot
  for_each: {type: meter, has: elec.voltage.a}
  when: it.elec.voltage.a > 250 V
  for: 10s
  alarm: {severity: safety, latch: true}
- id: dark
  for_each: {type: light, has: env.illuminance}
  when: it.env.illuminance < 40 lx
  do: [{set: {device: it, point: light.level, value: 60 %}}]
- id: very-dark
  for_each: {type: light, has: env.illuminance}
  when: it.env.illuminance < 10 lx
  priority: safety
  do: [{set: {device: it, point: light.level, value: 100 %}}]
"""
DEVICES = """\
devices:
  m1: {profile: eastron-sdm120}
  l1: {profile: streetlight-native}
tests:
"""


def verdict(folder: Path, case: str) -> Verdict:
    fixture = load_fixture(written(folder, case))
    return judge(fixture, fixture.cases[0])


def written(folder: Path, case: str) -> Path:
    (folder / "site.yaml").write_text(RULES)
    path = folder / "site.test.yaml"
    path.write_text(DEVICES + case)
    return path


def happened(verdict: Verdict) -> list[str]:
    return [str(one) for one in verdict.happened]


def test_a_delay_counts_from_when_the_value_was_measured(tmp_path: Path) -> None:
    found = verdict(
        tmp_path,
        """\
- name: late
  input:
  - {at: +12s, late: 8s, set: m1.elec.voltage.a = 0.26 kV}
  end: +1m
""",
    )
    assert happened(found) == ["+14s raised hot[m1]"]


def test_the_strongest_claim_is_what_is_written(tmp_path: Path) -> None:
    found = verdict(
        tmp_path,
        """\
- name: two rules
  input:
  - {series: l1.env.illuminance, every: 10s, values: "30 5 30 50", unit: lx}
""",
    )
    assert happened(found) == [
        "+0s written l1.light.level = 60",
        "+10s written l1.light.level = 100",
        "+20s written l1.light.level = 60",
    ]


def test_other_rules_take_over_what_means_the_same(tmp_path: Path) -> None:
    (tmp_path / "other.yaml").write_text(
        RULES.replace("title: x", "").replace("< 40 lx", "< 20 lx")
    )
    found = verdict(
        tmp_path,
        """\
- name: reload
  input:
  - {series: m1.elec.voltage.a, every: 5s, values: "260x4", unit: V}
  - +1s l1.env.illuminance = 30 lx
  - {at: +7s, reload: other.yaml}
  - {at: +20s, reload: [site.yaml]}
""",
    )
    assert happened(found) == [
        "+1s written l1.light.level = 60",
        "+10s raised hot[m1]",
        "+20s written l1.light.level = 60",
    ]


def test_an_alarm_goes_through_a_reboot_and_what_is_said_meanwhile_is_lost(tmp_path: Path) -> None:
    found = verdict(
        tmp_path,
        """\
- name: reboot
  input:
  - +0s m1.elec.voltage.a = 260 V
  - +15s l1.env.illuminance = 30 lx
  - {at: +20s, reboot: 200s}
  - +1m m1.elec.voltage.a = 220 V
  - +5m m1.elec.voltage.a = 220 V
  - {at: +6m, reset: "hot[m1]"}
  only: true
  expect:
  - {at: +10s, raised: ["hot[m1]"]}
  - {at: +15s, written: [{l1.light.level: 60 %}]}
  - {at: +220s, written: [{l1.light.level: 60 %}]}
  - {at: +6m, cleared: [hot]}
""",
    )
    assert found.problems == ()


def test_a_reset_that_is_refused_fails_the_case(tmp_path: Path) -> None:
    found = verdict(
        tmp_path,
        """\
- name: reset
  input:
  - +0s m1.elec.voltage.a = 260 V
  - {at: +20s, reset: "hot[m1]"}
""",
    )
    assert "its condition still holds" in str(found.problems[0])


@pytest.mark.parametrize(("expected", "fault"), [
    ("- {at: +9s, raised: [hot]}", ":10:24: tests[0].expect[0].raised[0]: hot: not raised at +9s: it was at +10s"),
    ("- {by: +9s, raised: [hot]}", "not raised by +9s: it was at +10s"),
    ("- {by: +1m, cleared: [hot]}", "not cleared by +1m0s: it never was"),
    ("- {never: raised hot}", "hot: raised all the same: it was at +10s"),
    ("- {at: +0s, written: [{l1.light.level: 50 %}]}", "not written at +0s: it was at +0s = 60"),
    ("- {never: written l1.light.level = 60 %}", "written all the same"),
    ("- {at: +0s, written: [{l1.light.level: 60 %}]}", "not expected: +10s raised hot[m1]"),
])  # fmt: skip
def test_a_case_that_fails_says_where_and_what_happened_instead(
    tmp_path: Path, expected: str, fault: str
) -> None:
    found = verdict(
        tmp_path,
        f"""\
- name: it
  input: [+0s m1.elec.voltage.a = 260 V, +0s l1.env.illuminance = 30 lx]
  only: true
  end: +1m
  expect:
  {expected}
""",
    )
    assert any(fault in str(problem) for problem in found.problems), found.problems


@pytest.mark.parametrize(("line", "fault"), [
    ("+5 m1.elec.voltage.a = 260 V", "+5 is no time: write e.g. +8.2s"),
    ("+5s m2.elec.voltage.a = 260 V", "unknown device 'm2': write one of gateway, l1, m1"),
    ("+5s m1.elec.voltag.a = 260 V", "'elec.voltag.a' is no point of m1"),
    ("+5s m1.elec.voltage.a = 260", "number without a unit"),
    ("+5s m1.elec.voltage.a = 260 A", "is a current, but elec.voltage.a is a voltage"),
    ("+5s l1.light.on = 1", "'1' is no value of light.on: write true or false"),
    ("+5s l1.light.level = 200 %", "outside of what light.level may be"),
    ("+5s m1.elec.voltage.a", "no reading: write DEVICE.POINT = VALUE"),
    ('{at: +5s, ack: "hot[m1]", set: x}', "unknown key 'set': write one of ack, at, by"),
    ('{at: +5s, ack: "hott[m1]"}', "unknown alarm 'hott[m1]': did you mean 'hot[m1]'?"),
    ('{at: +5s, shelve: "hot[m1]", for: 0s}', "no time: write e.g. 2h"),
    ("{at: +5s, reload: other.yaml}", "'other.yaml' cannot be used"),
    ("{at: +5s, clock_step: away}", "away is no time"),
    ('{at: +5s, reset: "hott[m1]"}', "unknown alarm 'hott[m1]': did you mean 'hot[m1]'?"),
    ("{series: l1.light.level, every: 1s, values: 1+xx3, unit: '%'}", "'1+xx3 %' is no value"),
    ("{series: l1.light.level, every: 1s, values: 1x999999, unit: '%'}", "999999 values"),
])  # fmt: skip
def test_an_input_that_cannot_be_is_refused_with_its_place(
    tmp_path: Path, line: str, fault: str
) -> None:
    path = written(tmp_path, f"- name: it\n  input:\n  - {line}\n")
    with pytest.raises(ConfigError) as caught:
        load_fixture(path)
    assert any(fault in str(p) and f"{path}:7:" in str(p) for p in caught.value.problems), (
        caught.value
    )


@pytest.mark.parametrize(("line", "fault"), [
    ("{at: +5s, raised: [dark]}", "dark has no alarm: it is never raised"),
    ("{at: +5s, raised: [hut]}", "unknown alarm 'hut': did you mean 'hot'?"),
    ("{at: +5s}", "nothing is expected"),
    ("{at: +5s, by: +6s, raised: [hot]}", "2 of at, by and never: write one of them"),
    ("{never: raisd hot}", "'raisd hot' is not understood"),
    ("{at: +5s, written: [{l1.light.level: 60}]}", "number without a unit"),
])  # fmt: skip
def test_an_expectation_that_cannot_be_is_refused(tmp_path: Path, line: str, fault: str) -> None:
    path = written(tmp_path, f"- name: it\n  expect:\n  - {line}\n")
    with pytest.raises(ConfigError) as caught:
        load_fixture(path)
    assert any(fault in str(p) for p in caught.value.problems), caught.value


def test_the_command_says_what_failed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = written(tmp_path, "- name: it\n  expect:\n  - {at: +0s, raised: [hot]}\n")
    (tmp_path / "other.yaml").write_text(RULES)
    assert main(["rules", "test", str(tmp_path)]) == 1
    out = capsys.readouterr().out
    assert f"{path}:7:24: tests[0].expect[0].raised[0]: hot: not raised at +0s: it never was" in out
    assert "nothing happened" in out
    assert "other.yaml: no fixture other.test.yaml" in out
    assert out.endswith("1 case, 0 passed, 1 failed\n")
    assert main(["rules", "test", str(tmp_path), "--lang", "zh"]) == 1
    out = capsys.readouterr().out
    assert "警告：" in out
    assert out.endswith("1 个用例：0 个通过，1 个未通过\n")


def test_a_refused_fixture_does_not_hide_the_others(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    written(tmp_path, "- name: it\n")
    (tmp_path / "a.test.yaml").write_text("devices: {}\ntests: []\n")
    assert main(["rules", "test", str(tmp_path)]) == 78
    assert "1 case, 1 passed, 0 failed, 1 file refused" in capsys.readouterr().out


def test_a_folder_without_fixtures_is_wrong_usage(tmp_path: Path) -> None:
    assert main(["rules", "test", str(tmp_path)]) == 64


STEPS = """\
rules:
- id: night
  during: {from: "22:00", to: "06:00"}
  for_each: {type: light, has: env.illuminance}
  when: it.env.illuminance < 40 lx
  alarm: {severity: operational}
  do:
  - notify: {to: guard, text: "dark at {it.env.illuminance} lx"}
  - command: {device: it, point: light.level, value: 60 %}
"""
HOURS = """\
recipients: [guard]
gateway: {timezone: Asia/Shanghai}
devices:
  l1: {profile: streetlight-native}
tests:
- name: night
  start: 2026-03-02T21:59:00+08:00
"""


def night(folder: Path, case: str) -> Verdict:
    (folder / "site.yaml").write_text(STEPS)
    (folder / "site.test.yaml").write_text(HOURS + case)
    fixture = load_fixture(folder / "site.test.yaml")
    return judge(fixture, fixture.cases[0])


def test_what_people_do_with_alarms_decides_what_is_heard(tmp_path: Path) -> None:
    case = """\
- name: shelved
  input:
  - {at: +0s, shelve: "hot[m1]", for: 1m}
  - +1s m1.elec.voltage.a = 260 V
  - {at: +70s, ack: "hot[m1]", by: ann}
  - {at: +80s, out_of_service: "hot[m1]", for: 1h, reason: rewired}
  - {at: +90s, in_service: "hot[m1]"}
  - {at: +100s, unshelve: "hot[m1]"}
  only: true
  end: +2h
  expect:
"""
    good = '  - {at: +11s, raised: ["hot[m1]"]}\n  - {at: +1m, annunciated: ["hot[m1]"]}\n'
    found = verdict(tmp_path, case + good)
    assert [str(p).split(": ", 1)[1] for p in found.problems] == [
        "tests[0]: +1m40s hot[m1] is not shelved: mend the input `unshelve`"
    ]
    found = verdict(tmp_path, case + good.replace("+1m", "+11s"))
    assert any("annunciated" in str(p) for p in found.problems)


def test_hours_begin_by_the_clock_on_the_wall_and_people_are_told(tmp_path: Path) -> None:
    found = night(
        tmp_path,
        """\
  input: [+0s l1.env.illuminance = 20 lx]
  only: true
  expect:
  - {at: +1m, raised: [night], told: [{guard: dark at 20 lx}], written: [{l1.light.level: 60 %}]}
""",
    )
    assert found.problems == ()


def test_a_clock_that_is_set_or_lost_moves_the_hours(tmp_path: Path) -> None:
    found = night(
        tmp_path,
        """\
  input:
  - {at: +10s, clock_step: +1m}
  - +20s l1.env.illuminance = 20 lx
  - {at: +30s, clock_step: -5m}
  - {at: +40s, clock_step: +5m}
  - {at: +50s, clock_step: lost}
  only: true
  expect:
  - {at: +20s, raised: [night], told: [guard], written: [{l1.light.level: 60 %}]}
  - {at: +30s, cleared: [night]}
  - {at: +40s, raised: [night], told: [guard], written: [{l1.light.level: 60 %}]}
  - {at: +50s, cleared: [night]}
""",
    )
    assert found.problems == ()


def test_who_is_told_too_much_or_is_nobody_is_a_fault(tmp_path: Path) -> None:
    found = night(
        tmp_path,
        """\
  input: [+61s l1.env.illuminance = 20 lx]
  expect:
  - {never: told guard}
""",
    )
    assert "guard: told all the same: it was at +1m1s = dark at 20 lx" in str(found.problems[0])
    with pytest.raises(ConfigError, match="unknown recipient 'gard': did you mean 'guard'"):
        night(tmp_path, "  expect: [{at: +1s, told: [gard]}]\n")


FAILING = """\
rules:
- id: dark
  for_each: {type: light, has: env.illuminance}
  when: it.env.illuminance < 40 lx
  do:
  - set: {device: it, point: light.level, value: 60 %, await_confirm: true, on_fail: [{command: {device: it, point: light.level, value: 7 %}}]}
  - notify: {to: guard, text: next}
"""


@pytest.mark.parametrize(
    ("result", "then"),
    [
        ("", ["told guard = next"]),
        ("  - {at: +1s, result: confirmed, of: l1.light.level}\n", ["told guard = next"]),
        ("  - {at: +1s, result: unconfirmed, of: l1.light.level}\n", ["written l1.light.level = 7", "told guard = next"]),
        ("  - {at: +1s, result: superseded, of: [l1.light.level]}\n", ["told guard = next"]),
    ],
)  # fmt: skip
def test_a_case_says_how_writes_end(tmp_path: Path, result: str, then: list[str]) -> None:
    case = f"- name: dark\n  input:\n{result}  - +2s l1.env.illuminance = 5 lx\n"
    path = written(tmp_path, case)
    (tmp_path / "site.yaml").write_text(FAILING)
    path.write_text(f"recipients: [guard]\n{DEVICES}{case}")
    fixture = load_fixture(path)
    assert happened(judge(fixture, fixture.cases[0])) == [
        f"+2s {what}" for what in ("written l1.light.level = 60", *then)
    ]


def test_a_case_says_so_of_points_that_there_are(tmp_path: Path) -> None:
    case = "- name: x\n  input:\n  - {at: +1s, result: failed, of: l1.light.colour}\n  - {at: +1s, result: lost, of: l1.light.level}\n"
    with pytest.raises(ConfigError) as refused:
        load_fixture(written(tmp_path, case))
    assert [p.path for p in refused.value.problems] == ["tests[0].input[0].of", "tests[0].input[1].result"]  # fmt: skip

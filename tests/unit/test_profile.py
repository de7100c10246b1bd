"""Device profiles: what one file may say, and where its faults are."""

from decimal import Decimal
from pathlib import Path

import pytest

from gateway.errors import ConfigError, Problem
from gateway.model import Severity, Value
from gateway.profile import FACILITIES, Profile, find, load_profile, names, shipped_folder

HEAD = """\
profile: lamp
type: light
facility: lights
protocol: mqtt
sources: [tests]
status: bench
"""
POINTS = """\
points:
  - {id: light.level, unit: "%"}
"""


def loaded(folder: Path, body: str = POINTS, head: str = HEAD, name: str = "lamp") -> Profile:
    path = folder / f"{name}.yaml"
    path.write_text(head + body, encoding="utf-8")
    return load_profile(path)[0]


def refused(
    folder: Path, body: str = POINTS, head: str = HEAD, name: str = "lamp"
) -> list[Problem]:
    with pytest.raises(ConfigError) as caught:
        loaded(folder, body, head, name)
    for problem in caught.value.problems:
        assert problem.file.endswith(f"{name}.yaml")
        assert problem.line > 0
        assert problem.fix
    return caught.value.problems


def one(problems: list[Problem]) -> Problem:
    (problem,) = problems
    return problem


def point(keys: str) -> str:
    return f"points:\n  - {{id: light.level, {keys}}}\n"


def command(keys: str) -> str:
    return f"{POINTS}commands:\n  - {{id: level, point: light.level, {keys}}}\n"


# -- the file -----------------------------------------------------------------------------------


def test_the_smallest_profile_has_safe_defaults(tmp_path: Path) -> None:
    profile = loaded(tmp_path)
    (level,) = profile.points
    assert (level.kind, level.poll) == ("gauge", "fast")
    assert (level.scale, level.offset) == (Decimal(1), Decimal(0))
    assert (level.severity, level.alarm_severity, level.stale_after) == (None, None, None)
    assert (profile.revision, profile.limits.max_regs, profile.limits.timeout) == (1, 125, 0.5)
    assert profile.commands == []
    assert list(profile.by_id) == ["light.level"]


def test_the_shipped_profiles_are_found_and_those_of_the_site_go_first(tmp_path: Path) -> None:
    shipped = find("eastron-sdm120", [tmp_path])
    assert shipped == shipped_folder() / "eastron-sdm120.yaml"
    (tmp_path / "eastron-sdm120.yaml").touch()
    (tmp_path / "own.yaml").touch()
    assert find("eastron-sdm120", [tmp_path]) == tmp_path / "eastron-sdm120.yaml"
    assert find("nobody", [tmp_path]) is None
    assert {"own", "eastron-sdm120", "streetlight-native"} <= set(names([tmp_path]))


@pytest.mark.parametrize("facility", FACILITIES)
def test_every_facility_can_be_named(tmp_path: Path, facility: str) -> None:
    head = HEAD.replace("facility: lights", f"facility: {facility}")
    assert loaded(tmp_path, head=head).facility == facility


@pytest.mark.parametrize("text", ["", "just text\n", "- a\n", "5\n"])
def test_what_is_no_profile_is_refused_with_one_problem(tmp_path: Path, text: str) -> None:
    assert one(refused(tmp_path, "", text)).what == "not a profile"


def test_a_missing_file_is_a_problem_of_the_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load_profile(tmp_path / "lamp.yaml")
    assert caught.value.problems[0].what == "No such file or directory"


def test_the_name_in_the_file_is_the_name_of_the_file(tmp_path: Path) -> None:
    problem = one(refused(tmp_path, name="lantern"))
    assert (problem.line, problem.column, problem.path) == (1, 10, "profile")
    assert "write lantern or rename the file" in problem.fix


@pytest.mark.parametrize(
    ("key", "what"),
    [
        ("match: {}", "'match' is not in this version"),
        ("sensitive: []", "'sensitive' is not in this version"),
        ("pionts: []", "unknown key 'pionts'"),
    ],
)
def test_an_unknown_key_is_never_ignored(tmp_path: Path, key: str, what: str) -> None:
    problem = one(refused(tmp_path, POINTS + key + "\n"))
    assert (problem.line, problem.column, problem.what) == (9, 1, what)


@pytest.mark.parametrize(
    ("body", "path", "what"),
    [
        ("points: []\n", "points", "at least 1"),
        ("", "points", "missing"),
        (POINTS + "schema: 2\n", "schema", "2 is not allowed"),
        (POINTS + "limits: {max_regs: 126}\n", "limits.max_regs", "125"),
        (POINTS + "limits: {max_regs: 0}\n", "limits.max_regs", "1"),
        (POINTS + "vectors: [{name: x, response: 1, values: {}}]\n", "vectors[0].response", "not a text"),
        (POINTS + "plausible: [{point: light.lvl, min: 0, max: 1}]\n", "plausible[0].point", "unknown point 'light.lvl'"),
    ],
)  # fmt: skip
def test_a_fault_is_found_at_its_place(tmp_path: Path, body: str, path: str, what: str) -> None:
    problem = one(refused(tmp_path, body))
    assert problem.path == path
    assert what in problem.what


def test_every_fault_is_found_at_once(tmp_path: Path) -> None:
    body = """\
points:
  - {id: light.level, unit: Volt}
  - {id: Light, unit: "%"}
  - {id: light.on, poll: often}
commands:
  - {id: level, point: light.level, range: [0]}
"""
    lines = [problem.line for problem in refused(tmp_path, body)]
    assert {8, 9, 10, 12} <= set(lines)


# -- points -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["a", "elec.voltage.a", "elec.thd_voltage.l1", "x2.y_3"])
def test_a_point_name_is_dotted_and_lower(tmp_path: Path, name: str) -> None:
    assert loaded(tmp_path, f"points:\n  - {{id: {name}}}\n").points[0].id == name


@pytest.mark.parametrize(
    "name", ["A", "a.", ".a", "a..b", "1a", "a.1", "a-b", '"a b"', "_a", '""', "é", "水", '"a²"', '"a\\n"']
)  # fmt: skip
def test_other_point_names_are_refused(tmp_path: Path, name: str) -> None:
    problem = one(refused(tmp_path, f"points:\n  - {{id: {name}}}\n"))
    assert "no point name" in problem.what
    assert problem.path == "points[0].id"


def test_a_point_stands_once(tmp_path: Path) -> None:
    problem = one(refused(tmp_path, POINTS + '  - {id: light.level, unit: "%"}\n'))
    assert (problem.line, problem.path, problem.what) == (9, "points[1].id", "point 'light.level' twice")  # fmt: skip


def test_a_unit_is_a_ucum_code_and_others_are_corrected(tmp_path: Path) -> None:
    problem = one(refused(tmp_path, point("unit: kWh")))
    assert (problem.what, problem.fix) == ("'kWh' is no UCUM code", "write kW.h")
    assert "write one of" in one(refused(tmp_path, point("unit: xyzzy"))).fix


@pytest.mark.parametrize(
    ("severity", "found"),
    [("life", Severity.LIFE), ("safety", Severity.SAFETY), ("operational", Severity.OPERATIONAL), ("telemetry", Severity.TELEMETRY)],
)  # fmt: skip
def test_a_severity_is_a_word(tmp_path: Path, severity: str, found: Severity) -> None:
    assert loaded(tmp_path, point(f"severity: {severity}")).alarms == {"light.level": found}


@pytest.mark.parametrize("severity", ["critical", "3", "true"])
def test_another_severity_is_refused(tmp_path: Path, severity: str) -> None:
    problem = one(refused(tmp_path, point(f"severity: {severity}")))
    assert "no severity" in problem.what
    assert "life, safety, operational, telemetry" in problem.fix


def test_every_alarm_point_bears_an_alarm(tmp_path: Path) -> None:
    body = """\
points:
  - {id: alarm.smoke, severity: life}
  - {id: alarm.fault}
  - {id: door.open, severity: operational}
  - {id: alarming.level}
"""
    assert loaded(tmp_path, body).alarms == {
        "alarm.smoke": Severity.LIFE, "alarm.fault": Severity.SAFETY, "door.open": Severity.OPERATIONAL,
    }  # fmt: skip


def test_scale_and_offset_stay_exact(tmp_path: Path) -> None:
    scaled = loaded(tmp_path, point('scale: "0.1", offset: "-40"')).points[0]
    assert (scaled.scale, scaled.offset) == (Decimal("0.1"), Decimal(-40))
    assert 'write "0.1" in quotes' in one(refused(tmp_path, point("scale: 0.1"))).fix


@pytest.mark.parametrize("text", ["x", "", "NaN", "Infinity", "-inf", "1,5"])
def test_what_is_no_decimal_is_refused(tmp_path: Path, text: str) -> None:
    assert one(refused(tmp_path, point(f'scale: "{text}"'))).path == "points[0].scale"


@pytest.mark.parametrize(("poll", "found"), [("fast", "fast"), ("once", "once"), ("5m", 300.0)])
def test_a_poll_class_is_a_word_or_a_time(tmp_path: Path, poll: str, found: object) -> None:
    assert loaded(tmp_path, point(f"poll: {poll}")).points[0].poll == found


# -- commands -----------------------------------------------------------------------------------


def test_feedback_is_the_point_itself_unless_another_is_named(tmp_path: Path) -> None:
    assert loaded(tmp_path, command("idempotent: true")).commands[0].feedback == "light.level"
    body = POINTS + "  - {id: light.shown}\ncommands:\n  - {id: l, point: light.level, confirm: {point: light.shown}}\n"  # fmt: skip
    profile = loaded(tmp_path, body)
    assert profile.commands[0].feedback == "light.shown"
    assert profile.by_command["light.level"] is profile.commands[0]


def test_a_command_names_known_points_and_is_told_once(tmp_path: Path) -> None:
    body = POINTS + "commands:\n  - {id: l, point: light.lvl}\n"
    problem = one(refused(tmp_path, body))
    assert (problem.path, problem.fix) == ("commands[0].point", "did you mean 'light.level'?")
    problem = one(refused(tmp_path, command("confirm: {point: light.levl}")))
    assert "unknown point 'light.levl'" in problem.what
    assert problem.path == "commands[0].confirm"


def test_a_point_is_written_by_one_command(tmp_path: Path) -> None:
    body = command("range: [0, 100]") + "  - {id: other, point: light.level}\n"
    problem = one(refused(tmp_path, body))
    assert (problem.line, problem.path) == (11, "commands[1].point")


def test_a_range_begins_with_its_lower_end(tmp_path: Path) -> None:
    assert "100" in one(refused(tmp_path, command("range: [100, 0]"))).what


@pytest.mark.parametrize(
    ("keys", "value", "why"),
    [
        ("range: [0, 100]", 0, None), ("range: [0, 100]", 100, None), ("range: [0, 100]", 99.5, None),
        ("range: [0, 100]", 100.5, "100.5 is outside 0 to 100"), ("range: [0, 100]", -1, "outside"),
        ("range: [0, 100]", True, "not a number"), ("range: [0, 100]", "50", "not a number"),
        ("range: [0, 100]", float("nan"), "outside"), ("range: [0, 100]", float("inf"), "outside"),
        ('enum: {"0": auto, "1": hand}', "hand", None), ('enum: {"0": auto, "1": hand}', "off", "not one of auto, hand"),
        ('enum: {"0": auto, "1": hand}', 0, "not one of"), ('enum: {"0": auto, "1": hand}', "0", "not one of"),
        ("idempotent: true", False, None),
    ],
)  # fmt: skip
def test_a_command_says_why_it_refuses_a_value(
    tmp_path: Path, keys: str, value: Value, why: str | None
) -> None:
    found = loaded(tmp_path, command(keys)).commands[0].refuse(value)
    assert (found is None) if why is None else (found is not None and why in found)

"""What the section of a device says about its points: reports, limits, labels."""

from pathlib import Path

import pytest

from gateway.cli.main import main
from gateway.config import load_config
from gateway.errors import ConfigError
from gateway.site_limit import SiteLimit
from rules.term import Compare, Const, Input

PROFILE = """
profile: tank
type: level
facility: pipes
protocol: modbus
sources: [tests]
status: bench
defaults: {at: {table: holding, type: u16}}
points:
  - {id: water.level, unit: m, at: 0, scale: "0.01", min: 0, max: 10}
  - {id: alarm.leak, kind: state, at: 1}
alarms:
  - {id: high, when: water.level > limit.high, severity: operational}
vectors:
  - {name: 1 m, request: "01 03 00 00 00 01 84 0A", response: "01 03 02 00 64 B9 AF", values: {water.level: 1}}
"""
CONFIG = """version: 1
gateway: {id: gw-test-01, timezone: Asia/Shanghai, state_dir: state}
profiles: [.]
links:
  bus: {driver: modbus, host: 127.0.0.1}
devices:
  tank-1:
    profile: tank
    link: bus
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "tank.yaml").write_text(PROFILE)
    return tmp_path


def written(folder: Path, *lines: str) -> Path:
    path = folder / "gateway.yaml"
    path.write_text(CONFIG + "".join(f"    {line}\n" for line in lines))
    return path


def test_reports_limits_and_labels_are_read(folder: Path) -> None:
    path = written(
        folder, "limits: {high: 350 cm}", 'report: {"water.*": {deadband: 0.1}, water.level: all}'
    )
    config = load_config(path)
    section = config.devices["tank-1"].section
    assert section.limits == {"high": SiteLimit(350, "cm")}
    assert section.report["water.level"] is None
    (alarm,) = config.rules.instances
    assert (alarm.id, alarm.when.term) == ("tank.high[tank-1]", Compare(">", Input(0), Const(3.5)))
    assert config.notes == ()


@pytest.mark.parametrize(
    ("line", "path", "what", "fix"),
    [
        ("limits: {high: 350 cmm}", "limits.high", "'cmm' is no unit", "did you mean"),
        ("limits: {high: much}", "limits.high", "'much' is no number with a unit", "write e.g. 4.5 m"),
        ("limits: {high: true}", "limits.high", "is no number with a unit", "write e.g. 4.5 m"),
        ("limits: {high: 3}", "limits.high", "number without a unit", "write e.g. 3 m"),
        ("limits: {high: 12 m}", "limits.high", "never true", "write a limit inside"),
        ("limits: {low: 3 m}", "limits.low", "asks for a limit 'low'", "write one of high"),
        ('labels: {fire.device: {1: "hall"}}', "labels.fire.device", "has no array", "remove it"),
        ("labels: {fire.device: {1: 3}}", "labels.fire.device.1", "3 is no label", "write a text in quotes"),
        ("report: {water.lvl: all}", "report.water.lvl", "no point 'water.lvl'", "did you mean 'water.level'?"),
        ("report: {alarm.leak: {on_change: true}}", "report.alarm.leak", "always reported", "remove it"),
        ("report: {water.level: }", "report.water.level", "no strategy", "write all, or"),
        ("report: {water.level: some}", "report.water.level", "is not a mapping", "write"),
        ("report: {water.level: {deadbnd: 1}}", "report.water.level.deadbnd", "unknown key", "did you mean 'deadband'?"),
        ("report: {water.level: {max_silence: 1m}}", "report.water.level", "nothing that holds a value back", "write e.g."),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_with_place_and_fix(
    folder: Path, line: str, path: str, what: str, fix: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        load_config(written(folder, line))
    problem = caught.value.problems[0]
    assert problem.path.startswith(f"devices.tank-1.{path}")
    assert problem.line == 10
    assert what in problem.what
    assert fix in problem.fix


def test_an_alarm_without_its_limit_is_a_warning(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["check", str(written(folder))]) == 0
    out = capsys.readouterr().out
    assert "no limit 'high': alarms of profile 'tank' are off without it" in out
    assert "limits: {high: 3 m}" in out
    assert load_config(written(folder)).rules.instances == ()


def test_a_fault_in_an_alarm_of_a_profile_is_told_at_its_place(folder: Path) -> None:
    (folder / "tank.yaml").write_text(PROFILE.replace("water.level > limit.high", "water.lvl > 3 m"))  # fmt: skip
    with pytest.raises(ConfigError) as caught:
        load_config(written(folder))
    (problem,) = caught.value.problems
    assert (Path(problem.file).name, problem.line, problem.path) == ("tank.yaml", 13, "alarms[0].when")  # fmt: skip
    assert "did you mean 'water.level'?" in problem.fix

"""`gateway config show`, `diff`, `history`, `rollback`: what runs, what ran, and back again."""

from pathlib import Path

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.assemble import assemble
from gateway.cli.main import main
from gateway.config_history import KEPT, ConfigHistory, remember
from gateway.document import Plain, parse
from gateway.dump import yaml_text

TEXT = """\
version: 1
gateway: {{id: gw-demo-01, timezone: Asia/Shanghai, state_dir: state}}
links:
  meters: {{driver: modbus, transport: tcp, host: 127.0.0.1, port: {port}}}
devices:
  meter-{{room}}: {{for: {{room: ["1..{last}"]}}, profile: eastron-sdm120, link: meters, unit: "{{n}}"}}
rules: [rules]
devices_from: [m.csv]
"""
RULE = "rules:\n- {{id: {id}, with: {{m: meter-1}}, when: 'm.elec.voltage.a > {volts} V', alarm: {{severity: operational}}}}\n"
TABLE = "device,profile,link,unit\nm-9,eastron-sdm120,meters,{unit}\n"


def write(folder: Path, port: int = 5020, last: int = 2, volts: int = 250, unit: int = 9) -> Path:
    (folder / "rules").mkdir(exist_ok=True)
    (folder / "rules" / "r.yaml").write_text(RULE.format(id="high", volts=volts))
    (folder / "m.csv").write_text(TABLE.format(unit=unit))
    path = folder / "gateway.yaml"
    path.write_text(TEXT.format(port=port, last=last))
    return path


def run(config: Path, *words: str) -> int:
    return main(["config", *words, "-c", str(config)])


def keep(config: Path, at: int) -> None:
    files = [config, config.parent / "m.csv", *sorted((config.parent / "rules").glob("*.yaml"))]
    remember(config.parent / "state", files, "start", at * 10**9)


def test_the_resolved_view_is_a_configuration_of_one_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = write(tmp_path)
    assert run(config, "show", "--resolved") == 0
    one = tmp_path / "one.yaml"
    one.write_text(capsys.readouterr().out)
    assert assemble(one).document.value == assemble(config).document.value
    assert main(["check", str(one)]) == 0
    assert "4 devices" not in (said := capsys.readouterr().out)
    assert "3 devices, 1 link" in said
    assert run(config, "show", "--json") == 0
    assert list(orjson.loads(capsys.readouterr().out)["devices"]) == ["meter-1", "meter-2", "m-9"]
    assert run(config, "show") == 0
    assert f"# {tmp_path / 'm.csv'}\n{TABLE.format(unit=9)}" in capsys.readouterr().out


def test_what_is_wrong_is_told_instead_of_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(write(tmp_path, unit=999), "show", "--resolved") == 78
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "m.csv:2:4: devices.m-9.unit" in captured.err


def test_a_secret_stays_a_reference(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = write(tmp_path)
    secret = tmp_path / "word"
    secret.touch(mode=0o600)
    secret.write_text("canary-7f3a")
    line = 'links:\n  lights: {driver: mqtt, url: "mqtt://127.0.0.1", username: u, password: "${file:word}"}'
    config.write_text(config.read_text().replace("links:", line))
    for words in (("show",), ("show", "--resolved"), ("show", "--json")):
        assert run(config, *words) == 0
        said = capsys.readouterr()
        assert "canary" not in said.out + said.err
        assert "${file:word}" in said.out


def test_a_difference_is_told_by_device_and_rule(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = write(tmp_path)
    keep(config, 1)
    assert run(config, "diff") == 0
    assert capsys.readouterr().out == "no difference\n"
    write(tmp_path, port=5021, last=3, volts=253, unit=8)
    assert run(config, "diff") == 1
    assert capsys.readouterr().out.splitlines() == [
        "~ links.meters.port: 5020 -> 5021",
        "~ devices.m-9.unit: 9 -> 8",
        '+ devices.meter-3: {"profile":"eastron-sdm120","link":"meters","unit":3}',
        '~ rules.high.when: "m.elec.voltage.a > 250 V" -> "m.elec.voltage.a > 253 V"',
    ]
    assert run(config, "diff", str(config), "1") == 1
    assert '- devices.meter-3: {"profile"' in capsys.readouterr().out
    assert run(config, "diff", "1", "--json") == 1
    assert orjson.loads(capsys.readouterr().out)[0]["path"] == ["links", "meters", "port"]


def test_only_another_configuration_gets_a_number(tmp_path: Path) -> None:
    config = write(tmp_path)
    history = ConfigHistory(tmp_path / "state")
    assert history.newest() is None
    for at, volts in enumerate((250, 250, 253, 250), 1):
        write(tmp_path, volts=volts)
        keep(config, at)
    assert [(entry.n, entry.time_ns // 10**9) for entry in history.entries()] == [(1, 1), (2, 3), (3, 4)]  # fmt: skip
    for volts in range(300, 300 + KEPT):
        write(tmp_path, volts=volts)
        keep(config, volts)
    assert [entry.n for entry in history.entries()] == list(range(4, 4 + KEPT))
    assert not list((tmp_path / "state" / "configurations").glob("*.new"))


def test_a_rollback_brings_every_file_back_and_can_be_rolled_back(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = write(tmp_path)
    keep(config, 1)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*.*") if path.is_file() and "state" not in path.parts}  # fmt: skip
    write(tmp_path, volts=253, unit=8)
    more = tmp_path / "rules" / "more.yaml"
    more.write_text(RULE.format(id="more", volts=260))
    assert run(config, "rollback", "1") == 0
    said = capsys.readouterr().out
    assert "kept as configuration 2" in said
    assert "more.yaml.removed" in said
    assert {path: path.read_bytes() for path in before} == before
    assert not more.exists()
    assert run(config, "rollback", "2") == 0
    assert more.exists()
    assert (tmp_path / "m.csv").read_text() == TABLE.format(unit=8)
    assert run(config, "history") == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()[-3:]] == [
        "1",
        "2",
        "3",
    ]


def test_a_rollback_to_what_is_refused_changes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A profile that was in the release then may be gone now."""
    config = write(tmp_path)
    (tmp_path / "m.csv").write_text(TABLE.format(unit=9).replace("eastron-sdm120", "gone-profile"))
    keep(config, 1)
    write(tmp_path)
    more = tmp_path / "rules" / "more.yaml"
    more.write_text(RULE.format(id="more", volts=260))
    assert run(config, "rollback", "1") == 78
    assert "unknown profile 'gone-profile'" in capsys.readouterr().err
    assert (tmp_path / "m.csv").read_text() == TABLE.format(unit=9)
    assert more.exists()
    assert main(["check", str(config)]) == 0


def test_an_unknown_number_names_those_that_there_are(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = write(tmp_path)
    assert run(config, "rollback", "3") == 64
    assert "no configuration has run yet" in capsys.readouterr().err
    keep(config, 1)
    assert run(config, "diff", "3") == 64
    assert "no configuration 3: there are 1" in capsys.readouterr().err
    other = tmp_path / "other.yaml"
    other.write_text(config.read_text())
    assert run(other, "rollback", "1") == 64
    assert "is of" in capsys.readouterr().err


def test_a_damaged_archive_is_said_to_be(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = write(tmp_path)
    keep(config, 1)
    (tmp_path / "state" / "configurations" / "0001.tar").write_bytes(b"x" * 2000)
    assert run(config, "history") == 64
    assert "0001.tar is damaged" in capsys.readouterr().err
    keep(config, 2)  # is logged, and stops nobody


PLAIN: st.SearchStrategy[Plain] = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(-1e6, 1e6)
    | st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs", "Co", "Cn", "Zl", "Zp"]), max_size=12)
    | st.sampled_from(["1e3", "0501", "on", "22:00", "~", "0x1F", "<<", ".5", "null", "- a", "a: b", "#"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.from_regex(r"[a-z][a-z0-9-]{0,9}", fullmatch=True), inner, max_size=4),
    max_leaves=12,
)  # fmt: skip


@given(PLAIN)
def test_what_is_written_reads_back_the_same(value: Plain) -> None:
    assert parse(yaml_text(value).encode(), "x").value == value

"""`gateway profile new`, `check`, `import`: what a technician types, and what is written."""

import json
from pathlib import Path

import pytest

from gateway.cli.main import main
from gateway.cli.profile_draft import decimal_text, slug, unit_code
from gateway.profile import Profile, load_profile, names

XY = """device,XY-MD02,1
poll,input_register,1,2,BE_BE
ref,Temperature,1,int16,r,°C,0.1
ref,Humidity,2,int16,r,%,0.1
"""
MIXED = """# a comment
device,board 7,3,,
poll,coil,0,12,BE_BE
ref,relay,0,bool8,rw
ref,more,1,bool8,r
ref,beyond,2,bool8,r
poll,holding_register,0x100,60,BE_LE
ref,Active Power,256,uint32,rw,Watts,1e-1
ref,energy.total,258,float64,r,kWh
ref,flow,262,float32,r,furlongs
ref,again,263,uint16,r
ref,level,264,float16,r
ref,setpoint,265,uint16,w
ref,1st serial,266,string008,r
ref,flags,280,bool16,r
"""
VECTOR = """vectors:
  - name: 23.4 and 51.2
    request: "01 04 00 01 00 02 20 0B"
    response: "01 04 04 00 EA 02 00 DB 10"
    values: {temperature: 23.4, humidity: 51.2}
"""


@pytest.fixture(autouse=True)
def _there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "160")


def gateway(*arguments: object) -> int:
    return main(["profile", *map(str, arguments)])


def source(name: str, text: str) -> Path:
    path = Path(name)
    path.write_text(text, encoding="utf-8")
    return path


def test_a_new_profile_is_good_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    assert gateway("new", "acme-m1") == 0
    assert "next: edit it, then: gateway profile check acme-m1.yaml" in capsys.readouterr().out
    text = Path("acme-m1.yaml").read_text()
    assert "profile: acme-m1\n" in text
    assert gateway("check", "acme-m1.yaml") == 0
    out = capsys.readouterr().out
    assert "acme-m1.yaml: ok: 4 points, 1 alarm, 1 vector decoded as written" in out
    assert gateway("new", "acme-m1") == 64
    assert "exists; nothing was written" in capsys.readouterr().err
    assert Path("acme-m1.yaml").read_text() == text


@pytest.mark.parametrize("name", names([]))
def test_a_copy_of_a_shipped_profile_is_good_and_names_it(name: str) -> None:
    assert gateway("new", "copy", "--from", name) == 0
    assert f"# Made from {name}" in Path("copy.yaml").read_text(encoding="utf-8")
    assert gateway("check", "copy.yaml") == 0
    assert load_profile(Path("copy.yaml"))[0].revision == 1
    assert gateway("new", "again", "--from", "copy.yaml") == 0


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("new", "Acme M1"), "is no name"),
        (("new", "m1", "--from", "eastron-sdm121"), "did you mean 'eastron-sdm120'?"),
        (("new", "m1", "--from", "none.yaml"), "unknown profile"),
    ],
)
def test_what_cannot_be_written_is_wrong_usage(
    arguments: tuple[str, ...], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert gateway(*arguments) == 64
    assert told in capsys.readouterr().err
    assert not list(Path().glob("*.yaml"))


def test_check_shows_where_every_point_is(capsys: pytest.CaptureFixture[str]) -> None:
    gateway("new", "acme-m1")
    capsys.readouterr()
    assert gateway("check", "--json", "acme-m1.yaml") == 0
    (found,) = json.loads(capsys.readouterr().out)
    assert found["problems"] == found["warnings"] == []
    assert found["vectors"] == ["230.5 V"]
    assert found["points"][2] == {
        "point": "elec.energy.import", "address": "holding 0x0010", "type": "u32 ABCD",
        "unit": "kW.h", "kind": "counter", "poll": "slow",
    }  # fmt: skip
    assert gateway("check", "acme-m1.yaml") == 0
    lines = capsys.readouterr().out.splitlines()
    assert any(line.split() == ["door.state", "holding", "0x0020", "u16", "ABCD", "enum", "fast"] for line in lines)  # fmt: skip


def test_every_problem_has_its_line_and_its_fix(capsys: pytest.CaptureFixture[str]) -> None:
    gateway("new", "acme-m1")
    text = Path("acme-m1.yaml").read_text()
    text = text.replace("elec.voltage.a > 253 V", "elec.voltage.a > 253 A")
    text = text.replace("addr: 0x0010, type: u32", "addr: 0x0010, type: u33")
    text = text.replace("elec.voltage.a: 230.5", "elec.voltage.a: 230.6")
    Path("acme-m1.yaml").write_text(text)
    capsys.readouterr()
    assert gateway("check", "acme-m1.yaml") == 78
    out = capsys.readouterr().out
    lines = {text.splitlines().index(line) + 1: line for line in text.splitlines()}
    assert "acme-m1.yaml: 2 problems" in out, "vectors wait for addresses"
    for what, fix in (
        ("a current where a voltage should be", "write it in V"),
        ("unknown type 'u33'", "u32"),
    ):
        (told,) = (line for line in out.splitlines() if what in line)
        assert fix in told
        number = int(told.split(":")[1])
        assert ("253 A" if "current" in what else "u33") in lines[number]
    Path("acme-m1.yaml").write_text(text.replace("u33", "u32").replace("253 A", "253 V"))
    assert gateway("check", "acme-m1.yaml", "nowhere.yaml") == 78
    out = capsys.readouterr().out
    assert "elec.voltage.a is 230.5, not 230.6" in out
    assert "nowhere.yaml: No such file" in out


def test_an_alarm_that_is_always_true_is_a_warning(capsys: pytest.CaptureFixture[str]) -> None:
    gateway("new", "acme-m1")
    text = Path("acme-m1.yaml").read_text()
    text = text.replace("elec.voltage.a > 253 V, clear: elec.voltage.a < 250 V", "elec.voltage.a >= 0 V")  # fmt: skip
    Path("acme-m1.yaml").write_text(text)
    assert gateway("check", "acme-m1.yaml") == 0
    assert "warning: acme-m1.yaml:" in capsys.readouterr().out


def test_a_protocol_that_nobody_speaks_is_a_problem(capsys: pytest.CaptureFixture[str]) -> None:
    gateway("new", "acme-m1")
    text = Path("acme-m1.yaml").read_text().replace("protocol: modbus", "protocol: modbas")
    Path("acme-m1.yaml").write_text(text)
    assert gateway("check", "acme-m1.yaml") == 78
    assert "no driver speaks 'modbas': did you mean 'modbus'?" in capsys.readouterr().out


def shown(name: str, capsys: pytest.CaptureFixture[str]) -> list[dict[str, str]]:
    capsys.readouterr()
    gateway("check", "--json", name)
    rows: list[dict[str, str]] = json.loads(capsys.readouterr().out)[0]["points"]
    return rows


def imported(path: Path, *arguments: str, kind: str = "--modpoll") -> tuple[Profile, str]:
    """The profile, once somebody gave it a vector that reads nothing."""
    assert gateway("import", kind, path, *arguments, "-o", "made.yaml") == 0
    text = Path("made.yaml").read_text(encoding="utf-8")
    return load_profile(Path("made.yaml"))[0], text


def test_a_modpoll_table_becomes_a_profile_that_lacks_only_a_vector(
    capsys: pytest.CaptureFixture[str],
) -> None:
    profile, text = imported(source("xy.csv", XY))
    out = capsys.readouterr().out
    assert "wrote made.yaml: 2 points" in out
    assert f"{text.count('# CHECK:')} places to check" in out
    assert (profile.profile, profile.model, profile.status) == ("made", "XY-MD02", "code")
    assert [(p.id, p.unit, str(p.scale), p.at) for p in profile.points] == [
        ("temperature", "Cel", "0.1", 1), ("humidity", "%", "0.1", 2),
    ]  # fmt: skip
    assert profile.defaults == {"at": {"table": "input", "type": "i16", "order": "ABCD"}}
    assert gateway("check", "made.yaml") == 78
    out = capsys.readouterr().out
    assert "made.yaml: 1 problem" in out
    assert "no vectors" in out
    Path("made.yaml").write_text(text + VECTOR, encoding="utf-8")
    assert gateway("check", "made.yaml") == 0, capsys.readouterr().out


def test_orders_types_bits_and_what_has_no_counterpart(capsys: pytest.CaptureFixture[str]) -> None:
    profile, text = imported(source("board.csv", MIXED))
    points = {point.id: point for point in profile.points}
    assert len(points) == 8 + 4 + 5
    assert profile.defaults["at"] == {"table": "coil", "type": "bool"}, "most points are bits"
    assert [points[name].at for name in ("relay.b7", "more.b3")] == [7, 11]
    assert points["relay.b0"].kind == "state"
    power, energy, flow, serial = (points[name] for name in ("active_power", "energy.total", "flow", "p1st_serial"))  # fmt: skip
    holding = {"table": "holding", "order": "CDAB"}
    assert power.at == {**holding, "addr": 256, "type": "u32"}
    assert (power.unit, str(power.scale), power.kind, power.poll) == ("W", "0.1", "gauge", "fast")
    assert (energy.unit, energy.kind, energy.poll) == ("kW.h", "counter", "slow")
    assert energy.at == {**holding, "addr": 258, "type": "f64"}
    assert flow.unit == "1"
    assert serial.at == {"table": "holding", "addr": 266, "type": "string", "words": 8}
    assert "# CHECK: unit 'furlongs' is not known\n  - {id: flow," in text
    assert "# CHECK: can be written: if that is wanted, add a command\n  - {id: active_power" in text  # fmt: skip
    assert "# CHECK: a field of bits (bool16): see `bits:`\n  - {id: flags" in text
    for left in (
        "# left out: beyond at 2: outside its poll",
        "# left out: again at 263: its registers are those of flow",
        "# left out: level at 264: type float16 has no counterpart",
        "# left out: setpoint at 265: only written; see `commands:`",
    ):
        assert left in text
    assert profile.limits.max_regs == 60
    assert "left out: level at 264" in capsys.readouterr().out


@pytest.mark.parametrize(("endian", "order"), [("BE_BE", "ABCD"), ("be_le", "CDAB"), ("LE_BE", "BADC"), ("LE_LE", "DCBA"), ("", "ABCD")])  # fmt: skip
def test_the_order_of_bytes_and_words_is_kept(endian: str, order: str) -> None:
    text = f"device,d,1\npoll,input_register,0,2,{endian}\nref,a,0,float32,r\n"
    profile, _text = imported(source("d.csv", text))
    assert profile.defaults["at"] == {"table": "input", "type": "f32", "order": order}


def test_of_several_devices_one_is_chosen(capsys: pytest.CaptureFixture[str]) -> None:
    path = source("two.csv", XY + XY.replace("XY-MD02", "other").replace("Humidity", "Dew point"))
    assert gateway("import", "--modpoll", path) == 78
    assert "choose one with --device: XY-MD02, other" in capsys.readouterr().err
    assert gateway("import", "--modpoll", path, "--device", "third") == 78
    profile, _text = imported(path, "--device", "other")
    assert [point.id for point in profile.points] == ["temperature", "dew_point"]


def test_without_a_file_name_the_profile_goes_to_standard_output(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert gateway("import", "--modpoll", source("xy.csv", XY)) == 0
    out = capsys.readouterr().out
    assert out.startswith("profile: xy-md02\n")
    source("xy-md02.yaml", out)
    assert len(load_profile(Path("xy-md02.yaml"))[0].points) == 2
    assert gateway("import", "--modpoll", "xy.csv", "-o", "xy-md02.yaml") == 64
    assert gateway("import", "--modpoll", "xy.csv", "-o", "XY.yml") == 64
    assert "write e.g. xy-md02.yaml" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "no device line"),
        ("poll,coil,0,8,BE_BE\n", "bad.csv:1: 'poll' before the first device"),
        ("device,d,1\nref,a,0,uint16,r\n", "bad.csv:2: a ref before the first poll"),
        ("device,d,1\n\npoll,coils,0,8,BE_BE\n", "bad.csv:3: unknown object type 'coils'"),
        ("device,d,1\npoll,coil,0,8,XX\n", "bad.csv:2: unknown order 'XX'"),
        ("device,d,1\npoll,coil,x,8\n", "bad.csv:2: 'x' is no address"),
        ("device,d,1\npoll,holding_register,0,8\nref,a,0,uint16,r,V,much\n", "bad.csv:3: 'much' is no scale"),
        ("device,d,1\nread,0\n", "bad.csv:2: unknown line 'read'"),
        ("device,d,1\npoll,holding_register,0,8\nref,a,0,uint16,w\n", "nothing to import"),
    ],
)  # fmt: skip
def test_a_table_that_cannot_be_read_is_refused_with_its_line(
    text: str, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert gateway("import", "--modpoll", source("bad.csv", text)) == 78
    assert told in capsys.readouterr().err


def test_a_file_that_is_not_there_or_not_text_is_refused(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert gateway("import", "--modpoll", "nowhere.csv") == 78
    Path("raw.csv").write_bytes(b"device,\xff,1\n")
    assert gateway("import", "--modpoll", "raw.csv") == 78
    assert "save it as UTF-8" in capsys.readouterr().err


MAP = {
    "manufacturer": "Acme", "model": "M1", "address_base": 1, "byte_order": "big", "word_order": "little",
    "identity": [{"area": "holding", "address": 101, "type": "uint16", "value": 32}, {"address": 1, "value": "x"}],
    "registers": [
        {"name": "Voltage L1", "area": "input", "address": 1, "type": "uint16", "scale": 0.1, "unit": "V",
         "sentinels": ["0xFFFF"], "description": "phase"},
        {"name": "Energy", "area": "input", "address": 11, "type": "uint32", "unit": "kWh"},
        {"name": "Mode", "area": "holding", "address": 21, "type": "uint16", "values": {"0": "off", "1": "on"}},
        {"name": "Temp", "area": "input", "address": 31, "type": "int16", "offset": -40, "unit": "°C", "word_order": "big", "group": 7},
        {"name": "Relay", "area": "coil", "address": 1, "access": "rw"},
        {"name": "Setpoint", "area": "holding", "address": 41, "access": "w"},
        {"name": "Odd", "area": "input", "address": 51, "type": "int128"},
    ],
}  # fmt: skip


def test_a_mbmap_becomes_a_profile(capsys: pytest.CaptureFixture[str]) -> None:
    profile, text = imported(source("m1.json", json.dumps(MAP)), kind="--mbmap")
    points = {point.id: point for point in profile.points}
    assert list(points) == ["voltage_l1", "energy", "mode", "temp", "relay"]
    assert (profile.vendor, profile.model) == ("Acme", "M1")
    wires = {row["point"]: (row["address"], row["type"]) for row in shown("made.yaml", capsys)}
    assert wires["voltage_l1"] == ("input 0x0000", "u16 CDAB")
    assert wires["temp"] == ("input 0x001e", "i16 ABCD")
    assert points["voltage_l1"].sentinels == [0xFFFF]
    assert str(points["voltage_l1"].scale) == "0.1"
    assert points["energy"].kind == "counter"
    assert points["mode"].enum == {"0": "off", "1": "on"}
    assert str(points["temp"].offset) == "-40"
    assert wires["relay"] == ("coil 0x0000", "bool")
    (probe,) = profile.identity
    assert probe.equals == [32]
    assert probe.at == {"table": "holding", "addr": 100, "type": "u16", "order": "CDAB"}
    assert "# CHECK: not taken over: group" in text
    assert "# left out: Odd: type int128 has no counterpart" in text
    assert "# left out: Setpoint: only written" in text
    assert "# left out: identity at 1" in text
    capsys.readouterr()
    assert gateway("check", "made.yaml") == 78
    out = capsys.readouterr().out
    assert "made.yaml: 1 problem" in out
    assert "no vectors" in out


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"registers": []}, "no registers"),
        ({"registers": [3]}, "registers[0]: not an object"),
        ({"registers": [{"address": "x"}]}, "address 'x' is no whole number"),
        ({"registers": [{"address": 0}]}, "address -1 on the wire"),
        ({"registers": [{"address": 1, "area": "moon"}]}, "area 'moon' is not known"),
        ({"registers": [{"address": 1, "scale": "much"}]}, "scale 'much' is no number"),
        ({"registers": [{"address": 1, "sentinels": ["y"]}]}, "sentinels ['y']"),
        ({"registers": [{"address": 1, "values": [1]}]}, "values is not an object"),
        ({"byte_order": "middle"}, "byte_order 'middle' is not known"),
    ],
)
def test_a_map_that_cannot_be_read_is_refused(
    change: dict[str, object], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert gateway("import", "--mbmap", source("bad.json", json.dumps({**MAP, **change}))) == 78
    assert told in capsys.readouterr().err


def test_what_is_no_json_is_refused_with_its_place(capsys: pytest.CaptureFixture[str]) -> None:
    assert gateway("import", "--mbmap", source("bad.json", '{"a": 1,\n oops}')) == 78
    assert "bad.json:2:" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("written", "code"),
    [("kWh", "kW.h"), ("Watts", "W"), ("VAr", "V.A{reactive}"), ("", "1"), ("°C", "Cel"), ("mv", "mV"), ("mw", None), ("KWH", "kW.h"), ("furlongs", None)],
)  # fmt: skip
def test_units_are_understood_or_not_guessed(written: str, code: str | None) -> None:
    assert unit_code(written) == code


def test_names_and_numbers_are_written_plainly() -> None:
    assert slug("SDM 120-M (v2)") == "sdm-120-m-v2"
    assert slug("电表") == "imported"
    assert [decimal_text(text) for text in ("1e-3", 0.1, "10", "100")] == ["0.001", "0.1", "10", "100"]  # fmt: skip
    with pytest.raises(ValueError, match="no number"):
        decimal_text("inf")


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("at: 0x000C, poll: fast", "at: 0x000C, report: {deadband: 0}", "greater than 0"),
        ("enum: {0: closed, 1: open}", "enum: {0: closed, 1: open}, report: {deadband: 1}", "a deadband, but door.state is a state"),
        ("{id: door.state,", "{id: alarm.door, report: {on_change: true},", "always reported"),
        ("  # - {id: power.high, when: elec.power.total > limit.power", "  - {id: voltage.high, when: elec.power.total > limit.power", "alarm 'voltage.high' twice"),
    ],
)  # fmt: skip
def test_what_a_report_or_an_alarm_cannot_be_is_told(
    old: str, new: str, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    gateway("new", "acme-m1")
    text = Path("acme-m1.yaml").read_text()
    assert text.count(old) == 1
    Path("acme-m1.yaml").write_text(text.replace(old, new))
    capsys.readouterr()
    assert gateway("check", "acme-m1.yaml") == 78
    assert told in capsys.readouterr().out

"""A configuration of many files: what it includes, tables of devices, many devices of one entry."""

from pathlib import Path

import pytest

from gateway.config import Config, load_config
from gateway.errors import ConfigError, Problem

MAIN = """\
version: 1
gateway: {id: gw-demo-01, timezone: Asia/Shanghai}
links:
  meters: {driver: modbus, transport: tcp, host: 127.0.0.1, port: 5020}
devices:
  meter-1: {profile: eastron-sdm120, link: meters, unit: 1}
"""
METER = "profile: eastron-sdm120, link: meters"


def site(folder: Path, main: str, files: dict[str, str | bytes]) -> Path:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
    path = folder / "gateway.yaml"
    path.write_text(MAIN + main, encoding="utf-8")
    return path


def loaded(folder: Path, main: str, **files: str | bytes) -> Config:
    names = {name.replace("__", "/").replace("_csv", ".csv").replace("_yaml", ".yaml"): text for name, text in files.items()}  # fmt: skip
    return load_config(site(folder, main, names))


def refused(folder: Path, main: str, files: dict[str, str | bytes]) -> Problem:
    with pytest.raises(ConfigError) as caught:
        load_config(site(folder, main, files))
    (problem,) = caught.value.problems
    return problem


def test_a_table_says_of_devices_what_the_file_would_say(tmp_path: Path) -> None:
    table = (
        "\ufeff# made with a spreadsheet\n\n"
        "device,profile,link,unit,name,tag.room,poll.fast,enabled,groups\n"
        "meter-501,eastron-sdm120,meters,11,501,0501,5s,true,a-side; all\n"
        '"meter-502",eastron-sdm120,meters,12,"五楼, 502",502,,,\n'
        ",,,,,,,,\n"
    )
    devices = loaded(tmp_path, "devices_from: [m.csv]\n", m_csv=table).devices
    assert list(devices) == ["meter-1", "meter-501", "meter-502"]
    first, second = devices["meter-501"].section, devices["meter-502"].section
    assert (first.name, first.tags, first.poll.fast) == ("501", {"room": "0501"}, 5.0)
    assert (first.groups, second.groups) == (["a-side", "all"], [])
    assert (second.name, second.tags, second.poll.fast) == ("五楼, 502", {"room": "502"}, 10.0)
    assert [one.section.unit for one in devices.values()] == [1, 11, 12]  # type: ignore[attr-defined] # Modbus


HEAD = "device,profile,link,unit\n"
ROW = "m-2,eastron-sdm120,meters,2\n"
# kind: (table, line, cell, part of what, part of the fix)
TABLES: dict[str, tuple[str | bytes, int, int, str, str]] = {
    "no header": ("", 1, 1, "no header", "begin with device,"),
    "no ids": ("name,profile\n", 1, 1, "no column 'device'", "call the column"),
    "semicolons": ("device;profile;link\n", 1, 1, "no column 'device'", "with commas, not with ';'"),
    "column twice": ("device,profile,link,unit,unit\n", 1, 5, "column 'unit' stands twice", "one name"),
    "unnamed column": ("device,profile,,unit\n", 1, 3, "a column without a name", "one name"),
    "too many cells": (HEAD + ROW.replace("2\n", "2,3\n"), 2, 5, "5 cells under 4 columns", "in quotes"),
    "no id": (HEAD + "\n" + ROW[3:], 3, 1, "a row without an id", "fill in"),
    "same id": (HEAD + ROW + ROW, 3, 1, "duplicate key", "line 2"),
    "same id as the file": (HEAD + ROW.replace("m-2", "meter-1"), 2, 1, "duplicate key", "gateway.yaml:6"),
    "unknown key": (HEAD.replace("unit", "unti") + ROW, 2, 4, "unknown key 'unti'", "did you mean 'unit'?"),
    "wrong value": (HEAD + ROW.replace("2\n", "two\n"), 2, 4, "'two' is not a whole number", "digits"),
    "out of range": (HEAD + ROW.replace("2\n", "300\n"), 2, 4, "300", "0 to 247"),
    "unknown link": (HEAD + ROW.replace("meters", "metres"), 2, 3, "unknown link 'metres'", "'meters'"),
    "GBK": ((HEAD + "m-2,eastron-sdm120,meters,二\n").encode("gbk"), 2, 1, "not UTF-8", "CSV UTF-8"),
    "open quote": (HEAD + '"m-2,eastron\n', 2, 1, "not CSV", "quotes"),
    "two kinds of key": (HEAD.replace("unit", "unit,poll,poll.fast") + ROW.replace("2\n", "2,5s,1s\n"), 2, 6, "columns 'poll' and 'poll.fast'", "one of them"),
}  # fmt: skip


@pytest.mark.parametrize("kind", TABLES)
def test_a_wrong_table_is_refused_with_the_place(tmp_path: Path, kind: str) -> None:
    table, line, column, what, fix = TABLES[kind]
    problem = refused(tmp_path, "devices_from: [m.csv]\n", {"m.csv": table})
    assert (Path(problem.file).name, problem.line, problem.column) == ("m.csv", line, column)
    assert what in problem.what
    assert fix in problem.fix


def test_what_is_included_counts_as_if_it_stood_in_the_file(tmp_path: Path) -> None:
    config = loaded(
        tmp_path,
        "include: [b3/meters.yaml, more/]\n",
        b3__meters_yaml=f"devices_from: [m.csv]\ndevices:\n  meter-2: {{{METER}, unit: 2}}\n",
        b3__m_csv=HEAD + "m-3,eastron-sdm120,meters,3\n",
        more__1_yaml=f"version: 1\ndevices:\n  meter-4: {{{METER}, unit: 4}}\nrules: [rules]\n",
        more__2_yaml="include: [deep/x.yaml]\ncommands:\n  allow: [{origin: cli, devices: '*', points: '*'}]\n",
        more__rules__r_yaml="rules: [{id: high, with: {m: meter-4}, when: m.elec.voltage.a > 250 V, alarm: {severity: operational}}]\n",
        more__deep__x_yaml=f"devices:\n  meter-5: {{{METER}, unit: 5}}\n",
    )
    assert sorted(config.devices) == ["m-3", "meter-1", "meter-2", "meter-4", "meter-5"]
    assert [rule.id for rule in config.rules.rules if "." not in rule.id] == ["high"]
    assert [rule.origin for rule in config.commands.allow] == ["cli"]
    here = [file.relative_to(tmp_path).as_posix() for file in config.files]
    assert here == [
        "gateway.yaml", "b3/meters.yaml", "b3/m.csv", "more/1.yaml", "more/2.yaml",
        "more/deep/x.yaml", "more/rules/r.yaml",
    ]  # fmt: skip


def test_names_in_an_included_file_are_seen_from_there(tmp_path: Path) -> None:
    upstream = 'upstream:\n  far: {url: "mqtts://a.example.com", ca: ca.pem, password: "${file:word}", username: u}\n'
    path = site(tmp_path, "include: [sub/up.yaml]\n", {"sub/up.yaml": upstream, "sub/ca.pem": ""})
    word = tmp_path / "sub" / "word"
    word.touch(mode=0o600)
    word.write_text("hush")
    far = load_config(path).upstream["far"]
    assert far.ca == tmp_path / "sub" / "ca.pem"
    assert far.password is not None
    assert far.password.get_secret_value() == "hush"


# kind: (addition to the main file, other files, file, line, part of what, part of the fix)
PARTS: dict[str, tuple[str, dict[str, str | bytes], str, int, str, str]] = {
    "missing": ("include: [a.yaml]\n", {}, "gateway.yaml", 7, "a.yaml does not exist", "correct the name"),
    "missing table": ("devices_from: [a.csv]\n", {}, "gateway.yaml", 7, "a.csv does not exist", "correct the name"),
    "no list": ("include: a.yaml\n", {}, "gateway.yaml", 7, "not a list", "include: [FILE]"),
    "no name": ("include: [3]\n", {}, "gateway.yaml", 7, "3 is no file name", "text"),
    "itself": ("include: [a.yaml]\n", {"a.yaml": "include: [gateway.yaml]\n"}, "a.yaml", 1, "includes itself", "remove"),
    "same device": ("include: [a.yaml]\n", {"a.yaml": f"devices:\n  meter-1: {{{METER}, unit: 2}}\n"}, "a.yaml", 2, "duplicate key", "gateway.yaml:6"),
    "same device in two": ("include: [a.yaml, b.yaml]\n", dict.fromkeys(("a.yaml", "b.yaml"), f"devices:\n  x: {{{METER}, unit: 2}}\n"), "b.yaml", 2, "duplicate key", "a.yaml:2"),
    "section of the main file": ("include: [a.yaml]\n", {"a.yaml": "store: {}\n"}, "a.yaml", 1, "'store' does not belong", "move it to"),
    "another version": ("include: [a.yaml]\n", {"a.yaml": "version: 2\n"}, "a.yaml", 1, "'version'", "remove it here"),
    "no mapping": ("include: [a.yaml]\n", {"a.yaml": "- 1\n"}, "a.yaml", 1, "not a mapping", "devices:"),
    "not YAML": ("include: [a.yaml]\n", {"a.yaml": "devices: {\n"}, "a.yaml", 2, "not YAML", "brackets"),
    "wrong value": ("include: [a.yaml]\n", {"a.yaml": f"devices:\n\n  x: {{{METER}, unit: 999}}\n"}, "a.yaml", 3, "999", "0 to 247"),
    "wrong list": ("include: [a.yaml]\n", {"a.yaml": "rules: no\n"}, "a.yaml", 1, "not a list", "- item"),
    "wrong rule folder": ("include: [a.yaml]\n", {"a.yaml": "rules: [none]\n"}, "a.yaml", 1, "none does not exist", "create it"),
    "wrong upstream": ("include: [a.yaml]\n", {"a.yaml": "upstream:\n  p: {url: 3}\n"}, "a.yaml", 2, "3", ""),
}  # fmt: skip


@pytest.mark.parametrize("kind", PARTS)
def test_a_wrong_part_is_refused_with_its_own_place(tmp_path: Path, kind: str) -> None:
    main, files, file, line, what, fix = PARTS[kind]
    problem = refused(tmp_path, main, files)
    assert (Path(problem.file).name, problem.line) == (file, line)
    assert what in problem.what
    assert fix in problem.fix


def entry(name: str, rest: str) -> str:
    return f'  "{name}": {{{METER}, unit: "{{n+10}}", {rest}}}\n'


def test_one_entry_makes_many_devices(tmp_path: Path) -> None:
    rest = 'for: {floor: ["1..2", 9], room: ["01..03"]}, name: "{floor}{room}", tags: {room: "{floor}{room}", mark: "{{x}}"}'
    devices = loaded(tmp_path, entry("meter-{floor}-{room}", rest)).devices
    made = [name for name in devices if name != "meter-1"]
    assert made == [f"meter-{floor}-{room}" for floor in (1, 2, 9) for room in ("01", "02", "03")]
    sections = [devices[name].section for name in made]
    assert [one.unit for one in sections] == [*range(11, 20)]  # type: ignore[attr-defined] # Modbus
    assert sections[4].name == "202"
    assert sections[4].tags == {"room": "202", "mark": "{x}"}


# kind: (entry, path, part of what, part of the fix)
WRONG = {
    "no for": (entry("m-{room}", "enabled: true"), "devices.m-{room}", "no 'for'", 'for: {room: ["101..118"]}'),
    "always the same id": (entry("m-x", 'for: {room: ["1..3"]}'), "devices.m-x", "the same id", "write {room} into it"),
    "unknown name": (entry("m-{rom}-{room}", 'for: {room: ["1..3"]}'), "devices.m-{rom}-{room}", "unknown {rom}", "did you mean 'room'?"),
    "backwards": (entry("m-{room}", 'for: {room: ["3..1"]}'), "devices.m-{room}.for.room[0]", "'3..1' is no range", "low to high"),
    "strange range": (entry("m-{room}", 'for: {room: ["1..x"]}'), "devices.m-{room}.for.room[0]", "'1..x' is no range", "101..118"),
    "value twice": (entry("m-{room}", 'for: {room: ["1..3", 2]}'), "devices.m-{room}.for.room", "2 stands twice", "remove one"),
    "no values": (entry("m-{room}", "for: {room: []}"), "devices.m-{room}.for.room", "no values", "101..118"),
    "not a mapping": (entry("m-{room}", "for: 3"), "devices.m-{room}.for", "not a mapping", "room"),
    "n": (entry("m-{n}", "for: {n: [1, 2]}"), "devices.m-{n}.for.n", "'n' is no name", "a-z"),
    "too many": (entry("m-{a}-{b}", 'for: {a: ["1..1000"], b: ["1..1000"]}'), "devices.m-{a}-{b}.for", "1000000 devices", "10000"),
    "no number": (entry("m-{a}", 'for: {a: ["a..c"]}, name: "{a+1}"'), "devices.m-{a}.name", "'a' is no number", "without"),
    "there already": (entry("meter-{a}", 'for: {a: ["1..3"]}'), "devices.meter-{a}", "it makes meter-1", "rename"),
    "made already": (entry("m-{a}", 'for: {a: ["1..3"]}') + entry("m-{b}", "for: {b: [3]}"), "devices.m-{b}", "it makes m-3", "rename"),
    "wrong in one": (entry("m-{a}", 'for: {a: [20]}, poll: "{a}"'), "devices.m-20.poll", "20", "10s"),
}  # fmt: skip


@pytest.mark.parametrize("kind", WRONG)
def test_a_wrong_entry_for_many_is_refused_with_the_place(tmp_path: Path, kind: str) -> None:
    text, path, what, fix = WRONG[kind]
    problem = refused(tmp_path, text, {})
    assert (problem.path, problem.line) == (path, 7 + (kind == "made already"))
    assert what in problem.what
    assert fix in problem.fix


def test_a_secret_of_one_of_many_is_a_file_of_its_own(tmp_path: Path) -> None:
    """The braces of a reference are no place to fill in."""
    text = "include: [b.yaml]\n"
    lamps = (
        "links:\n  ble: {driver: ble}\n"
        "devices:\n  smoke-{room}:\n    for: {room: [1, 2]}\n    profile: bthome-smoke\n    link: ble\n"
        '    address: "54:EF:44:E3:9C:0{room}"\n    key: "${file:keys/{room}}"\n'
    )
    path = site(tmp_path, text, {"sub/b.yaml": lamps})
    path.write_text(path.read_text().replace("b.yaml", "sub/b.yaml"))
    (tmp_path / "sub" / "keys").mkdir()
    for room in "12":
        key = tmp_path / "sub" / "keys" / room
        key.touch(mode=0o600)
        key.write_text("0123456789abcdef0123456789abcde" + room)
    devices = load_config(path).devices
    keys = [devices[f"smoke-{room}"].section.key.get_secret_value()[-1] for room in "12"]  # type: ignore[attr-defined] # BLE
    assert keys == ["1", "2"]

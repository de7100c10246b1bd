"""The configuration file: what runs, and how twelve kinds of wrong ones are refused."""

from pathlib import Path

import pytest

from gateway.config import load_config
from gateway.errors import ConfigError, Problem
from simulators.bluez.bus import installed
from simulators.demo import _prepare

MINIMAL = """\
version: 1
gateway: {id: gw-demo-01, timezone: Asia/Shanghai}
links:
  meters: {driver: modbus, transport: tcp, host: 127.0.0.1, port: 5020}
devices:
  meter-1: {profile: eastron-sdm120, link: meters, unit: 1}
"""


def write(folder: Path, text: str, name: str = "gateway.yaml") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def refused(folder: Path, text: str) -> list[Problem]:
    path = write(folder, text)
    with pytest.raises(ConfigError) as caught:
        load_config(path)
    for problem in caught.value.problems:
        assert problem.file
        assert problem.line > 0
        assert problem.column > 0
        assert problem.what
        assert problem.fix
    return caught.value.problems


def test_the_smallest_file_runs_without_any_server(tmp_path: Path) -> None:
    config = load_config(write(tmp_path, MINIMAL))
    assert list(config.devices) == ["meter-1"]
    assert config.devices["meter-1"].section.poll.fast == 10.0
    assert config.devices["meter-1"].section.poll.slow == 60.0
    assert config.store.group_commit == 10.0
    assert config.notes == ()


def test_the_shipped_files_are_right(tmp_path: Path) -> None:
    demo = load_config(_prepare(tmp_path))
    assert len(demo.devices) == (20 if installed() else 14)
    assert demo.rules.rules
    assert demo.notes == ()


def test_without_dbus_the_demonstration_leaves_its_home_alarms_out_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    demo = load_config(_prepare(tmp_path))
    assert [len(demo.devices), "home" in demo.links] == [14, False]
    said = "the home alarms are left out: dbus-daemon is not installed; sudo apt-get install dbus-daemon\n"
    assert capsys.readouterr().out == said


# kind: (what is changed in MINIMAL, line, what stands at the column, path, part of what, part of fix)
MQTT = '  l: {driver: mqtt, url: "mqtt://127.0.0.1", username: a, password: %s}\ndevices:'
BROKEN = {
    "unknown key": (("unit: 1}", "unti: 1}"), 6, "unti", "devices.meter-1.unti", "unknown key 'unti'", "did you mean 'unit'?"),
    "duplicate device": (("unit: 1}", "unit: 1}\n  meter-1: {profile: eastron-sdm120, link: meters, unit: 2}"), 7, "meter-1", "devices.meter-1", "duplicate key", "line 6"),
    "unknown link": (("link: meters", "link: metres"), 6, "metres", "devices.meter-1.link", "unknown link 'metres'", "did you mean 'meters'?"),
    "unknown profile": (("eastron-sdm120", "eastron-sdm12"), 6, "eastron", "devices.meter-1.profile", "unknown profile 'eastron-sdm12'", "did you mean 'eastron-sdm120'?"),
    "unit out of range": (("unit: 1}", "unit: 300}"), 6, "300", "devices.meter-1.unit", "300", "0 to 247"),
    "bare number where a unit is needed": (("unit: 1}", "unit: 1, poll: 10}"), 6, "10}", "devices.meter-1.poll", "10", "10s"),
    "wrong type": (("port: 5020", 'port: "5020"'), 4, '"5020"', "links.meters.port", "'5020' is not a whole number", "digits"),
    "port out of range": (("port: 5020", "port: 70000"), 4, "70000", "links.meters.port", "70000 is no port", "1 to 65535"),
    "unknown driver": (("driver: modbus", "driver: modbuss"), 4, "modbuss", "links.meters.driver", "unknown driver 'modbuss'", "did you mean 'modbus'?"),
    "missing key": ((", timezone: Asia/Shanghai", ""), 2, "{id", "gateway.timezone", "missing", "add this key"),
    "bad time zone": (("Asia/Shanghai", "Asia/Shanghei"), 2, "Asia", "gateway.timezone", "no time zone", "Asia/Shanghai"),
    "bad id": (("gw-demo-01", "GW Demo"), 2, "GW", "gateway.id", "'GW Demo' is no id", "a-z"),
    "newer version": (("version: 1", "version: 2"), 1, "2", "version", "newer than this gateway", "version: 1"),
    "tab": (("  meter-1:", "\tmeter-1:"), 6, "\t", "", "not YAML", "spaces"),
    "section of a later version": (("unit: 1}", "unit: 1, delivery: broker}"), 6, "delivery", "devices.meter-1.delivery", "not in this version", "remove"),
    "unknown transport": (("transport: tcp", "transport: ascii"), 4, "ascii", "links.meters.transport", "ascii", "rtu_over_tcp"),
    "host of a serial port": (("transport: tcp", "transport: rtu"), 4, "127", "links.meters.host", "host means nothing to transport rtu", "write transport: tcp"),
    "network without a host": (("host: 127.0.0.1, port: 5020", "port: 5020"), 4, "{driver", "links.meters", "transport tcp without a host", "add e.g. host"),
    "serial link without a port": (("transport: tcp, host: 127.0.0.1, port: 5020", "transport: rtu"), 4, "{driver", "links.meters", "transport rtu without a port", "add path"),
    "relative serial port": (("transport: tcp, host: 127.0.0.1, port: 5020", "transport: rtu, path: ttyS0"), 4, "ttyS0", "links.meters.path", "'ttyS0' is no serial port", "whole path"),
    "odd baud": (("transport: tcp, host: 127.0.0.1, port: 5020", "transport: rtu, path: /dev/serial/by-id/a, baud: 9601"), 4, "9601", "links.meters.baud", "9601 is not allowed", "19200"),
    "seven bits": (("transport: tcp, host: 127.0.0.1, port: 5020", "transport: rtu, path: /dev/serial/by-id/a, bytesize: 7"), 4, "7}", "links.meters.bytesize", "7 data bits", "write 8"),
    "parity of a network": (("port: 5020", "port: 5020, parity: E"), 4, "E}", "links.meters.parity", "parity means nothing to transport tcp", "transport: rtu"),
    "one port twice": (("devices:", "  spare: {driver: modbus, host: 127.0.0.1, port: 5020, transport: rtu_over_tcp}\ndevices:"), 5, "127", "links.spare.host", "127.0.0.1:5020 belongs to link meters already", "move its devices to meters"),
    "broadcast on a bus": (("transport: tcp", "transport: rtu_over_tcp"), 6, "0}", "devices.meter-1.unit", "unit 0 is every device of a bus", "1 to 247"),
    "literal secret": (("devices:", MQTT % "geheim"), 5, "geheim", "links.l.password", "a secret in plain text", "${file:"),
    "missing secret": (("devices:", MQTT % '"${env:NO_SUCH_NAME}"'), 5, '"${env', "links.l.password", "NO_SUCH_NAME is not set", "set"),
    "unencrypted beyond loopback": (("devices:", '  l: {driver: mqtt, url: "mqtt://192.0.2.1"}\ndevices:'), 5, '"mqtt:', "links.l.url", "not encrypted", "mqtts://192.0.2.1:8883"),
    "yaml 1.1 boolean": (("unit: 1}", "unit: 1, enabled: no}"), 6, "no}", "devices.meter-1.enabled", "'no' is not true or false", "false"),
    "the same unit twice": (("unit: 1}", "unit: 1}\n  meter-2: {profile: eastron-sdm120, link: meters, unit: 1}"), 7, "1}", "devices.meter-2.unit", "unit 1", "own unit"),
    "folder that does not exist": (("links:", "rules: [rulez/]\nlinks:"), 3, "rulez", "rules[0]", "does not exist", "create"),
    "device on no link": ((", link: meters", ""), 6, "{profile", "devices.meter-1", "missing key 'link'", "meters"),
    "device without profile": (("profile: eastron-sdm120, ", ""), 6, "{link", "devices.meter-1", "missing key 'profile'", "eastron-sdm120"),
    "link without driver": (("driver: modbus, ", ""), 4, "{transport", "links.meters", "missing key 'driver'", "modbus"),
    "link that is no mapping": (("{driver: modbus, transport: tcp, host: 127.0.0.1, port: 5020}", "modbus"), 4, "modbus", "links.meters", "not a mapping", "key: value"),
    "profile of another protocol": (("eastron-sdm120", "streetlight-native"), 6, "meters", "devices.meter-1.link", "speaks mqtt, a modbus link does not", "add a link"),
    "device id that is none": (("meter-1:", "Meter_1:"), 6, "{profile", "devices.Meter_1", "'Meter_1' is no id", "a-z"),
    "no lane": (("devices:", 'upstream: {p: {url: "mqtt://127.0.0.1", lanes: []}}\ndevices:'), 5, "[]", "upstream.p.lanes", "no lane", "[0, 1]"),
    "reserved name": (("devices:", 'upstream: {cli: {url: "mqtt://127.0.0.1"}}\ndevices:'), 5, "{url", "upstream.cli", "reserved name", "another"),
    "commands of a platform": (("devices:", 'upstream: {p: {url: "mqtt://127.0.0.1"}}\ncommands: {allow: [{origin: p, devices: "*", points: "*"}]}\ndevices:'), 6, "p, dev", "commands.allow[0].origin", "takes no commands", "add downlink"),
    "allowed device that does not exist": (("devices:", 'commands: {allow: [{origin: cli, devices: [metre-1], points: "*"}]}\ndevices:'), 5, "[metre", "commands.allow[0].devices", "unknown device 'metre-1'", "meter-1"),
    "unknown origin": (("links:", 'commands: {allow: [{origin: plattform, devices: "*", points: "*"}]}\nlinks:'), 3, "plattform", "commands.allow[0].origin", "unknown origin", "rules"),
}  # fmt: skip


@pytest.mark.parametrize("kind", BROKEN)
def test_a_broken_file_is_refused_with_place_and_fix(tmp_path: Path, kind: str) -> None:
    (old, new), line, token, path, what, fix = BROKEN[kind]
    text = MINIMAL.replace(old, new, 1)
    if kind == "broadcast on a bus":
        text = text.replace("unit: 1", "unit: 0")
    column = text.splitlines()[line - 1].index(token) + 1
    found = refused(tmp_path, text)
    assert any(
        (p.line, p.column, p.path) == (line, column, path) and what in p.what and fix in p.fix
        for p in found
    ), found


NOTES = {
    "unused link": ("devices:", "  spare: {driver: modbus, host: 127.0.0.1}\ndevices:", "no device uses this link"),
    "no alarms upstream": ("devices:", 'upstream: {p: {url: "mqtt://127.0.0.1", lanes: [1]}}\ndevices:', "no upstream has lane 0"),
}  # fmt: skip


@pytest.mark.parametrize("kind", NOTES)
def test_what_looks_wrong_and_may_be_meant_is_a_note(tmp_path: Path, kind: str) -> None:
    old, new, what = NOTES[kind]
    (note,) = load_config(write(tmp_path, MINIMAL.replace(old, new, 1))).notes
    assert what in note.what
    assert note.line == 5


def test_a_serial_port_is_told_what_may_bite_later(tmp_path: Path) -> None:
    serial = "transport: rtu, path: /dev/ttyUSB0, baud: 38400"
    text = MINIMAL.replace("transport: tcp, host: 127.0.0.1, port: 5020", serial)
    port, baud = sorted(load_config(write(tmp_path, text)).notes, key=lambda n: n.column)
    assert port.what == "/dev/ttyUSB0 is another adapter after a restart"
    assert "/dev/serial/by-id/" in port.fix
    assert baud.what == "38400 baud, a eastron-sdm120 comes with 2400"
    assert (port.line, baud.line) == (4, 4)


def test_two_names_of_one_serial_port_are_one_port(tmp_path: Path) -> None:
    (tmp_path / "by-id").symlink_to(tmp_path / "ttyUSB7")
    serial = f"transport: rtu, path: {tmp_path}/by-id, baud: 2400"
    text = MINIMAL.replace("transport: tcp, host: 127.0.0.1, port: 5020", serial)
    text = text.replace(
        "devices:", f"  b: {{driver: modbus, transport: rtu, path: {tmp_path}/ttyUSB7}}\ndevices:"
    )
    (problem,) = refused(tmp_path, text)
    assert problem.path == "links.b.path"
    assert problem.what == f"{tmp_path}/ttyUSB7 belongs to link meters already"


def test_a_rule_that_may_not_write_is_refused_before_it_has_to(tmp_path: Path) -> None:
    rule = "rules:\n- {id: dusk, for_each: {type: light}, when: it.env.illuminance < 40 lx, do: [{set: {device: it, point: light.level, value: 60 %}}]}\n"
    write(tmp_path, rule, "dusk.yaml")
    text = MINIMAL.replace("devices:", '  l: {driver: mqtt, url: "mqtt://127.0.0.1"}\ndevices:')
    text += "  light-1: {profile: streetlight-native, link: l, topic_id: a}\nrules: [dusk.yaml]\n"
    (problem,) = refused(tmp_path, text)
    assert "rule dusk sets light.level" in problem.what
    assert "origin: rules" in problem.fix
    text += 'commands: {allow: [{origin: rules, devices: {type: light}, points: "*"}]}\n'
    assert len(load_config(write(tmp_path, text)).rules.instances) == 1


def test_a_fault_in_a_rule_names_its_file(tmp_path: Path) -> None:
    write(
        tmp_path,
        "rules:\n- {id: x, for_each: {type: meter}, when: it.elec.voltage.a > 253}\n",
        "x.yaml",
    )
    found = refused(tmp_path, MINIMAL + "rules: [x.yaml]\n")
    assert [problem.file.rsplit("/", 1)[-1] for problem in found] == ["x.yaml"]
    write(tmp_path, "rules: [\n", "x.yaml")
    assert refused(tmp_path, MINIMAL + "rules: [x.yaml]\n")[0].what.startswith("not YAML")


def test_a_disabled_device_is_checked_and_left_out(tmp_path: Path) -> None:
    text = MINIMAL.replace(
        "unit: 1}",
        "unit: 1}\n  meter-2: {profile: eastron-sdm120, link: meters, unit: 2, enabled: false}",
    )
    assert list(load_config(write(tmp_path, text)).devices) == ["meter-1"]


def test_all_errors_come_at_once(tmp_path: Path) -> None:
    text = (
        MINIMAL.replace("unit: 1", "unit: 300").replace("5020", "70000").replace("gw-demo-01", "GW")
    )
    assert len(refused(tmp_path, text)) == 3


def test_a_secret_comes_from_its_file_and_is_never_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = write(tmp_path, "geheim\n", "secret")
    secret.chmod(0o600)
    link = '  l: {driver: mqtt, url: "mqtt://127.0.0.1", username: a, password: "${file:secret}"}\n'
    device = "  light-1: {profile: streetlight-native, link: l, topic_id: b}\n"
    text = MINIMAL.replace("devices:\n", link + "devices:\n" + device)
    config = load_config(write(tmp_path, text))
    section = config.links["l"].section
    assert section.model_dump()["password"].get_secret_value() == "geheim"
    assert "geheim" not in repr(section)
    secret.chmod(0o644)
    assert "open to every user" in refused(tmp_path, text)[0].what
    monkeypatch.setenv("GW_SECRET", "x")
    config = load_config(write(tmp_path, text.replace("${file:secret}", "${env:GW_SECRET}")))
    assert config.links["l"].section.model_dump()["password"].get_secret_value() == "x"


def test_relative_paths_are_seen_from_the_file(tmp_path: Path) -> None:
    text = MINIMAL.replace("timezone: Asia/Shanghai}", "timezone: Asia/Shanghai, state_dir: s}")
    assert load_config(write(tmp_path, text)).state_dir == tmp_path / "s"


def test_a_profile_of_the_site_goes_before_the_shipped_one(tmp_path: Path) -> None:
    (tmp_path / "profiles").mkdir()
    shipped = Path(__file__).parents[2] / "configs" / "profiles" / "eastron-sdm120.yaml"
    text = shipped.read_text(encoding="utf-8").replace("revision: 1", "revision: 7")
    (tmp_path / "profiles" / "eastron-sdm120.yaml").write_text(text, encoding="utf-8")
    config = load_config(write(tmp_path, MINIMAL + "profiles: [profiles/]\n"))
    assert config.devices["meter-1"].profile.revision == 7


def test_a_fault_in_a_profile_names_the_profile_and_its_line(tmp_path: Path) -> None:
    (tmp_path / "profiles").mkdir()
    shipped = Path(__file__).parents[2] / "configs" / "profiles" / "eastron-sdm120.yaml"
    text = shipped.read_text(encoding="utf-8").replace("unit: Hz", "unit: Hertz")
    (tmp_path / "profiles" / "eastron-sdm120.yaml").write_text(text, encoding="utf-8")
    problem = refused(tmp_path, MINIMAL + "profiles: [profiles/]\n")[0]
    assert problem.file.endswith("profiles/eastron-sdm120.yaml")
    assert "'Hertz' is no UCUM code" in problem.what

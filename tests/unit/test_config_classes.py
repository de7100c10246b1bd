"""Thirty classes of wrong configurations: each is refused with its place and what to do about it."""

import asyncio
from pathlib import Path

import pytest

from gateway.cli.main import main
from gateway.config import load_config, load_new_config
from gateway.errors import ConfigError
from tests.harness.certificates import make

TEXT = """\
version: 1
gateway: {id: gw-demo-01, timezone: Asia/Shanghai}
links:
  meters: {driver: modbus, transport: tcp, host: 127.0.0.1, port: 5020}
devices:
  meter-1: {profile: eastron-sdm120, link: meters, unit: 1}
"""
DEVICE = "meter-1: {profile: eastron-sdm120, link: meters, unit: 1}"
MQTT = '  field: {driver: mqtt, url: "mqtt://127.0.0.1"}\n'
RULES = "rules: [r.yaml]\n"


def rule(when: str = "m.elec.voltage.a > 250 V", more: str = "alarm: {severity: operational}", id_: str = "x") -> str:  # fmt: skip
    return f'- {{id: {id_}, with: {{m: meter-1}}, when: "{when}", {more}}}\n'


def profile(points: str) -> str:
    return (
        "profile: own\nschema: 1\nrevision: 1\nstatus: manual\nsources: [x]\nfacility: utilities\ntype: meter\nprotocol: modbus\n"
        f"points:\n{points}"
    )


def swap(old: str, new: str) -> bytes:
    assert old in TEXT
    return TEXT.replace(old, new, 1).encode()


def add(text: str, front: str = "") -> bytes:
    return (TEXT.replace("devices:", front + "devices:", 1) + text).encode()


OWN = swap("eastron-sdm120", "own") + b"profiles: [p]\n"
LAMP = add(RULES, MQTT).replace(
    b"unit: 1}\n", b"unit: 1}\n  lamp: {profile: streetlight-native, link: field, topic_id: a}\n"
)
DEEP = "extra: " + "[" * 25 + "]" * 25 + "\n"
Case = tuple[bytes, dict[str, str], str, int, str, str]

# class: (main file, other files, file, line, part of what is wrong, part of the fix)
CLASSES: dict[str, Case] = {
    "1 not UTF-8": (TEXT.encode() + "# 三".encode("gbk"), {}, "gateway.yaml", 7, "not UTF-8", "save the file as UTF-8"),
    "1 byte order mark": (b"\xef\xbb\xbf" + TEXT.encode(), {}, "gateway.yaml", 1, "byte order mark", "without BOM"),
    "2 tab": (swap("  meter-1", "\tmeter-1"), {}, "gateway.yaml", 6, "not YAML", "spaces, not tabs"),
    "3 open quote": (swap("gw-demo-01", '"gw-demo-01'), {}, "gateway.yaml", 2, "not YAML", "quotes"),
    "3 open bracket": (add("rules: [a\n"), {}, "gateway.yaml", 7, "not YAML", "brackets"),
    "4 duplicate key": (add("version: 1\n"), {}, "gateway.yaml", 7, "duplicate key", "line 1"),
    "5 anchor": (swap("eastron-sdm120", "&a eastron-sdm120"), {}, "gateway.yaml", 6, "anchor &a", "write the value out"),
    "5 merge key": (add("log: {<<: {level: debug}}\n"), {}, "gateway.yaml", 7, "merge key <<", "write the keys out"),
    "6 tag": (swap("eastron-sdm120", "!!str eastron-sdm120"), {}, "gateway.yaml", 6, "tag", "remove the tag"),
    "7 too large": (TEXT.encode() + b"#" * (1 << 20), {}, "gateway.yaml", 0, "larger than 1048576 bytes", "shorter"),
    "8 too deep": (add(DEEP), {}, "gateway.yaml", 7, "deeper than 20", "flatten"),
    "9 two documents": (add("---\nversion: 1\n"), {}, "gateway.yaml", 7, "a second document", "one document"),
    "10 unknown key": (add("sotre: {}\n"), {}, "gateway.yaml", 7, "unknown key 'sotre'", "did you mean 'store'?"),
    "11 missing key": (swap("id: gw-demo-01, ", ""), {}, "gateway.yaml", 2, "missing", "add this key"),
    "12 no is a text": (swap("unit: 1", "unit: 1, enabled: no"), {}, "gateway.yaml", 6, "'no' is not true or false", "write false"),
    "12 on is a text": (swap("unit: 1", "unit: 1, enabled: on"), {}, "gateway.yaml", 6, "'on' is not true or false", "write true"),
    "12 no octal number": (swap("unit: 1", "unit: 010"), {}, "gateway.yaml", 6, "'010' is not a whole number", "digits"),
    "12 no base sixty": (swap("unit: 1", "unit: 1:30"), {}, "gateway.yaml", 6, "'1:30' is not a whole number", "digits"),
    "13 out of range": (swap("unit: 1", "unit: 300"), {}, "gateway.yaml", 6, "300", "0 to 247"),
    "14 not a number": (add("gateway: {location: {lat: .nan, lon: 1}}\n"), {}, "gateway.yaml", 7, "duplicate key", "line 2"),
    "14 no NaN": (swap("timezone", "location: {lat: .nan, lon: 1}, timezone"), {}, "gateway.yaml", 2, "'.nan' is not a number", "write a number"),
    "15 no unit": (swap("unit: 1", "unit: 1, poll: 10"), {}, "gateway.yaml", 6, "10 has no unit", "10s"),
    "15 unknown unit": (swap("unit: 1", "unit: 1, poll: 10 weeks"), {}, "gateway.yaml", 6, "'10 weeks'", "e.g. 10s"),
    "16 not one of": (swap("transport: tcp", "transport: ascii"), {}, "gateway.yaml", 4, "'ascii' is not allowed", "rtu_over_tcp"),
    "17 same device": (add(f"  {DEVICE}\n"), {}, "gateway.yaml", 7, "duplicate key", "line 6"),
    "18 no such link": (swap("link: meters", "link: metres"), {}, "gateway.yaml", 6, "unknown link 'metres'", "did you mean 'meters'?"),
    "18 no such device": (add(RULES), {"r.yaml": "rules:\n" + rule().replace("m: meter-1", "m: metre-1")}, "r.yaml", 2, "metre-1", "meter-1"),
    "19 rules in a circle": (add(RULES), {"r.yaml": "rules:\n" + rule("active('b')", id_="a") + rule("active('a')", id_="b")}, "r.yaml", 2, "", ""),
    "20 register that cannot be": (OWN, {"p/own.yaml": profile("- {id: elec.voltage.a, at: {table: input, addr: 70000, type: u16}, unit: V}\n")}, "own.yaml", 10, "70000", "0xffff"),
    "20 registers that overlap the end": (OWN, {"p/own.yaml": profile("- {id: elec.voltage.a, at: {table: input, addr: 65535, type: f32}, unit: V}\n")}, "own.yaml", 10, "65535", ""),
    "21 same unit": (add("  meter-2: {profile: eastron-sdm120, link: meters, unit: 1}\n"), {}, "gateway.yaml", 7, "unit 1", "own unit"),
    "22 no serial port": (swap("transport: tcp, host: 127.0.0.1, port: 5020", "transport: rtu"), {}, "gateway.yaml", 4, "without a port", "path"),
    "22 one port, two settings": (add("", "  a: {driver: modbus, transport: rtu, path: /dev/ttyA}\n  b: {driver: modbus, transport: rtu, path: /dev/ttyA, baud: 1200}\n"), {}, "gateway.yaml", 6, "/dev/ttyA belongs to link a", "move its devices to a"),
    "23 no port": (swap("port: 5020", "port: 0"), {}, "gateway.yaml", 4, "0 is no port", "1 to 65535"),
    "23 no host": (swap("host: 127.0.0.1", 'host: "ein haus"'), {}, "gateway.yaml", 4, "ein haus", ""),
    "23 no URL": (add("", '  f: {driver: mqtt, url: "http://127.0.0.1"}\n'), {}, "gateway.yaml", 5, "no MQTT URL", "mqtts://"),
    "24 wildcard in a topic": (add("recipients: {guard: {via: mqtt, link: field, topic: site/+}}\n", MQTT), {}, "gateway.yaml", 8, "site/+", ""),
    "25 no secret file": (add("", MQTT.replace("}", ', username: u, password: "${file:none}"}')), {}, "gateway.yaml", 5, "No such file", "create it"),
    "25 open secret": (add("", MQTT.replace("}", ', username: u, password: "${file:open}"}')), {"open": "x"}, "gateway.yaml", 5, "open to every user", "chmod o="),
    "26 secret in the file": (add("", MQTT.replace("}", ", username: u, password: geheim}")), {}, "gateway.yaml", 5, "a secret in plain text", "${file:"),
    "27 not encrypted": (add("", MQTT.replace("127.0.0.1", "192.0.2.1")), {}, "gateway.yaml", 5, "not encrypted", "mqtts://192.0.2.1:8883"),
    "28 not allowed": (LAMP, {"r.yaml": "rules:\n" + rule(more="do: [{set: {device: lamp, point: light.level, value: 60 %}}]").replace("{m: meter-1}", "{m: meter-1, lamp: lamp}")}, "gateway.yaml", 1, "does not allow", "add {origin: rules"),
    "28 not in bounds": (LAMP, {"r.yaml": "rules:\n" + rule(more="do: [{set: {device: lamp, point: light.level, value: 160 %}}]").replace("{m: meter-1}", "{m: meter-1, lamp: lamp}")}, "r.yaml", 2, "160", "100"),
    "29 nothing left for samples": (add("store: {telemetry_quota: 1kB}\n"), {}, "gateway.yaml", 7, "1000 bytes are too few", "1MB"),
    "29 alarms beyond the database": (add("store: {alarm_quota: 1GB}\n"), {}, "gateway.yaml", 7, "too many", "100MB"),
    "30 syntax": (add(RULES), {"r.yaml": "rules:\n" + rule("m.elec.voltage.a >")}, "r.yaml", 2, "", ""),
    "30 unknown function": (add(RULES), {"r.yaml": "rules:\n" + rule("avgg(m.elec.voltage.a, 1m) > 250 V")}, "r.yaml", 2, "avgg", "avg"),
    "30 types": (add(RULES), {"r.yaml": "rules:\n" + rule("m.elec.voltage.a > true")}, "r.yaml", 2, "", ""),
    "30 units": (add(RULES), {"r.yaml": "rules:\n" + rule("m.elec.voltage.a > 3 bar")}, "r.yaml", 2, "", ""),
}  # fmt: skip


def site(folder: Path, text: bytes, files: dict[str, str]) -> Path:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")
        path.chmod(0o644)
    path = folder / "gateway.yaml"
    path.write_bytes(text)
    return path


@pytest.mark.parametrize("kind", CLASSES)
def test_a_wrong_configuration_is_refused(
    tmp_path: Path, kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    text, files, file, line, what, fix = CLASSES[kind]
    path = site(tmp_path, text, files)
    with pytest.raises(ConfigError) as caught:
        load_config(path)
    found = caught.value.problems
    here = [p for p in found if Path(p.file).name == file and p.line == line]
    assert any(what in p.what and fix in p.fix for p in here), "\n".join(map(str, found))
    assert main(["check", str(path)]) == 78
    assert str(here[0]) in capsys.readouterr().out


# class: (script that makes the files, part of what is wrong, path)
CERTIFICATES = {
    "27 key of another": ("ca own; pair good own; pair gw own; cp good.key gw.key", "does not belong to client_key", "client_cert"),
    "27 expired": ("ca own; DAYS=-1 pair gw own", "has expired", "client_cert"),
    "27 no certificate": ("ca own; pair gw own; echo x > gw.crt", "cannot be used", "client_cert"),
    "27 no file": ("ca own; pair gw own; rm gw.key", "does not exist", "client_key"),
    "27 no authority": ("ca own; pair gw own; echo x > own.crt", "cannot be used", "ca"),
}  # fmt: skip
UP = 'upstream: {p: {url: "mqtts://a.example.com", ca: own.crt, client_cert: gw.crt, client_key: gw.key}}\n'


@pytest.mark.parametrize("kind", CERTIFICATES)
async def test_certificates_that_cannot_be_used_refuse_a_change_but_no_start(
    tmp_path: Path, kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    script, what, key = CERTIFICATES[kind]
    await make(tmp_path, script)
    path = site(tmp_path, add(UP), {})
    assert await asyncio.to_thread(main, ["check", str(path)]) == 78
    said = capsys.readouterr().out
    assert "gateway.yaml:7:" in said
    assert f"upstream.p.{key}: " in said
    assert what in said
    (doubt,) = (await asyncio.to_thread(load_config, path)).doubts
    assert what in doubt.what


async def test_good_certificates_raise_no_doubt(tmp_path: Path) -> None:
    await make(tmp_path, "ca own; pair gw own")
    path = site(tmp_path, add(UP), {})
    assert (await asyncio.to_thread(load_new_config, path)).doubts == ()

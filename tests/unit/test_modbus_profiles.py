"""Addresses, vectors and everything else that `gateway check` asks of a Modbus profile."""

from pathlib import Path
from typing import Any

import pytest

from drivers.modbus.address import Address, AddressError, Order, Table, Type, parse
from drivers.modbus.plan import plan, targets
from drivers.modbus.settings import ModbusDevice, ModbusLink
from drivers.modbus.spec import SPEC
from gateway.document import parse as parse_yaml
from gateway.driver import Device
from gateway.errors import Problem
from gateway.profile import Profile, load_profile, shipped_folder
from gateway.validate import validate

SHIPPED = sorted(shipped_folder().glob("*.yaml"))
DEFAULTS = {"table": "input", "type": "f32"}


def profile(**changes: Any) -> Profile:
    base: dict[str, Any] = {
        "profile": "p", "type": "meter", "facility": "utilities", "protocol": "modbus",
        "sources": ["this test"], "status": "code",
        "defaults": {"at": {"table": "holding", "type": "u16"}},
        "points": [{"id": "elec.voltage.a", "at": 0x100, "scale": "0.1", "unit": "V"}],
        "vectors": [{"name": "v", "request": "01 03 01 00 00 06 C4 34",
                     "response": "01 03 0C 08 FD 08 FA 09 01 00 9A 00 00 02 0E B9 5C",
                     "values": {"elec.voltage.a": 230.1}}],
    }  # fmt: skip
    return Profile.model_validate({**base, **changes})


def faults(found: Profile) -> list[str]:
    return [f"{'.'.join(map(str, path))}: {what}: {fix}" for path, what, fix in SPEC.check_profile(found)]  # fmt: skip


def vector(request: str, response: str, **values: Any) -> dict[str, Any]:
    return {"name": "v", "request": request, "response": response, "values": values}


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_every_shipped_modbus_profile_holds_its_vectors(path: Path) -> None:
    found, _ = load_profile(path)
    if found.protocol == "modbus":
        assert faults(found) == []
        assert found.vectors


def test_the_meters_are_read_with_few_requests() -> None:
    sdm120, _ = load_profile(shipped_folder() / "eastron-sdm120.yaml")
    sdm630, _ = load_profile(shipped_folder() / "eastron-sdm630.yaml")

    def requests(found: Profile, *classes: str) -> list[tuple[int, int]]:
        wanted = (t for t in targets(found).values() if t.point.poll in classes)
        return [(block.addr, block.size) for block in plan(wanted, found.limits)]

    assert requests(sdm120, "fast") == [(0x00, 14)]
    assert requests(sdm120, "fast", "slow") == [(0x00, 32), (0x46, 10), (0x156, 2)]
    assert requests(sdm630, "fast") == [(0x00, 18), (0x34, 2)]
    assert requests(sdm630, "fast", "slow") == [(0x00, 58), (0x3C, 16), (0x156, 10)]


def test_an_address_is_a_number_or_a_mapping_over_the_defaults() -> None:
    assert parse(70, DEFAULTS) == Address(Table.INPUT, 70, Type.F32, Order.ABCD)
    whole = {"table": "coil", "addr": 7, "type": "bool"}
    assert parse(whole, DEFAULTS) == Address(Table.COIL, 7, Type.BOOL)
    assert parse({"addr": 2, "order": "CDAB"}, DEFAULTS).order is Order.CDAB


@pytest.mark.parametrize(
    ("at", "defaults", "said"),
    [
        (None, DEFAULTS, "no address: add `at:` with the register address"),
        ({"addr": 1, "adr": 2}, DEFAULTS, "unknown key 'adr': did you mean 'addr'?"),
        ({"addr": 1, "bit": 2}, DEFAULTS, "a bit of a f32: write type: u16"),
        ({"addr": 1, "bit": 16, "type": "u16"}, DEFAULTS, "bit 16 of a u16: write 0 to 15"),
        ({"addr": 1, "bit": True, "type": "u16"}, DEFAULTS, "bit True of a u16: write 0 to 15"),
        ({"addr": 1, "type": "bcd"}, DEFAULTS, "a bcd of unknown registers: write words: 1 to 4"),
        ({"addr": 1, "type": "bcd", "words": 5}, DEFAULTS, "a bcd of 5 registers: write words: 1 to 4"),
        ({"addr": 1, "type": "string", "words": 33}, DEFAULTS, "a string of 33 registers: write words: 1 to 32"),
        ({"addr": 1, "type": "string", "words": 2, "order": "CDAB"}, DEFAULTS, "a string in order CDAB: write ABCD or BADC"),
        ({"addr": 1, "words": 2}, DEFAULTS, "words of a f32: remove it: the type says how many"),
        ({"addr": 0xFFFE, "type": "bcd", "words": 4}, DEFAULTS, "address 65534 of a bcd: write 0 to 0xfffc"),
        ({"addr": 1, "order": "GHEFCDAB"}, DEFAULTS, "unknown order 'GHEFCDAB': write one of ABCD, CDAB, BADC, DCBA"),
        ({"addr": 1, "type": "u64", "order": "CDABGHEF"}, DEFAULTS, "unknown order 'CDABGHEF': write one of ABCD, CDAB, BADC, DCBA, ABCDEFGH, GHEFCDAB, BADCFEHG, HGFEDCBA"),
        ({"addr": 1, "type": "f23"}, DEFAULTS, "unknown type 'f23': did you mean 'f32'?"),
        ({"addr": 1, "table": "inputs"}, DEFAULTS, "unknown table 'inputs': did you mean 'input'?"),
        ({"addr": 1, "order": "DCAB"}, DEFAULTS, "unknown order 'DCAB': write one of ABCD, CDAB, BADC, DCBA"),
        ({"addr": 1, "table": "coil"}, DEFAULTS, "type f32 in table coil: coil holds bits: write type: bool"),
        ({"addr": 1, "type": "bool"}, DEFAULTS, "type bool in table input: input holds registers: write e.g. type: u16"),
        (0xFFFF, DEFAULTS, "address 65535 of a f32: write 0 to 0xfffe"),
        (-1, DEFAULTS, "address -1 of a f32: write 0 to 0xfffe"),
        ("40001", DEFAULTS, "'40001' is no address: write a whole number, e.g. 0x0000"),
        ({"table": "input"}, DEFAULTS, "no address: write the register address, e.g. 0x0000"),
        (1, {}, "no type: write one of bool, u16, i16, u32, i32, u64, f32, f64, bcd, string"),
        (1, {"type": "u16"}, "no table: write one of coil, discrete, holding, input"),
    ],
)  # fmt: skip
def test_a_wrong_address_is_explained(at: Any, defaults: dict[str, Any], said: str) -> None:
    with pytest.raises(AddressError) as error:
        parse(at, defaults)
    assert str(error.value) == said


def test_a_right_profile_has_no_faults() -> None:
    assert faults(profile()) == []


U32 = {"addr": 0x100, "type": "u32"}
COIL = {"table": "coil", "addr": 1, "type": "bool"}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"vectors": []}, ": no vectors: add `vectors:` with a request, its response and the values"),
        ({"dialect": "x"}, "dialect: Modbus has no dialects: remove it"),
        ({"link": {"bauds": 1}}, "link.bauds: unknown key 'bauds': did you mean 'baud'?"),
        ({"defaults": {"at": 3}}, "defaults.at: not a mapping: write e.g. {table: input, type: f32}"),
        ({"points": [{"id": "a.b", "at": {"addr": "x"}}]}, "points.0.at.addr: 'x' is no address: write a whole number, e.g. 0x0000"),
        ({"points": [{"id": "a.b", "at": U32}, {"id": "a.c", "at": 0x101}]}, "points.1.at: its registers overlap those of 'a.b': check the addresses and types of both"),
        ({"points": [{"id": "a.b", "at": U32}], "limits": {"max_regs": 1}}, "points.0.at: 2 registers, but max_regs is 1: raise limits.max_regs or choose another register"),
        ({"points": [{"id": "a.b", "at": 0, "poll": "50ms"}]}, "points.0.poll: a poll every 50 ms: write 100ms or more"),
        ({"points": [{"id": "a.b", "at": 0, "scale": "0"}]}, "points.0.scale: scale 0: write the factor that makes the value from the raw number"),
        ({"points": [{"id": "a.b", "at": 0, "enum": {"on": "x"}}]}, "points.0.enum.on: 'on' is no raw number: write it in decimal digits"),
        ({"points": [{"id": "a.b", "at": 0, "enum": {"70000": "x"}}]}, "points.0.enum.70000: 70000 does not fit a u16: write 0 to 65535"),
        ({"points": [{"id": "a.b", "at": {"addr": 0, "type": "f32"}, "enum": {"1": "x"}}]}, "points.0.enum: an enum of a f32: an enum needs a whole number or a bit"),
        ({"identity": [{"at": 0}]}, "identity.0: nothing to compare with: add `equals: [...]` or `in: [...]`"),
        ({"identity": [{"at": {"addr": 0, "type": "f32"}, "equals": [1]}]}, "identity.0.at: a probe of a f32: probe a whole number or a text"),
        ({"commands": [{"id": "c.a", "point": "elec.voltage.a", "at": {"table": "input", "addr": 1}}]}, "commands.0.at: table input cannot be written: write coil or holding"),
        ({"commands": [{"id": "c.a", "point": "elec.voltage.a", "at": 1, "range": [0, 7000]}]}, "commands.0.range: 70000 does not fit a u16: write limits that the register can hold"),
        ({"commands": [{"id": "c.a", "point": "elec.voltage.a", "at": COIL, "enum": {"2": "on"}}]}, "commands.0.enum.2: 2 does not fit a bool: write 0 to 1"),
    ],
)  # fmt: skip
def test_a_fault_in_a_profile_is_found_and_explained(changes: dict[str, Any], said: str) -> None:
    assert said in faults(profile(**changes))


GOOD = "01 03 01 00 00 06 C4 34"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"name": "v", "response": "00", "values": {}}, "no request"),
        (vector("01 03 01 00 00 06 C4 35", "00"), "CRC C4 35 should be C4 34"),
        (vector("xyz", "00"), "not hex bytes"),
        (vector("01 03", "00"), "shorter than unit, function and CRC"),
        (vector("01 07 41 E2", "00"), "not a request of function 1 to 4"),
        (vector(GOOD, "02 83 02 30 F1"), "unit 2 answers a request to unit 1"),
        (vector(GOOD, "01 04 04 43 66 33 34 1B 38"), "function 4 answers function 3"),
        (vector(GOOD, "01 03 02 00 56 38 7A"), "2 data bytes where the request needs 12"),
        (vector(GOOD, "01 83 02 C0 F1", **{"elec.voltage.a": 1}), "an exception has no values"),
        (vector("01 03 00 00 00 01 84 0A", "01 03 02 00 56 38 7A"), "the request reads no value that the profile knows"),
        (vector("01 05 00 00 00 00 CD CA", "01 05 00 00 00 00 CD CA", x=1), "a write reads nothing: leave values empty"),
        (vector("01 05 00 00 00 00 CD CA", "01 83 02 C0 F1"), "the response does not echo the request"),
    ],
)  # fmt: skip
def test_a_vector_that_does_not_hold_is_explained(given: dict[str, Any], said: str) -> None:
    assert any(said in line for line in faults(profile(vectors=[given])))


def test_a_vector_with_another_value_says_what_was_decoded() -> None:
    given = profile().vectors[0].model_copy(update={"values": {"elec.voltage.a": 230.2}})
    assert "'v': elec.voltage.a is 230.1, not 230.2" in faults(profile(vectors=[given]))[0]
    given = given.model_copy(update={"values": {"elec.power.total": 1}})
    assert "elec.power.total is None, not 1" in faults(profile(vectors=[given]))[0]


def test_an_exception_and_an_echoed_write_are_vectors_too() -> None:
    vectors = [
        vector(GOOD, "01 83 02 C0 F1"),
        vector("01 05 00 00 00 00 CD CA", "01 05 00 00 00 00 CD CA"),
    ]
    assert faults(profile(vectors=vectors)) == []


def test_bits_are_decoded_from_the_low_end_of_each_byte() -> None:
    points = [
        {"id": "door.state", "at": {"addr": 0}, "enum": {"0": "closed", "1": "open"}},
        {"id": "door.button", "at": {"addr": 1}},
    ]
    read = vector("01 02 00 00 00 02 F9 CB", "01 02 01 01 60 48", **{"door.state": "open", "door.button": False})  # fmt: skip
    defaults = {"at": {"table": "discrete", "type": "bool"}}
    assert faults(profile(defaults=defaults, points=points, vectors=[read])) == []


def test_an_identity_vector_must_show_the_identity() -> None:
    identity = [{"at": {"addr": 0xFC02}, "equals": [0x21]}]
    read = vector("01 03 FC 02 00 01 15 9A", "01 03 02 00 20 B9 9C")
    assert "identity register 0xfc02 is 32" in faults(profile(identity=identity, vectors=[read]))[0]


def test_a_unit_used_twice_and_a_poll_without_pause_are_found() -> None:
    def device(name: str, **keys: Any) -> Device:
        section = {"profile": "p", "link": "l", **keys}
        return Device(name, profile(), ModbusDevice.model_validate(section))

    link = ModbusLink(driver="modbus", host="192.0.2.1")
    devices = [device("m1", unit=3), device("m2", unit=3), device("m3", poll="50ms")]
    found = [(f.name, f.path, f.what) for f in SPEC.check("l", link, devices)]
    assert found == [
        ("m2", ("unit",), "unit 3 is m1 already"),
        ("m3", ("poll", "fast"), "a poll every 50 ms"),
        ("m3", ("poll", "slow"), "a poll every 50 ms"),
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{driver: modbus, host: a, transport: rtu}", "host: host means nothing to transport rtu: remove it, or write transport: tcp"),
        ("{driver: modbus, host: a, baud: 9600}", "baud: baud means nothing to transport tcp: remove it, or write transport: rtu"),
        ("{driver: modbus, host: 'mqtt://a'}", "host: 'mqtt://a' is no host: write a host name or an IP address"),
        ("{driver: modbus, host: a, prot: 1}", "prot: unknown key 'prot': did you mean 'port'?"),
    ],
)  # fmt: skip
def test_wrong_link_keys_are_explained(text: str, said: str) -> None:
    document = parse_yaml(text.encode(), "f")
    problems: list[Problem] = []
    validate(ModbusLink, document, (), document.value, problems, not_yet=SPEC.not_yet)
    assert [str(p).split(": ", 1)[1] for p in problems] == [said] or said in str(problems[0])


def test_a_unit_above_247_is_refused() -> None:
    document = parse_yaml(b"{profile: p, link: l, unit: 300}", "f")
    problems: list[Problem] = []
    validate(ModbusDevice, document, (), document.value, problems)
    assert "unit: 300 is no Modbus unit: write 0 to 247" in str(problems[0])


def test_the_entry_point_does_not_import_pymodbus() -> None:
    import subprocess
    import sys

    code = "import drivers.modbus.spec, sys; sys.exit('pymodbus' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

"""What `gateway check` finds in arrays, bits, variants, variables and vectors of a Modbus profile."""

from typing import Any

import pytest

from drivers.modbus import decode, frame
from drivers.modbus.address import Address, Order, Table, Type
from drivers.modbus.plan import Target, targets
from drivers.modbus.settings import ModbusDevice, ModbusLink
from drivers.modbus.spec import SPEC
from gateway.driver import Device
from gateway.model import Level, Quality
from gateway.profile import Plausible, Point, Profile
from tests.harness.modbus import shipped

U16 = {"table": "holding", "type": "u16"}
VOLTS = {"id": "elec.voltage.a", "at": 0x100, "scale": "0.1", "unit": "V"}
BLOCK = "01 03 01 00 00 06 C4 34"
SIX = "01 03 0C 08 FD 08 FA 09 01 00 9A 00 00 02 0E B9 5C"
GOLDEN = {"name": "v", "request": BLOCK, "response": SIX, "values": {"elec.voltage.a": 230.1}}


def profile(**changes: Any) -> Profile:
    return Profile.model_validate({
        "profile": "p", "type": "meter", "facility": "utilities", "protocol": "modbus",
        "sources": ["this test"], "status": "code", "defaults": {"at": U16},
        "points": [VOLTS], "vectors": [GOLDEN], **changes,
    })  # fmt: skip


def faults(found: Profile) -> list[str]:
    return [f"{'.'.join(map(str, path))}: {what}" for path, what, _ in SPEC.check_profile(found)]


def points(*more: dict[str, Any]) -> dict[str, Any]:
    return {"points": [VOLTS, *more]}


def vector(**changes: Any) -> dict[str, Any]:
    return {"vectors": [{**GOLDEN, **changes}]}


STATUS = {"id": "pump", "at": 0x110, "bits": {"0": "dry", "3": "hot"}}
TEXT = {"addr": 0x120, "type": "string", "words": 4}
TWO = [
    {"name": "one", "plausible": [{"point": "a.b", "min": 0, "max": 9}], "points": [{"id": "a.b", "at": 9, "unit": "V"}]},
    {"name": "two", "plausible": [{"point": "a.b", "min": 10, "max": 99}], "points": [{"id": "a.b", "at": 9, "unit": "V"}]},
]  # fmt: skip


@pytest.mark.parametrize(
    "changes",
    [
        {},
        points(STATUS),
        points(STATUS, {"id": "pump.word", "at": 0x110, "kind": "state", "shared": True}),
        points({"id": "meter.serial", "at": TEXT, "kind": "state"}),
        points({"id": "meter.count", "at": {"addr": 0x120, "type": "bcd", "words": 2}, "kind": "counter"}),
        points({"id": "pump.on", "at": {"addr": 0x110, "bit": 15}}),
        {"arrays": [{"id": "a.b[{n}]", "count": 3, "at": 0x110, "unit": "V"}]},
        {"arrays": [{"id": "a.b[{n}]", "count": 3, "at": {"addr": 0x110, "type": "f32"}, "step": 2, "unit": "V"}]},
        {"identity": [{"at": TEXT, "equals": ["M1"]}]},
    ],
)  # fmt: skip
def test_a_right_map_has_no_faults(changes: dict[str, Any]) -> None:
    assert faults(profile(**changes)) == []


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (points({"id": "a.b", "at": 9}), "points.1: a number of what? 'a.b' has neither unit nor kind"),
        (points(STATUS, {"id": "pump.word", "at": 0x110, "kind": "state"}), "points.2.at: its registers overlap those of 'pump.dry'"),
        (points(STATUS, {"id": "pump.x", "at": {"addr": 0x110, "bit": 3}}), "points.2.at: its registers overlap those of 'pump.hot'"),
        (points({**STATUS, "at": {"addr": 9, "type": "f32"}}), "points.1.at.bit: a bit of a f32"),
        (points({**STATUS, "bits": {"16": "dry"}}), "points.1.at.bit: bit 16 of a u16"),
        (points({"id": "a.b", "at": {"addr": 9, "bit": 1}, "unit": "V"}), "points.1.unit: 'unit' of a state"),
        (points({"id": "a.b", "at": 9, "enum": {"0": "x"}, "scale": "0.1"}), "points.1.scale: 'scale' of a state"),
        (points({"id": "a.b", "at": TEXT, "unit": "V"}), "points.1.unit: 'unit' of a text"),
        (points({"id": "a.b", "at": TEXT, "enum": {"0": "x"}}), "points.1.enum: 'enum' of a text"),
        (points({"id": "a.b", "at": TEXT, "sentinels": [1]}), "points.1.sentinels: 'sentinels' of a text"),
        (points({"id": "a.b", "at": 9, "unit": "V", "contested": {"x": {"at": -1}, "y": {}}}), "points.1.contested.x.at: address -1 of a u16"),
        (points({"id": "a.b", "at": 9, "unit": "V", "contested": {"x": {"scale": "0"}, "y": {}}}), "points.1.contested.x.scale: scale 0"),
        ({"limits": {"even": True}, **points({"id": "a.b", "at": {"addr": 9, "type": "f32"}, "unit": "V"})}, "points.1.at: 2 registers at the odd address 0x0009"),
        ({"limits": {"even": True}}, "points.0.at: 1 registers at the even address 0x0100"),
        ({"arrays": [{"id": "a.b[{n}]", "count": 3, "at": {"addr": 9, "type": "f32"}, "unit": "V"}]}, "arrays.0.at: its registers overlap those of 'a.b[1]'"),
        ({"arrays": [{"id": "a.b[{n}]", "count": 3, "at": 0xFFFE, "unit": "V"}]}, "arrays.0.at.addr: address 65536 of a u16"),
        ({"arrays": [{"id": "a.b[{n}]", "count": 3, "at": 0x0FF, "unit": "V"}]}, "arrays.0.at: its registers overlap those of 'elec.voltage.a'"),
        ({"identity": [{"at": 9, "equals": ["M1"]}]}, "identity.0.equals: the probe reads a u16"),
        ({"identity": [{"at": TEXT, "in": [1]}]}, "identity.0.in: the probe reads a string"),
        ({"vars": {"ct": {"at": TEXT}}, **points({"id": "a.b", "at": 9, "unit": "V", "scale": "ct"})}, "vars.ct.at: a variable is a number"),
        ({"vars": {"ct": {"at": -1}}}, "vars.ct.at: address -1 of a u16"),
        ({"vars": {"ct": {"at": 1, "scale": "0"}}}, "vars.ct.scale: scale 0"),
        ({"commands": [{"id": "c", "point": "elec.voltage.a", "at": {"addr": 9, "bit": 1}}]}, "commands.0.at: one bit of a register cannot be written alone"),
        ({"commands": [{"id": "c", "point": "elec.voltage.a", "at": TEXT}]}, "commands.0.at: texts cannot be written"),
        ({"variants": TWO}, "variants.0: no vector of variant 'one'"),
        ({"variants": [TWO[0], {**TWO[1], "points": [{"id": "a.b", "at": 0x100, "unit": "V"}]}]}, "variants.1.points.0.at: its registers overlap those of 'elec.voltage.a'"),
        ({"variants": [TWO[0], {**TWO[1], "identity": [{"at": 9}]}]}, "variants.1.identity.0: nothing to compare with"),
    ],
)  # fmt: skip
def test_a_fault_of_a_map_is_found_at_its_place(changes: dict[str, Any], said: str) -> None:
    assert any(line.startswith(said) for line in faults(profile(**changes))), faults(profile(**changes))  # fmt: skip


OTHER_CRC, OTHER_UNIT = SIX[:-2] + "5D", "02 83 02 30 F1"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (vector(response=OTHER_CRC, values={}, refused=True), None),
        (vector(response=OTHER_UNIT, values={}, refused=True), None),
        (vector(response="01 03 02 00 56 38 7A", values={}, refused=True), None),
        (vector(response="01 83 06 C1 32", values={}, exception=6), None),
        (vector(response="01 83 06 C1 32", values={}), None),
        (vector(values={}, refused=True), "it is accepted as an answer"),
        (vector(refused=True), "a refused response has no values"),
        (vector(response="01 83 02 C0 F1", values={}, exception=6), "exception 2, not 6"),
        (vector(exception=6), "no exception 6, but data"),
        (vector(request="01 05 00 00 00 00 CD CA", response="01 85 02 C3 51", values={}, exception=2), None),
        (vector(request="01 05 00 00 00 00 CD CA", response="01 83 02 C0 F1", values={}, refused=True), None),
    ],
)  # fmt: skip
def test_exceptions_and_frames_that_must_be_refused_are_vectors(
    changes: dict[str, Any], said: str | None
) -> None:
    found = faults(profile(**changes))
    assert found == [] if said is None else said in found[0]


def test_a_vector_of_a_scale_with_variables_needs_them() -> None:
    changes = points({"id": "a.b", "at": 0x101, "unit": "V", "scale": "0.1 * ct"})
    values = {"elec.voltage.a": 230.1, "a.b": 9192.0}
    variables = {"ct": {"at": 6}}
    missing = profile(**changes, vars=variables, **vector(values=values))
    assert "a.b depends on variables: add `vars:` to the vector" in faults(missing)[0]
    assert (
        faults(profile(**changes, vars=variables, **vector(values=values, vars={"ct": 40}))) == []
    )
    held = {"ct": {"at": 0x103}}  # 154, in the response itself
    values["a.b"] = 35389.2
    assert faults(profile(**changes, vars=held, **vector(values=values))) == []


def test_what_a_device_says_of_variants_and_variables_must_exist() -> None:
    def found(**keys: Any) -> list[tuple[tuple[str | int, ...], str]]:
        section = {"profile": "chint-dtsu666", "link": "l", **keys}
        device = Device("m", shipped("chint-dtsu666"), ModbusDevice.model_validate(section))
        link = ModbusLink(driver="modbus", host="192.0.2.1")
        return [(f.path, f.what) for f in SPEC.check("l", link, [device]) if not f.note]

    assert found(variant=["gen2016", "energy-101e"], vars={"ct": 40, "pt": 1.5}) == []
    assert found(variant="gen2020") == [
        (("variant",), "profile 'chint-dtsu666' has no variant 'gen2020'")
    ]
    assert found(variant=["gen2016", "gen2019"]) == [
        (("variant",), "gen2019 and gen2016 exclude each other")
    ]
    assert found(vars={"cr": 40}) == [
        (("vars", "cr"), "profile 'chint-dtsu666' has no variable 'cr'")
    ]
    assert found(vars={"ct": 0}) == [(("vars", "ct"), "0 is outside 1 to 9999")]


def test_a_panel_is_read_in_three_requests_and_each_device_is_a_point() -> None:
    panel = shipped("gst-fire-panel")
    assert frame.request("01 03 00 00 00 32 C4 1F") == (1, 3, 0, 50)
    known = targets(panel)
    assert known["fire.device[1]"].address.addr == 0
    assert known["fire.device[242]"].address.addr == 241
    assert list(known)[:4] == ["fire.power.main", "fire.power.backup", "fire.bus", "fire.device[1]"]


@pytest.mark.parametrize(
    ("words", "reason"),
    [([0x6666, 0x4366], "word_order"), ([0, 0], "implausible"), ([0x4396, 0], "implausible")],
)
def test_a_voltage_in_another_byte_order_is_told_from_one_that_is_only_odd(
    words: list[int], reason: str
) -> None:
    point = Point.model_validate({"id": "elec.voltage.a", "unit": "V", "at": 0})
    limits = Plausible(point=point.id, min=160, max=280)
    target = Target(point, Address(Table.INPUT, 0, Type.F32, Order.ABCD), limits)
    value, quality = decode.point(target, words)
    assert quality == Quality(Level.UNCERTAIN, reason)
    assert value is not None


@pytest.mark.parametrize(
    ("at", "words", "found"),
    [
        ({"addr": 0, "type": "string", "words": 3}, [0x4D31, 0x2D32, 0], ("M1-2", None)),
        ({"addr": 0, "type": "string", "words": 2}, [0xFFFF, 0], (None, Quality(Level.BAD, "not_text"))),
        ({"addr": 0, "type": "bcd", "words": 2}, [0x1234, 0x5678], (12345678, None)),
        ({"addr": 0, "type": "bcd", "words": 1}, [0x12A4], (None, Quality(Level.BAD, "not_a_number"))),
        ({"addr": 0, "type": "u16", "bit": 15}, [0x8000], (True, None)),
        ({"addr": 0, "type": "u16", "bit": 0}, [0x8000], (False, None)),
        ({"addr": 0, "type": "u32", "bit": 31}, [0x8000, 0], (True, None)),
    ],
)  # fmt: skip
def test_texts_decimal_digits_and_single_bits_are_read(
    at: dict[str, Any], words: list[int], found: tuple[object, Quality | None]
) -> None:
    point = {"id": "a.b", "kind": "state", "at": {"table": "holding", **at}}
    target = targets(profile(points=[point]))["a.b"]
    assert decode.point(target, words) == found

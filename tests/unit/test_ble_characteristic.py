"""What the bytes of GATT characteristics mean, and which profiles of connected devices are refused."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.ble.characteristic import (
    Place,
    Type,
    check_profile,
    encode,
    on_connect,
    place_of,
    places,
    read,
    subscribed,
    uuid_of,
)
from drivers.ble.place import AtError
from gateway.document import load
from gateway.errors import BadData, Problem
from gateway.profile import Profile
from gateway.validate import validate

BATTERY = uuid_of("2a19")
UNREAD = uuid_of("2a45")

PROFILE = """
profile: pendant
type: alarm
facility: home
protocol: ble
dialect: gatt
sources: [computed]
status: bench
link:
  on_connect:
    - {service: "1811", characteristic: "2a44", value: "01ff"}
points:
  - id: alarm.sos
    kind: state
    severity: life
    at: {service: "1811", characteristic: "2a45", type: bool, byte: 1, match: "08"}
  - {id: battery.level, unit: "%", min: 0, max: 100, sentinels: [254], at: {service: "180f", characteristic: "2a19", type: u8}}
  - {id: env.temperature, unit: Cel, scale: "0.01", at: {service: "181a", characteristic: "2a6e", type: i16}}
  - {id: alert.level, kind: state, enum: {"0": none, "2": high}, at: {service: "1802", characteristic: "2a06", type: u8}}
  - {id: alert.text, kind: event, at: {service: "1811", characteristic: "2a46", type: text, byte: 2}}
  - {id: alarm.silent, kind: state, severity: safety}
commands:
  - {id: alert.level, point: alert.level, enum: {"0": none, "2": high}, at: {service: "1802", characteristic: "2a06", type: u8}}
vectors:
  - {name: at 87 % (computed), request: "2a19", response: "57", values: {battery.level: 87}}
"""


def profile(tmp_path: Path, old: str = "", new: str = "") -> Profile:
    assert old in PROFILE
    path = tmp_path / "pendant.yaml"
    path.write_text(PROFILE.replace(old, new) if old else PROFILE)
    document = load(path)
    problems: list[Problem] = []
    found = validate(Profile, document, (), document.value, problems)
    assert found is not None, problems
    return found


@pytest.mark.parametrize(
    ("characteristic", "value", "values"),
    [
        ("2a45", "0801", {"alarm.sos": True}),
        ("2a45", "0800", {"alarm.sos": False}),
        ("2a45", "0101", {}),
        ("2a19", "64", {"battery.level": 100}),
        ("2a6e", "18fc", {"env.temperature": -10}),
        ("2a6e", "d209", {"env.temperature": 25.14}),
        ("2a06", "02", {"alert.level": "high"}),
        ("2a46", "0801534f53", {"alert.text": "SOS"}),
        ("2a00", "00", {}),
    ],
)
def test_a_value_means_what_its_points_say(
    tmp_path: Path, characteristic: str, value: str, values: dict[str, object]
) -> None:
    model = profile(tmp_path)

    found = read(model, places(model), uuid_of(characteristic), bytes.fromhex(value))

    assert found == (values, {})


@pytest.mark.parametrize(
    ("characteristic", "value", "reason"),
    [
        ("2a19", "65", "out_of_range"),
        ("2a19", "fe", "no_reading"),
        ("2a19", "", "too_short"),
        ("2a45", "08", "too_short"),
        ("2a06", "09", "unknown_text"),
    ],
)
def test_what_cannot_be_is_bad_with_its_reason(
    tmp_path: Path, characteristic: str, value: str, reason: str
) -> None:
    model = profile(tmp_path)

    values, quality = read(model, places(model), uuid_of(characteristic), bytes.fromhex(value))

    assert values == {}
    assert [q.reason for q in quality.values()] == [reason]


@given(
    value=st.binary(max_size=600), where=st.sampled_from(["2a45", "2a19", "2a6e", "2a06", "2a46"])
)
def test_no_value_of_a_device_raises(
    value: bytes, where: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    model = profile(tmp_path_factory.getbasetemp())

    read(model, places(model), uuid_of(where), value)


def test_each_characteristic_is_subscribed_once(tmp_path: Path) -> None:
    wanted = subscribed(places(profile(tmp_path)))

    assert len(wanted) == len(set(wanted)) == 5


def test_the_writes_at_connect_are_read_from_the_profile(tmp_path: Path) -> None:
    [write] = on_connect(profile(tmp_path))

    assert write.characteristic == uuid_of("2a44")
    assert write.value == b"\x01\xff"


def test_a_command_becomes_the_bytes_of_its_type() -> None:
    place = Place(uuid_of("1802"), uuid_of("2a06"), Type.I16)

    assert encode(place, -2) == b"\xfe\xff"
    with pytest.raises(BadData, match="40000 is no i16"):
        encode(place, 40_000)
    with pytest.raises(BadData):
        encode(place, "high")


@pytest.mark.parametrize(
    ("at", "what"),
    [
        (7, "7 is no place of a connected device"),
        ({"service": 1811, "characteristic": "2a45", "type": "u8"}, "1811 is no UUID"),
        ({"service": "1811", "characteristic": "2a4", "type": "u8"}, "'2a4' is no UUID"),
        ({"service": "1811", "characteristic": "2a45", "type": "u64"}, "'u64' is no type"),
        ({"service": "1811", "characteristic": "2a45", "type": "u8", "byte": -1}, "-1 is no place"),
        (
            {"service": "1811", "characteristic": "2a45", "type": "u8", "match": "8"},
            "'8' is not hex",
        ),
        ({"service": "1811", "uuid": "2a45"}, "'uuid' is no key"),
    ],
)
def test_a_wrong_place_is_refused_with_its_value(at: object, what: str) -> None:
    with pytest.raises(AtError) as refused:
        place_of(at)

    assert what in refused.value.what
    assert refused.value.fix


def test_a_right_profile_has_no_faults(tmp_path: Path) -> None:
    assert list(check_profile(profile(tmp_path))) == []


@pytest.mark.parametrize(
    ("old", "new", "path"),
    [
        ("  - {id: alarm.silent, kind: state, severity: safety}\n", "", ("points",)),
        ('value: "01ff"', 'value: "01f"', ("link", "on_connect")),
        ('characteristic: "2a19", type: u8}}', 'characteristic: "2a19", type: u9}}', ("points", 1, "at")),
        ("kind: state, severity: safety}", "kind: state, severity: safety, shared: true, at: 1}", ("points",)),
        (', at: {service: "1802", characteristic: "2a06", type: u8}}\nvectors', "}\nvectors", ("commands", 0, "at")),
        ("{battery.level: 87}", "{battery.level: 86}", ("vectors", 0, "values")),
        ('request: "2a19"', 'request: "2a1"', ("vectors", 0)),
    ],
)  # fmt: skip
def test_a_wrong_profile_is_refused_at_its_place(
    tmp_path: Path, old: str, new: str, path: tuple[object, ...]
) -> None:
    faults = list(check_profile(profile(tmp_path, old, new)))

    assert path in [fault[0] for fault in faults]

"""The native MQTT dialect: payloads, profile checks, the shipped streetlight profile."""

import subprocess
import sys
from typing import Any

import orjson
import pytest

from drivers.mqtt import native
from drivers.mqtt.settings import MqttDevice, MqttLink
from drivers.mqtt.spec import SPEC
from gateway.driver import Device
from gateway.errors import BadData
from gateway.model import Command, Level, Quality
from gateway.profile import Profile, find, load_profile


def profile(**changes: Any) -> Profile:
    base: dict[str, Any] = {
        "profile": "panel", "type": "light", "facility": "lights", "protocol": "mqtt",
        "dialect": "native", "sources": ["this test"], "status": "code",
        "points": [
            {"id": "light.level", "unit": "%", "min": 0, "max": 100},
            {"id": "light.on", "kind": "state"},
            {"id": "light.mode", "kind": "state", "enum": {"0": "auto", "1": "manual"}},
            {"id": "elec.energy.total", "unit": "kW.h", "kind": "counter"},
            {"id": "device.restarts", "kind": "counter", "integer": True},
            {"id": "button.pressed", "kind": "event"},
            {"id": "env.temperature", "unit": "Cel"},
        ],
        "plausible": [{"point": "env.temperature", "min": -40, "max": 60}],
        "vectors": [{"name": "on", "response": b'{"values":{"light.on":true}}'.hex(),
                     "values": {"light.on": True}}],
    }  # fmt: skip
    return Profile.model_validate(base | changes)


PANEL = profile()


def judged(point: str, value: object) -> tuple[object, Quality | None]:
    reading = native.decode(PANEL, orjson.dumps({"values": {point: value}}))
    return reading.values.get(point), reading.quality.get(point)


def test_a_payload_gives_values_id_and_time() -> None:
    payload = (
        b'{"id":"a-1","time":"1772391600000000001","values":{"light.level":60,"light.on":true}}'
    )
    assert native.decode(PANEL, payload) == native.Reading(
        {"light.level": 60, "light.on": True}, {}, b"a-1", 1_772_391_600_000_000_001
    )


@pytest.mark.parametrize(
    ("point", "value"),
    [
        ("light.level", 0), ("light.level", 100.0), ("light.on", False), ("light.mode", "manual"),
        ("elec.energy.total", 2**53), ("device.restarts", 3), ("device.restarts", 3.0),
        ("button.pressed", True), ("button.pressed", 2), ("button.pressed", "左上"),
    ],
)  # fmt: skip
def test_what_a_point_can_show_is_good(point: str, value: object) -> None:
    assert judged(point, value) == (value, None)


@pytest.mark.parametrize(
    ("point", "value", "reason"),
    [
        ("light.level", -0.1, "out_of_range"), ("light.level", 101, "out_of_range"),
        ("light.level", "60", "wrong_type"), ("light.level", True, "wrong_type"),
        ("light.level", [60], "wrong_type"), ("light.level", {"v": 60}, "wrong_type"),
        ("light.level", None, "no_reading"), ("light.on", 1, "wrong_type"),
        ("light.on", "true", "wrong_type"), ("light.mode", "off", "unknown_text"),
        ("light.mode", 1, "wrong_type"), ("elec.energy.total", 2**53 + 1, "not_exact"),
        ("elec.energy.total", -1e300, "not_exact"), ("device.restarts", 3.5, "wrong_type"),
        ("button.pressed", "x" * 65, "wrong_type"),
    ],
)  # fmt: skip
def test_a_value_that_a_point_cannot_have_is_bad_and_not_shown(
    point: str, value: object, reason: str
) -> None:
    assert judged(point, value) == (None, Quality(Level.BAD, reason))


def test_an_implausible_value_is_shown_as_uncertain() -> None:
    assert judged("env.temperature", 85.0) == (85.0, Quality(Level.UNCERTAIN, "implausible"))


def test_one_bad_value_does_not_spoil_the_others() -> None:
    reading = native.decode(PANEL, b'{"values":{"light.level":200,"light.on":true}}')
    assert reading.values == {"light.on": True}
    assert set(reading.quality) == {"light.level"}


def test_unknown_points_and_a_bad_time_are_left_out_and_counted() -> None:
    payload = b'{"time":1772391600,"new":1,"values":{"light.on":true,"x.y":1,"x.z":2}}'
    reading = native.decode(PANEL, payload)
    assert reading.values == {"light.on": True}
    assert reading.time_ns is None
    assert sorted(reading.ignored) == ["bad_time", "unknown_point", "unknown_point"]


@pytest.mark.parametrize("time", ["", "-1", "1.5", "1e9", "９", "9223372036854775808", " 1", 1, []])
def test_a_time_that_is_no_decimal_text_of_ns_is_not_used(time: object) -> None:
    payload = orjson.dumps({"time": time, "values": {"light.on": True}})
    assert native.decode(PANEL, payload).time_ns is None


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b"", "not_json"), (b"\xff", "not_json"), (b'{"values":{"light.level":NaN}}', "not_json"),
        (b'{"values":{"light.level":1e999}}', "not_json"), (b"[" * 5000, "not_json"),
        (b"60", "not_an_object"), (b"[]", "not_an_object"), (b"{}", "no_values"),
        (b'{"values":{}}', "no_values"), (b'{"values":[1]}', "no_values"),
        (b'{"values":{"x":1}}', "no_known_point"),
        (b'{"id":7,"values":{"light.on":true}}', "bad_id"),
        (b'{"id":"","values":{"light.on":true}}', "bad_id"),
        (orjson.dumps({"id": "x" * 65, "values": {"light.on": True}}), "bad_id"),
        (orjson.dumps({"values": {f"p{n}": n for n in range(257)}}), "too_many_values"),
        (b" " * 65_537, "too_large"),
    ],
)  # fmt: skip
def test_a_payload_that_cannot_be_understood_is_refused_with_its_reason(
    payload: bytes, reason: str
) -> None:
    with pytest.raises(BadData, match=f"^{reason}$"):
        native.decode(PANEL, payload)


def test_a_retained_reading_is_uncertain_and_has_no_id() -> None:
    reading = native.decode(PANEL, b'{"id":"a","values":{"light.on":true,"light.level":-1}}')
    old = native.retained(reading)
    assert old.values == {"light.on": True}
    assert old.source_id is None
    assert old.quality == {"light.on": native.RETAINED, "light.level": native.OUT_OF_RANGE}


@pytest.mark.parametrize(("payload", "online"), [(b"1", True), (b"0", False), (b"true", True), (b"false", False)])  # fmt: skip
def test_presence_is_read(payload: bytes, online: bool) -> None:
    assert native.decode_online(payload) is online


@pytest.mark.parametrize("payload", [b"", b"2", b"Online", b"null", b"1 "])
def test_other_presence_is_refused(payload: bytes) -> None:
    with pytest.raises(BadData, match="bad_online"):
        native.decode_online(payload)


def test_commands_and_acknowledgements_are_plain_json() -> None:
    command = Command("c-1", "light-1", "light.level", 60, 10**9, "cli")
    assert orjson.loads(native.encode_command(command)) == {
        "id": "c-1",
        "values": {"light.level": 60},
    }
    assert orjson.loads(native.encode_ack("灯-1".encode())) == {"id": "灯-1"}


def test_the_shipped_streetlight_profile_is_right() -> None:
    path = find("streetlight-native", [])
    assert path is not None
    lamp, _ = load_profile(path)
    assert list(SPEC.check_profile(lamp)) == []
    assert lamp.alarms == {"alarm.lamp_failure": 1, "alarm.silent": 1}
    level = lamp.by_command["light.level"]
    assert (level.feedback, level.confirm.within, level.confirm.tolerance) == (
        "light.level",
        5.0,
        1,
    )
    assert level.refuse(101) is not None


POINT = {"id": "light.level", "unit": "%"}


@pytest.mark.parametrize(
    ("changes", "path"),
    [
        ({"dialect": "tasmota"}, ("dialect",)),
        ({"dialect": None}, ("dialect",)),
        ({"link": {"baud": 9600}}, ("link",)),
        ({"limits": {"max_regs": 10}}, ("limits",)),
        ({"vectors": []}, ("vectors",)),
        ({"points": [POINT | {"at": "Level"}], "plausible": []}, ("points", 0, "at")),
        ({"points": [POINT | {"scale": "0.1"}], "plausible": []}, ("points", 0, "scale")),
        ({"points": [POINT | {"offset": "-4"}], "plausible": []}, ("points", 0, "offset")),
        ({"points": [POINT | {"sentinels": [255]}], "plausible": []}, ("points", 0, "sentinels")),
        ({"commands": [{"id": "on", "point": "light.on", "at": 3}]}, ("commands", 0, "at")),
        ({"vectors": [{"name": "v", "response": "xx", "values": {}}]}, ("vectors", 0, "response")),
        ({"vectors": [{"name": "v", "response": "7b7d", "values": {}}]}, ("vectors", 0, "response")),
        ({"vectors": [PANEL.vectors[0].model_copy(update={"values": {"light.on": False}})]}, ("vectors", 0, "values")),
        ({"vectors": [PANEL.vectors[0].model_copy(update={"request": "00"})]}, ("vectors", 0, "request")),
    ],
)  # fmt: skip
def test_a_profile_with_a_key_that_would_be_ignored_is_refused(
    changes: dict[str, Any], path: tuple[str | int, ...]
) -> None:
    assert path in [fault[0] for fault in SPEC.check_profile(profile(**changes))]


def test_a_sound_profile_has_no_faults() -> None:
    assert list(SPEC.check_profile(PANEL)) == []


def device(name: str, topic_id: str) -> Device:
    section = {"profile": "panel", "link": "field", "topic_id": topic_id}
    return Device(name, PANEL, MqttDevice.model_validate(section))


def test_two_devices_cannot_have_one_topic_id() -> None:
    link = MqttLink.model_validate({"driver": "mqtt", "url": "mqtt://127.0.0.1"})
    found = list(
        SPEC.check("field", link, [device("a", "t1"), device("b", "t2"), device("c", "t1")])
    )
    assert [(f.section, f.name, f.path) for f in found] == [("devices", "c", ("topic_id",))]


@pytest.mark.parametrize("topic_id", ["", "a/b", "+", "#", "灯", "a b", "x" * 65, "a\n"])
def test_a_topic_id_that_would_break_a_topic_is_refused(topic_id: str) -> None:
    with pytest.raises(ValueError, match="is no topic id"):
        device("a", topic_id)


def test_a_gateway_without_mqtt_links_does_not_import_the_library() -> None:
    code = (
        "import sys, drivers.mqtt.spec; sys.exit('aiomqtt' in sys.modules or 'paho' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

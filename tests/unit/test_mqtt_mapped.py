"""MQTT devices by profile: topics, paths, maps, bytes, commands, and what a profile may not say."""

from typing import Any

import pytest

from drivers.mqtt import layout, path
from drivers.mqtt.dialect import captures, command_topics, outgoing, patterns, readers, topic_id_in
from drivers.mqtt.grants import of_devices
from drivers.mqtt.guess import guess_topic
from drivers.mqtt.lamp import lamp_watches
from drivers.mqtt.mapped import decoders
from drivers.mqtt.settings import MqttDevice, MqttLink
from drivers.mqtt.spec import SPEC
from gateway.driver import Device
from gateway.errors import BadData
from gateway.model import Command, Value
from gateway.profile import Profile, find, load_profile

SHIPPED = ("tasmota-light", "zigbee2mqtt-light", "chirpstack-lamp", "lwm2m-lamp")


def shipped(name: str) -> Profile:
    found = find(name, [])
    assert found is not None
    return load_profile(found)[0]


def profile(**changes: Any) -> Profile:
    base: dict[str, Any] = {
        "profile": "lamp", "type": "light", "facility": "lights", "protocol": "mqtt",
        "sources": ["this test"], "status": "code", "captures": {"base": "x"},
        "topics": {"main": "{base}/{topic_id}/s", "raw": {"topic": "b/{topic_id}", "payload": "bytes"}},
        "points": [
            {"id": "light.level", "unit": "%", "min": 0, "max": 100, "scale": "0.5", "at": "a.b[1]"},
            {"id": "light.on", "kind": "state", "at": {"path": "p", "map": {"ON": True, "OFF": False}}},
            {"id": "light.mode", "kind": "state", "enum": {"0": "auto", "1": "manual"}, "at": "m"},
            {"id": "env.temperature", "unit": "Cel", "sentinels": [-999], "offset": "-40", "at": "t"},
            {"id": "elec.power.total", "unit": "W", "at": {"topic": "raw", "byte": 1, "type": "f32"}},
        ],
        "commands": [
            {"id": "light.level", "point": "light.level", "range": [0, 100], "at": {"topic": "c/{topic_id}", "payload": '{"l": {raw}, "i": "{id}"}'}},
        ],
        "vectors": [{"name": "on", "text": '{"p":"ON"}', "values": {"light.on": True}}],
    }  # fmt: skip
    return Profile.model_validate(base | changes)


LAMP = profile()


def read(payload: bytes, of: Profile = LAMP, topic: str = "main") -> tuple[object, object]:
    reading = decoders(of)[topic].read(payload)
    return reading.values, {name: quality.reason for name, quality in reading.quality.items()}


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_mqtt_profile_is_sound_and_its_vectors_hold(name: str) -> None:
    assert list(SPEC.check_profile(shipped(name))) == []


@pytest.mark.parametrize(
    ("payload", "values", "bad"),
    [
        (b'{"a":{"b":[7,120]}}', {"light.level": 60}, {}),
        (b'{"a":{"b":[7,121]},"p":"OFF"}', {"light.level": 60.5, "light.on": False}, {}),
        (b'{"a":{"b":[7,"120"]}}', {"light.level": 60}, {}),
        (b'{"a":{"b":[7,201]}}', {}, {"light.level": "out_of_range"}),
        (b'{"a":{"b":[7,true]}}', {}, {"light.level": "wrong_type"}),
        (b'{"a":{"b":[7,null]}}', {}, {"light.level": "no_reading"}),
        (b'{"a":{"b":[7,"1e3"]}}', {}, {"light.level": "wrong_type"}),
        (b'{"a":{"b":[7,9007199254740993]}}', {}, {"light.level": "not_exact"}),
        (b'{"a":{"b":[7]}}', {}, {}),
        (b'{"a":[1]}', {}, {}),
        (b'{"p":"maybe"}', {}, {"light.on": "unknown_text"}),
        (b'{"p":true}', {}, {"light.on": "unknown_text"}),
        (b'{"m":1,"t":20.5}', {"light.mode": "manual", "env.temperature": -19.5}, {}),
        (b'{"m":2,"t":-999}', {}, {"light.mode": "unknown_text", "env.temperature": "sentinel"}),
        (b"[]", {}, {}),
        (b"7", {}, {}),
    ],
)  # fmt: skip
def test_a_message_gives_what_stands_at_the_paths(
    payload: bytes, values: dict[str, Value], bad: dict[str, str]
) -> None:
    assert read(payload) == (values, bad)


@pytest.mark.parametrize(
    ("payload", "values", "bad"),
    [
        (b"\x00\x42\x10\x00\x00", {"elec.power.total": 36.0}, {}),
        (b"\x00\x7f\xc0\x00\x00", {}, {"elec.power.total": "not_a_number"}),
        (b"\x00\x7f\x80\x00\x00", {}, {"elec.power.total": "not_a_number"}),
        (b"\x00\x42\x10\x00", {}, {"elec.power.total": "too_short"}),
        (b"", {}, {"elec.power.total": "too_short"}),
    ],
)
def test_bytes_are_read_by_their_layout(
    payload: bytes, values: dict[str, Value], bad: dict[str, str]
) -> None:
    assert read(payload, topic="raw") == (values, bad)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        (layout.Field(0), 0x81), (layout.Field(0, "i8"), -127), (layout.Field(1, "u16", "little"), 0x0302),
        (layout.Field(1, "u24"), 0x020304), (layout.Field(0, "i24"), 0x810203 - (1 << 24)), (layout.Field(0, bit=7), True),
        (layout.Field(0, bit=1), False), (layout.Field(3, "u16"), None), (layout.Field(9), None),
    ],
)  # fmt: skip
def test_a_field_has_an_offset_a_type_and_an_order(
    field: layout.Field, value: int | bool | None
) -> None:
    assert layout.read(field, b"\x81\x02\x03\x04") == value


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("a", {"b": [{"n": "5", "v": 1}, 7]}), ("a.b[1]", 7), ("a.b[n=5].v", 1), ("a.b[n=6].v", None),
        ("a.b[2]", None), ("a.c", None), ("a.b.c", None), ("x/y", 3), ("a[0]", None),
    ],
)  # fmt: skip
def test_a_path_leads_to_a_value_or_to_nothing(text: str, found: object) -> None:
    message = {"a": {"b": [{"n": "5", "v": 1}, 7]}, "x/y": 3}
    got = path.find(message, path.parse(text))
    assert (None if got is path.MISSING else got) == found


@pytest.mark.parametrize("text", ["", ".", "a.", ".a", "a..b", "a[", "a[]", "a[x]", "a[1]b", "]"])
def test_what_is_no_path_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="path"):
        path.parse(text)


def device(name: str, **section: object) -> tuple[Device, MqttDevice]:
    keys: dict[str, object] = {"profile": name, "link": "field", "topic_id": "l-1"}
    made = MqttDevice.model_validate(keys | section)
    return Device("lamp-1", shipped(name) if name != "lamp" else LAMP, made), made


def test_topics_are_filled_in_from_the_device() -> None:
    lamp = device("zigbee2mqtt-light", captures={"base": "zb/north"})
    assert [topic for topic, _ in readers(*lamp)] == ["zb/north/l-1", "zb/north/l-1/availability"]
    assert patterns(*lamp) == {"zb/north/+", "zb/north/+/availability"}
    assert command_topics(*lamp) == {"zb/north/l-1/set"}
    assert captures(lamp[0].profile, lamp[1]) == {"base": "zb/north", "topic_id": "l-1"}


def test_of_two_readings_of_one_topic_the_one_that_fits_names_message_and_sender() -> None:
    one = {"topic": "t/{topic_id}", "only": {"k": 1}, "id": "i", "identity": "who"}
    two = {"topic": "t/{topic_id}", "only": {"k": 2}}
    points = [{"id": "light.level", "unit": "%", "at": {"topic": "a", "path": "l"}}]
    made = profile(topics={"a": one, "b": two}, points=points, commands=[], captures={}, vectors=[])
    section = MqttDevice.model_validate({"profile": "lamp", "link": "field", "topic_id": "l-1"})
    ((topic, reader),) = readers(Device("lamp-1", made, section), section)
    reading = reader.read(b'{"k":1,"i":"u-1","who":"0a01","l":7}')
    assert (topic, reading.source_id, reading.sender) == ("t/l-1", b"u-1", "0a01")
    assert reading.values == {"light.level": 7}


def test_a_stranger_is_known_by_the_level_of_the_topic_id() -> None:
    filters = ["d/+/state", "zb/north/+"]
    assert topic_id_in("zb/north/lamp-9", filters) == "lamp-9"
    assert topic_id_in("zb/north/lamp-9/set", filters) is None


def test_a_message_names_its_sender_where_the_profile_knows_the_place() -> None:
    decoder = decoders(shipped("chirpstack-lamp"))["main"]
    own = (
        b'{"deviceInfo":{"devEui":"0a01"},"fPort":2,"data":"PAEBagAB9ZQZ","deduplicationId":"u-1"}'
    )
    assert (decoder.read(own).source_id, decoder.read(own).sender) == (b"u-1", "0a01")
    with pytest.raises(BadData, match="no_identity"):
        decoder.read(own.replace(b"devEui", b"eui"))


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b"\xff", "not_json"), (b" " * 65_537, "too_large"),
        (b'{"deviceInfo":{"devEui":"0a01"},"fPort":2,"data":"PAE"}', "not_base64"),
        (b'{"deviceInfo":{"devEui":"0a01"},"fPort":2,"data":7}', "not_base64"),
        (b'{"deviceInfo":{"devEui":"0a01"},"fPort":2,"deduplicationId":""}', "bad_id"),
        (b'{"deviceInfo":{"devEui":"0a01"},"fPort":2,"deduplicationId":true}', "bad_id"),
    ],
)  # fmt: skip
def test_a_message_that_cannot_be_understood_is_refused_with_its_reason(
    payload: bytes, reason: str
) -> None:
    with pytest.raises(BadData, match=f"^{reason}$"):
        decoders(shipped("chirpstack-lamp"))["main"].read(payload)


def command(point: str, value: Value, ident: str = "c-1") -> Command:
    return Command(ident, "lamp-1", point, value, 10**9, "test")


@pytest.mark.parametrize(
    ("name", "point", "value", "topic", "payload"),
    [
        ("tasmota-light", "light.level", 59.6, "cmnd/l-1/Dimmer", b"60"),
        ("tasmota-light", "light.on", True, "cmnd/l-1/POWER", b"ON"),
        ("zigbee2mqtt-light", "light.level", 100, "zigbee2mqtt/l-1/set", b'{"brightness": 254}'),
        ("lwm2m-lamp", "light.level", 40, "lwm2m/l-1/write", b'[{"bn": "/3416/0/", "n": "1", "v": 40}]'),
        ("lamp", "light.level", 50, "c/l-1", b'{"l": 100, "i": "c-1"}'),
    ],
)  # fmt: skip
def test_a_command_is_written_as_the_device_wants_it(
    name: str, point: str, value: Value, topic: str, payload: bytes
) -> None:
    assert outgoing(*device(name), command(point, value)) == (topic, payload)


def test_an_id_cannot_break_out_of_its_place() -> None:
    evil = command("light.level", 50, '","l":0,"x":"{raw}')
    assert outgoing(*device("lamp"), evil).payload == b'{"l": 100, "i": "\\",\\"l\\":0,\\"x\\":\\"{raw}"}'  # fmt: skip


POINT = {"id": "light.level", "unit": "%"}
COMMAND = {"id": "light.level", "point": "light.level", "range": [0, 300]}


@pytest.mark.parametrize(
    ("changes", "path", "what"),
    [
        ({"topics": {"main": "x/+/s"}}, ("topics", "main"), "wildcards"),
        ({"topics": {"main": "$SYS/{topic_id}"}}, ("topics", "main"), "broker itself"),
        ({"topics": {"main": "x/s"}}, ("topics", "main", "topic"), "device's own"),
        ({"topics": {"main": "x/a{topic_id}"}}, ("topics", "main", "topic"), "device's own"),
        ({"topics": {"main": "{y}/{topic_id}"}}, ("topics", "main", "topic"), "nothing is called {y}"),
        ({"topics": {"main": {"topic": "x/{topic_id}", "qos": 1}}}, ("topics", "main"), "unknown key 'qos'"),
        ({"topics": {"main": {"topic": "x/{topic_id}", "id": "a..b"}}}, ("topics", "main", "id"), "is no path"),
        ({"topics": {"main": {"topic": "x/{topic_id}", "payload": "text", "id": "a"}}}, ("topics", "main"), "no paths"),
        ({"points": [POINT]}, ("points", 0), "no place"),
        ({"points": [POINT | {"at": {"topic": "mian", "path": "a"}}]}, ("points", 0, "at", "topic"), "no topic is called"),
        ({"points": [POINT | {"at": {"byte": 0}}]}, ("points", 0, "at"), "has no bytes"),
        ({"points": [POINT | {"at": {"topic": "raw", "path": "a"}}]}, ("points", 0, "at"), "has bytes"),
        ({"points": [POINT | {"at": {"map": {"a": 1}}}]}, ("points", 0, "at"), "no path"),
        ({"points": [POINT | {"at": {"topic": "raw", "byte": 0, "bit": 8}}]}, ("points", 0, "at", "bit"), "no bit 8"),
        ({"points": [POINT | {"at": {"topic": "raw", "byte": 0, "type": "u9"}}]}, ("points", 0, "at", "type"), "not allowed"),
        ({"points": [POINT | {"at": "a", "scale": "100 / 254"}]}, ("points", 0, "scale"), "an expression"),
        ({"points": [POINT | {"at": "a", "scale": "0"}]}, ("points", 0, "scale"), "scale 0"),
        ({"points": [POINT | {"at": {"lit": "light.on", "power": "x.y", "below": 1, "hold": "1s"}}]}, ("points", 0, "at", "lit"), "unknown point"),
        ({"points": [POINT | {"at": {"lit": "light.level", "below": 1, "hold": "1s"}}]}, ("points", 0, "at"), "missing key 'power'"),
        ({"commands": [COMMAND]}, ("commands", 0), "no topic"),
        ({"commands": [COMMAND | {"at": "c/{x}"}]}, ("commands", 0, "at", "topic"), "nothing is called {x}"),
        ({"commands": [COMMAND | {"at": {"topic": "c", "payload": "{base64}"}}]}, ("commands", 0, "at", "payload"), "nothing is called"),
        ({"commands": [COMMAND | {"at": {"topic": "c", "payload": "{base64}", "bytes": "{raw}"}}]}, ("commands", 0, "at"), "300 cannot be sent"),
        ({"defaults": {"at": {}}}, ("defaults",), "no use"),
        ({"vectors": []}, ("vectors",), "no vector"),
        ({"vectors": [{"name": "v", "values": {}}]}, ("vectors", 0), "one of `text` and `response`"),
        ({"vectors": [{"name": "v", "response": "7", "values": {}}]}, ("vectors", 0, "response"), "not hex"),
        ({"vectors": [{"name": "v", "text": "{", "values": {}}]}, ("vectors", 0), "not_json"),
        ({"vectors": [{"name": "v", "text": "{}", "values": {"light.on": True}}]}, ("vectors", 0, "values"), "decodes to"),
        ({"vectors": [{"name": "v", "text": "{}", "topic": "raww", "values": {}}]}, ("vectors", 0, "topic"), "no topic"),
        ({"vectors": [{"name": "v", "text": "1", "command": "light.level", "values": {"light.level": 5}}]}, ("vectors", 0, "text"), "publishes"),
        ({"vectors": [{"name": "v", "text": "1", "command": "light.on", "values": {"light.on": True}}]}, ("vectors", 0, "command"), "no such command"),
    ],
)  # fmt: skip
def test_a_profile_that_does_not_fit_is_refused(
    changes: dict[str, Any], path: tuple[str | int, ...], what: str
) -> None:
    found = list(SPEC.check_profile(profile(**changes)))
    assert any(fault[0][: len(path)] == path and what in fault[1] for fault in found), found


def test_an_unknown_key_comes_with_the_one_that_was_meant() -> None:
    wrong = profile(points=[POINT | {"at": {"pth": "a"}}])
    assert [fault[2] for fault in SPEC.check_profile(wrong)] == ["did you mean 'path'?"]


def test_devices_cannot_share_a_topic_and_need_their_parts_of_it() -> None:
    link = MqttLink.model_validate({"driver": "mqtt", "url": "mqtt://127.0.0.1"})
    first, _ = device("zigbee2mqtt-light")
    second = first._replace(id="lamp-2")
    other, _ = device("zigbee2mqtt-light", captures={"base": "zb", "nase": "x"})
    chirp, _ = device("chirpstack-lamp")
    found = [(f.name, f.path) for f in SPEC.check("field", link, [first, second, other._replace(id="lamp-3"), chirp._replace(id="lamp-4")])]  # fmt: skip
    assert found == [
        ("lamp-2", ("topic_id",)),
        ("lamp-3", ("captures", "nase")),
        ("lamp-4", ("topic_id",)),
    ]


@pytest.mark.parametrize("value", ["", "a+b", "a#", "a\n", '"', "x" * 129, "{a}"])
def test_a_capture_that_would_break_a_topic_is_refused(value: str) -> None:
    with pytest.raises(ValueError, match="no part of a topic"):
        device("zigbee2mqtt-light", captures={"base": value})


LIT = {"light.level": 60, "elec.power.total": 36}
DARK = {"light.level": 60, "elec.power.total": 0.5}
OFF = {"light.level": 0, "elec.power.total": 0.5}
POWER_ONLY = {"elec.power.total": 0.5}
MIN = 60 * 10**9


@pytest.mark.parametrize(
    ("messages", "expected"),
    [
        ([(0, LIT)], [False]),
        ([(0, DARK), (4, DARK), (6, DARK), (7, OFF), (9, LIT)], [None, None, True, True, False]),
        ([(0, DARK), (4, OFF), (5, DARK), (10, DARK), (11, DARK)], [None, None, None, None, True]),
        ([(0, DARK), (6, {"light.level": 60})], [None, True]),
        ([(0, DARK), (1, {"light.level": 0}), (7, {"device.online": True})], [None, None, None]),
        ([(0, OFF), (60, OFF)], [None, None]),
        ([(0, OFF), (1, {"light.level": 60}), (8, {"light.level": 60})], [None, None, None]),
        ([(0, {"light.level": 60}), (1, POWER_ONLY), (7, POWER_ONLY)], [None, None, True]),
    ],
)  # fmt: skip
def test_a_lamp_that_should_burn_and_draws_no_power_has_failed(
    messages: list[tuple[int, dict[str, Value]]], expected: list[bool | None]
) -> None:
    (watch,) = lamp_watches(shipped("tasmota-light"))
    assert [watch.take(values, minute * MIN) for minute, values in messages] == expected


def test_a_lamp_that_says_nothing_more_has_failed_in_time() -> None:
    (watch,) = lamp_watches(shipped("tasmota-light"))
    watch.take(DARK, 0)
    assert [watch.due(minute * MIN) for minute in (5, 6, 7)] == [False, True, False]


def test_a_lamp_that_was_told_to_burn_and_says_it_is_off_has_failed() -> None:
    (watch,) = lamp_watches(shipped("tasmota-light"))
    watch.commanded("light.level", 60)
    assert [watch.take(OFF, minute * MIN) for minute in (0, 6)] == [None, True]
    (watch,) = lamp_watches(shipped("tasmota-light"))
    watch.commanded("light.level", 60)
    watch.take(LIT, 0)  # it did burn: whoever switched it off since then is right
    assert [watch.take(OFF, minute * MIN) for minute in (1, 9)] == [False, False]


PROFILES = [shipped(name) for name in SHIPPED]


@pytest.mark.parametrize(
    ("topic", "name", "keys", "found"),
    [
        ("tele/yard-9/STATE", "yard-9", (), ("tasmota-light", {})),
        ("zigbee2mqtt/hall-9", "hall-9", ("state", "linkquality"), ("zigbee2mqtt-light", {})),
        ("zb/north/hall-9", "hall-9", ("state", "brightness", "x"), ("zigbee2mqtt-light", {"base": "zb/north"})),
        ("zb/north/hall-9", "hall-9", ("humidity",), None),
        ("application/app-1/device/0a01/event/up", "0a01", (), ("chirpstack-lamp", {"application": "app-1"})),
        ("d/lamp-1/state", "lamp-1", (), None),
    ],
)  # fmt: skip
def test_the_topic_of_a_stranger_tells_its_make(
    topic: str, name: str, keys: tuple[str, ...], found: tuple[str, dict[str, str]] | None
) -> None:
    guessed = guess_topic(topic, name, keys, PROFILES)
    assert (None if guessed is None else (guessed.profile.profile, guessed.captures)) == found


def test_a_device_may_hear_the_topics_of_its_groups() -> None:
    lamp = device("tasmota-light", groups=["yard"])
    assert {"cmnd/yard/Dimmer", "cmnd/yard/POWER", "cmnd/l-1/Dimmer"} <= command_topics(*lamp)
    (grants,) = of_devices([lamp[0]])
    assert {"cmnd/yard/Dimmer", "cmnd/l-1/#"} <= set(grants.read)

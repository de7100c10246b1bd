"""Whatever arrives on a device topic: it is read, or refused with one of the known reasons."""

import math

import orjson
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.mqtt import native
from gateway.errors import BadData
from gateway.model import Level
from gateway.profile import Profile, find, load_profile

REASONS = {"too_large", "not_json", "not_an_object", "bad_id", "no_values", "too_many_values", "no_known_point"}  # fmt: skip


def _lamp() -> Profile:
    path = find("streetlight-native", [])
    assert path is not None
    return load_profile(path)[0]


LAMP = _lamp()
POINTS = st.sampled_from([*LAMP.by_id, "light.unknown", ""])
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=80)
)
JSON = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3), max_leaves=8)  # fmt: skip
MESSAGES = st.fixed_dictionaries(
    {},
    optional={
        "id": JSON,
        "time": JSON | st.from_regex(r"[0-9]{1,25}", fullmatch=True),
        "values": st.dictionaries(POINTS, JSON, max_size=8) | JSON,
    },
)


def check(payload: bytes) -> None:
    try:
        reading = native.decode(LAMP, payload)
    except BadData as error:
        assert str(error) in REASONS
        return
    bad = {name for name, quality in reading.quality.items() if quality.level is Level.BAD}
    assert not bad & set(reading.values)
    assert bad | set(reading.values) <= set(LAMP.by_id)
    assert reading.source_id is None or 1 <= len(reading.source_id.decode()) <= 64
    assert reading.time_ns is None or 0 <= reading.time_ns < 2**63
    for name, value in reading.values.items():
        point = LAMP.by_id[name]
        if point.kind == "state":
            assert isinstance(value, bool)
            continue
        assert isinstance(value, int | float)
        assert not isinstance(value, bool)
        assert math.isfinite(value)
        assert point.min is None or value >= point.min
        assert point.max is None or value <= point.max


@settings(deadline=None, max_examples=300)
@given(st.binary(max_size=200))
def test_bytes_are_read_or_refused(payload: bytes) -> None:
    check(payload)


@settings(deadline=None, max_examples=500)
@given(MESSAGES)
def test_json_of_any_shape_is_read_or_refused(message: dict[str, object]) -> None:
    check(orjson.dumps(message))


@settings(deadline=None, max_examples=300)
@given(MESSAGES, st.data())
def test_a_damaged_message_is_read_or_refused(message: dict[str, object], data: st.DataObject) -> None:  # fmt: skip
    payload = bytearray(orjson.dumps(message))
    for _ in range(data.draw(st.integers(1, 3))):
        payload[data.draw(st.integers(0, len(payload) - 1))] = data.draw(st.integers(0, 255))
    check(bytes(payload))
    check(bytes(payload[: data.draw(st.integers(0, len(payload)))]))


@settings(deadline=None, max_examples=100)
@given(st.binary(max_size=20))
def test_presence_is_read_or_refused(payload: bytes) -> None:
    try:
        native.decode_online(payload)
    except BadData as error:
        assert str(error) == "bad_online"


@settings(deadline=None, max_examples=200)
@given(st.dictionaries(st.just("light.level"), st.integers(0, 100), min_size=1), st.text(st.characters(codec="utf-8"), min_size=1, max_size=64))  # fmt: skip
def test_the_acknowledgement_carries_the_id_that_came(values: dict[str, int], ident: str) -> None:
    reading = native.decode(LAMP, orjson.dumps({"id": ident, "values": values}))
    assert reading.values == values
    assert reading.source_id is not None
    assert orjson.loads(native.encode_ack(reading.source_id)) == {"id": ident}

"""Whatever arrives on a topic of a mapped device: it is read, or refused with a known reason."""

import math

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.mqtt.mapped import Decoder, decoders
from gateway.errors import BadData
from gateway.model import Level
from gateway.profile import Profile, find, load_profile

REASONS = {"too_large", "not_json", "not_text", "not_base64", "bad_id", "no_identity"}
WORDS = st.sampled_from(
    ["POWER", "Dimmer", "ENERGY", "Power", "state", "brightness", "fPort", "data", "deviceInfo", "devEui",
     "deduplicationId", "n", "v", "vb", "3", "5", "ON", "OFF", "Online", "id-1", "PAEBagAB9ZQZ", "fwAA"]
)  # fmt: skip
SCALARS = (
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | WORDS | st.text(max_size=8)
    | st.floats(allow_nan=False, allow_infinity=False) | st.sampled_from([2, 60, 127, 254])
)  # fmt: skip
JSON = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(WORDS, inner, max_size=6), max_leaves=12
)  # fmt: skip


def shipped(name: str) -> Profile:
    path = find(name, [])
    assert path is not None
    return load_profile(path)[0]


PROFILES = [shipped(n) for n in ("tasmota-light", "zigbee2mqtt-light", "chirpstack-lamp", "lwm2m-lamp")]  # fmt: skip
DECODERS = [(p, d) for p in PROFILES for d in decoders(p).values()]


def check(profile: Profile, decoder: Decoder, payload: bytes) -> None:
    try:
        reading = decoder.read(payload)
    except BadData as error:
        assert str(error) in REASONS
        return
    bad = {name for name, quality in reading.quality.items() if quality.level is Level.BAD}
    assert not bad & set(reading.values)
    assert bad | set(reading.values) <= set(profile.by_id)
    assert reading.source_id is None or 1 <= len(reading.source_id.decode()) <= 64
    for name, value in reading.values.items():
        point = profile.by_id[name]
        if point.kind == "state":
            assert isinstance(value, bool)
            continue
        assert isinstance(value, int | float)
        assert not isinstance(value, bool)
        assert math.isfinite(value)
        assert point.min is None or value >= point.min
        assert point.max is None or value <= point.max


@pytest.mark.parametrize("case", DECODERS, ids=lambda c: f"{c[0].profile}:{c[1].topic.topic}")
@settings(deadline=None, max_examples=60)
@given(payload=st.binary(max_size=200))
def test_bytes_on_a_mapped_topic_are_read_or_refused(
    case: tuple[Profile, Decoder], payload: bytes
) -> None:
    check(*case, payload)


@pytest.mark.parametrize("case", DECODERS, ids=lambda c: f"{c[0].profile}:{c[1].topic.topic}")
@settings(deadline=None, max_examples=150)
@given(message=JSON, data=st.data())
def test_json_of_any_shape_on_a_mapped_topic_is_read_or_refused(
    case: tuple[Profile, Decoder], message: object, data: st.DataObject
) -> None:
    payload = bytearray(orjson.dumps(message))
    check(*case, bytes(payload))
    payload[data.draw(st.integers(0, len(payload) - 1))] = data.draw(st.integers(0, 255))
    check(*case, bytes(payload))

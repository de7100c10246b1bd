"""Packets taken apart: against packets that paho makes, cut anywhere, and against arbitrary bytes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from paho.mqtt.client import Client, MQTTv5
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from gateway.errors import BadData
from gateway.mqtt_wire import Arrived, Other, Packet, pubacks, publish, split

LIMIT = 65_536


def by_paho(
    topic: str, payload: bytes, qos: int, retain: bool, dup: bool, mid: int, user: str
) -> bytes:
    """The bytes of a PUBLISH as paho would send it."""
    client = Client(CallbackAPIVersion.VERSION2, protocol=MQTTv5)
    client._sock = object()  # type: ignore[assignment] # it only looks whether there is one
    properties = None
    if user:
        properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call] # paho's
        properties.UserProperty = ("k", user)
    client._thread = object()  # type: ignore[assignment] # so that nothing is written
    client._send_publish(mid, topic.encode(), payload, qos, retain, dup, None, properties)
    client._sock = None
    return bytes(client._out_packet[0]["packet"])


topics = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="+#\0"), min_size=1, max_size=40)  # fmt: skip
messages = st.builds(
    lambda *parts: (by_paho(*parts), parts),
    topics,
    st.binary(max_size=300),
    st.integers(0, 1),
    st.booleans(),
    st.booleans(),
    st.integers(1, 65_535),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=200),
)


@given(st.lists(messages, max_size=6), st.lists(st.integers(1, 200), max_size=40))
def test_messages_come_out_as_they_went_in_wherever_the_stream_is_cut(
    sent: list[tuple[bytes, tuple[str, bytes, int, bool, bool, int, str]]], cuts: list[int]
) -> None:
    stream = b"".join(packet for packet, _ in sent)
    found: list[Packet] = []
    rest, at = b"", 0
    for cut in [*cuts, len(stream)]:
        packets, used = split(rest + stream[at : at + cut], LIMIT)
        rest, at = (rest + stream[at : at + cut])[used:], at + cut
        found += packets
    expected = [
        Arrived(topic.encode(), payload, qos, retain, dup, mid if qos else 0)
        for _, (topic, payload, qos, retain, dup, mid, _) in sent
    ]
    assert found == expected
    assert rest == b""


@given(st.binary(max_size=400))
def test_arbitrary_bytes_are_taken_apart_or_refused(data: bytes) -> None:
    try:
        packets, used = split(data, LIMIT)
    except BadData:
        return
    assert 0 <= used <= len(data)
    assert sum(len(p.body) + 2 for p in packets if isinstance(p, Other)) <= used


def test_a_packet_that_is_too_long_is_refused_before_it_is_there() -> None:
    with pytest.raises(BadData, match="limit 1000"):
        split(b"\x30\xff\x7f", 1_000)


@pytest.mark.parametrize(
    ("packet", "says"),
    [
        ("34 05 00 01 61 00 01", "QoS 2"),
        ("32 03 00 01 61", "ends in its header"),
        ("30 05 00 09 61 00 01", "ends in its header"),
        ("30 05 00 01 61 7f 01", "ends in its properties"),
        ("30 ff ff ff ff 01", "more than four bytes"),
    ],
)
def test_a_malformed_publish_is_refused(packet: str, says: str) -> None:
    with pytest.raises(BadData, match=says):
        split(bytes.fromhex(packet), 10**9)


@given(st.text(max_size=20), st.binary(max_size=300))
def test_what_we_publish_is_read_back(topic: str, payload: bytes) -> None:
    raw = topic.encode("utf-8", "replace")
    assert split(publish(raw, payload), LIMIT)[0] == [Arrived(raw, payload, 0, False, False, 0)]


def test_acknowledgements_are_one_packet_each() -> None:
    assert split(pubacks([1, 65_535]), LIMIT)[0] == [
        Other(0x40, b"\x00\x01"), Other(0x40, b"\xff\xff"),
    ]  # fmt: skip

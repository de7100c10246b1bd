"""Arbitrary bytes never make a parser raise, and it agrees with the parsers of others."""

import logging
import random
import time
from collections.abc import Iterator

import pytest
from bleak.backends.device import BLEDevice
from bleak.backends.scanner import AdvertisementData
from bthome_ble.const import MEAS_TYPES
from bthome_ble.parser import BTHomeBluetoothDeviceData
from habluetooth import BluetoothServiceInfoBleak
from hypothesis import given, settings
from hypothesis import strategies as st
from xiaomi_ble.parser import XiaomiBluetoothDeviceData

from drivers.ble import beacons, bthome, ccm, mibeacon
from drivers.ble.bthome_objects import OBJECTS, Kind
from drivers.ble.frame import Frame, Refusal, Wire, address_bytes

ADDRESS = "54:48:E6:8F:80:A5"
KEY = bytes.fromhex("231d39c1d7cc1ab1aee224cd096db932")
MI_ADDRESS, MI_KEY = "54:EF:44:E3:9C:BC", bytes.fromhex("5b51a7c91cde6707c9ef18dfda143a58")
SEALED = [
    "41a47266c95f730011223378237214",
    "4187b90011223372b0231f",
    "43a5808fe64854f196c06ffb4900112233f08ecbde",
    "45bcc908fb192788130000cc17622f",
]
MI_SEALED = [
    "5859970966bc9ce344ef5401081205000000715ebe90",
    "5859970910bc9ce344ef540576c06021bfdfb8010000801354c6",
]
SLOWEST_S = 0.005


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


def parse_all(data: bytes) -> list[Frame]:
    return [
        bthome.parse(ADDRESS, data, KEY),
        bthome.parse(ADDRESS, data, None),
        mibeacon.parse(MI_ADDRESS, data, MI_KEY),
        mibeacon.parse(MI_ADDRESS, data, None),
        beacons.parse_ibeacon(data),
        beacons.parse_eddystone(data),
    ]


@settings(max_examples=2000, deadline=None)
@given(st.one_of(
    st.binary(max_size=64),
    st.builds(lambda head, tail: bytes((head,)) + tail, st.sampled_from([0x40, 0x41, 0x44, 0x45, 0x42, 0x43]), st.binary(max_size=250)),
    st.builds(lambda head, tail: head + tail, st.sampled_from([b"\x50\x59\x97\x09\x01", b"\x58\x59\x97\x09\x01", b"\x20\x00", b"\x02\x15"]), st.binary(max_size=250)),
))  # fmt: skip
def test_no_bytes_make_a_parser_raise_or_forge_a_sealed_frame(data: bytes) -> None:
    for frame in parse_all(data):
        assert not (frame.encrypted and frame.objects)
        assert frame.refused is None or frame.refused in Refusal


@pytest.mark.parametrize("text", SEALED)
def test_every_prefix_and_every_flipped_bit_of_a_sealed_bthome_frame_says_nothing(
    text: str,
) -> None:
    data = bytes.fromhex(text)
    assert bthome.parse(ADDRESS, data, KEY).objects
    for altered in _altered(data):
        frame = bthome.parse(ADDRESS, altered, KEY)
        assert not (frame.encrypted and frame.objects)


@pytest.mark.parametrize("text", MI_SEALED)
def test_every_prefix_and_every_flipped_bit_of_a_sealed_mibeacon_says_nothing(text: str) -> None:
    data = bytes.fromhex(text)
    assert mibeacon.parse(MI_ADDRESS, data, MI_KEY).objects
    for altered in _altered(data):
        if altered[:1] == data[:1] and altered[1:2] != data[1:2]:
            continue  # the upper byte of the frame control is not sealed: flags of registering
        frame = mibeacon.parse(MI_ADDRESS, altered, MI_KEY)
        assert not (frame.encrypted and frame.objects) or frame.objects == mibeacon.parse(MI_ADDRESS, data, MI_KEY).objects  # fmt: skip


def _altered(data: bytes) -> Iterator[bytes]:
    for length in range(len(data)):
        yield data[:length]
    for bit in range(len(data) * 8):
        flipped = bytearray(data)
        flipped[bit // 8] ^= 1 << bit % 8
        yield bytes(flipped)


@pytest.mark.chaos
def test_100_000_fuzzed_adverts_raise_nothing_and_none_takes_5_ms() -> None:
    chance, slowest = random.Random(1), 0.0
    for _ in range(100_000):
        data = bytearray(bytes.fromhex(chance.choice(SEALED + MI_SEALED)))
        for _ in range(chance.randrange(4)):
            data[chance.randrange(len(data))] = chance.randrange(256)
        data += chance.randbytes(chance.randrange(30))
        began = time.perf_counter()
        parse_all(bytes(data[: chance.randrange(len(data) + 1)]))
        slowest = max(slowest, (time.perf_counter() - began) / 6)
    assert slowest < SLOWEST_S


# -- against bthome-ble ----------------------------------------------------------------------------

_COMPARED = [
    number
    for number, kind in OBJECTS.items()
    if kind.kind in {Kind.NUMBER, Kind.BINARY} and number not in {0x00, 0x50, 0xF0}
]


def test_our_objects_are_those_of_bthome_ble() -> None:
    assert set(OBJECTS) == set(MEAS_TYPES)
    for number, kind in OBJECTS.items():
        theirs = MEAS_TYPES[number]
        if kind.kind is Kind.NUMBER:
            assert kind.length == theirs.data_length, hex(number)
            assert abs(kind.times / kind.by - theirs.factor) < 1e-12, hex(number)
            assert kind.signed == (theirs.data_format == "signed_integer"), hex(number)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from(_COMPARED), min_size=1, max_size=4, unique_by=lambda number: OBJECTS[number].name), st.randoms(), st.booleans())  # fmt: skip
def test_values_are_those_of_bthome_ble(ids: list[int], chance: object, sealed: bool) -> None:
    assert hasattr(chance, "randbytes")
    ids = sorted(ids)
    plain = b"".join(bytes((one,)) + chance.randbytes(OBJECTS[one].length) for one in ids)
    data = _sealed(plain) if sealed else b"\x40" + plain
    ours = {one.id: one.value for one in bthome.parse(ADDRESS, data, KEY).objects}
    theirs = _theirs(data)
    assert len(ours) == len(ids)
    for one in ids:
        value = ours[one]
        assert any(
            (isinstance(value, bool) and other is value)
            or (not isinstance(value, bool | str) and abs(float(other) - value) <= 0.06 + abs(value) * 1e-3)
            for other in theirs
        ), (hex(one), value, theirs)  # fmt: skip


def _sealed(plain: bytes) -> bytes:
    counter = b"\x01\x00\x00\x00"
    sealed = ccm.encrypt(KEY, address_bytes(ADDRESS) + b"\xd2\xfc\x41" + counter, plain, None)
    return b"\x41" + sealed[:-4] + counter + sealed[-4:]


def _theirs(data: bytes) -> list[float | bool]:
    oracle = BTHomeBluetoothDeviceData(bindkey=KEY if data[0] & 1 else None)
    update = oracle.update(_info(ADDRESS, "0000fcd2-0000-1000-8000-00805f9b34fb", data))
    found: list[float | bool] = [
        one.native_value
        for one in update.entity_values.values()
        if isinstance(one.native_value, int | float)
    ]
    found += [bool(one.native_value) for one in update.binary_entity_values.values()]
    return found


def _info(address: str, uuid: str, data: bytes) -> BluetoothServiceInfoBleak:
    return BluetoothServiceInfoBleak.from_device_and_advertisement_data(
        BLEDevice(address, "x", {}),
        AdvertisementData("x", {}, {uuid: data}, [uuid], None, -60, ()),
        "test",
        1000.0,
        False,
    )


# -- against xiaomi-ble ----------------------------------------------------------------------------


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 1), st.integers(0, 100), st.integers(0, 0xFFFFFF), st.integers(0, 255))
def test_smoke_and_battery_are_those_of_xiaomi_ble(
    smoke: int, battery: int, extended: int, count: int
) -> None:
    plain = bytes((0x15, 0x10, 1, smoke, 0x0A, 0x10, 1, battery))
    sender = address_bytes(MI_ADDRESS)[::-1]
    tail = bytes((0x97, 0x09, count))
    counter = extended.to_bytes(3, "little")
    sealed = ccm.encrypt(MI_KEY, sender + tail + counter, plain, b"\x11")
    data = b"\x58\x59" + tail + sender + sealed[:-4] + counter + sealed[-4:]
    frame = mibeacon.parse(MI_ADDRESS, data, MI_KEY)
    oracle = XiaomiBluetoothDeviceData(bindkey=MI_KEY)
    update = oracle.update(_info(MI_ADDRESS, "0000fe95-0000-1000-8000-00805f9b34fb", data))
    states = {key.key: one.native_value for key, one in update.binary_entity_values.items()}
    numbers = {key.key: one.native_value for key, one in update.entity_values.items()}
    assert frame.wire is Wire.MIBEACON
    assert [(one.id, one.value) for one in frame.objects] == [(0x1015, smoke), (0x100A, battery)]
    assert (states["smoke"], numbers["battery"]) == (bool(smoke), battery)
    assert frame.counter == count + extended * 256

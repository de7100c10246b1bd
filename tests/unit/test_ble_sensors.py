"""Frames that simulated sensors send are those of the standard."""

import pytest

from simulators.bluez import bthome
from simulators.bluez.peripheral import Advert
from simulators.bluez.sensor import MAX_COUNTER, Kind, Press, Sensor

ADDRESS = "54:48:E6:8F:80:A5"
KEY = bytes.fromhex("231d39c1d7cc1ab1aee224cd096db932")  # published with the standard


def test_an_encrypted_frame_is_the_published_one() -> None:
    objects = bytes.fromhex("02ca0903bf13")
    frame = bthome.encrypted(ADDRESS, KEY, 0x33221100, objects)
    assert frame.hex() == "41a47266c95f730011223378237214"


@pytest.mark.parametrize(
    ("counter", "packet", "on", "expected"),
    [
        (5000, 5, True, "45bcc908fb192788130000cc17622f"),
        (5001, 6, False, "4505bbada2bed289130000a9f967e6"),
    ],
)
def test_a_smoke_detector_counts_on_with_each_frame(
    counter: int, packet: int, expected: str, *, on: bool
) -> None:
    smoke = Sensor("smoke-1", Kind.SMOKE, ADDRESS, KEY, counter=counter - 1, packet=packet - 1)
    smoke.show(on=on)
    assert smoke.frame.hex() == expected


def test_a_sensor_without_key_sends_in_plain() -> None:
    smoke = Sensor("smoke-1", Kind.SMOKE, ADDRESS)
    smoke.show(on=True)
    assert smoke.frame.hex() == "44000101612901"


def test_copies_of_a_frame_are_equal_and_the_next_frame_carries_no_press() -> None:
    button = Sensor("sos-1", Kind.BUTTON, ADDRESS)
    button.press(Press.DOUBLE)
    copies = {button.advert().service_data[bthome.UUID].hex() for _ in range(3)}
    assert copies == {"44000101613a02"}
    button.renew()
    assert button.frame.hex() == "44000201613a00"


def test_packet_number_and_counter_roll_over() -> None:
    door = Sensor("door-1", Kind.DOOR, ADDRESS, KEY, counter=MAX_COUNTER - 1, packet=255)
    door.renew()
    assert (door.counter, door.packet) == (0, 0)


def test_an_advert_has_the_structures_that_a_monitor_looks_at() -> None:
    advert = Advert({"fcd2": b"\x40"}, {0x004C: b"\x02"}, name="a", flags=4)
    assert list(advert.structures()) == [
        (0x01, b"\x04"),
        (0x16, b"\xd2\xfc\x40"),
        (0xFF, b"\x4c\x00\x02"),
        (0x09, b"a"),
    ]

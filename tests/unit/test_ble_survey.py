"""Who is in the air, and which profile reads them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.ble.characteristic import uuid_of
from drivers.ble.frame import APPLE, BTHOME_UUID, EDDYSTONE_UUID, MIBEACON_UUID, Advert
from drivers.ble.survey import MOST, Heard, Profiles, Sender, Survey
from gateway.profile import load_profile, shipped_folder

SHIPPED = [load_profile(path)[0] for path in sorted(shipped_folder().glob("*.yaml"))]
PROFILES = Profiles([profile for profile in SHIPPED if profile.protocol == "ble"])
ADDRESS = "54:48:E6:8F:80:A5"
KEY = bytes.fromhex("231d39c1d7cc1ab1aee224cd096db932")  # a published test key
S = 10**9


def bthome(data: str, *, address: str = ADDRESS, rssi: int = -60, name: str = "") -> Heard:
    return Heard(Advert(address, rssi, S, {BTHOME_UUID: bytes.fromhex(data)}, {}), name)


def after(*heard: Heard, key: bytes | None = None) -> Sender:
    survey = Survey({} if key is None else {ADDRESS: key})
    for one in heard:
        survey.take(one)
    (sender,) = survey.senders
    return sender


@pytest.mark.parametrize(
    ("data", "profile"),
    [
        ("44000101612901", "bthome-smoke"),
        ("440001015e2001", "bthome-leak"),
        ("440001015e1a01", "bthome-door"),
        ("440021015e3a01", "bthome-button"),
        ("440001015e2101", "bthome-pir"),
    ],
)
def test_each_shipped_profile_is_found_by_what_its_device_shows(data: str, profile: str) -> None:
    fit = PROFILES.fit(after(bthome(data)))

    assert fit is not None
    assert fit.profile.profile == profile


@pytest.mark.parametrize("data", ["40005201643a00", "40015d", "400b09"])
def test_what_every_model_shows_is_no_sign_of_one(data: str) -> None:
    """A battery; an object that no shipped profile reads."""
    fit = PROFILES.fit(after(bthome(data)))

    assert fit is None or fit.profile.profile == "bthome-button"


def test_a_device_that_shows_things_in_turns_is_put_together() -> None:
    fit = PROFILES.fit(after(bthome("40015d"), bthome("402901")))

    assert fit is not None
    assert fit.values == {"battery.level": 93, "alarm.smoke": True}


def test_what_is_encrypted_is_read_with_its_key_only() -> None:
    sealed = bthome("45bcc908fb192788130000cc17622f")

    assert after(sealed).locked
    assert PROFILES.fit(after(sealed)) is None
    assert after(sealed, key=bytes(16)).locked
    opened = after(sealed, key=KEY)
    assert not opened.locked
    fit = PROFILES.fit(opened)
    assert fit is not None
    assert fit.values["alarm.smoke"] is True


def test_a_mibeacon_tells_its_model_although_it_is_encrypted() -> None:
    data = bytes.fromhex("5859970966bc9ce344ef5401081205000000715ebe90")
    heard = Heard(Advert("54:EF:44:E3:9C:BC", -60, S, {MIBEACON_UUID: data}, {}))

    sender = after(heard)

    assert sender.locked
    fit = PROFILES.fit(sender)
    assert fit is not None
    assert fit.profile.profile == "xiaomi-jtyjgd03mi"
    assert fit.values == {}


def test_services_tell_who_wants_a_connection_but_a_battery_alone_does_not() -> None:
    bare = Advert(ADDRESS, -60, S, {}, {})

    fit = PROFILES.fit(after(Heard(bare, "", [uuid_of("1811"), uuid_of("180f")])))

    assert fit is not None
    assert fit.profile.profile == "ble-alert"
    assert PROFILES.fit(after(Heard(bare, "", [uuid_of("180f")]))) is None


def test_names_of_strangers_are_cut_and_hold_nothing_unprintable() -> None:
    sender = after(bthome("40015d", name="\x1b[2Jdoor\n" + "x" * 300))

    assert sender.name.startswith("[2Jdoor")
    assert len(sender.name) == 64


def test_the_latest_senders_are_kept_and_the_others_counted() -> None:
    survey = Survey({})
    for number in range(MOST + 20):
        survey.take(bthome("40015d", address=f"00:00:00:00:{number >> 8:02X}:{number & 255:02X}"))

    assert len(survey.senders) == MOST
    assert survey.forgotten == 20


def test_the_strongest_come_first() -> None:
    survey = Survey({})
    for rssi in (-90, -40, -60):
        survey.take(bthome("40015d", address=f"00:00:00:00:00:{-rssi}", rssi=rssi))

    assert [sender.rssi for sender in survey.senders] == [-40, -60, -90]


@given(
    service=st.dictionaries(
        st.sampled_from([BTHOME_UUID, MIBEACON_UUID, EDDYSTONE_UUID, 0x180F]),
        st.binary(max_size=40),
    ),
    company=st.dictionaries(st.sampled_from([APPLE, 0x0075]), st.binary(max_size=40)),
    name=st.text(max_size=40),
)
def test_no_advert_raises(service: dict[int, bytes], company: dict[int, bytes], name: str) -> None:
    sender = after(Heard(Advert(ADDRESS, -60, S, service, company), name))

    PROFILES.fit(sender)

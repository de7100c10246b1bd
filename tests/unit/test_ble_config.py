"""What `gateway check` says of Bluetooth devices, above all of those that anybody could imitate."""

from pathlib import Path

import pytest
from pydantic import SecretStr

from drivers.ble.check import check_profile
from drivers.ble.settings import BleDevice
from drivers.ble.spec import SPEC
from gateway.config import Config, load_config
from gateway.driver import Device
from gateway.errors import ConfigError
from gateway.model import Severity
from gateway.profile import Profile
from gateway.vital import forged
from rules.model import LEVELS, Instance, Rule
from rules.predicate import Predicate
from rules.sequence import Setting
from rules.slots import Slots
from rules.term import Input
from tests.harness.ble import shipped

HEAD = """version: 1
gateway: {id: gw-1, timezone: UTC}
links:
  radio: {driver: ble, adapter: "dc:a6:32:11:22:33"%s}
"""
ADDRESS = "54:48:E6:8F:80:A5"
KEY = "231d39c1d7cc1ab1aee224cd096db932"


def load(folder: Path, devices: str, link: str = "", more: str = "", key: str = KEY) -> Config:
    secret = folder / "key"
    secret.touch(mode=0o600)
    secret.write_text(key)
    path = folder / "gateway.yaml"
    path.write_text(f"{HEAD % link}devices:\n{devices}\n{more}")
    return load_config(path)


def device(profile: str, more: str = "", name: str = "one", address: str = ADDRESS) -> str:
    return f'  {name}: {{profile: {profile}, link: radio, address: "{address}"{more}}}'


def test_a_detector_with_a_key_is_fine(tmp_path: Path) -> None:
    config = load(tmp_path, device("bthome-smoke", ", key: '${file:key}'"))
    assert config.devices["one"].section.model_dump()["address"] == ADDRESS
    assert [note.what for note in config.notes] == []


@pytest.mark.parametrize(
    ("text", "what"),
    [
        (device("bthome-smoke"), "points of severity life, and no key"),
        (device("bthome-leak", ", require_encryption: true"), "points of severity life, and no key"),
        (device("bthome-leak", f", key: {KEY}"), "a secret in plain text"),
        (device("bthome-leak", address="54:48:E6"), "is no Bluetooth address"),
        (device("bthome-leak", ", heartbeat: 5s"), "has no use for 'heartbeat'"),
        (device("bthome-leak", ", poll: 100ms, topic_id: a"), "unknown key 'topic_id'"),
        ("\n".join(device("bthome-leak", name=n) for n in ("a", "b")), "is the address of a too"),
    ],
)  # fmt: skip
def test_a_wrong_device_is_refused(tmp_path: Path, text: str, what: str) -> None:
    with pytest.raises(ConfigError, match=what):
        load(tmp_path, text)


def test_a_key_of_the_wrong_length_is_refused_without_showing_it(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no key of 16 bytes") as caught:
        load(tmp_path, device("bthome-leak", ", key: '${file:key}'"), key=KEY[:-2])
    assert KEY[:8] not in str(caught.value)


def test_a_device_in_plain_is_noted(tmp_path: Path) -> None:
    config = load(tmp_path, device("bthome-leak"))
    assert [note.what for note in config.notes] == [
        "one sends in plain: anybody can raise and clear its alarms"
    ]


def test_two_links_may_not_use_one_adapter(tmp_path: Path) -> None:
    second = '}\n  again: {driver: ble, adapter: "DC:A6:32:11:22:33"'
    text = f"{device('bthome-leak')}\n{device('bthome-leak', name='b').replace('radio', 'again')}"
    with pytest.raises(ConfigError, match="belongs to link radio already"):
        load(tmp_path, text, second)


@pytest.mark.parametrize(
    ("more", "level", "severity", "refused"),
    [
        ({"require_encryption": False}, LEVELS["life"], None, True),
        ({"require_encryption": False}, LEVELS["automation"], Severity.LIFE, True),
        ({"require_encryption": False}, LEVELS["automation"], None, False),
        ({"require_encryption": False, "act_on_plain": True}, LEVELS["life"], None, False),
        ({"key": SecretStr(KEY)}, LEVELS["life"], None, False),
    ],
)
def test_what_saves_lives_acts_on_no_plain_advert_unless_the_site_says_so(
    more: dict[str, object], level: int, severity: Severity | None, refused: bool
) -> None:
    section = {"profile": "bthome-smoke", "link": "radio", "address": ADDRESS, **more}
    one = Device("one", shipped("bthome-smoke"), BleDevice.model_validate(section))
    slots = Slots()
    slot = slots.of("one", "alarm.smoke", 10**9)
    rule = Rule("evacuate", "", enabled=True, level=level, for_ns=0, severity=severity)
    when = Predicate("alarm.smoke", Input(0), lambda read: read[0], (slot,), ("alarm.smoke",))
    instance = Instance(
        "evacuate[one]", rule, "one", when, None, (Setting("one", "door.open", True),)
    )
    found = list(forged(slots.index([rule], [instance], ()), {"one": one}, {"radio": SPEC}))
    assert bool(found) is refused
    if refused:
        assert (
            found[0][1]
            == "rule evacuate acts on one: the adverts of one are not encrypted: anybody could send them"
        )


def profile(**change: object) -> Profile:
    """A profile of a door with something changed."""
    point = {"id": "door.open", "kind": "state", "at": 0x1A}
    return Profile.model_validate({
        "profile": "p", "type": "door", "facility": "home", "protocol": "ble", "dialect": "bthome",
        "sources": ["test"], "status": "code", "points": [point],
        "vectors": [{"name": "open", "response": "401a01", "values": {"door.open": True}}],
    } | change)  # fmt: skip


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"dialect": None}, "no dialect of BLE"),
        ({"dialect": "zigbee"}, "dialect 'zigbee' of BLE"),
        ({"points": [{"id": "a", "at": 0xFE}]}, "bthome has no object 0xfe"),
        ({"points": [{"id": "a", "at": 0x00}]}, "bthome has no object 0x0"),
        ({"points": [{"id": "a", "at": {"mibeacon": 0x0001}}]}, "mibeacon has no object 0x1"),
        ({"points": [{"id": "a", "at": {"eddystone": "mood"}}]}, "eddystone has no 'mood'"),
        ({"points": [{"id": "a", "at": {"bthome": 1, "mibeacon": 1}}]}, "2 formats are named"),
        ({"points": [{"id": "a", "at": {"bthom": 1}}]}, "'bthom' is not understood"),
        ({"points": [{"id": "a", "at": True}]}, "True is no object"),
        ({"points": [{"id": "a"}]}, "missing"),
        ({"points": [{"id": "alarm.silent", "at": 1}]}, "alarm.silent is told by the gateway"),
        ({"points": [{"id": "a", "at": 1, "kind": "event", "enum": {"1": "x"}}]}, "no text 'none'"),
        ({"points": [{"id": "a", "at": 1, "shared": True}]}, "no use for this 'shared'"),
        ({"link": {"baud": 9600}}, "no use for 'baud'"),
        ({"link": {"interval": 9}}, "9 has no unit"),
        ({"defaults": {"at": {}}}, "no use for 'defaults'"),
        ({"vectors": []}, "no vector"),
        ({"vectors": [{"name": "x", "response": "4x", "values": {}}]}, "not hex"),
        ({"vectors": [{"name": "x", "response": "40", "values": {"door.open": True}}]}, "decodes to"),
        ({"vectors": [{"name": "x", "response": "00", "values": {}}]}, "version"),
    ],
)  # fmt: skip
def test_a_wrong_profile_is_refused(change: dict[str, object], what: str) -> None:
    found = [f"{path} {said} {fix}" for path, said, fix in check_profile(profile(**change))]
    assert any(what in one for one in found), found


def test_a_profile_that_is_right_has_no_fault() -> None:
    assert list(check_profile(profile())) == []

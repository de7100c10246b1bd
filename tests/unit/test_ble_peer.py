"""Who is believed: counters, copies, forgeries, and what a frame means for its device."""

from collections.abc import Callable

import pytest
from pydantic import SecretStr

from drivers.ble import ccm, driver
from drivers.ble.frame import BTHOME_UUID, EDDYSTONE_UUID, MIBEACON_UUID, Advert, address_bytes
from drivers.ble.guard import MAX_PAYLOADS, Guard, Verdict
from drivers.ble.ladder import Ladder, Step
from drivers.ble.peer import Peer, Taken
from drivers.ble.recent import Recent
from drivers.ble.settings import BleDevice
from gateway.driver import Device
from gateway.health import DeviceHealth
from gateway.profile import Profile
from tests.harness.ble import KEY, PROFILES, SMOKE, button, device, driver_for, smoke

M1 = "54:48:E6:8F:80:A5"
KS, MS = bytes.fromhex("5b51a7c91cde6707c9ef18dfda143a58"), "54:EF:44:E3:9C:BC"
SECOND = 1_000_000_000
NEW, COPY, OLD = Verdict.NEW, Verdict.COPY, Verdict.OLD


def peer(one: Device) -> Peer:
    assert isinstance(one.section, BleDevice)
    made = Peer(one, one.section, DeviceHealth())
    made.begin(0, None)
    return made


def on_m1(make: Callable[..., Device], key: bytes | None = KEY, **more: object) -> Peer:
    one = make(key, **more)
    return peer(one._replace(section=one.section.model_copy(update={"address": M1})))


def bthome(data: str | bytes, at_s: float = 1.0, address: str = M1) -> Advert:
    raw = bytes.fromhex(data) if isinstance(data, str) else data
    return Advert(address, -60, round(at_s * SECOND), {BTHOME_UUID: raw}, {})


def mibeacon(data: str, at_s: float = 1.0) -> Advert:
    return Advert(MS, -60, round(at_s * SECOND), {MIBEACON_UUID: bytes.fromhex(data)}, {})


def sealed(objects: str, counter: int, info: int = 0x41) -> bytes:
    number = counter.to_bytes(4, "little")
    nonce = address_bytes(M1) + b"\xd2\xfc" + bytes((info,)) + number
    text = ccm.encrypt(KEY, nonce, bytes.fromhex(objects), None)
    return bytes((info,)) + text[:-4] + number + text[-4:]


def reason(taken: Taken) -> str | None:
    return None if taken.suspicion is None else taken.suspicion.reason


# -- the published sequence -------------------------------------------------------------------------

SMOKE_ON, SMOKE_OFF = "45bcc908fb192788130000cc17622f", "4505bbada2bed289130000a9f967e6"
OLDER, PLAIN = "45acfb9f77e98887130000351f5baa", "44000101612901"


def test_smoke_comes_and_goes_and_neither_an_old_nor_a_plain_frame_brings_it_back() -> None:
    one = on_m1(smoke)
    first = one.take(bthome(SMOKE_ON, 1))
    assert (first.values["alarm.smoke"], first.values["battery.level"], first.counter) == (
        True,
        97,
        5000,
    )
    assert one.take(bthome(SMOKE_OFF, 2)).values == {"battery.level": 97, "alarm.smoke": False}
    old = one.take(bthome(OLDER, 3))
    assert (old.values, reason(old)) == ({}, "replay_suspected")
    assert old.suspicion is not None
    assert old.suspicion.points == ("battery.level", "alarm.smoke")
    plain = one.take(bthome(PLAIN, 4))
    assert (plain.values, reason(plain)) == ({}, "downgrade")
    for copy in (SMOKE_ON, SMOKE_OFF):
        assert one.take(bthome(copy, 5)).values == {}


def test_after_a_restart_every_frame_that_had_its_effect_is_refused() -> None:
    one = on_m1(smoke)
    one.begin(0, 5001)
    for data in (SMOKE_ON, SMOKE_OFF, OLDER, PLAIN):
        taken = one.take(bthome(data, 1))
        assert (taken.values, taken.rests, taken.counter) == ({}, {}, None)


def test_a_mibeacon_detector_is_believed_and_its_plain_frame_is_not() -> None:
    one = peer(device("x", "xiaomi-jtyjgd03mi", MS, KS))
    on = one.take(mibeacon("5859970966bc9ce344ef5401081205000000715ebe90"))
    assert (on.values["alarm.smoke"], on.counter) == (True, 102)
    off = one.take(mibeacon("5859970967bc9ce344ef5458e63e9c000000af43071f"))
    assert off.values == {"alarm.smoke": False}
    both = one.take(mibeacon("5859970910bc9ce344ef540576c06021bfdfb8010000801354c6"))
    assert both.values == {"alarm.smoke": True, "battery.level": 95}
    assert reason(one.take(mibeacon("5059970968bc9ce344ef5415100101"))) == "downgrade"


def test_the_counter_may_roll_over() -> None:
    one = on_m1(smoke)
    for counter in (0xFFFF_FFFE, 0xFFFF_FFFF, 0, 1):
        assert one.take(bthome(sealed("2901", counter), counter % 10)).counter == counter


def test_three_frames_that_the_key_does_not_open_are_a_wrong_key_and_one_is_none() -> None:
    one = on_m1(smoke, bytes(16))
    found = [reason(one.take(bthome(SMOKE_ON, at))) for at in (1, 2, 3, 4, 4000)]
    assert found == [None, None, "wrong_key", None, "wrong_key"]
    assert one.health.note == "the key does not fit: 3 frames in a row could not be opened"


def test_suspicions_are_told_once_in_their_time() -> None:
    one = on_m1(smoke)
    one.begin(0, 9000)
    found = [reason(one.take(bthome(SMOKE_ON, at))) for at in (1, 2, 599, 602)]
    assert found == ["replay_suspected", None, None, "replay_suspected"]


def test_a_changed_battery_is_believed_only_after_a_long_silence() -> None:
    one = on_m1(smoke, supervise="1h")
    one.take(bthome(sealed("2900", 5000), 1))
    assert reason(one.take(bthome(sealed("2901", 3), 1800))) == "replay_suspected"
    assert one.health.note.startswith("needs_rekey")
    later = one.take(bthome(sealed("2901", 4), 3700))
    assert (later.values["alarm.smoke"], reason(later)) == (True, "counter_restarted")
    assert one.health.note == ""
    assert reason(one.take(bthome(sealed("2901", 300), 20000))) is None, "it counts on from there"
    assert one.take(bthome(sealed("2900", 250), 90000)).values == {}, "100 or more is no restart"


def test_rekeying_admits_any_counter_once() -> None:
    one = on_m1(smoke)
    one.begin(0, 9000)
    assert one.take(bthome(SMOKE_ON, 1)).values == {}
    one.forget()
    assert one.take(bthome(SMOKE_ON, 2)).values["alarm.smoke"] is True
    assert one.take(bthome(OLDER, 3)).values == {}


def test_a_device_that_encrypts_and_has_no_key_says_so() -> None:
    one = on_m1(smoke, None)
    assert one.take(bthome(SMOKE_ON)).values == {}
    assert one.health.note == "it encrypts, and the configuration has no key"


def test_another_model_under_the_address_is_ignored() -> None:
    one = peer(device("x", "xiaomi-jtyjgd03mi", MS, KS))
    assert one.take(mibeacon("485963080556bc883b0200008e2939d7")).values == {}
    assert one.health.errors == {"other_product": 1}


# -- presses ----------------------------------------------------------------------------------------


def presses(taken: Taken) -> tuple[object, object]:
    return taken.values.get("alarm.sos"), taken.rests.get("alarm.sos")


def test_a_press_is_an_event_that_is_over_at_once() -> None:
    one = on_m1(button, None)
    taken = one.take(bthome("440021015e3a01"))
    assert taken.values["button.event"] == "press"
    assert presses(taken) == (True, False)
    assert taken.rests["button.event"] == "none"
    assert one.take(bthome("440022015e3a00", 1.1)).rests == {}


def test_copies_of_a_press_are_one_press_by_packet_number_and_by_counter() -> None:
    plain, secret = on_m1(button, None), on_m1(button)
    times = [1.0, 1.1, 2.0, 4.5]  # longer than the hold together, not between two
    assert [presses(plain.take(bthome("440021015e3a01", at)))[0] for at in times] == [True, None, None, None]  # fmt: skip
    told = [presses(secret.take(bthome(sealed("00213a01", 7), at)))[0] for at in times]
    assert told == [True, None, None, None]


def test_a_device_that_counts_each_copy_is_known_by_its_packet_number() -> None:
    one = on_m1(button)
    told = [one.take(bthome(sealed("00213a01", 7 + n), 1 + n / 10)) for n in range(4)]
    assert [presses(taken)[0] for taken in told] == [True, None, None, None]
    assert [taken.counter for taken in told] == [7, 8, 9, 10], "each of them is used up"


def test_two_presses_are_two_by_packet_number() -> None:
    one = on_m1(button, None)
    assert presses(one.take(bthome("440021015e3a01", 1)))[0] is True
    assert presses(one.take(bthome("440022015e3a01", 1.2)))[0] is True


def test_a_late_copy_of_the_last_press_is_none() -> None:
    one = on_m1(button, None)
    for data, told in (("00223a01", True), ("00213a01", None), ("00233a01", True)):
        assert presses(one.take(bthome(f"40{data}")))[0] is told


def test_three_buttons_in_one_frame_are_told_by_their_number() -> None:
    """The profile reads the first one."""
    one = on_m1(button, None)
    assert presses(one.take(bthome("403a003a013a03")))[0] is None


@pytest.mark.parametrize(
    ("packets", "again"),
    [
        ([1, 1], [False, True]),
        ([1, 2], [False, False]),
        ([255, 0], [False, False]),
        ([1, 64], [False, False]),
        ([1, 65], [False, True]),
        ([5, 4], [False, True]),
    ],
)
def test_packet_numbers_go_round(packets: list[int], again: list[bool]) -> None:
    recent = Recent()
    found = [recent.again(n, bytes((i,)), SECOND + i).event for i, n in enumerate(packets)]
    assert found == again


def test_a_state_is_told_again_after_a_while_so_that_it_does_not_grow_old() -> None:
    one = on_m1(smoke, None)
    told = [bool(one.take(bthome("402900", at)).values) for at in (1.0, 2.0, 4.0, 5.1, 6.0)]
    assert told == [True, False, False, True, False]


# -- supervision ------------------------------------------------------------------------------------


def test_a_detector_is_missing_after_its_time_and_told_once() -> None:
    one = on_m1(smoke, None, supervise="10m")
    assert one.due_ns() == 600 * SECOND
    assert one.take(bthome("402900", 100)).values == {"alarm.smoke": False, "alarm.silent": False}
    assert one.due_ns() == 700 * SECOND
    lost = one.lost()
    assert lost.values == {"alarm.silent": True}
    assert lost.quality["alarm.smoke"].reason == "silent"
    assert one.due_ns() is None
    assert one.take(bthome("402900", 900)).values == {"alarm.smoke": False, "alarm.silent": False}


def test_while_the_radio_is_away_nobody_is_missing() -> None:
    one = on_m1(smoke, None, supervise="10m")
    one.begin(5000 * SECOND, None)
    assert one.due_ns() == 5600 * SECOND


def test_what_only_sends_when_something_happens_is_not_missed_unless_the_site_says_so() -> None:
    one, told = on_m1(smoke, None), on_m1(smoke, None, supervise="10m")
    for some in (one, told):
        some.take(bthome("442900", 100))
    assert (one.due_ns(), told.due_ns()) == (None, 700 * SECOND)


def test_a_forgery_is_no_sign_of_life() -> None:
    one = on_m1(smoke, supervise="10m")
    one.take(bthome(SMOKE_ON, 100))
    for data in (OLDER, PLAIN, SMOKE_ON):
        one.take(bthome(data, 500))
    assert one.due_ns() == 700 * SECOND


def test_a_beacon_is_presence_and_no_more() -> None:
    profile = PROFILES["bthome-pir"].model_validate({
        "profile": "beacon", "type": "tag", "facility": "home", "protocol": "ble", "dialect": "eddystone",
        "sources": ["test"], "status": "code",
        "points": [{"id": "device.online", "kind": "state"}, {"id": "battery.voltage", "unit": "V", "at": "voltage"}],
    })  # fmt: skip
    section = BleDevice.model_validate({"profile": "beacon", "link": "r", "address": M1, "supervise": "1m"})  # fmt: skip
    one = peer(Device("tag", profile, section))
    data = bytes.fromhex("20000bb817800000006400002710")
    taken = one.take(Advert(M1, -50, SECOND, {EDDYSTONE_UUID: data}, {}))
    assert taken.values == {"battery.voltage": 3.0, "device.online": True}
    assert one.lost().values == {"device.online": False}


# -- the guard alone --------------------------------------------------------------------------------


def verdicts(guard: Guard, *counters: int) -> list[Verdict]:
    return [guard.judge(counter, b"x", silent=False) for counter in counters]


def test_counters_are_compared_as_serial_numbers() -> None:
    assert verdicts(Guard(), 5, 5, 6, 4, 2**31 + 5, 2**31 + 6) == [NEW, COPY, NEW, OLD, NEW, NEW]
    assert verdicts(Guard(2**31), 0, 2**32 - 1, 0, 2**31) == [OLD, NEW, NEW, OLD]


def test_one_counter_seals_several_payloads_once_each_and_not_for_ever() -> None:
    guard = Guard()
    found = [guard.judge(7, bytes((n,)), silent=False) for n in (1, 2, 1, 2)]
    assert found == [NEW, NEW, COPY, COPY]
    more = [guard.judge(7, bytes((n,)), silent=False) for n in range(3, 20)]
    assert more.count(NEW) == MAX_PAYLOADS - 2


def test_what_an_earlier_process_admitted_is_a_copy_whatever_it_says() -> None:
    guard = Guard()
    guard.restore(7)
    guard.restore(3)
    assert guard.judge(7, b"new", silent=True) is COPY


def test_steps_against_a_failing_adapter_come_once_each() -> None:
    ladder = Ladder()
    steps = [ladder.step()]
    for _ in range(9):
        ladder.failed()
        steps += [ladder.step(), ladder.step()]
    taken = [step for step in steps if step is not Step.RETRY]
    assert taken == [Step.POWER, Step.RESTART, Step.REPORT, Step.POWER]
    ladder.worked()
    ladder.failed(stuck=True)
    assert ladder.step() is Step.POWER


def test_in_a_flood_telemetry_gives_way_and_alarms_do_not() -> None:
    detector, door = smoke(), device("door-1", "bthome-pir", MS)
    flooded = driver_for([detector, door._replace(profile=quiet(door.profile))])
    for number in range(driver.MAX_WAITING + 5):
        flooded._heard(bthome("40", number, MS))
        flooded._heard(bthome("40", number, SMOKE))
    assert flooded.health.counters["dropped"] > 0
    assert flooded.health.counters["alarms_dropped"] == 0
    waiting = [peer.id for peer, _ in flooded._waiting]
    assert waiting.count("smoke-1") == driver.MAX_WAITING + 5
    for number in range(10 * driver.MAX_WAITING):
        flooded._heard(bthome("40", number, SMOKE))
    assert len(flooded._waiting) == 10 * driver.MAX_WAITING, "nothing is unbounded"


def quiet(profile: Profile) -> Profile:
    """The same without alarms."""
    points = [point for point in profile.own_points if not point.id.startswith("alarm.")]
    return profile.model_copy(update={"own_points": points})


def test_a_secret_is_never_shown() -> None:
    one = smoke()
    assert isinstance(one.section, BleDevice)
    assert isinstance(one.section.key, SecretStr)
    assert KEY.hex() not in f"{one!r}{one.section!r}"

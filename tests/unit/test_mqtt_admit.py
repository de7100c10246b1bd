"""Rates, refusals and strangers of the MQTT driver."""

import orjson
import pytest

from drivers.mqtt.admit import Bucket, Pace
from drivers.mqtt.refusals import Refusals
from drivers.mqtt.settings import MqttDevice, level_of
from drivers.mqtt.spec import SPEC
from drivers.mqtt.strangers import LOOKS_BURST, MAX_KEYS, MAX_STRANGERS, Strangers, shape
from gateway.driver import Device
from gateway.model import Event, EventKind, Severity
from gateway.profile import Profile
from tests.harness.clock import FakeClock

S = 1_000_000_000


def taken(bucket: Bucket, count: int, now_ns: int) -> int:
    return sum(bucket.take(now_ns) for _ in range(count))


def test_a_bucket_gives_its_burst_at_once_and_then_its_rate() -> None:
    bucket = Bucket(10, 50)
    assert taken(bucket, 100, 0) == 50
    assert [taken(bucket, 100, second * S) for second in (1, 2, 12)] == [10, 10, 50]


def test_a_rate_below_one_token_a_look_still_adds_up() -> None:
    bucket = Bucket(0.5, 1)
    assert [bucket.take(n * S // 10) for n in range(41)].count(True) == 3


def test_a_credit_lies_above_the_burst_and_is_used_once() -> None:
    bucket = Bucket(10, 50)
    bucket.credit(100)
    assert taken(bucket, 5_000, 0) == 1_050
    assert taken(bucket, 5_000, 1_000 * S) == 50


def test_a_short_absence_takes_nothing_from_the_credit_of_a_long_one() -> None:
    bucket = Bucket(10, 50)
    bucket.credit(100)
    assert taken(bucket, 100, 0) == 100
    bucket.credit(1)
    assert taken(bucket, 5_000, 0) == 950


def test_telemetry_takes_nothing_from_alarms() -> None:
    pace = Pace(10, 50)
    assert sum(pace.admits(0, alarm=False) for _ in range(1_000)) == 50
    assert sum(pace.admits(0, alarm=True) for _ in range(1_000)) == 50


def test_a_flood_of_forged_messages_is_told_once_a_minute_with_their_number() -> None:
    clock = FakeClock()
    refusals = Refusals("field", clock)
    told = []
    for _ in range(1_000):
        told.append(refusals.event("lamp-1", "d/l1/event", "identity_mismatch"))
        clock.advance(0.1)
    events = [event for event in told if event is not None]
    assert [event.attributes["count"] for event in events] == [1, 600]
    assert events[0].attributes == {
        "reason": "identity_mismatch", "link": "field", "topic": "d/l1/event", "count": 1
    }  # fmt: skip
    first = events[0]
    assert (first.kind, first.severity) == (EventKind.MESSAGE_REFUSED, Severity.OPERATIONAL)
    assert refusals.event("lamp-1", "d/l1/event", "not_json") is None


def test_a_thousand_devices_at_once_are_told_one_a_second() -> None:
    clock = FakeClock()
    refusals = Refusals("field", clock)

    def told(device: int) -> Event | None:
        return refusals.event(f"lamp-{device}", f"d/{device}/event", "retained")

    events: list[Event] = []
    for _ in range(120):
        clock.advance(1)
        events += [event for event in map(told, range(1_000)) if event is not None]
    assert 60 <= len(events) <= 60 + 120
    clock.advance(60)
    late = told(999)
    assert late is not None
    assert late.attributes["count"] == 121


def test_ten_thousand_strangers_take_the_place_of_256() -> None:
    strangers = Strangers()
    for number in range(10_000):
        name = f"x{number}"
        assert strangers.heard(name, f"d/{name}/state", b"{}", number)
        strangers.heard("returning", "d/returning/state", b'{"values":{"light.on":true}}', number)
    parts = strangers.parts("field", 10_000)
    assert (len(parts), strangers.forgotten) == (MAX_STRANGERS, 10_001 - MAX_STRANGERS)
    assert parts[0]["name"] == "returning"
    assert (parts[0]["count"], parts[0]["keys"]) == (10_000, ["values.light.on"])


def test_only_some_payloads_of_a_flood_of_names_are_looked_into() -> None:
    strangers = Strangers()
    for number in range(MAX_STRANGERS):
        strangers.heard(f"x{number}", "d/x/state", b'{"a":1}', S)
    assert sum(part["keys"] == ["a"] for part in strangers.parts("field", S)) == LOOKS_BURST
    strangers.heard("x0", "d/x/state", b'{"a":1}', S)
    strangers.heard("later", "d/x/state", b'{"a":1}', 2 * S)
    assert strangers.parts("field", 2 * S)[0]["keys"] == ["a"]


def test_a_name_cannot_speak_to_the_terminal_that_shows_it() -> None:
    strangers = Strangers()
    strangers.heard("\x1b[2J" + "x" * 500, "d/\x1b]0;pwned\x07/state", b"", 0)
    (part,) = strangers.parts("field", 0)
    assert part["name"] == "?[2J" + "x" * 124
    assert part["topic"] == "d/?]0;pwned?/state"


@pytest.mark.parametrize(
    ("payload", "keys"),
    [
        (b'{"id":"a","values":{"light.on":true,"light.level":3}}', ("id", "values.light.on", "values.light.level")),
        (b"\xff", ()), (b"[1]", ()), (b'"text"', ()), (b'{"values":{}}', ()),
        (b'{"\\u001b[2J":1,"ok":1}', ("ok",)), (b'{"a":"' + b"x" * 5_000 + b'"}', ()),
    ],
)  # fmt: skip
def test_the_shape_of_a_payload_is_its_printable_keys(
    payload: bytes, keys: tuple[str, ...]
) -> None:
    assert shape(payload) == keys


def test_a_shape_has_a_bounded_number_of_keys() -> None:
    assert len(shape(orjson.dumps({f"k{n}": n for n in range(200)}))) == MAX_KEYS


def siren(**keys: object) -> Device:
    profile = Profile.model_validate({
        "profile": "siren", "type": "alarm", "facility": "fire", "protocol": "mqtt",
        "dialect": "native", "sources": ["this test"], "status": "code",
        "points": [{"id": "alarm.smoke", "kind": "state", "severity": "life"}],
    })  # fmt: skip
    section = {"profile": "siren", "link": "field", "topic_id": "s1", **keys}
    return Device("siren-1", profile, MqttDevice.model_validate(section))


def test_check_warns_when_a_life_point_is_acknowledged_by_the_broker_only() -> None:
    link = SPEC.link.model_validate({"driver": "mqtt", "url": "mqtt://127.0.0.1"})
    assert level_of(siren()) == "L3"
    assert list(SPEC.check("field", link, [siren()])) == []
    weak = siren(delivery="broker")
    assert level_of(weak) == "L1"
    (found,) = SPEC.check("field", link, [weak])
    assert (found.note, found.path) == (True, ("delivery",))
    assert found.what.startswith("alarm.smoke is acknowledged by the broker only (L1)")

"""What is known of every point, which changes are alarms, and waiting for a change."""

import asyncio

import pytest

from gateway.model import RETAINED, Event, EventKind, Level, Quality, Sample, Severity, Value, uuid7
from gateway.profile import Profile
from gateway.state import Change, Reading, State

PROFILE = Profile.model_validate({
    "profile": "test-panel", "type": "panel", "facility": "fire", "protocol": "test",
    "sources": ["tests"], "status": "bench",
    "points": [
        {"id": "alarm.smoke", "severity": "life"},
        {"id": "alarm.fault"},
        {"id": "door.open", "severity": "operational"},
        {"id": "alarm.zone", "integer": True},
        {"id": "env.temperature", "unit": "Cel"},
    ],
})  # fmt: skip
BAD = Quality(Level.BAD, "timeout")
IMPLAUSIBLE = Quality(Level.UNCERTAIN, "implausible")


def state() -> State:
    return State({"panel-1": PROFILE})


def sample(
    values: dict[str, Value],
    quality: dict[str, Quality] | None = None,
    *,
    device: str = "panel-1",
    received_ns: int = 5,
) -> Sample:
    return Sample(device, 7, received_ns, 1, True, values, quality or {})


@pytest.mark.parametrize("rest", [False, 0, 0.0])
def test_an_alarm_point_first_seen_at_rest_makes_no_event(rest: Value) -> None:
    known = state()
    assert known.update(sample({"alarm.smoke": rest})) == []
    assert known.update(sample({"alarm.smoke": rest})) == []
    assert known.update(sample({"alarm.smoke": 1})) == [Change("alarm.smoke", Severity.LIFE, rest, 1)]  # fmt: skip


@pytest.mark.parametrize("active", [True, 1, 3, "fire"])
def test_an_alarm_point_first_seen_active_makes_an_event_once(active: Value) -> None:
    known = state()
    assert known.update(sample({"alarm.smoke": active})) == [
        Change("alarm.smoke", Severity.LIFE, None, active)
    ]
    assert known.update(sample({"alarm.smoke": active})) == []


def test_every_change_of_an_alarm_point_makes_an_event_of_its_severity() -> None:
    known = state()
    known.update(sample({"alarm.smoke": False, "alarm.fault": False, "door.open": False}))
    changes = known.update(
        sample({"alarm.smoke": True, "alarm.fault": True, "door.open": True, "env.temperature": 20})
    )
    assert [(change.point, change.severity) for change in changes] == [
        ("alarm.smoke", Severity.LIFE),
        ("alarm.fault", Severity.SAFETY),  # every alarm.* has a severity
        ("door.open", Severity.OPERATIONAL),
    ]
    assert known.update(sample({"alarm.smoke": False})) == [
        Change("alarm.smoke", Severity.LIFE, True, False)
    ]
    known.update(sample({"alarm.zone": 3}))
    assert known.update(sample({"alarm.zone": 4}))[0].old == 3


def test_a_bad_alarm_point_changes_nothing_and_its_return_is_compared_with_before() -> None:
    known = state()
    known.update(sample({"alarm.smoke": False}))
    assert known.update(sample({}, {"alarm.smoke": BAD})) == []
    assert known.update(sample({"alarm.smoke": False})) == []
    known.update(sample({}, {"alarm.smoke": BAD}))
    assert len(known.update(sample({"alarm.smoke": True}))) == 1


def test_a_retained_value_makes_no_event_before_a_live_one_confirms_it() -> None:
    known = state()
    assert known.update(sample({"alarm.smoke": True}, {"alarm.smoke": RETAINED})) == []
    assert known.update(sample({"alarm.smoke": True}))[0].new is True
    assert known.update(sample({"alarm.smoke": False}, {"alarm.smoke": RETAINED})) == []
    assert known.update(sample({"alarm.smoke": True})) == []


def test_an_implausible_alarm_is_an_alarm() -> None:
    assert state().update(sample({"alarm.smoke": True}, {"alarm.smoke": IMPLAUSIBLE}))


def test_readings_show_value_quality_and_times() -> None:
    known = state()
    known.update(sample({"env.temperature": 20.5, "alarm.smoke": False}, received_ns=10))
    known.update(sample({"alarm.smoke": True}, {"env.temperature": BAD}, received_ns=20))
    assert known.reading("panel-1", "env.temperature") == Reading(None, BAD, 7, 20)
    assert known.reading("panel-1", "alarm.smoke") == Reading(True, None, 7, 20)
    assert known.reading("panel-1", "no.such") is None
    assert known.reading("nobody", "alarm.smoke") is None
    assert set(known.readings("panel-1")) == {"env.temperature", "alarm.smoke"}
    assert known.readings("nobody") == {}


def test_a_device_was_seen_when_it_gave_a_value() -> None:
    known = state()
    assert known.seen_ns("panel-1") is None
    known.update(sample({}, {"env.temperature": BAD}, received_ns=10))
    assert known.seen_ns("panel-1") is None
    known.update(sample({"env.temperature": 20}, received_ns=20))
    known.update(sample({}, {"env.temperature": BAD}, received_ns=30))
    assert known.seen_ns("panel-1") == 20


def test_a_device_that_is_not_configured_is_kept_and_raises_nothing() -> None:
    known = state()
    assert known.update(sample({"alarm.smoke": True}, device="stranger")) == []
    assert set(known.devices()) == {"panel-1", "stranger"}


async def test_a_watch_gives_the_first_reading_that_fits() -> None:
    known = state()

    def hot(reading: Reading) -> bool:
        return isinstance(reading.value, int) and reading.value > 50

    with known.watch("panel-1", "env.temperature", hot) as found:
        known.update(sample({"env.temperature": 20}))
        known.update(sample({}, {"env.temperature": BAD}))
        known.update(sample({"alarm.smoke": True}))
        assert not found.done()
        known.update(sample({"env.temperature": 60}))
        known.update(sample({"env.temperature": 70}))
        assert (await found).value == 60


async def test_watches_do_not_disturb_each_other_and_end_with_their_block() -> None:
    known = state()
    with known.watch("panel-1", "env.temperature", lambda _: True) as outer:
        with known.watch("panel-1", "env.temperature", lambda _: True) as inner:
            pass
        known.update(sample({"env.temperature": 20}))
        assert outer.done()
        assert not inner.done()
    with known.watch("panel-1", "env.temperature", lambda _: True) as cancelled:
        cancelled.cancel()
        known.update(sample({"env.temperature": 21}))
    await asyncio.sleep(0)


def point_alarm(value: object, kind: EventKind = EventKind.POINT_ALARM) -> Event:
    attributes = {"point": "alarm.smoke", "value": value, "was": None}
    return Event(uuid7(), kind, Severity.LIFE, "panel-1", 0, 0, 1, True, attributes)


def test_an_alarm_of_before_the_restart_makes_no_second_event_but_its_end_makes_one() -> None:
    known = state()
    known.restore([point_alarm(False), point_alarm(True)])
    assert known.update(sample({"alarm.smoke": True})) == []
    assert known.update(sample({"alarm.smoke": False})) == [
        Change("alarm.smoke", Severity.LIFE, True, False)
    ]


def test_what_is_no_point_alarm_restores_nothing() -> None:
    known = state()
    known.restore([point_alarm(True, EventKind.ALARM_RAISED), point_alarm(None), point_alarm([1])])
    assert known.reading("panel-1", "alarm.smoke") is None
    assert known.update(sample({"alarm.smoke": False})) == []


def test_each_press_of_a_button_is_a_change_and_letting_go_is_none() -> None:
    profile = Profile.model_validate({
        "profile": "sos", "type": "button", "facility": "home", "protocol": "test",
        "sources": ["tests"], "status": "bench",
        "points": [{"id": "alarm.sos", "kind": "event", "severity": "life"}],
    })  # fmt: skip
    state = State({"sos-1": profile})
    state.restore([])
    found = [
        state.update(Sample("sos-1", n, n, 1, True, {"alarm.sos": n % 2 == 0})) for n in range(4)
    ]
    assert [[change.new for change in changes] for changes in found] == [[True], [], [True], []]

"""The values that travel: copies, lanes, ids."""

import dataclasses
import time
from collections.abc import Mapping

import pytest

from gateway.model import (
    EMPTY,
    NO_ATTRIBUTES,
    RETAINED,
    Event,
    EventKind,
    Item,
    Level,
    Quality,
    Sample,
    Severity,
    lane_of,
    uuid7,
)

SAMPLE = Sample("meter-1", 1, 2, 3, True, {"a": 1}, {"b": Quality(Level.BAD, "timeout")}, b"id")


def event(kind: EventKind, severity: Severity) -> Event:
    return Event(uuid7(), kind, severity, "d", 1, 2, 3, True, {"a": 1}, uuid7(), 4)


def test_a_number_changes_nothing_but_the_number() -> None:
    assert SAMPLE.numbered(7) == SAMPLE._replace(n=7)
    one = event(EventKind.LINK_UP, Severity.OPERATIONAL)
    assert one.numbered(7) == one._replace(n=7)
    assert type(SAMPLE.numbered(7)) is Sample
    assert type(one.numbered(7)) is Event


def test_values_cannot_be_changed_in_place() -> None:
    with pytest.raises(AttributeError):
        SAMPLE.device = "other"  # type: ignore[misc]  # this is what must fail
    for shared in (EMPTY, NO_ATTRIBUTES):
        assert isinstance(shared, Mapping)
        assert not hasattr(shared, "__setitem__")
    assert not dataclasses.is_dataclass(SAMPLE)


@pytest.mark.parametrize(
    ("item", "lane"),
    [
        (SAMPLE, 2),
        (event(EventKind.POINT_ALARM, Severity.LIFE), 0),
        (event(EventKind.ALARM_CLEARED, Severity.SAFETY), 0),
        (event(EventKind.POINT_ALARM, Severity.OPERATIONAL), 1),
        (event(EventKind.DATA_LOSS, Severity.OPERATIONAL), 1),
        (event(EventKind.DATA_LOSS, Severity.SAFETY), 0),
        (event(EventKind.LINK_UP, Severity.TELEMETRY), 3),
        (event(EventKind.COMMAND_RESULT, Severity.TELEMETRY), 0),
        (event(EventKind.COMMAND_RESULT, Severity.OPERATIONAL), 0),
    ],
)
def test_every_item_has_its_lane(item: Item, lane: int) -> None:
    assert lane_of(item) == lane


def test_severities_are_ordered() -> None:
    assert Severity.LIFE > Severity.SAFETY > Severity.OPERATIONAL > Severity.TELEMETRY


def test_retained_is_uncertain() -> None:
    assert Quality(Level.UNCERTAIN, "retained") == RETAINED


def test_a_uuid7_carries_its_millisecond_version_and_variant() -> None:
    made = uuid7(1_772_391_600_123_999_999)
    assert made.int >> 80 == 1_772_391_600_123
    assert made.version == 7
    assert made.variant == "specified in RFC 4122"
    before = time.time_ns() // 1_000_000
    assert before <= uuid7().int >> 80 <= time.time_ns() // 1_000_000


@pytest.mark.parametrize("time_ns", [0, 2**48 * 1_000_000 - 1])
def test_a_uuid7_can_be_made_at_any_time(time_ns: int) -> None:
    assert uuid7(time_ns).int >> 80 == time_ns // 1_000_000


def test_uuid7s_are_different_and_sort_by_time() -> None:
    assert len({uuid7(5_000_000) for _ in range(1000)}) == 1000
    made = [uuid7(n * 1_000_000) for n in range(100)]
    assert sorted(made) == made

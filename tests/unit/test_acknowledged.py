"""How long it takes until somebody has seen an alarm, as the report tells it."""

from uuid import UUID
from zoneinfo import ZoneInfo

from gateway.indicators.alarms import Alarms
from gateway.indicators.buckets import Buckets
from gateway.indicators.model import NS, Period
from gateway.indicators.settings import ReportSection
from gateway.model import Event, EventKind, Severity, uuid7

DAY_S = 86_400


def event(kind: EventKind, at_s: int, cause: UUID | None = None, boot: int = 1) -> Event:
    return Event(
        uuid7(at_s * NS), kind, Severity.SAFETY, "gas-1", at_s * NS, at_s * NS, boot, True,
        {"instance": "gas[gas-1]"}, cause,
    )  # fmt: skip


def test_the_first_acknowledgement_of_each_raise_counts_from_the_raise() -> None:
    period = Period(0, DAY_S, 0, DAY_S, 0, DAY_S)
    alarms = Alarms(period, ReportSection(), Buckets(period, ZoneInfo("UTC"), week=False), 0)
    first, second = event(EventKind.ALARM_RAISED, 100), event(EventKind.ALARM_RAISED, 500)
    for one in (
        first, event(EventKind.ALARM_ACKED, 130, first.event_id), event(EventKind.ALARM_ACKED, 190, first.event_id),
        second, event(EventKind.ALARM_ACKED, 505, second.event_id, boot=2),
    ):  # fmt: skip
        alarms.take(one)
    found = {(one.id, one.subject): one for one in alarms.indicators()}
    seen = found["acknowledge", "p50"]
    assert (seen.value, seen.numerator, seen.denominator) == (30, 1, 2)

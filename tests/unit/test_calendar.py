"""Hours by the clock and by the sun: days on which clocks leap, midnight, places without sunset."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.calendar import LocalCalendar
from rules.hours import DAYS, Hours, mark

SECOND = 10**9
SHANGHAI = LocalCalendar("Asia/Shanghai", (31.2304, 121.4737))
BERLIN = LocalCalendar("Europe/Berlin", (52.52, 13.405))
TROMSO = LocalCalendar("Europe/Oslo", (69.65, 18.96))


def hours(begin: str, end: str, days: str = "") -> Hours:
    chosen = frozenset(DAYS.index(day) for day in days.split()) or frozenset(range(7))
    return Hours(mark(begin), mark(end), chosen)


def ns(text: str, zone: str = "UTC") -> int:
    moment = datetime.fromisoformat(text)
    moment = moment if moment.tzinfo else moment.replace(tzinfo=ZoneInfo(zone))
    return int(moment.timestamp()) * SECOND


def edges(calendar: LocalCalendar, span: Hours, begin: int, end: int) -> list[tuple[str, bool]]:
    """What it is at first, and each change of it, found by asking at each edge."""
    found: list[tuple[str, bool]] = []
    at = begin
    while at < end:
        inside, edge = calendar.hours(span, at)
        assert edge > at
        if not found or found[-1][1] is not inside:
            found.append((datetime.fromtimestamp(at / 1e9, UTC).strftime("%d %H:%M:%S"), inside))
        at = edge
    return found


def test_hours_over_midnight_belong_to_the_day_on_which_they_begin() -> None:
    night = hours("22:00", "06:00", "fri")
    found = edges(SHANGHAI, night, ns("2026-03-04T00:00+08:00"), ns("2026-03-11T00:00+08:00"))
    assert found == [("03 16:00:00", False), ("06 14:00:00", True), ("06 22:00:00", False)]


def test_hours_are_half_open() -> None:
    span = hours("08:00", "17:00")
    begin, end = ns("2026-03-04T08:00+08:00"), ns("2026-03-04T17:00+08:00")
    asked = [SHANGHAI.hours(span, at)[0] for at in (begin - 1, begin, end - 1, end)]
    assert asked == [False, True, True, False]


def test_whole_days_end_at_midnight() -> None:
    weekend = hours("00:00", "24:00", "sat sun")
    found = edges(SHANGHAI, weekend, ns("2026-03-04T00:00+08:00"), ns("2026-03-11T00:00+08:00"))
    assert found[1:] == [("06 16:00:00", True), ("08 16:00:00", False)]


@pytest.mark.parametrize(
    ("begin", "end", "expected"),
    [
        # 29 March 2026: clocks leap from 02:00 to 03:00, which is 01:00 UTC.
        ("2026-03-28T12:00", "2026-03-30T00:00", [("28 11:00:00", False), ("29 01:00:00", True), ("29 01:30:00", False)]),
        # 25 October 2026: 02:30 comes twice, at 00:30 and 01:30 UTC; the first counts.
        ("2026-10-24T12:00", "2026-10-26T00:00", [("24 10:00:00", False), ("25 00:30:00", True), ("25 02:30:00", False)]),
    ],
)  # fmt: skip
def test_a_time_that_clocks_skip_is_when_they_leap_and_one_that_comes_twice_is_the_first(
    begin: str, end: str, expected: list[tuple[str, bool]]
) -> None:
    span = hours("02:30", "03:30")
    found = edges(BERLIN, span, ns(begin, "Europe/Berlin"), ns(end, "Europe/Berlin"))
    assert found == expected


def test_a_day_without_midnight_begins_when_clocks_leap() -> None:
    beirut = LocalCalendar("Asia/Beirut", None)  # 29 March 2026: 00:00 does not exist
    found = edges(beirut, hours("00:00", "06:00"), ns("2026-03-28T12:00Z"), ns("2026-03-29T12:00Z"))
    assert found == [("28 12:00:00", False), ("28 22:00:00", True), ("29 03:00:00", False)]


def test_the_sun_sets_in_shanghai_when_the_almanac_says() -> None:
    # Tables for Shanghai give 04:51 and 19:01 for the solstice.
    found = edges(SHANGHAI, hours("sunrise", "sunset"), ns("2026-06-21T00:00+08:00"), ns("2026-06-22T00:00+08:00"))  # fmt: skip
    rise, fall = (datetime.strptime(at, "%d %H:%M:%S") for at, _ in found[1:])  # noqa: DTZ007 -- UTC, as printed
    assert abs(rise - datetime(1900, 1, 20, 20, 50, 30)) < timedelta(minutes=1.5)  # noqa: DTZ001
    assert abs(fall - datetime(1900, 1, 21, 11, 1, 30)) < timedelta(minutes=1.5)  # noqa: DTZ001


def test_offsets_are_counted_from_the_sun() -> None:
    at = ns("2026-06-21T12:00+08:00")
    plain = SHANGHAI.hours(hours("sunset", "sunrise"), at)[1]
    assert SHANGHAI.hours(hours("sunset - 15m", "sunrise + 1h"), at)[1] == plain - 900 * SECOND


def test_a_morning_that_is_light_already_has_no_hours() -> None:
    span = hours("06:00", "sunrise")
    june = edges(SHANGHAI, span, ns("2026-06-20T12:00Z"), ns("2026-06-28T12:00Z"))
    assert [inside for _, inside in june] == [False]
    assert SHANGHAI.hours(span, ns("2026-12-21T06:30+08:00"))[0]


def test_from_sunset_to_a_time_of_the_morning_is_one_night() -> None:
    span = hours("sunset", "01:00")
    asked = [SHANGHAI.hours(span, ns(f"2026-06-2{at}+08:00"))[0] for at in ("1T23:00", "2T00:59", "2T01:00", "2T12:00")]  # fmt: skip
    assert asked == [True, True, False, False]


def test_where_the_sun_does_not_set_the_night_is_empty_and_where_it_does_not_rise_it_is_all() -> (
    None
):
    night = hours("sunset", "sunrise")
    june = edges(TROMSO, night, ns("2026-06-10T12:00Z"), ns("2026-06-30T12:00Z"))
    december = edges(TROMSO, night, ns("2026-12-05T12:00Z"), ns("2026-12-28T12:00Z"))
    assert [inside for _, inside in june] == [False]
    assert [inside for _, inside in december] == [True]


@pytest.mark.parametrize("month", range(1, 13))
def test_an_arctic_year_goes_on_from_edge_to_edge(month: int) -> None:
    begin = datetime(2026, month, 1, tzinfo=UTC)
    at, end = int(begin.timestamp()) * SECOND, int((begin + timedelta(days=31)).timestamp()) * SECOND  # fmt: skip
    while at < end:
        edge = TROMSO.hours(hours("sunset - 15m", "sunrise + 10m"), at)[1]
        assert edge > at
        at = edge


TIMES = st.sampled_from(["00:00", "00:30", "02:00", "02:30", "03:00", "12:00", "22:00", "23:59"])


@settings(max_examples=150, deadline=None)
@given(
    TIMES,
    TIMES | st.just("24:00"),
    st.sets(st.integers(0, 6), min_size=1),
    st.datetimes(datetime(2026, 1, 1), datetime(2027, 1, 1)),  # noqa: DTZ001 -- UTC is added
)
def test_hours_are_what_the_clock_on_the_wall_says_apart_from_the_hour_that_leaps(
    begin: str, end: str, days: set[int], moment: datetime
) -> None:
    span = Hours(mark(begin), mark(end), frozenset(days))
    utc = moment.replace(tzinfo=UTC, microsecond=0)
    zone = ZoneInfo("Europe/Berlin")
    if len({(utc + timedelta(days=d)).astimezone(zone).utcoffset() for d in (-2, 2)}) == 2:
        return  # clocks leap: the tests above
    local = utc.astimezone(zone)
    minute, day = local.hour * 60 + local.minute, local.weekday()
    first, last = span.begin.minutes, span.end.minutes
    expected = (
        day in days and first <= minute < last
        if last > first
        else (day in days and minute >= first) or ((day - 1) % 7 in days and minute < last)
    )
    assert BERLIN.hours(span, int(utc.timestamp()) * SECOND)[0] is expected

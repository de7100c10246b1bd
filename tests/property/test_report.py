"""What strategies promise, whatever the series: error within the deadband, bounded silence."""

from itertools import pairwise
from typing import NamedTuple

from hypothesis import given
from hypothesis import strategies as st

from gateway.driver import Device, DeviceSection
from gateway.model import Level, Quality, Sample
from gateway.profile import Profile
from gateway.report import Reports

SECOND = 1_000_000_000
POINT = "elec.voltage.a"
PROFILE = Profile.model_validate({
    "profile": "test-meter", "type": "meter", "facility": "utilities", "protocol": "test",
    "sources": ["tests"], "status": "bench", "points": [{"id": POINT, "unit": "V"}],
})  # fmt: skip
QUALITIES = (None, Quality(Level.UNCERTAIN, "implausible"), Quality(Level.BAD, "timeout"))


class Shown(NamedTuple):
    at_s: int
    value: int | None
    quality: Quality | None


@st.composite
def series(draw: st.DrawFn) -> list[Shown]:
    at, found = 0, []
    for _ in range(draw(st.integers(1, 40))):
        at += draw(st.sampled_from([1, 1, 2, 9, 10, 11, 60]))
        quality = draw(st.sampled_from([None, None, None, *QUALITIES]))
        bad = quality is not None and quality.level is Level.BAD
        found.append(Shown(at, None if bad else draw(st.integers(-6, 6)), quality))
    return found


def passed(report: dict[str, object], shown: list[Shown]) -> list[Shown | None]:
    """What was reported last, after each of `shown`."""
    section = DeviceSection.model_validate({"profile": "p", "link": "l", "report": {POINT: report}})
    reports = Reports([Device("meter-1", PROFILE, section)])
    last: Shown | None = None
    found: list[Shown | None] = []
    for one in shown:
        values = {} if one.value is None else {POINT: one.value}
        quality = {} if one.quality is None else {POINT: one.quality}
        sample = Sample("meter-1", one.at_s * SECOND, 0, 1, True, values, quality)
        if (news := reports.news(sample)) is not None:
            assert news == sample, "what is reported is what was read"
            last = one
        found.append(last)
    return found


@given(series(), st.integers(1, 5))
def test_the_journal_is_never_further_off_than_the_deadband(
    shown: list[Shown], deadband: int
) -> None:
    for now, last in zip(shown, passed({"deadband": deadband}, shown), strict=True):
        assert last is not None
        assert last.quality == now.quality
        if now.value is not None and last.value is not None:
            assert abs(now.value - last.value) <= deadband


@given(series(), st.integers(1, 100))
def test_nor_than_the_percentage_of_the_value_reported_last(
    shown: list[Shown], percent: int
) -> None:
    for now, last in zip(shown, passed({"deadband_percent": percent}, shown), strict=True):
        assert last is not None
        if now.value is not None and last.value is not None:
            assert abs(now.value - last.value) <= abs(last.value) * percent / 100


@given(series())
def test_on_change_keeps_every_change_in_order(shown: list[Shown]) -> None:
    last = passed({"on_change": True}, shown)
    assert [one and one[1:] for one in last] == [one[1:] for one in shown]


@given(series(), st.sampled_from([10, 11, 30]))
def test_the_silence_ends_with_the_first_value_after_it(shown: list[Shown], longest: int) -> None:
    report = {"deadband": 100, "max_silence": f"{longest}s"}
    for now, last in zip(shown, passed(report, shown), strict=True):
        assert last is not None
        assert now.at_s - last.at_s < longest


@given(series(), st.sampled_from([1, 5, 10]))
def test_reports_of_one_quality_are_at_least_the_interval_apart(
    shown: list[Shown], shortest: int
) -> None:
    last = passed({"min_interval": f"{shortest}s"}, shown)
    reported = list(dict.fromkeys(one for one in last if one is not None))
    for before, after in pairwise(reported):
        assert after.at_s - before.at_s >= shortest or after.quality != before.quality

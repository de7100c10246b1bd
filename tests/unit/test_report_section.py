"""Section `report:` of the configuration, and the arithmetic of the operation report."""

from datetime import date
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from gateway.config import load_config
from gateway.errors import ConfigError
from gateway.indicators.buckets import Buckets, span_of
from gateway.indicators.model import Indicator, Period, quantile
from gateway.indicators.phrase import number, phrase, share
from gateway.indicators.plot import bars
from gateway.indicators.settings import ReportSection, Span

BASE = """\
version: 1
gateway: {id: gw-1, timezone: Asia/Shanghai}
links:
  meters: {driver: modbus, host: 127.0.0.1, port: 5020}
devices:
  meter-1: {profile: eastron-sdm120, link: meters, unit: 1}
"""


def loaded(folder: Path, section: str) -> ReportSection:
    path = folder / "gateway.yaml"
    path.write_text(f"{BASE}report: {section}\n", encoding="utf-8")
    return load_config(path).report


@pytest.mark.parametrize(
    ("section", "what"),
    [
        ('{peak: ["6-22"]}', "is no span of the day: write e.g."),
        ('{peak: ["06:02-22:00"]}', "is not in steps of 5 min"),
        ('{night: "24:30-03:00"}', "is no span of the day"),
        ('{night: "03:00-03:00"}', "is no span of the day"),
        ('{peak: ["06:00-22:00"], valley: ["21:00-06:00"]}', "21:00 is in two spans"),
        ("{online: 101}", "101"),
        ("{onlin: 99}", "onlin"),
        ("{min_households: 1}", "1"),
    ],
)
def test_a_wrong_target_or_span_is_refused_with_its_place(
    tmp_path: Path, section: str, what: str
) -> None:
    with pytest.raises(ConfigError) as refused:
        loaded(tmp_path, section)
    assert what in str(refused.value)
    assert "gateway.yaml:7" in str(refused.value)


def test_spans_run_past_midnight(tmp_path: Path) -> None:
    found = loaded(tmp_path, '{peak: ["08:00-11:00", "18:00-23:00"], valley: ["23:00-07:00"]}')
    rates = {hour: found.rate(hour * 60) for hour in (0, 6, 7, 8, 11, 18, 22, 23)}
    assert rates == {
        0: "valley",
        6: "valley",
        7: "flat",
        8: "peak",
        11: "flat",
        18: "peak",
        22: "peak",
        23: "valley",
    }
    assert str(Span(1380, 420)) == "23:00-07:00"


def test_a_day_and_a_week_are_local_also_where_the_clocks_change() -> None:
    zone = ZoneInfo("Europe/Berlin")
    since, until = span_of(date(2025, 3, 30), 1, zone)
    assert until - since == 23 * 3600
    assert (
        len(Buckets(Period(since, until, since, until, since, until), zone, week=False).starts)
        == 23
    )
    since, until = span_of(date(2025, 3, 31), 7, zone)
    at = Buckets(Period(since, until, since, until, since, until), zone, week=True)
    assert len(at.starts) == 7
    assert [at.index(t) for t in (since, until - 1)] == [0, 6]


def test_a_share_is_not_rounded_up_to_all_and_percentiles_are_values_that_were_seen() -> None:
    assert [share(v) for v in (100.0, 99.9999, 99.94, 0.0, 33.333)] == [
        "100 %",
        "99.9 %",
        "99.9 %",
        "0 %",
        "33.3 %",
    ]
    assert [number(v) for v in (0.0, 1234567.0, 12.345, 0.01234)] == [
        "0",
        "1,234,567",
        "12.35",
        "0.0123",
    ]
    assert [quantile([4.0, 1.0, 3.0, 2.0], share) for share in (0.5, 0.75, 0.95)] == [2.0, 3.0, 4.0]


def test_what_stands_in_a_chart_cannot_break_out_of_it() -> None:
    plot = bars('"><script>', ["<b>"], {"life": [1.0]})
    assert "<script>" not in plot
    assert "<b>" not in plot
    assert "nan" not in bars("empty", [], {"life": []})


def test_names_that_people_gave_are_not_translated() -> None:
    link = phrase(Indicator("link", "%", 100.0, 1, 1, 1.0, "lights"), "zh")
    facility = phrase(Indicator("online", "%", 100.0, 1, 1, 1.0, "lights"), "zh")
    assert (link.name, facility.name) == ("连接可用率: lights", "设备在线率: 智慧路灯")

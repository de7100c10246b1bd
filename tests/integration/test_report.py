"""The operation report of a day: every figure once more from the raw journal, and the page in a browser."""

import json
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from datetime import date
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from gateway.driver import stale_after_s
from gateway.indicators.gather import Asked, Compound, gather
from gateway.indicators.words import GROUPS, INDICATORS
from tests.harness.browser import find_browser, opened
from tests.harness.chronicle import BEGIN, DAY, LIGHTS, MIDNIGHT, NS, Chronicle
from tests.harness.recount import Recount, Told

HOMES = ["meter-101", "meter-102", "meter-103", "meter-201", "meter-202"]
METERS = [*HOMES, "pump"]
POLLED = [*METERS, "water"]
Figures = dict[tuple[str, str], dict[str, Any]]


@pytest.fixture(scope="module")
def day(tmp_path_factory: pytest.TempPathFactory) -> Chronicle:
    return Chronicle(tmp_path_factory.mktemp("compound"))


@pytest.fixture(scope="module")
def recount(day: Chronicle) -> Recount:
    return Recount(day.config.state_dir, MIDNIGHT)


@pytest.fixture(scope="module")
def figures(day: Chronicle) -> Figures:
    return report(day)


def command(
    day: Chronicle, *arguments: str, sabotage: str = "", config: Path | None = None
) -> subprocess.CompletedProcess[str]:
    run = ["tests.harness.sabotage", sabotage] if sabotage else ["gateway.cli.main"]
    code = (
        [sys.executable, "-m", *run]
        if sabotage
        else [str(Path(sys.executable).with_name("gateway"))]
    )
    return subprocess.run(
        [*code, "report", "-c", str(config or day.path), *arguments],
        capture_output=True,
        text=True,
        check=False,
    )


def report(day: Chronicle, *, sabotage: str = "") -> Figures:
    ran = command(day, "--day", DAY, "--json", sabotage=sabotage)
    assert ran.returncode == 0, ran.stderr
    found = {(i["id"], i["subject"]): i for i in json.loads(ran.stdout)["indicators"]}
    assert {id_ for id_, _subject in found} <= set(INDICATORS)
    return found


def parts(found: Figures, id_: str, subject: str = "") -> tuple[Any, Any]:
    indicator = found[id_, subject]
    return indicator["numerator"], indicator["denominator"]


def near(value: float) -> Any:
    return pytest.approx(value, rel=1e-9, abs=1e-9)


def check_data(found: Figures, again: Recount, day: Chronicle) -> None:
    grace = {name: stale_after_s(device) for name, device in day.config.devices.items()}
    for facility, names in (("utilities", POLLED), ("lights", list(LIGHTS))):
        online = again.online({name: grace[name] for name in names})
        assert parts(found, "online", facility) == online
    stored = again.stored(set(POLLED))
    due = {
        (name, point.id): 1440
        for name in POLLED
        for point in day.config.devices[name].profile.points
    }
    wanted = sum(min(stored[key], count) for key, count in due.items())
    assert parts(found, "completeness") == (wanted, sum(due.values()))
    good = sum(len(raw.values) for raw in again.raw)
    assert parts(found, "validity") == (good, good + sum(raw.bad for raw in again.raw))
    assert parts(found, "timely") == (sum(raw.age_s < 30 for raw in again.raw), len(again.raw))
    assert parts(found, "clock") == (sum(raw.clock_ok for raw in again.raw), len(again.raw))
    assert parts(found, "facilities") == (2, 13)


def check_energy(found: Figures, again: Recount) -> None:
    for subject, names in (("homes", HOMES), ("others", ["pump"])):
        rises = [rise for name in names for rise in again.rises(name, "elec.energy.import")]
        total = sum(rise for _at, rise, _gap in rises)
        assert found["energy", subject]["value"] == near(total)
        known = [(again.hours(at), rise) for at, rise, gap in rises if gap <= 3]
        rated = sum(rise for _hour, rise in known)
        assert found["peak", subject]["coverage"] == near(rated / total)
        peak = sum(rise for hour, rise in known if 6 <= hour < 22)
        assert parts(found, "peak", subject) == (near(peak), near(rated))
        assert parts(found, "valley", subject) == (near(rated - peak), near(rated))
        night = sum(rise for hour, rise in known if 2 <= hour < 4)
        assert found["night_load", subject]["value"] == near(night / (2 * len(names)))
    assert found["energy_household", ""]["value"] == near(again.households(HOMES))
    assert found["energy_meter", "水泵房"]["value"] == found["energy", "others"]["value"]
    assert found["night_flow", "总水表"]["value"] == near(again.night_m3("water"))


def check_lights(found: Figures, again: Recount) -> None:
    lit, known, wanted = again.lit(list(LIGHTS))
    assert parts(found, "lit") == (lit, known)
    assert found["lit", ""]["coverage"] == near(known / wanted)
    assert parts(found, "lamp_failures") == (2, 3)  # one of them since the day before
    burned = [r for r in again.raw if r.device in LIGHTS and r.values.get("light.level")]
    hours = parts(found, "lamp_energy")[1]
    assert (
        abs(hours - len(burned) / 60) <= 1.5
    )  # whole windows, and the ten minutes after the last word
    kwh = sum(rise for name in LIGHTS for _at, rise, _gap in again.rises(name, "elec.energy.total"))
    assert parts(found, "lamp_energy")[0] == near(kwh)


def alarms(events: list[Told]) -> Iterator[Told]:
    for event in events:
        if event.kind == "alarm_raised" or (event.kind == "point_alarm" and event.body["value"]):
            yield event


def check_notices(found: Figures, again: Recount) -> None:
    ended = [event for event in again.day if event.kind == "notified"]
    notices = {event.id: event for event in again.day if event.kind == "notification"}
    good = [event for event in ended if event.body["outcome"] == "delivered"]
    assert parts(found, "notified") == (len(good), len(ended))
    raise_ = next(event for event in again.day if event.id == notices[good[0].cause or b""].cause)
    assert found["notify", "p95"]["value"] == (good[0].time_ns - raise_.time_ns) / 1e9  # the first
    assert parts(found, "notify", "p95") == (1, len(notices))


def check_events(found: Figures, again: Recount) -> None:
    raised = list(alarms(again.day))
    for number, name in enumerate(("operational", "safety", "life"), 1):
        assert found["alarms", name]["value"] == sum(event.severity == number for event in raised)
    assert parts(found, "alarms_per_100") == (len(raised), len(HOMES))
    assert found["alarms_per_100", ""]["value"] == near(100 * len(raised) / len(HOMES))
    subjects = {event.body.get("instance") or event.device for event in raised}
    assert parts(found, "repeats") == (len(raised) - len(subjects), len(raised))
    times = [event.time_ns for event in raised]
    assert found["flood", ""]["value"] == max(
        sum(t - 600 * 10**9 < u <= t for u in times) for t in times
    )
    begun = {event.id: event.time_ns for event in again.events}
    ends = sorted(
        (e.time_ns - begun[e.cause]) / 1e9
        for e in again.day
        if e.kind == "alarm_cleared" and e.cause
    )
    assert found["close", "p50"]["value"] == ends[1]  # of four
    assert found["close", "p95"]["value"] == ends[3]
    assert parts(found, "close", "p50") == (len(ends), len(raised))
    seen = found["acknowledge", "p50"]
    assert (seen["value"], seen["why"]) == (None, "none_seen")
    check_notices(found, again)
    results = [event for event in again.day if event.kind == "command_result"]
    good = sum(event.body["outcome"] == "confirmed" for event in results)
    assert parts(found, "commands") == (good, len(results))
    caused = next(event for event in results if event.cause)
    raise_ = next(event for event in again.events if event.id == caused.cause)
    assert found["reaction", "p95"]["value"] == (caused.received_ns - raise_.received_ns) / 1e9
    assert parts(found, "link", "meters") == (86_400 - 900, 86_400)
    assert parts(found, "repair", "meters") == (900, 1)
    assert found["losses", ""]["value"] == found["loss", "store_stalled"]["value"] == 17


def check_delivery(found: Figures, again: Recount, day: Chronicle) -> None:
    records = [(2, raw.seq, raw.time_ns) for raw in again.raw]
    records += [(event.lane, event.seq, event.time_ns) for event in again.day if event.lane < 2]
    waiting = [(lane, seq, at) for lane, seq, at in records if seq > day.taken[lane]]
    made = len(records)
    assert parts(found, "delivered", "platform") == (made - len(waiting), made)
    assert parts(found, "unsent", "platform") == (len(waiting), made)


def test_every_figure_of_the_report_is_what_the_raw_journal_says(
    day: Chronicle, recount: Recount, figures: Figures
) -> None:
    check_data(figures, recount, day)
    check_energy(figures, recount)
    check_lights(figures, recount)
    check_events(figures, recount)
    check_delivery(figures, recount, day)
    for indicator in figures.values():
        assert indicator["window"] == {
            "since": "2025-03-02T16:00:00.000000000Z",
            "until": "2025-03-03T16:00:00.000000000Z",
        }
        assert indicator["value"] is not None or indicator["why"]


def test_a_report_of_the_rollups_alone_would_be_found_out(day: Chronicle, recount: Recount) -> None:
    found = report(day, sabotage="report_without_the_newest")
    with pytest.raises(AssertionError):
        check_data(found, recount, day)
    with pytest.raises(AssertionError):
        check_energy(found, recount)


def test_a_few_households_are_not_told_of(day: Chronicle) -> None:
    text = day.path.read_text(encoding="utf-8")
    day.path.write_text(text.replace("min_households: 5", "min_households: 6"), encoding="utf-8")
    try:
        ran = command(day, "--day", DAY, "--json")
        sabotaged = report(day, sabotage="report_of_few_households")
    finally:
        day.path.write_text(text, encoding="utf-8")
    told = json.loads(ran.stdout)
    homes = [
        i for i in told["indicators"] if i["subject"] == "homes" or i["id"] == "energy_household"
    ]
    assert [(i["value"], i["numerator"], i["why"]) for i in homes] == [(None, None, "too_few")] * 2
    assert all(name not in ran.stdout for name in HOMES)
    assert not [chart for chart in told["charts"] if chart["id"] == "energy"]
    assert sabotaged["energy", "homes"]["value"] is not None


def test_targets_say_whether_they_were_shipped_or_set_for_the_compound(figures: Figures) -> None:
    goal = {"limit": 95, "at_least": True, "shipped": False, "met": True}
    assert figures["online", "lights"]["target"] == goal
    assert figures["timely", ""]["target"] == {
        "limit": 99,
        "at_least": True,
        "shipped": True,
        "met": False,
    }
    assert figures["lamp_failures", ""]["target"] == {
        "limit": 5,
        "at_least": False,
        "shipped": True,
        "met": False,
    }


def test_the_report_says_what_is_wrong_with_what_was_asked(day: Chronicle) -> None:
    for arguments, code, words in (
        (("--day", "2025-13-01"), 64, "'2025-13-01' is no date"),
        (("--week", "2999-01-01"), 64, "has not come yet"),
        (("--day", "2025-02-01"), 1, "holds no samples of that time"),
        (("--day", DAY, "--html", str(day.path.with_name("a.json"))), 64, "would overwrite"),
    ):
        ran = command(day, *arguments)
        assert (ran.returncode, words in ran.stderr) == (code, True), ran.stderr


def test_a_week_has_a_bar_for_each_day_and_says_how_much_of_it_is_known(day: Chronicle) -> None:
    ran = command(day, "--week", DAY, "--json")
    told = json.loads(ran.stdout)
    assert told["coverage"] == pytest.approx(26 / (7 * 24), rel=1e-3)
    assert {len(chart["starts"]) for chart in told["charts"]} == {7}
    table = command(day, "--week", DAY, "--lang", "en")
    assert "Operation report · 玉华苑" in table.stdout
    assert "targets are reached" in table.stdout


def test_a_day_that_is_not_over_is_judged_by_what_has_passed_of_it(day: Chronicle) -> None:
    config, now_ns = day.config, BEGIN * NS + 2_833 * NS  # 47 min and 13 s after the first samples
    site = Compound(
        "gw-1", "", ZoneInfo("Asia/Shanghai"), config.state_dir, config.devices, config.report, {}
    )
    sheet = gather(site, Asked(date(2025, 3, 2), False, now_ns), lambda _count, _total: None)
    found = {(i.id, i.subject): i for i in sheet.indicators}
    points = sum(len(config.devices[name].profile.points) for name in POLLED)
    assert found["completeness", ""].denominator == 47 * points
    assert (found["completeness", ""].value or 0) > 90
    assert found["online", "utilities"].value == 100
    assert sheet.period.coverage == pytest.approx(2_833 / (22 * 3600 + 2_833), rel=1e-3)
    assert found["peak", "homes"].value == 0  # it is night


def test_damaged_samples_are_told_and_lower_what_is_known(
    day: Chronicle, tmp_path: Path, figures: Figures
) -> None:
    copy = tmp_path / "site"
    shutil.copytree(day.path.parent, copy)
    with closing(sqlite3.connect(next((copy / "state" / "ts").glob("*.db")))) as db:
        db.execute(
            "UPDATE chunk SET body = x'00' WHERE first = (SELECT first FROM chunk ORDER BY first LIMIT 1 OFFSET 60)"
        )
        db.commit()
    ran = command(day, "--day", DAY, "--json", config=copy / day.path.name)
    assert ran.returncode == 0, ran.stderr
    found = {(i["id"], i["subject"]): i for i in json.loads(ran.stdout)["indicators"]}
    assert found["unreadable", ""]["value"] == 1
    assert ("unreadable", "") not in figures
    assert found["validity", ""]["coverage"] == pytest.approx(143 / 144)
    assert found["validity", ""]["denominator"] < figures["validity", ""]["denominator"]
    assert (
        found["energy", "homes"]["value"] == figures["energy", "homes"]["value"]
    )  # rollups have it


def test_every_indicator_has_its_place_on_the_page() -> None:
    assert sorted(id_ for ids in GROUPS.values() for id_ in ids) == sorted(INDICATORS)


@pytest.mark.timeout(60)
async def test_the_page_fits_a_phone_a_screen_and_paper_and_asks_for_nothing(
    day: Chronicle, tmp_path: Path
) -> None:
    browser = find_browser()
    if browser is None:
        pytest.skip("no Chromium; install it with: sudo apt-get install chromium")
    for language in ("zh", "en"):
        page = tmp_path / f"{language}.html"
        assert command(day, "--day", DAY, "--html", str(page), "--lang", language).returncode == 0
        assert json.loads(page.with_suffix(".json").read_text(encoding="utf-8"))["report"] == 1
    week = tmp_path / "week.html"
    assert command(day, "--week", DAY, "--html", str(week), "--lang", "zh").returncode == 0
    async with opened(browser) as seen:
        await seen.show(week, 360)
        assert await seen.beyond() <= 0
        assert "周报" in await seen.text()
        for language, words in (("zh", "运行报告"), ("en", "Operation report")):
            for width, media in ((360, ""), (412, ""), (1280, ""), (794, "print")):
                await seen.show(tmp_path / f"{language}.html", width, media=media)
                assert await seen.beyond() <= 0, (language, width)
                assert words in await seen.text()
        assert seen.wrong == []
        assert {url.split(":")[0] for url in seen.asked} <= {"file", "data"}
        broken = tmp_path / "broken.html"  # what the checks are worth
        broken.write_text('<body><div style="width:900px">x</div><script>nothing()</script>')
        await seen.show(broken, 360)
        assert await seen.beyond() > 0
        assert seen.wrong

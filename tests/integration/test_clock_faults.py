"""A machine without a clock that runs while it is off: it boots in 1970, is set, or never is."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from gateway.snapshot import Snapshot
from tests.harness.compound import GROUP_COMMIT_S, Site, site
from tests.harness.oracle import Arrived, missing_reads
from tests.harness.steered import SECOND, YEAR_S, Steered
from tests.integration.test_daemon import gateway

POLL_S = 0.5
READS = 4  # of the meter, before the clock is set
FOR_S = 1.0
TOLERANCE_S = 0.1
RULE = """\
rules:
- id: high
  title: Voltage high
  for_each: {type: meter}
  when: it.elec.voltage.a > 250 V
  for: 1s
  alarm: {severity: operational}
"""


@asynccontextmanager
async def steered(folder: Path, sabotage: str) -> AsyncIterator[Site]:
    rule = folder / "high.yaml"
    rule.write_text(RULE, encoding="utf-8")
    async with site(folder, sabotage=sabotage, meters=1, lamp_interval_s=60, rules=rule) as one:
        yield one


def delivered(status: Snapshot) -> bool:
    return all(lane["backlog"] == 0 for sink in status["upstream"] for lane in sink["lanes"])


def alarms(arrived: Arrived) -> list[dict[str, Any]]:
    return [event for event in arrived.events if event["kind"] == "point_alarm"]


async def first_samples_missing(folder: Path, sabotage: str) -> tuple[int, Arrived]:
    """Reads before the clock was set that did not arrive with the time they had, and what did."""
    clock = Steered(folder)
    async with steered(folder, sabotage) as one:
        status = await one.daemon.until(
            lambda s: next(d for d in s["devices"] if d["id"] == "meter-1")["good"] >= READS
        )
        assert status["clock"]["ok"] is False
        one.running.lights[0].lamps["light-1"].fail(failed=True)
        async with asyncio.timeout(10):  # an alarm does not wait for the clock
            while not alarms(Arrived.read(one.platform_log)):
                await asyncio.sleep(0.1)
        clock.right()
        set_ns = clock.shown_ns()
        await one.daemon.until(lambda s: s["clock"]["ok"])
        await asyncio.sleep(2 * GROUP_COMMIT_S)
        await one.daemon.until(delivered, 20)
    arrived = Arrived.read(folder / "platform.jsonl")
    return len(missing_reads(folder / "devices.jsonl", arrived, set_ns)), arrived


@pytest.mark.timeout(60)
async def test_what_came_before_the_clock_was_set_gets_its_time_when_it_is(tmp_path: Path) -> None:
    missing, arrived = await first_samples_missing(tmp_path, "steered_clock")
    assert missing == 0
    early = [sample for sample in arrived.samples if not sample["clock_ok"]]
    assert len(early) >= READS
    assert {sample["ts_quality"] for sample in early} == {"backfilled"}
    assert all("ts_quality" not in s for s in arrived.samples if s["clock_ok"])
    (alarm,) = alarms(arrived)  # sent before anybody knew what time it was
    assert (alarm["clock_ok"], alarm["ts_quality"]) == (False, "unknown")
    steps = [e["attributes"] for e in arrived.events if e["kind"] == "clock_step"]
    assert [step["trusted"] for step in steps] == [True]
    assert steps[0]["seconds"] > 50 * YEAR_S


@pytest.mark.chaos
@pytest.mark.timeout(60)
async def test_teeth_without_back_fill_samples_stay_in_1970(tmp_path: Path) -> None:
    missing, _arrived = await first_samples_missing(tmp_path, "no_backfill")
    assert missing >= READS


STEPS_S = (3600.0, -3600.0, -1.0, 56 * YEAR_S, -56 * YEAR_S)  # the third: a leap second


async def delays(
    folder: Path, sabotage: str, steps: Sequence[float]
) -> tuple[list[float], list[dict[str, Any]]]:
    """How long `for: 1s` lasted by the machine's own time while the wall clock leaps and drifts."""
    clock = Steered(folder, synced=True)
    clock.right()
    async with steered(folder, sabotage) as one:
        farm = one.running.farms[0]
        for seconds in steps:
            farm.set_voltage("meter-1", 258.0)
            await asyncio.sleep(POLL_S + 0.1)  # the delay runs by now
            clock.step(seconds)
            await one.daemon.until(lambda s: len(s["alarms"]) == 1)
            farm.set_voltage("meter-1", None)
            await one.daemon.until(lambda s: not s["alarms"])
            clock.set(clock.shown_ns(), synced=True, drift_ppm=500)
        _code, text = await gateway("store", "export", "-c", one.daemon.config)
    records = [json.loads(line) for line in text.splitlines() if line.startswith("{")]
    return _delays(records), records


def _delays(records: list[dict[str, Any]]) -> list[float]:
    """From the first reading above the limit to the alarm, for each alarm."""
    found, began = [], None
    for record in sorted(records, key=lambda r: (int(r["received_ns"]), r["lane"])):
        at = int(record["received_ns"])
        if record.get("kind") == "alarm_raised" and began is not None:
            found.append((at - began) / SECOND)
        volts = record.get("values", {}).get("elec.voltage.a")
        if volts is not None:
            began = None if volts < 250 else (began or at)
    return found


@pytest.mark.timeout(60)
async def test_no_delay_notices_a_wall_clock_that_leaps_or_drifts(tmp_path: Path) -> None:
    lasted, records = await delays(tmp_path, "steered_clock", STEPS_S)
    assert len(lasted) == len(STEPS_S)
    assert all(FOR_S <= one <= FOR_S + TOLERANCE_S for one in lasted), lasted
    for lane in {r["lane"] for r in records}:  # numbers and machine time go the same way
        mine = [r for r in records if r["lane"] == lane]
        told = [int(r["received_ns"]) for r in sorted(mine, key=lambda r: (r["epoch"], r["seq"]))]
        assert lane == 2 or told == sorted(told)
    steps = [r["attributes"]["seconds"] for r in records if r.get("kind") == "clock_step"]
    assert [round(s / 3600) for s in steps] == [1, -1, 0, *(round(y * YEAR_S / 3600) for y in (56, -56))]  # fmt: skip


@pytest.mark.chaos
@pytest.mark.timeout(60)
async def test_teeth_timers_of_the_wall_clock_are_off(tmp_path: Path) -> None:
    lasted, _records = await delays(tmp_path, "wall_clock_timer", STEPS_S[:1])
    assert not all(FOR_S <= one <= FOR_S + TOLERANCE_S for one in lasted), lasted


BOOTS = 4  # the first and the last know the time
QUALITIES = [None, "unknown", "unknown", "backfilled"]


async def boots_without_a_time(tmp_path: Path, sabotage: str) -> None:
    """Each tells of an alarm. The machine is off for no time: the clock shows 1970 at once."""
    clock, happened = Steered(tmp_path), []
    clock.right()
    async with steered(tmp_path, sabotage) as one:
        one.platform.vanish()
        lamp = one.running.lights[0].lamps["light-1"]
        await one.daemon.until(lambda s: s["clock"]["ok"])
        for boot in range(BOOTS):
            if boot:
                clock.boot()
                await one.daemon.start()
                await one.daemon.until(lambda s: s["links"][1]["state"] == "up")
            before, at_ns = (await one.daemon.status())["store"]["written"], time.time_ns()
            lamp.fail(failed=not lamp.failed)
            await one.daemon.until(lambda s, n=before: s["store"]["written"] > n)  # type: ignore[misc]
            happened.append((at_ns, time.time_ns()))
            if boot < BOOTS - 1:
                await one.daemon.kill()
        clock.right()
        await one.daemon.until(lambda s: s["clock"]["ok"])
        one.platform.come_back()
        await one.daemon.until(delivered, 30)
    arrived = Arrived.read(tmp_path / "platform.jsonl")
    told = sorted(alarms(arrived), key=lambda e: (e["epoch"], e["seq"]))
    assert [e["attributes"]["value"] for e in told] == [True, False, True, False]
    assert [e.get("ts_quality") for e in told] == QUALITIES
    # The boots of this test share the clock of one machine: each began when that did.
    began_ns = time.time_ns() - time.clock_gettime_ns(time.CLOCK_BOOTTIME)
    for event, (before_ns, after_ns) in zip(told[1:3], happened[1:3], strict=True):
        low, high = (int(bound) for bound in event["ts_bounds"])
        assert before_ns - SECOND <= low <= after_ns + SECOND, "a bound: as long after the start"
        assert abs(high - began_ns) < SECOND, "a bound: the start of the next boot"


@pytest.mark.timeout(60)
async def test_alarms_of_boots_that_never_knew_the_time_arrive_in_order(tmp_path: Path) -> None:
    await boots_without_a_time(tmp_path, "steered_clock")


@pytest.mark.chaos
@pytest.mark.timeout(60)
@pytest.mark.parametrize("sabotage", ["bounds_of_nobody", "bounds_of_the_boot"])
async def test_teeth_times_without_right_bounds_are_noticed(tmp_path: Path, sabotage: str) -> None:
    with pytest.raises((AssertionError, TypeError), match=r"a bound|NoneType"):
        await boots_without_a_time(tmp_path, sabotage)

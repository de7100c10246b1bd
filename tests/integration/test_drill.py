"""`gateway rules drill` on a compound that is whole, and on one with a door that does not obey."""

import asyncio
from pathlib import Path

import orjson
import pytest

from simulators.ledger import arrivals
from tests.harness.blaze import GUARDS, Blaze, blaze
from tests.harness.bluez import needs_dbus
from tests.integration.test_daemon import gateway

pytestmark = [needs_dbus, pytest.mark.timeout(90)]

FIRE = "fire-confirmed[1/1-1]"


async def drill(one: Blaze, *words: str) -> tuple[int, str]:
    return await gateway("rules", "drill", *words, "-c", one.daemon.config)


async def test_a_drill_does_what_a_fire_would_checks_each_answer_and_raises_no_alarm(
    tmp_path: Path,
) -> None:
    async with blaze(tmp_path, 1, sabotage=None, rate=0) as one, one.platform():
        await one.daemon.until(lambda s: s["upstream"][0]["state"] == "up")
        code, text = await drill(one, FIRE, "--dry")
        assert (code, "write door-1.door.lock = unlocked  not done" in text) == (0, True), text
        assert one.wire.writes == []
        code, text = await drill(one, FIRE)
        assert (code, text.splitlines()[-1].strip()) == (0, "passed"), text
        assert {(w.device, w.value) for w in one.wire.writes} == {
            ("door-1", "unlocked"),
            ("light-1", 100),
            (GUARDS, "DRILL, no alarm: Confirmed fire"),
        }
        assert (await one.daemon.status())["alarms"] == []
        assert await one.raised() == []
        one.doors.stop("door-1")
        code, text = await drill(one, FIRE)
        assert (code, "FAILED" in text) == (1, True), text
        code, text = await drill(one, "--list", FIRE, "--json")
        assert [report["ok"] for report in orjson.loads(text)] == [False, True]
        report = orjson.loads(text)[0]
        assert [s["target"] for s in report["steps"] if s["outcome"] != "confirmed" and s["what"] == "write"] == ["door-1.door.lock"]  # fmt: skip
        assert (tmp_path / "state" / "drills" / f"{report['id']}.txt").exists()
        code, text = await drill(one, "smoke-prealarm")
        assert (code, "has several instances" in text) == (1, True), text
        await told(one)


async def told(one: Blaze) -> None:
    """The platform has begin and end of both drills, marked as such, and nothing that is an alarm."""

    def found() -> list[dict[str, object]]:
        return [item for item in arrivals(tmp_log) if "kind" in item]

    tmp_log = one.folder / "platform.jsonl"
    async with asyncio.timeout(10):
        while sum(item["kind"] == "drill" for item in await asyncio.to_thread(found)) < 5:
            await asyncio.sleep(0.05)
    events = await asyncio.to_thread(found)
    drills = [item["attributes"] for item in events if item["kind"] == "drill"]
    assert all(isinstance(about, dict) and about["drill"] is True for about in drills)
    assert not {"alarm_raised", "point_alarm"} & {str(item["kind"]) for item in events}
    notices = [item["attributes"] for item in events if item["kind"] == "notification"]
    assert all("'drill': True" in str(about) for about in notices)


async def test_a_drill_that_believes_every_write_passes_with_a_dead_door(tmp_path: Path) -> None:
    async with blaze(tmp_path, 1, sabotage="drill_believes_itself", rate=0) as one, one.platform():
        await one.daemon.until(lambda s: s["upstream"][0]["state"] == "up")
        one.doors.stop("door-1")
        assert (await drill(one, FIRE))[0] == 0

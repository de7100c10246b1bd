"""What rules write to real Modbus coils and MQTT lamps: confirmed, tried again, given up."""

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path

import orjson

from tests.harness.broker import until
from tests.harness.stubborn import Stubborn, stubborn
from tests.integration.test_daemon import gateway

TRIED_S = 3.0  # three attempts of half a second, a second between two writes, and some room


def results(folder: Path) -> list[tuple[str, str]]:
    """(point, outcome) of the commands of the rule that have ended."""
    query = "SELECT body FROM event WHERE kind='command_result' ORDER BY id"
    with closing(sqlite3.connect(f"file:{folder}/state/core.db?mode=ro", uri=True)) as db:
        found = [orjson.loads(row[0]) for row in db.execute(query)]
    return [(one["point"], one["outcome"]) for one in found if one.get("by") == "evacuate"]


async def given_up(site: Stubborn) -> None:
    """The switch is on, and everything has been tried."""
    await site.say("switch", 100)
    await until(lambda: "unlocked" in site.of("door-1"), 5)
    await asyncio.sleep(TRIED_S)  # what must not happen takes its time


async def test_doors_that_stay_shut_are_tried_again_and_what_comes_on_failure_comes_once(
    tmp_path: Path,
) -> None:
    async with stubborn(tmp_path) as site:
        site.stuck |= {"door-1", "door-2"}
        await given_up(site)
        await asyncio.sleep(1.0)  # so long after the first a second write of the sign would come
        assert site.of("door-2") == ["unlocked"] * 3
        assert site.of("sign") == [7], "for both doors together"
        assert site.of("lamp") == [80]
        async with asyncio.timeout(5):
            while len(found := await asyncio.to_thread(results, tmp_path)) < 5:
                await asyncio.sleep(0.05)
        assert sorted(found) == [
            ("door.lock", "unconfirmed"), ("door.lock", "unconfirmed"),
            ("light.level", "confirmed"), ("light.level", "confirmed"), ("relay.on", "confirmed"),
        ]  # fmt: skip


async def test_a_lamp_that_misses_commands_is_told_again_and_the_next_step_waits_for_it(
    tmp_path: Path,
) -> None:
    async with stubborn(tmp_path) as site:
        site.deaf["lamp"] = 2
        await site.say("switch", 100)
        await until(lambda: "on" in site.of("door-1"), 8)
        assert site.of("lamp") == [80] * 3
        assert site.of("sign") == []
        assert site.of("door-2") == ["unlocked"], "it did at once what it was told"
        order = [write.device for write in site.writes if write.value in (80, "on")]
        assert order == ["lamp", "lamp", "lamp", "door-1"]


async def test_a_lamp_that_does_not_keep_what_is_held_is_told_again(tmp_path: Path) -> None:
    async with stubborn(tmp_path) as site:
        await site.say("switch", 100)
        await until(lambda: "on" in site.of("door-1"), 8)
        await site.say("lamp", 10)
        await until(lambda: site.of("lamp") == [80, 80], 5)


async def test_a_person_holds_a_lamp_for_a_while_and_then_the_rule_has_it_back(
    tmp_path: Path,
) -> None:
    async with stubborn(tmp_path) as site:
        await site.say("switch", 100)
        await until(lambda: "on" in site.of("door-1"), 8)
        config = ("-c", site.daemon.config)
        code, text = await gateway("command", "lamp", "light.level", "30", "--hold", "2s", *config)
        assert (code, "confirmed" in text) == (0, True), text
        assert site.of("lamp") == [80, 30]
        await until(lambda: site.of("lamp") == [80, 30, 80], 5)
        code, text = await gateway("command", "lamp", "light.level", "30", "--hold", "2", *config)
        assert (code, "is no time" in text) == (64, True), text


async def test_without_a_look_at_the_feedback_nothing_fails(tmp_path: Path) -> None:
    async with stubborn(tmp_path, sabotage="believe_every_write") as site:
        site.stuck |= {"door-1", "door-2"}
        await given_up(site)
        assert site.of("sign") == []


async def test_when_nothing_is_tried_again_one_attempt_is_all(tmp_path: Path) -> None:
    async with stubborn(tmp_path, sabotage="write_once") as site:
        site.stuck |= {"door-1", "door-2"}
        await given_up(site)
        assert site.of("door-2") == ["unlocked"]


async def test_when_each_failure_counts_what_comes_on_failure_comes_twice(tmp_path: Path) -> None:
    async with stubborn(tmp_path, sabotage="fail_for_each") as site:
        site.stuck |= {"door-1", "door-2"}
        await given_up(site)
        await until(lambda: site.of("sign") == [7, 7], 5)

"""The whole gateway on a card that fails: people are protected, nothing acknowledged is lost."""

import asyncio
import json
from pathlib import Path

import aiomqtt
import orjson
import pytest

from gateway.snapshot import Snapshot
from tests.harness.card import card
from tests.harness.compound import GROUP_COMMIT_S, Site, site
from tests.harness.oracle import Arrived

# Stands for a fire linkage: an alarm to life that switches every lamp on.
LINKAGE = """\
rules:
- id: linkage
  for_each: {type: light, has: env.illuminance}
  when: it.env.illuminance < 40 lx
  until: it.env.illuminance > 120 lx
  alarm: {severity: life}
  do:
  - set: {device: it, point: light.level, value: 100 %}
"""


def rules(folder: Path) -> Path:
    path = folder / "rules"
    path.mkdir()
    (path / "linkage.yaml").write_text(LINKAGE)
    return path


def works(status: Snapshot) -> bool:
    return status["store"]["state"] == "ok" and status["store"]["queued"] < 100


def delivered(status: Snapshot) -> bool:
    return works(status) and all(x["backlog"] == 0 for s in status["upstream"] for x in s["lanes"])


async def raised(log: Path) -> list[dict[str, object]]:
    """Lines of the platform's log about the alarm of the linkage."""
    text = await asyncio.to_thread(log.read_text)
    lines = [json.loads(line) for line in text.splitlines()]
    return [line for line in lines if line.get("kind") == "alarm_raised"]


async def until_on(one: Site) -> float:
    """Seconds until every lamp is on."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    lamps = one.running.lights[0].lamps.values()
    async with asyncio.timeout(5):
        while any(lamp.level != 100 for lamp in lamps):
            await asyncio.sleep(0.01)
    return loop.time() - began


async def told(client: aiomqtt.Client, number: int) -> None:
    payload = {"id": f"m-{number}", "values": {"elec.energy.total": number + 0.5}}
    await client.publish("d/l1/event", orjson.dumps(payload), qos=1)


async def fire_on_a_failing_card(tmp_path: Path, sabotage: str | None = None) -> None:
    with card(tmp_path / "card.img", tmp_path / "state") as flaky:
        async with site(
            tmp_path, rules=rules(tmp_path), lamp_interval_s=0.2, meters=1, sabotage=sabotage
        ) as one:
            lights = one.running.lights[0]
            lights.set_illuminance(500.0)
            await one.daemon.until(delivered)
            async with (
                aiomqtt.Client("127.0.0.1", one.lights_port, protocol=aiomqtt.ProtocolVersion.V5) as client
            ):  # fmt: skip
                await told(client, 1)
                await asyncio.to_thread(flaky.turn_read_only)
                await told(client, 2)
                status = await one.daemon.until(lambda s: s["store"]["state"] == "failed")
                assert status["health"]["word"] == "critical"
                assert "storage" in status["health"]["reasons"][0]
                lights.set_illuminance(5.0)
                assert await until_on(one) < 1.0
                async with asyncio.timeout(10):
                    while len(alarms := await raised(one.platform_log)) < len(lights.lamps):
                        await asyncio.sleep(0.05)
                assert {alarm["severity"] for alarm in alarms} == {"life"}
                assert {alarm.get("durable") for alarm in alarms} == {False}
                answer = await one.daemon.ask("command", device="light-1", point="light.level", value=100)  # fmt: skip
                assert answer["outcome"] in {"confirmed", "overridden"}
                status = await one.daemon.status()
                assert all(link["state"] == "up" for link in status["links"])
                assert status["store"]["dropped"]["storage_failed"] > 0, "polled samples"
                await told(client, 3)
                await asyncio.to_thread(flaky.replace)
                status = await one.daemon.until(works)
                assert status["store"]["epoch"] > 0
                await told(client, 4)
            await asyncio.sleep(2 * GROUP_COMMIT_S)
            await one.daemon.until(delivered, 30)
            status = await one.daemon.status()
            assert all(link["connects"] == 1 for link in status["links"])
            assert await one.daemon.stop() == 0
        again = await raised(one.platform_log)
        assert len(again) == 2 * len(lights.lamps), "stored, and sent again"
        assert sum("durable" not in line for line in again) == len(lights.lamps)
    arrived = Arrived.read(one.platform_log)
    values = [s["values"]["elec.energy.total"] for s in arrived.samples if set(s["values"]) == {"elec.energy.total"} and s["device"] == "light-1"]  # fmt: skip
    assert sorted(values) == [1.5, 2.5, 3.5, 4.5]
    told_of = [e["attributes"]["state"] for e in arrived.events if e["kind"] == "storage"]
    assert list(dict.fromkeys(told_of)) == ["failed", "ok"], "what the platform heard of storage"


@pytest.mark.timeout(90)
async def test_the_card_turns_read_only_during_a_fire_linkage(tmp_path: Path) -> None:
    await fire_on_a_failing_card(tmp_path)


@pytest.mark.chaos
@pytest.mark.timeout(90)
async def test_teeth_a_platform_that_does_not_hear_of_failing_storage_is_noticed(
    tmp_path: Path,
) -> None:
    with pytest.raises(AssertionError, match="what the platform heard of storage"):
        await fire_on_a_failing_card(tmp_path, "silent_storage")


@pytest.mark.timeout(90)
async def test_the_gateway_starts_on_a_card_that_is_read_only(tmp_path: Path) -> None:
    with card(tmp_path / "card.img", tmp_path / "state") as flaky:
        await asyncio.to_thread(flaky.turn_read_only)
        async with site(tmp_path, rules=rules(tmp_path), lamp_interval_s=0.2, meters=1) as one:
            status = await one.daemon.until(lambda s: s["store"]["state"] == "failed")
            assert status["health"]["word"] == "critical"
            one.running.lights[0].set_illuminance(5.0)
            assert await until_on(one) < 1.0
            async with asyncio.timeout(10):
                while not (alarms := await raised(one.platform_log)):
                    await asyncio.sleep(0.05)
            assert alarms[0]["durable"] is False
            await asyncio.to_thread(flaky.replace)
            await one.daemon.until(works)
            await one.daemon.until(delivered, 30)
            assert await one.daemon.stop() == 0
        stored = [line for line in await raised(one.platform_log) if "durable" not in line]
        assert len(stored) == 3

"""Another configuration while the gateway runs and devices speak."""

import asyncio
import signal
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiomqtt
import orjson
import pytest

from gateway.snapshot import Snapshot
from tests.harness.compound import GROUP_COMMIT_S, Site, site
from tests.harness.oracle import Arrived
from tests.harness.ports import free_port
from tests.integration.test_daemon import gateway, healthy

LAMP_3 = "  light-3: {profile: streetlight-native, link: lights, topic_id: l3, tags: {use: street}}\n"  # fmt: skip
LAMP_4 = LAMP_3.replace("light-3", "light-4").replace("l3", "l4")
ENOUGH = 100  # messages
RULE = """\
rules:
  - id: power-high
    title: Much power
    for_each: {type: light}
    when: it.elec.power.total > 1 W
    alarm: {severity: operational}
"""


def change(one: Site, *changes: tuple[str, str]) -> None:
    text = one.daemon.config.read_text(encoding="utf-8")
    for old, new in changes:
        assert old in text, old
        text = text.replace(old, new)
    one.daemon.config.write_text(text, encoding="utf-8")


def delivered(status: Snapshot) -> bool:
    return all(lane["backlog"] == 0 for sink in status["upstream"] for lane in sink["lanes"])


def state(status: Snapshot, name: str) -> dict[str, Any]:
    return next(dict(x) for x in (*status["links"], *status["upstream"]) if x["name"] == name)


async def speak(port: int, told: list[int], over: asyncio.Event, pause_s: float) -> None:
    """A lamp publishes numbered messages, QoS 1, one after the other, until it is over."""
    async with aiomqtt.Client("127.0.0.1", port, protocol=aiomqtt.ProtocolVersion.V5) as client:
        while not over.is_set():
            number = len(told)
            payload = {"id": f"m-{number}", "values": {"elec.energy.total": number + 0.5}}
            await client.publish("d/l1/event", orjson.dumps(payload), qos=1)
            told.append(number)
            await asyncio.sleep(pause_s)


def arrived(one: Site) -> list[float]:
    """The numbers that the platform has."""
    return [
        s["values"]["elec.energy.total"] - 0.5
        for s in Arrived.read(one.platform_log).samples
        if s["device"] == "light-1" and set(s["values"]) == {"elec.energy.total"}
    ]


@asynccontextmanager
async def speaking(one: Site, pause_s: float = 0.005) -> AsyncIterator[list[int]]:
    """The numbers that the broker has; at the end all of them must have arrived, once each."""
    told: list[int] = []
    over = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        group.create_task(speak(one.lights_port, told, over, pause_s))
        try:
            yield told
            while len(told) < ENOUGH:
                await asyncio.sleep(0.05)
        finally:
            over.set()  # aiomqtt may swallow a cancellation (asyncio.wait_for of Python 3.11)
    await one.daemon.until(lambda _: set(told) <= set(arrived(one)), 30)
    await one.daemon.until(delivered, 30)
    assert len(arrived(one)) == len(set(arrived(one)))


@asynccontextmanager
async def running(folder: Path, **options: Any) -> AsyncIterator[Site]:
    async with site(folder, lamp_interval_s=60, meters=1, **options) as one:
        await one.daemon.until(healthy)
        yield one


async def reload(one: Site, *arguments: str) -> tuple[int, str]:
    return await gateway("reload", *arguments, "-c", one.daemon.config)


def kinds(told: Sequence[dict[str, Any]]) -> list[str]:
    return [event["kind"] for event in told if event["kind"].startswith("config_")]


async def add_a_lamp_and_a_rule(folder: Path, sabotage: str | None = None) -> None:
    async with running(folder, sabotage=sabotage) as one:
        (folder / "more").mkdir()
        (folder / "more" / "power.yaml").write_text(RULE, encoding="utf-8")
        before = await one.daemon.status()
        async with speaking(one):
            change(one, (LAMP_3, LAMP_4), ("rules: [", "rules: [more, "))
            code, text = await reload(one)
            assert (code, text.splitlines()[0]) == (0, "applied"), text
            assert "links changed: lights" in text
            assert "devices added: light-4" in text
            after = await one.daemon.until(lambda s: state(s, "lights")["state"] == "up")
        assert {d["id"] for d in after["devices"]} == {"meter-1", "light-1", "light-2", "light-4"}
        for name in ("meters", "platform"):  # nobody disturbed them
            was, now = state(before, name), state(after, name)
            assert (was["since_s"] < now["since_s"], now["state"]) == (True, "up")
            assert now["connects"] == was["connects"]
        assert (await one.daemon.ask("reload"))["outcome"] == "unchanged"
        assert "power-high[light-1]" in (await one.daemon.ask("rules"))["instances"]
        code, text = await gateway("audit", "list", "-c", one.daemon.config)
        assert "reload" in text
    told = Arrived.read(folder / "platform.jsonl").events
    assert kinds(told) == ["config_applied"]


@pytest.mark.timeout(60)
async def test_a_reload_restarts_one_link_and_loses_nothing(tmp_path: Path) -> None:
    await add_a_lamp_and_a_rule(tmp_path)


@pytest.mark.chaos
@pytest.mark.timeout(90)
@pytest.mark.parametrize("sabotage", ["restart_everything", "forget_sessions"])
async def test_teeth_a_reload_that_restarts_all_or_forgets_its_session_is_noticed(
    tmp_path: Path, sabotage: str
) -> None:
    with pytest.raises((AssertionError, ExceptionGroup)):
        await add_a_lamp_and_a_rule(tmp_path, sabotage)


@pytest.mark.timeout(60)
async def test_an_alarm_goes_on_over_a_reload_and_ends_with_its_rule(tmp_path: Path) -> None:
    async with running(tmp_path) as one:
        one.running.farms[0].set_voltage("meter-1", 258.0)
        first = await one.daemon.until(lambda s: len(s["alarms"]) == 1)
        change(one, (LAMP_3, LAMP_4))
        one.daemon.process.send_signal(signal.SIGHUP)
        after = await one.daemon.until(lambda s: any(d["id"] == "light-4" for d in s["devices"]))
        assert after["alarms"][0]["since_s"] >= first["alarms"][0]["since_s"]
        rules = one.daemon.config.read_text(encoding="utf-8").split("rules: ")[1].splitlines()[0]
        change(one, (rules, "[]"))
        code, text = await reload(one)
        assert (code, "rules removed" in text) == (0, True), text
        assert (await one.daemon.status())["alarms"] == []
        await one.daemon.until(delivered)
    told = Arrived.read(tmp_path / "platform.jsonl").events
    alarms = [e for e in told if e["kind"].startswith("alarm_")]
    assert [e["kind"] for e in alarms] == ["alarm_raised", "alarm_cleared"]
    assert alarms[1]["attributes"]["reason"] == "no longer configured"


async def break_a_link(folder: Path, sabotage: str | None = None) -> None:
    async with running(folder, sabotage=sabotage) as one:
        port = one.lights_port
        change(
            one,
            (f"mqtt://127.0.0.1:{port}", f"mqtt://127.0.0.1:{free_port()}"),
            ("log:", "reload: {rollback_after: 2s}\nlog:"),
        )
        async with speaking(one):
            code, text = await reload(one, "--wait")
            assert (code, "link lights was up" in text) == (1, True), text
            await one.daemon.until(lambda s: state(s, "lights")["state"] == "up")
        status = await one.daemon.status()
        assert "rolled back" in status["config"]["note"]
        assert status["health"]["word"] == "degraded"
    told = Arrived.read(folder / "platform.jsonl").events
    assert kinds(told) == ["config_applied", "config_rolled_back"]


@pytest.mark.timeout(60)
async def test_a_link_that_does_not_come_back_is_rolled_back(tmp_path: Path) -> None:
    await break_a_link(tmp_path)


@pytest.mark.chaos
@pytest.mark.timeout(90)
async def test_teeth_a_gateway_that_never_goes_back_is_noticed(tmp_path: Path) -> None:
    with pytest.raises((AssertionError, ExceptionGroup)):
        await break_a_link(tmp_path, "never_go_back")


@pytest.mark.timeout(60)
async def test_what_the_journal_has_of_a_removed_device_is_delivered_then_it_is_retired(
    tmp_path: Path,
) -> None:
    async with running(tmp_path, sabotage="quick_housekeeping") as one:
        one.platform.vanish()
        lamp = one.running.lights[0].lamps["light-3"]
        lamp.fail(failed=True)
        await one.daemon.until(
            lambda s: any(d["id"] == "light-3" and d["good"] for d in s["devices"])
        )
        change(one, (LAMP_3, ""))
        assert (await one.daemon.ask("reload"))["outcome"] == "applied"
        status = await one.daemon.until(lambda s: s["config"]["retiring"] == ["light-3"])
        assert all(device["id"] != "light-3" for device in status["devices"])
        await asyncio.sleep(2 * GROUP_COMMIT_S)
        assert (await one.daemon.status())["config"]["retiring"] == ["light-3"]
        one.platform.come_back()
        await one.daemon.until(lambda s: not s["config"]["retiring"], 20)
        await one.daemon.until(lambda _: "device_retired" in one.platform_log.read_text(), 20)
    arrived = Arrived.read(tmp_path / "platform.jsonl")
    told = [e["kind"] for e in arrived.events if e["device"] == "light-3"]
    assert "point_alarm" in told
    assert any(sample["device"] == "light-3" for sample in arrived.samples)
    (retired,) = [e for e in arrived.events if e["kind"] == "device_retired"]
    assert retired["attributes"] == {"device": "light-3"}

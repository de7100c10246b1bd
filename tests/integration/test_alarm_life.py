"""What operators do with alarms of a running gateway: at the command line, in the journal, in the audit log."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import orjson
import pytest

from gateway.snapshot import Snapshot
from simulators.modbus import Farm
from tests.harness.daemon import Daemon
from tests.harness.modbus import SDM120, farm_of
from tests.integration.test_profile_alarms import exported, gateway

CONFIG = """
version: 1
gateway: {{id: gw-test-01, timezone: Asia/Shanghai, state_dir: {folder}/state}}
rules: [{folder}/volts.yaml]
links:
  meters: {{driver: modbus, transport: tcp, host: 127.0.0.1, port: {port}}}
devices:
  meter-1: {{profile: eastron-sdm120, link: meters, unit: 1, poll: {{fast: 100ms, slow: 100ms}}}}
"""
RULES = """
rules:
- id: over
  title: Voltage high
  for_each: {id: meter-1}
  when: it.elec.voltage.a > 250 V
  alarm: {severity: safety, ack: required}
"""
OVER = "over[meter-1]"


def letters(status: Snapshot) -> dict[str, str]:
    return {alarm["instance"]: alarm["letter"] for alarm in status["alarms"]}


@asynccontextmanager
async def site(folder: Path, sabotage: str | None = None) -> AsyncIterator[tuple[Daemon, Farm]]:
    async with farm_of(("meter-1", SDM120, 1)) as farm:
        for point in SDM120.points:
            farm.set_value("meter-1", point.id, {"Hz": 50, "V": 230}.get(point.unit, 1))
        (folder / "volts.yaml").write_text(RULES)
        config = folder / "gateway.yaml"
        config.write_text(CONFIG.format(folder=folder, port=farm.port))
        daemon = Daemon(config, folder / "state", sabotage=sabotage)
        await daemon.start()
        try:
            await daemon.until(lambda status: bool(status["devices"][0]["live"]))
            yield daemon, farm
        finally:
            await daemon.stop()


async def ends_unseen(daemon: Daemon, farm: Farm) -> None:
    farm.set_value("meter-1", "elec.voltage.a", 258)
    await daemon.until(lambda status: letters(status) == {OVER: "B"})
    farm.set_value("meter-1", "elec.voltage.a", 230)
    await daemon.until(lambda status: letters(status) == {OVER: "D"}, timeout_s=3)


async def check_journal(daemon: Daemon) -> None:
    events = [one for one in await exported(daemon, 0) if one["device"] == "meter-1"]
    told = []
    for one in events:
        attributes = one["attributes"]
        assert isinstance(attributes, dict)
        told.append((one["kind"], attributes.get("change"), attributes.get("annunciate")))
    assert told == [
        ("alarm_changed", "shelved", None), ("alarm_raised", None, False), ("alarm_changed", "unshelved", None),
        ("alarm_changed", "annunciated", True), ("alarm_cleared", None, None), ("alarm_acked", "acked", None),
        ("alarm_changed", "out_of_service", None), ("alarm_changed", "in_service", None),
    ]  # fmt: skip
    raised = next(one for one in events if one["kind"] == "alarm_raised")
    acked = next(one for one in events if one["kind"] == "alarm_acked")
    assert acked["cause"] == raised["event_id"]


@pytest.mark.timeout(60)
async def test_operators_acknowledge_shelve_and_take_out_of_service(tmp_path: Path) -> None:
    async with site(tmp_path) as (daemon, farm):
        assert (await gateway(daemon, "alarms"))[0] == 0
        assert await gateway(daemon, "shelve", OVER, "1h") == (0, f"{OVER}: shelved for 1h\n")
        farm.set_value("meter-1", "elec.voltage.a", 258)
        await daemon.until(
            lambda status: letters(status) == {OVER: "G"} and status["alarms"][0]["raises"] > 0
        )
        await daemon.kill()
        await daemon.start()
        await daemon.until(
            lambda status: letters(status) == {OVER: "G"} and bool(status["devices"][0]["live"])
        )
        assert (await gateway(daemon, "unshelve", OVER))[0] == 0
        code, text = await gateway(daemon, "alarms", "--json")
        (alarm,) = orjson.loads(text)
        assert (code, alarm["letter"], alarm["severity"]) == (1, "B", "safety")
        await ends_unseen(daemon, farm)
        code, text = await gateway(daemon, "ack", "over")
        assert (code, "no alarm 'over'" in text) == (1, True), text
        assert await gateway(daemon, "ack", OVER) == (0, f"{OVER}: acknowledged\n")
        assert letters(await daemon.status()) == {}
        code, text = await gateway(daemon, "out-of-service", OVER, "2h")
        assert (code, "a reason is needed" in text) == (1, True), text
        await gateway(daemon, "out-of-service", OVER, "2h", "--reason", "rewired")
        code, text = await gateway(daemon, "alarms")
        assert "rewired" in text, text
        assert (await gateway(daemon, "out-of-service", OVER, "--end"))[0] == 0
        await check_journal(daemon)
        code, text = await gateway(daemon, "audit", "list", "--json")
        done = [orjson.loads(line) for line in text.splitlines()]
        assert [(x["what"], x["result"]) for x in done if x["who"].startswith("cli")] == [
            ("shelve", "done"), ("unshelve", "done"), ("ack", "refused"), ("ack", "done"),
            ("out_of_service", "refused"), ("out_of_service", "done"), ("in_service", "done"),
        ]  # fmt: skip


async def test_teeth_an_alarm_that_nobody_need_see_is_noticed(tmp_path: Path) -> None:
    async with site(tmp_path, "nobody_need_see_alarms") as (daemon, farm):
        with pytest.raises(AssertionError, match="never came true"):
            await ends_unseen(daemon, farm)

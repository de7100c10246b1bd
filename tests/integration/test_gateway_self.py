"""The gateway is a device of its own: a rule sees that the platform is out of reach, and that it is back."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from gateway.snapshot import Snapshot
from tests.harness.broker import Mosquitto
from tests.harness.daemon import Daemon
from tests.integration.test_daemon import gateway

RULE = """rules:
- id: uplink-lost
  with: {gw: gateway}
  when: not gw.uplink.cloud_1.connected and gw.store.ok
  for: 200ms
  alarm: {severity: operational}
"""


def connected(status: Snapshot) -> bool:
    return status["upstream"][0]["state"] == "up"


def lost(status: Snapshot) -> bool:
    return [alarm["instance"] for alarm in status["alarms"]] == ["uplink-lost"]


@asynccontextmanager
async def site(place: Path, sabotage: str | None = None) -> AsyncIterator[tuple[Daemon, Mosquitto]]:
    """A gateway that is connected, and knows it."""
    async with Mosquitto(place / "broker") as broker:
        config = place / "gateway.yaml"
        (place / "rules.yaml").write_text(RULE)
        config.write_text(
            "version: 1\ngateway: {id: gw-1, timezone: Asia/Shanghai, state_dir: state}\n"
            f'upstream: {{cloud-1: {{url: "{broker.url}", lanes: [0, 1, 2]}}}}\nrules: [rules.yaml]\n'
        )
        daemon = Daemon(config, place / "state", sabotage=sabotage)
        await daemon.start()
        try:
            await daemon.until(connected)
            await daemon.until(lambda s: not lost(s))
            yield daemon, broker
        finally:
            await daemon.kill()  # a stop would wait for the platform


@pytest.mark.timeout(40)
async def test_a_lost_platform_is_an_alarm_until_it_is_back(tmp_path: Path) -> None:
    async with site(tmp_path) as (daemon, broker):
        await broker.kill()
        await daemon.until(lost)
        code, text = await gateway("devices", "gateway", "-c", daemon.config)
        assert (code, "uplink.connected" in text, "disk.free" in text) == (0, True, True), text
        code, text = await gateway("devices", "-c", daemon.config)
        assert (code, "gateway-self" in text) == (0, True), text
        await broker.start()
        await daemon.until(lambda s: connected(s) and not lost(s))


@pytest.mark.timeout(40)
async def test_sabotage_a_gateway_that_tells_nothing_of_itself_misses_it(tmp_path: Path) -> None:
    async with site(tmp_path, "deaf_to_itself") as (daemon, broker):
        await broker.kill()
        await daemon.until(lambda s: not connected(s))
        with pytest.raises(AssertionError, match="never came true"):
            await daemon.until(lost, 2)

"""The daemon under a stand-in for systemd: what it says, and when it stops feeding the watchdog."""

import asyncio
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from itertools import pairwise
from pathlib import Path

import pytest

from gateway.sinks import courier
from simulators.platform import platform
from tests.harness.broker import HOST, Mosquitto
from tests.harness.daemon import Daemon
from tests.harness.manager import Manager, manager
from tests.harness.ports import free_ports
from tests.harness.site import GATEWAY, running, site

WATCHDOG_S = 3.0
EVERY_S = WATCHDOG_S / 3
BLOCKED_S = 5.2  # tests.harness.sabotage.block_on_signal
JITTER_S = 0.5

OFFLINE = """\
version: 1
gateway: {{id: gw-1, timezone: UTC, state_dir: {state}}}
links: {{meters: {{driver: modbus, transport: tcp, host: 127.0.0.1, port: {meters}}}}}
devices: {{meter-1: {{profile: eastron-sdm120, link: meters, unit: 1}}}}
upstream: {{platform: {{url: "mqtt://127.0.0.1:{platform}", lanes: [0, 1]}}}}
"""


@pytest.fixture
def hears(tmp_path: Path) -> Iterator[Manager]:
    with manager(tmp_path / "notify", WATCHDOG_S) as one:
        yield one


@asynccontextmanager
async def offline(folder: Path, hears: Manager, sabotage: str) -> AsyncIterator[Daemon]:
    """A gateway whose meters and platform are away; it is ready."""
    meters, far = free_ports(2)
    config = folder / "gateway.yaml"
    config.write_text(OFFLINE.format(state=folder / "state", meters=meters, platform=far))
    daemon = Daemon(config, folder / "state", sabotage=sabotage)
    daemon.environ = hears.environ
    await daemon.spawn()
    try:
        await hears.until("READY=1")
        yield daemon
    finally:
        if daemon.process.returncode is None:
            await daemon.kill()


def longest(times: list[float]) -> float:
    return max(b - a for a, b in pairwise(times))


@pytest.mark.timeout(40)
async def test_an_offline_gateway_is_fed_and_says_when_it_reloads_and_stops(
    tmp_path: Path, hears: Manager
) -> None:
    # Nothing comes in, nothing goes out, and deadlines are barely longer than an idle turn.
    async with offline(tmp_path, hears, "short_deadlines") as daemon:
        await hears.listen(7.0)
        daemon.process.send_signal(signal.SIGHUP)
        await hears.until("RELOADING=1")
        heard = len(hears.said)
        await hears.until("READY=1", after=heard)
        assert await daemon.stop() == 0
    await hears.until("STOPPING=1")
    fed = hears.times("WATCHDOG=1")
    assert len(fed) >= 6
    assert longest(fed) < EVERY_S + JITTER_S
    assert not [said.line for said in hears.said if "not fed" in said.line]


async def fed_while_blocked(folder: Path, hears: Manager, sabotage: str) -> int:
    """How often the watchdog was fed while the loop hung for five seconds and at once after it."""
    async with offline(folder, hears, sabotage) as daemon:
        heard = await hears.until("WATCHDOG=1")
        daemon.process.send_signal(signal.SIGUSR1)
        began = asyncio.get_running_loop().time()
        heard = await hears.until("STATUS=running", after=heard)
    end = hears.times("STATUS=running")[-1]
    told = [said.line for said in hears.said if said.line.startswith("STATUS=not fed")]
    assert not told or "blocked for 5 s" in told[0]
    return sum(began + JITTER_S < at < end - JITTER_S for at in hears.times("WATCHDOG=1"))


@pytest.mark.timeout(40)
async def test_a_loop_that_hangs_for_five_seconds_is_not_fed(
    tmp_path: Path, hears: Manager
) -> None:
    assert await fed_while_blocked(tmp_path, hears, "block_on_signal") == 0
    assert longest(hears.times("WATCHDOG=1")) > max(BLOCKED_S, WATCHDOG_S)
    log = (tmp_path / "gateway.log").read_text(encoding="utf-8")
    assert log.count("the event loop hangs since") == 1
    assert "time.sleep(5.2)" in log, "the stack says where"


@pytest.mark.timeout(40)
async def test_a_bare_timer_would_feed_a_loop_that_hangs(tmp_path: Path, hears: Manager) -> None:
    assert await fed_while_blocked(tmp_path, hears, "bare_watchdog") > 0


async def test_an_upstream_without_work_turns_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(courier, "IDLE_S", 0.05)
    async with Mosquitto(tmp_path / "broker") as broker, site(tmp_path / "state") as one:
        sink = one.sink(broker.url, lanes=[0])
        log = tmp_path / "platform.jsonl"
        async with platform(HOST, broker.port, GATEWAY, log=log), running(sink):
            async with asyncio.timeout(5):
                while not sink.health.last_good_ns:
                    await asyncio.sleep(0.01)
            for _ in range(3):
                seen = sink.health.beat.age_s()
                async with asyncio.timeout(5):
                    while sink.health.beat.age_s() >= seen:
                        seen = sink.health.beat.age_s()
                        await asyncio.sleep(0.001)

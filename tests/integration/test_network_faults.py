"""The gateway behind a network that breaks: every connection goes through the chaos proxy."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.cli.simulate import plan_of
from gateway.config import load_config
from gateway.snapshot import Snapshot
from simulators.compound import Compound, Plan, compound
from tests.harness.compound import write_config
from tests.harness.daemon import Daemon
from tests.harness.oracle import Arrived, changes_shown, changes_told
from tests.harness.ports import free_ports
from tests.harness.proxy import Mode, Proxy, proxy


class Site:
    def __init__(self, running: Compound, daemon: Daemon, meters: Proxy, uplink: Proxy) -> None:
        self.running, self.daemon, self.meters, self.uplink = running, daemon, meters, uplink


@asynccontextmanager
async def site(folder: Path) -> AsyncIterator[Site]:
    """Meters and platform listen elsewhere; at their configured ports are proxies."""
    path = await asyncio.to_thread(write_config, folder)
    plan: Plan = await asyncio.to_thread(lambda: plan_of(load_config(path)))
    (bus,), (uplink,) = plan.buses, plan.platforms
    bus_port, uplink_port = free_ports(2)
    async with AsyncExitStack() as stack:
        log = stack.enter_context((folder / "devices.jsonl").open("a", buffering=1))
        moved = replace(
            plan,
            buses=[replace(bus, port=bus_port)],
            platforms=[replace(uplink, port=uplink_port, log=folder / "platform.jsonl")],
            device_log=log,
        )
        running = await stack.enter_async_context(compound(moved))
        meters = await stack.enter_async_context(proxy("127.0.0.1", bus_port, bus.port))
        platform = await stack.enter_async_context(proxy("127.0.0.1", uplink_port, uplink.port))
        daemon = Daemon(path, folder / "state")
        await daemon.start()
        stack.push_async_callback(daemon.stop)
        await daemon.until(lambda s: all(x["state"] == "up" for x in (*s["links"], *s["upstream"])))
        playing = asyncio.create_task(running.play())
        stack.push_async_callback(stopped, playing)
        yield Site(running, daemon, meters, platform)


async def stopped(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait({task})


def state_of(status: Snapshot, link: str) -> str:
    return next(x["state"] for x in status["links"] if x["name"] == link)


def delivered(status: Snapshot) -> bool:
    (sink,) = status["upstream"]
    return sink["state"] == "up" and not any(lane["backlog"] for lane in sink["lanes"])


@pytest.mark.timeout(90)
@pytest.mark.parametrize("mode", [Mode.REFUSE, Mode.BLACK_HOLE])
async def test_a_broken_bus_is_down_and_read_again_when_it_is_back(
    tmp_path: Path, mode: Mode
) -> None:
    async with site(tmp_path) as one:
        await one.daemon.until(lambda s: s["health"]["word"] == "healthy")
        one.meters.mode = mode
        status = await one.daemon.until(lambda s: state_of(s, "meters") == "down")
        assert state_of(status, "lights") == "up"
        assert status["upstream"][0]["state"] == "up"
        one.meters.mode = Mode.PASS
        await one.daemon.until(lambda s: s["health"]["word"] == "healthy", 30)


@pytest.mark.timeout(90)
async def test_alarms_arrive_once_though_the_uplink_is_cut_again_and_again(tmp_path: Path) -> None:
    async with site(tmp_path) as one:
        lamp = one.running.lights[0].lamps["light-1"]
        for _ in range(12):
            lamp.fail(failed=not lamp.failed)
            await asyncio.sleep(0.2)
            one.uplink.cut()
        assert one.uplink.accepted > 1
        await one.daemon.until(delivered, 60)
    arrived = Arrived.read(tmp_path / "platform.jsonl")
    shown = changes_shown(tmp_path / "devices.jsonl", "light-1", "alarm.lamp_failure", rest=False)
    assert len(shown) == 12
    assert changes_told(arrived, "light-1", "alarm.lamp_failure") == shown


@pytest.mark.chaos
@pytest.mark.timeout(120)
async def test_a_half_open_uplink_is_noticed_within_25_s_and_nothing_is_missing_when_it_heals(
    tmp_path: Path,
) -> None:
    """With the times as shipped; the supervisor's own pause after the fault is up to 60 s."""
    async with site(tmp_path) as one:
        lamp = one.running.lights[0].lamps["light-1"]
        await one.daemon.until(delivered)
        loop = asyncio.get_running_loop()
        began, one.uplink.mode = loop.time(), Mode.BLACK_HOLE
        for _ in range(4):
            lamp.fail(failed=not lamp.failed)
            await asyncio.sleep(0.5)
        await one.daemon.until(lambda s: s["upstream"][0]["state"] == "down", 40)
        noticed_s = loop.time() - began
        status = await one.daemon.status()
        assert state_of(status, "lights") == state_of(status, "meters") == "up"
        healed, one.uplink.mode = loop.time(), Mode.PASS
        await one.daemon.until(lambda s: s["upstream"][0]["state"] == "up", 70)
        print(f"noticed after {noticed_s:.1f} s, back after {loop.time() - healed:.1f} s")
        assert noticed_s <= 25
        await one.daemon.until(delivered, 30)
    arrived = Arrived.read(tmp_path / "platform.jsonl")
    shown = changes_shown(tmp_path / "devices.jsonl", "light-1", "alarm.lamp_failure", rest=False)
    assert len(shown) == 4
    assert changes_told(arrived, "light-1", "alarm.lamp_failure") == shown

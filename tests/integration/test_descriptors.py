"""A gateway that may open nothing any more: what is open works, and it says what is wrong, once."""

import asyncio
import os
import resource
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from pathlib import Path

import pytest

from gateway.snapshot import Snapshot
from tests.harness.compound import Site, site
from tests.integration.test_daemon import healthy

ASKERS = 5
WATCHED_S = 3.0
MUCH_S = 0.5  # of the processor in that time: 0.04 without askers, all that it gets if it spins
SAID = "no file descriptor is left"
AGAIN = "there are file descriptors again"  # also when one that was open is closed for good


def taken(pid: int) -> set[int]:
    return {int(path.name) for path in Path(f"/proc/{pid}/fd").iterdir()}


def cpu_s(pid: int) -> float:
    """proc(5), stat: utime and stime."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextmanager
def limited(pid: int, most: int) -> Iterator[None]:
    """It may have no descriptor from the number `most` on; those that are open stay open."""
    before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (most, before[1]))
    try:
        yield
    finally:
        resource.prlimit(pid, resource.RLIMIT_NOFILE, before)


@asynccontextmanager
async def running(folder: Path, sabotage: str | None) -> AsyncIterator[Site]:
    async with site(folder, meters=1, sabotage=sabotage) as one:
        one.running.lights[0].set_illuminance(500.0)
        await one.daemon.until(healthy)
        yield one


def short(status: Snapshot) -> bool:
    return any(SAID in reason for reason in status["health"]["reasons"])


async def decide(one: Site) -> None:
    """Rules raise an alarm, which is stored and delivered, and light the lamps."""
    one.running.farms[0].set_voltage("meter-1", 258.0)
    one.running.lights[0].set_illuminance(10.0)
    lamps = one.running.lights[0].lamps.values()
    await one.daemon.until(lambda s: bool(s["alarms"]) and {x.level for x in lamps} == {60}, 30)
    async with asyncio.timeout(30):
        while '"alarm_raised"' not in one.platform_log.read_text():
            await asyncio.sleep(0.05)


async def use_them_up(folder: Path, sabotage: str | None = None) -> None:
    async with running(folder, sabotage) as one:
        pid = one.daemon.process.pid
        used = taken(pid)
        with limited(pid, min(set(range(len(used) + 1)) - used)):
            await one.daemon.until(short)
            await decide(one)
        await one.daemon.until(lambda s: not short(s) and AGAIN in one.daemon.text(), 30)
        assert one.daemon.text().count(SAID) == one.daemon.text().count(AGAIN)


async def let_them_wait(folder: Path, sabotage: str | None = None) -> float:
    """Seconds of the processor that it takes while askers wait and no number at all is free."""
    async with running(folder, sabotage) as one:
        pid = one.daemon.process.pid
        with ExitStack() as stack, limited(pid, 3):
            for _ in range(ASKERS):
                asker = stack.enter_context(socket.socket(socket.AF_UNIX))
                asker.connect(str(one.state_dir / "control.sock"))
            before = cpu_s(pid)
            await asyncio.sleep(WATCHED_S)
            return cpu_s(pid) - before


@pytest.mark.timeout(90)
async def test_without_file_descriptors_it_decides_stores_answers_and_says_so_once(
    tmp_path: Path,
) -> None:
    await use_them_up(tmp_path)


@pytest.mark.timeout(60)
async def test_those_who_wait_for_a_descriptor_cost_no_processor(tmp_path: Path) -> None:
    assert await let_them_wait(tmp_path) < MUCH_S


@pytest.mark.timeout(60)
async def test_teeth_the_server_of_the_event_loop_answers_nobody_without_descriptors(
    tmp_path: Path,
) -> None:
    with pytest.raises(AssertionError):
        await use_them_up(tmp_path, "loop_server")


@pytest.mark.chaos
@pytest.mark.timeout(60)
async def test_teeth_the_server_of_the_event_loop_spins_without_descriptors(tmp_path: Path) -> None:
    assert await let_them_wait(tmp_path, "loop_server") > MUCH_S

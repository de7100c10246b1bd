"""Whatever devices do on a bus, no value is published for another register or unit than its own.

Real drivers, 40 buses of 4 units for each transport; 8 of 100 requests meet a fault of every kind.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest

from drivers.modbus import breaker
from drivers.modbus.link import Connection
from simulators.modbus import Fault
from tests.harness import sabotage
from tests.harness.exchanges import TRANSPORTS, Judge, Site, tally

LINKS = 40
EXCHANGES, IN_CHAOS = 1_700, 17_000  # on each of the three transports
LEAST_GOOD = 0.85
# On a machine that has nothing else to do 1,700 exchanges take 3 to 5 s, and 3 s later all is well.
EXCHANGED_S, WELL_AGAIN_S = 25.0, 20.0


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Units are asked again at once: their back-off of 1 s would keep late answers from harm, too."""
    monkeypatch.setattr(breaker, "BACKOFF_S", (0.01, 0.05))


@asynccontextmanager
async def reading(transport: str, folder: Path) -> AsyncIterator[tuple[Judge, list[Site]]]:
    judge = Judge()
    sites = [Site(transport, index, folder, judge) for index in range(LINKS)]
    async with AsyncExitStack() as stack:
        for site in sites:
            await stack.enter_async_context(site.served())
        tasks = [asyncio.create_task(site.read()) for site in sites]
        try:
            yield judge, sites
        finally:
            for task in tasks:
                task.cancel()
            async with asyncio.timeout(5):
                await asyncio.wait(tasks)
        assert all(task.cancelled() for task in tasks), "a driver ended by itself"


async def until(fact: Callable[[], bool], within_s: float) -> None:
    async with asyncio.timeout(within_s):
        while not fact():
            await asyncio.sleep(0.02)


async def exchanged(transport: str, count: int, folder: Path, within_s: float) -> None:
    async with reading(transport, folder) as (judge, sites):
        await until(lambda: tally(sites).asked >= count or bool(judge.wrong), within_s)
        assert judge.wrong == []
        asked, unread, faults = tally(sites)
        assert all(faults[fault] > 0 for fault in Fault), faults
        assert asked - unread > LEAST_GOOD * asked
        assert judge.good > asked
        for site in sites:
            site.whims.share = 0.0
        before = judge.samples.copy()
        everyone = [device.id for site in sites for device in site.devices]
        await until(lambda: all(judge.samples[d] > before[d] for d in everyone), WELL_AGAIN_S)
        assert judge.wrong == []


@pytest.mark.timeout(60)
@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_no_value_is_ever_that_of_another_register_or_unit(
    transport: str, tmp_path: Path
) -> None:
    await exchanged(transport, EXCHANGES, tmp_path, EXCHANGED_S)


@pytest.mark.chaos
@pytest.mark.timeout(600)
@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_no_value_is_that_of_another_register_or_unit_in_50000_exchanges(
    transport: str, tmp_path: Path
) -> None:
    await exchanged(transport, IN_CHAOS, tmp_path, 500)


@pytest.mark.timeout(60)
@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_without_the_quarantine_values_of_other_registers_are_published(
    transport: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Connection, "_distrust", Connection._distrust)  # put back at the end
    sabotage.no_quarantine()
    async with reading(transport, tmp_path) as (judge, sites):
        for site in sites:
            site.whims.only(0.2, Fault.LATE)
        await until(lambda: bool(judge.wrong), EXCHANGED_S)

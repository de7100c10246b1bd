"""Timers of rules: the bus wakes them when they are due, without any item."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from gateway.bus import Bus
from gateway.model import (
    EventKind,
    Sample,
)
from gateway.state import State
from tests.unit.test_bus import TEMPERATURE, Rig


def wait_until(rig: Rig, delay_s: float) -> None:
    rig.engine.due_ns = rig.clock.boottime_ns() + round(delay_s * 1e9)


@asynccontextmanager
async def ticking(rig: Rig) -> AsyncIterator[None]:
    """The bus runs for the time of the block."""
    task = asyncio.create_task(rig.bus.run())
    await asyncio.sleep(0)
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait({task})


@pytest.mark.both_loops
async def test_a_timer_of_the_rules_fires_without_any_sample() -> None:
    rig = Rig()
    async with ticking(rig), asyncio.timeout(2):
        wait_until(rig, 0.01)
        await rig.bus.publish(rig.sample({TEMPERATURE: 20.0}))
        rig.clock.advance(0.01)
        await rig.engine.ticked.wait()
    assert rig.engine.calls[-1].sample is None
    assert rig.journal.events[-1].kind is EventKind.ALARM_RAISED


async def test_a_timer_that_comes_too_early_is_set_again() -> None:
    rig = Rig()
    async with ticking(rig), asyncio.timeout(2):
        wait_until(rig, 0.005)
        await rig.bus.publish(rig.sample({TEMPERATURE: 20.0}))
        while len(rig.engine.calls) < 3:  # the fake clock stands still: it is never due
            await asyncio.sleep(0)
        rig.clock.advance(0.005)
        await rig.engine.ticked.wait()


async def test_a_timer_that_rules_gave_up_or_moved_fires_only_at_its_new_time() -> None:
    rig = Rig()
    async with ticking(rig), asyncio.timeout(2):
        wait_until(rig, 0.005)
        await rig.bus.publish(rig.sample({TEMPERATURE: 20.0}))
        rig.engine.due_ns = None
        await rig.bus.publish(rig.sample({TEMPERATURE: 20.0}))
        rig.clock.advance(0.01)
        fired = asyncio.Event()
        asyncio.get_running_loop().call_later(0.02, fired.set)
        await fired.wait()
        assert all(call.sample is not None for call in rig.engine.calls)
        wait_until(rig, 0.0)
        await rig.bus.publish(rig.sample({TEMPERATURE: 20.0}))
        await rig.engine.ticked.wait()


async def test_a_bug_of_the_rules_at_a_timer_reaches_who_runs_the_bus() -> None:
    class BrokenError(Exception):
        pass

    class Engine:
        def decide(self, _sample: Sample | None, _now_ns: int, _bus: Bus) -> None:
            raise BrokenError

        def next_due_ns(self) -> int | None:
            return 0

    rig = Rig()
    bus = Bus(store=rig.journal, state=State({}), clock=rig.clock, decider=Engine())
    with pytest.raises(BrokenError):
        await bus.run()

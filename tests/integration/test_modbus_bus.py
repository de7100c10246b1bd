"""32 units on one serial line at 9600 baud, one of them dead and one slow: the others do not notice.

The simulator takes the time that characters and meters take; the bus has as much to do as the plan of
`gateway probe modbus LINK --plan` says it can.
"""

import asyncio
from collections import defaultdict
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from statistics import mean

import pytest

from drivers.modbus import breaker
from drivers.modbus.budget import Budget
from drivers.modbus.driver import ModbusDriver
from drivers.modbus.settings import ModbusLink
from drivers.modbus.spec import SPEC
from gateway.driver import Device
from gateway.model import Item, Sample
from gateway.profile import Profile
from simulators.modbus import (
    METERS_S,
    Farm,
    Fault,
    Misbehaviour,
    SimMeter,
    Timing,
    on_serial_port,
)
from tests.harness.clock import FakeClock
from tests.harness.modbus import SDM120, device, running

BAUD, UNITS = 9600, 32
DEAD, SLOW = "unit-7", "unit-20"
SLOWER_S = 0.4  # than the others, and within its time-out
MOST = 1.2  # times the period, between two samples of a unit
ATTEMPT_S = 1.7  # what asking the dead unit takes: time-out and silence

METER = Profile.model_validate({
    "profile": "one-block", "type": "test", "facility": "utilities", "protocol": "modbus",
    "sources": ["this test"], "status": "code", "limits": {"timeout": "500ms"},
    "points": [{"id": "a", "at": {"table": "holding", "addr": 7, "type": "u16"}}],
})  # fmt: skip


class Watch:
    """A bus that notes when each device was read."""

    def __init__(self) -> None:
        self.times: defaultdict[str, list[float]] = defaultdict(list)

    async def publish(self, item: Item, *, held: bool = False) -> Item:
        del held
        if isinstance(item, Sample) and item.values:
            self.times[item.device].append(asyncio.get_running_loop().time())
        return item

    async def commit(self, item: Item) -> None:
        del item

    async def room(self) -> None:
        return

    def remembers(self, device: str) -> bool:
        return False

    def last_counter(self, device: str) -> int | None:
        del device
        return None

    def intervals(self, since: float) -> dict[str, list[float]]:
        return {
            name: [b - a for a, b in pairwise(times) if a > since]
            for name, times in self.times.items()
        }


class Bus:
    """The line with its units, and the driver that reads them."""

    def __init__(self, profile: Profile, poll: str, path: Path) -> None:
        section = {"driver": "modbus", "transport": "rtu", "path": str(path), "baud": BAUD}
        self.link = ModbusLink.model_validate(section)
        names = [f"unit-{unit}" for unit in range(1, UNITS + 1)]
        polled = {"fast": poll, "slow": "1m"}
        self.devices: list[Device] = [
            device(name, profile, unit, polled) for unit, name in enumerate(names, 1)
        ]
        meters = [SimMeter(name, profile, unit) for unit, name in enumerate(names, 1)]
        self.farm = Farm(meters)
        self.farm.stop(DEAD)
        self.farm.misbehave(SLOW, Misbehaviour(Fault.LATE, delay_s=SLOWER_S))
        self.others = set(names) - {DEAD, SLOW}
        driver = SPEC.build("l", self.link, self.devices, FakeClock())
        assert isinstance(driver, ModbusDriver)
        self.driver = driver

    def planned_s(self) -> float:
        """The poll period, which the plan says can be kept."""
        window = Budget(self.link, self.devices).windows[0]
        assert window.margin_s > 0
        return window.period_s


async def until(fact: Callable[[], bool], within_s: float) -> None:
    async with asyncio.timeout(within_s):
        while not fact():
            await asyncio.sleep(0.02)


async def kept(bus: Bus, path: Path, warm_s: float, cycles: int) -> None:
    """From `warm_s` on, for `cycles` periods, 30 units are read when the plan says."""
    period_s, watch = bus.planned_s(), Watch()
    timing = Timing(BAUD, 10, METERS_S)
    async with on_serial_port(bus.farm, path, timing), running(bus.driver, watch):
        loop = asyncio.get_running_loop()
        begin = loop.time() + warm_s
        await until(lambda: loop.time() > begin and set(watch.times) >= bus.others, warm_s + 10)
        attempts = bus.farm.requests[DEAD]
        begin = loop.time()
        await until(lambda: loop.time() > begin + cycles * period_s, cycles * period_s + 5)
        lasted_s = loop.time() - begin
        attempts = bus.farm.requests[DEAD] - attempts
    found = watch.intervals(begin)
    slowest_s = max(mean(found[name]) for name in bus.others)
    worst_s = max(gap for name in bus.others for gap in found[name])
    assert min(len(found[name]) for name in bus.others) >= cycles - 2
    assert slowest_s <= MOST * period_s
    assert worst_s <= MOST * period_s + ATTEMPT_S * min(attempts, 1)
    assert len(found[SLOW]) >= cycles - 2
    assert attempts * ATTEMPT_S < 0.05 * lasted_s, "the dead unit"


async def test_30_units_keep_the_cycle_of_the_plan_beside_a_dead_and_a_slow_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(breaker, "PATIENCE_S", 0.0)  # as after the first minute
    path = tmp_path / "port"
    await kept(Bus(METER, "3s", path), path, 4.0, 3)


@pytest.mark.chaos
@pytest.mark.timeout(300)
async def test_32_meters_keep_the_cycle_of_the_plan_for_minutes(tmp_path: Path) -> None:
    path = tmp_path / "port"
    await kept(Bus(SDM120, "10s", path), path, breaker.PATIENCE_S + 20, 12)

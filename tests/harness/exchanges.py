"""Many buses with whimsical devices, read by the real driver: does a value ever come from elsewhere?

Every register holds its unit, table and address, so each value that is published can be judged.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from drivers.modbus.address import Table, parse
from drivers.modbus.driver import ModbusDriver
from drivers.modbus.settings import ModbusLink
from drivers.modbus.spec import SPEC
from gateway.driver import Device
from gateway.errors import LinkDown
from gateway.model import Item, Sample, Value
from gateway.profile import Profile
from simulators.modbus import (
    Farm,
    Fault,
    Timing,
    Whims,
    on_serial_port,
    on_serial_server,
    on_tcp,
)
from tests.harness.clock import FakeClock
from tests.harness.modbus import device

TRANSPORTS = ("tcp", "rtu_over_tcp", "rtu")
POLL = "2s"  # what these buses can keep: where they cannot, a unit that failed waits for up to 10 s
SHARE = 0.08  # of the requests meet a fault
BAUD = 115200
TIMING = Timing(BAUD, 10, (0.005, 0.01))
# What the driver promises to notice: an answer that comes within a second after its time-out
# (`quarantine.QUIET_S`), and a copy that comes before the answer to the next request.
LATE_S = (0.05, 0.6)
COPY_S = (0.0, 0.004)
BYTE_S = (0.005, 0.03)
TIMEOUT = "150ms"


def told(unit: int, table: Table, addr: int) -> int:
    """What a register holds: no two are alike. A bit is one of its bits."""
    word = unit << 12 | list(Table).index(table) << 10 | addr
    return (word * 40503 >> 7) & 1 if table.bits else word


class Told:
    """A device whose registers and bits say where they are."""

    def __init__(self, name: str, unit: int) -> None:
        self.device, self.unit = name, unit

    def read(
        self, table: Table, addr: int, size: int, time_ns: int
    ) -> tuple[Sequence[int], Mapping[str, Value]] | None:
        del time_ns
        return [told(self.unit, table, addr + i) for i in range(size)], {}

    def write(self, table: Table, addr: int, words: Sequence[int]) -> bool:
        del table, addr, words
        return False


def _profile(name: str, points: Sequence[tuple[str, range]]) -> Profile:
    return Profile.model_validate({
        "profile": name, "type": "test", "facility": "utilities", "protocol": "modbus",
        "sources": ["this test"], "status": "code",
        "limits": {"timeout": TIMEOUT, "pause": "5ms", "max_regs": 40},
        "points": [
            {"id": f"{table}.a{addr}", "at": {"table": table, "addr": addr,
             "type": "bool" if Table(table).bits else "u16"}}
            for table, addresses in points for addr in addresses
        ],
    })  # fmt: skip


# Requests of one shape in several places, and of other shapes to tell them apart by.
MIXED = _profile("mixed", [
    ("holding", range(4)), ("holding", range(100, 104)), ("holding", range(200, 201)),
    ("input", range(4)), ("input", range(300, 302)),
    ("coil", range(12)), ("discrete", range(40, 52)),
])  # fmt: skip
# Only requests of one shape: nothing but the silence after a fault tells their answers apart.
TWIN = _profile("twin", [("holding", range(7, 8)), ("holding", range(107, 108))])
_PLACES = {
    profile.profile: {point.id: parse(point.at, {}) for point in profile.points}
    for profile in (MIXED, TWIN)
}


class Judge:
    """A bus that compares every value with the place where its point is."""

    def __init__(self) -> None:
        self.good = 0
        self.wrong: list[str] = []
        self.samples: Counter[str] = Counter()
        self._devices: dict[str, Device] = {}

    def watch(self, devices: Sequence[Device]) -> None:
        self._devices.update({device.id: device for device in devices})

    async def publish(self, item: Item, *, held: bool = False) -> Item:
        del held
        if isinstance(item, Sample):
            self._judge(item)
        return item

    def _judge(self, sample: Sample) -> None:
        of = self._devices[sample.device]
        unit = getattr(of.section, "unit", 0)
        self.samples[sample.device] += bool(sample.values)
        for name, value in sample.values.items():
            place = _PLACES[of.profile.profile][name]
            right = told(unit, place.table, place.addr)
            if value == right:
                self.good += 1
            else:
                self.wrong.append(f"{sample.device} {name}: {value:#x}, not {right:#x}")

    async def commit(self, item: Item) -> None:
        del item

    async def room(self) -> None:
        return

    def remembers(self, device: str) -> bool:
        return False

    def last_counter(self, device: str) -> int | None:
        del device
        return None


def whims(seed: str, *, twins: bool) -> Whims:
    """For devices of which one may be a twin: it cannot know a copy that comes by itself."""
    return Whims(seed, SHARE, delay_s=LATE_S, copy_s=(0.0, 0.0) if twins else COPY_S, byte_s=BYTE_S)


class Site:
    """One bus, its devices and their driver."""

    def __init__(self, transport: str, index: int, folder: Path, judge: Judge) -> None:
        self._transport, self._index = transport, index
        self._path = folder / f"bus-{index}"
        twins = index % 2 == 1
        self.whims = whims(f"{transport}/{index}", twins=twins)
        profiles = [MIXED, MIXED, TWIN, TWIN] if twins else [MIXED] * 4
        self._names = [f"{transport}-{index}-{unit}" for unit in range(1, 5)]
        self.devices = [
            device(name, profile, unit, POLL)
            for name, profile, unit in zip(self._names, profiles, range(1, 5), strict=True)
        ]
        judge.watch(self.devices)
        self._judge = judge
        self.driver: ModbusDriver | None = None

    @asynccontextmanager
    async def served(self) -> AsyncIterator[None]:
        slaves = [Told(name, unit) for unit, name in enumerate(self._names, 1)]
        farm = Farm([], others=[(slave.unit, slave) for slave in slaves])
        farm.be_whimsical(self.whims)
        match self._transport:
            case "tcp":
                timing, zero = Timing(turnaround_s=(0.005, 0.01)), self._index % 4 < 2
                serving = on_tcp(farm, "127.0.0.1", 0, timing, zero=zero)
            case "rtu_over_tcp":
                serving = on_serial_server(farm, "127.0.0.1", 0, TIMING)
            case _:
                serving = on_serial_port(farm, self._path, TIMING)
        async with serving:
            driver = SPEC.build(self._transport, self._link(farm.port), self.devices, FakeClock())
            assert isinstance(driver, ModbusDriver)
            self.driver = driver
            yield

    async def read(self) -> None:
        """Run the driver, and run it again when its link is down, until cancelled."""
        assert self.driver is not None
        while True:
            with suppress(LinkDown):
                await self.driver.run(self._judge)
            await asyncio.sleep(0.02)

    def _link(self, port: int) -> ModbusLink:
        section: dict[str, object] = {"driver": "modbus", "transport": self._transport}
        if self._transport == "rtu":
            section |= {"path": str(self._path), "baud": BAUD}
        else:
            section |= {"host": "127.0.0.1", "port": port}
            section |= {"baud": BAUD} if self._transport == "rtu_over_tcp" else {}
        return ModbusLink.model_validate(section)


class Tally(NamedTuple):
    """What was asked on all buses, and what did not come or did not fit."""

    asked: int
    unread: int
    faults: Counter[Fault]


def tally(sites: Sequence[Site]) -> Tally:
    counted: Counter[str] = Counter()
    faults: Counter[Fault] = Counter()
    for site in sites:
        faults.update(site.whims.done)
        if site.driver is not None:
            counted.update(site.driver.health.counters)
    refused = sum(n for name, n in counted.items() if name.startswith("frame_errors"))
    return Tally(counted["requests"], counted["timeouts"] + counted["exceptions"] + refused, faults)

"""Adverts: every one handed on, and what that costs, against bare bleak that only counts them.

The radio is simulated in a process of its own behind a real dbus-daemon, the receiver has another
one. Every advert is encrypted, new, and carries the time at which it was sent; the driver's go
through guard, bus, state and point alarms to the rules. 200 detectors, a monitor, DuplicateData.
"""

import asyncio
import contextlib
import json
import os
import resource
import sys
import time
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from bench.report import Row
from drivers.ble.settings import BleDevice, BleLink
from drivers.ble.spec import SPEC
from gateway.bus import Bus
from gateway.clock import SystemClock
from gateway.driver import Device
from gateway.model import Sample
from gateway.profile import Profile
from gateway.state import State
from simulators.bluez import bthome
from simulators.bluez.bluez import Bluez, simulated
from simulators.bluez.bus import installed, private_bus
from simulators.bluez.controller import Policy
from simulators.bluez.peripheral import Advert, Peripheral
from tests.harness.journal import MemoryJournal

DEVICES, KEY = 200, bytes(range(16))
RATES = {100: 10.0, 2_000: 5.0}  # adverts a second, for seconds
WRAP = 2**32  # of the microseconds in an advert
PROFILE = {
    "profile": "bench", "type": "smoke", "facility": "home", "protocol": "ble", "dialect": "bthome",
    "sources": ["bench/ble.py"], "status": "code",
    "points": [
        {"id": "alarm.smoke", "kind": "state", "severity": "life", "at": 0x29},
        {"id": "sent.us", "at": 0x3E},
    ],
}  # fmt: skip


def address(number: int) -> str:
    return f"C0:00:00:00:{number // 256:02X}:{number % 256:02X}"


class Rules:
    """Takes what arrives, as the rule engine does, and notes how long ago it was sent."""

    def __init__(self) -> None:
        self.late_us: list[int] = []

    def decide(self, sample: Sample | None, now_ns: int, bus: Bus) -> None:
        del now_ns, bus
        sent = None if sample is None else sample.values.get("sent.us")
        if isinstance(sent, int):
            self.late_us.append((time.monotonic_ns() // 1000 - sent) % WRAP)

    def next_due_ns(self) -> int | None:
        return None


async def air(bus: str) -> None:
    """Its orders come on stdin, a line each: adverts a second, and for how many seconds."""
    async with simulated(bus, Policy()) as bluez:
        lines = await _stdin()
        print("ready", flush=True)
        sent = 0
        while line := await lines.readline():
            rate, seconds = map(float, line.split())
            sent = await _send(bluez, sent, rate, seconds)
            print("sent", flush=True)


async def _send(bluez: Bluez, count: int, rate: float, seconds: float) -> int:
    crowd = [Peripheral(address(n)) for n in range(DEVICES)]
    began, wanted = time.monotonic(), round(rate * seconds)
    for number in range(wanted):
        one = crowd[number % DEVICES]
        now_us = time.monotonic_ns() // 1000 % WRAP
        objects = b"\x29" + bytes((number // DEVICES % 2,)) + b"\x3e" + now_us.to_bytes(4, "little")
        count += 1
        frame = bthome.encrypted(one.address, KEY, count, objects)
        bluez.advertise(one, Advert({bthome.UUID: frame}))
        due = began + number / rate
        if due > time.monotonic():
            await asyncio.sleep(due - time.monotonic())
    return count


async def ear(kind: str) -> None:
    """Prints what was received since the last line on stdin, and the CPU seconds of it."""
    async with driving() if kind == "driver" else counting() as told:
        lines = await _stdin()
        print("ready", flush=True)
        cpu = _cpu_s()
        while await lines.readline():
            received, late_us = told()
            now = _cpu_s()
            late = {"p50": _at(late_us, 0.5), "p99": _at(late_us, 0.99), "max": _at(late_us, 1.0)}
            print(json.dumps({"received": received, "cpu_s": now - cpu, **late}), flush=True)
            cpu = now


@contextlib.asynccontextmanager
async def counting() -> AsyncIterator[Any]:
    from bleak import BleakScanner  # noqa: PLC0415 -- for this role alone
    from bleak.args.bluez import OrPattern  # noqa: PLC0415 -- as above
    from bleak.assigned_numbers import AdvertisementDataType  # noqa: PLC0415 -- as above

    count = [0]

    def called(_device: object, _data: object) -> None:
        count[0] += 1

    def told() -> tuple[int, list[int]]:
        received, count[0] = count[0], 0
        return received, []

    pattern = OrPattern(0, AdvertisementDataType.SERVICE_DATA_UUID16, b"\xd2\xfc")
    passive = BleakScanner(lambda _device, _data: None, scanning_mode="passive", bluez={"adapter": "hci0", "or_patterns": [pattern]})  # fmt: skip
    active = BleakScanner(called, bluez={"adapter": "hci0", "filters": {"DuplicateData": True}})
    async with passive, active:
        yield told


@contextlib.asynccontextmanager
async def driving() -> AsyncIterator[Any]:
    clock, rules, profile = SystemClock(), Rules(), Profile.model_validate(PROFILE)
    devices = [_device(number, profile) for number in range(DEVICES)]
    state = State({device.id: profile for device in devices})
    journal = MemoryJournal()
    bus = Bus(store=journal, state=state, clock=clock, decider=rules)
    driver = SPEC.build("radio", BleLink(driver="ble"), devices, clock)

    def told() -> tuple[int, list[int]]:
        late, rules.late_us = rules.late_us, []
        journal.items.clear()
        return len(late), late

    async with asyncio.TaskGroup() as group:
        task = group.create_task(driver.run(bus))
        while not driver.health.connects:
            await asyncio.sleep(0.01)
        yield told
        task.cancel()


def _device(number: int, profile: Profile) -> Device:
    section = {"profile": "bench", "link": "radio", "address": address(number), "key": SecretStr(KEY.hex())}  # fmt: skip
    return Device(f"smoke-{number}", profile, BleDevice.model_validate(section))


def _cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def _at(values: list[int], part: float) -> float:
    """A quantile, in ms."""
    return sorted(values)[min(len(values) - 1, int(len(values) * part))] / 1000 if values else 0.0


async def _stdin() -> asyncio.StreamReader:
    reader = asyncio.StreamReader()
    protocol = asyncio.StreamReaderProtocol(reader)
    await asyncio.get_running_loop().connect_read_pipe(lambda: protocol, sys.stdin)
    return reader


class Child:
    """One of the roles above in a process of its own."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def ask(self, line: str) -> str:
        """Its answer to one line."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{line}\n".encode())
        return await self.line()

    async def line(self) -> str:
        assert self._process.stdout is not None
        async with asyncio.timeout(60):
            return (await self._process.stdout.readline()).decode().strip()


@contextlib.asynccontextmanager
async def child(*role: str) -> AsyncIterator[Child]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bench.ble", *role, stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE, cwd=Path(__file__).parents[1],
    )  # fmt: skip
    try:
        one = Child(process)
        if await one.line() != "ready":
            raise RuntimeError(f"{role} did not start")
        yield one
    finally:
        process.kill()
        await process.wait()


async def measured(kind: str) -> dict[float, Mapping[str, float]]:
    """What a receiver of this kind shows at each rate; 0: with nothing in the air."""
    found: dict[float, Mapping[str, float]] = {}
    async with private_bus() as bus:
        os.environ["DBUS_SYSTEM_BUS_ADDRESS"] = bus
        async with child("air", bus) as sender, child("ear", kind) as receiver:
            await asyncio.sleep(1)
            await receiver.ask("begin")
            for rate, seconds in RATES.items():
                await sender.ask(f"{rate} {seconds}")
                await asyncio.sleep(0.5)
                found[rate] = json.loads(await receiver.ask("told"))
    return found


def run() -> list[Row]:
    if not installed():
        return [Row("dbus-daemon is not installed", "-")]
    bare, ours = asyncio.run(measured("bleak")), asyncio.run(measured("driver"))
    rows = []
    for rate, seconds in RATES.items():
        sent, of, base = rate * seconds, ours[rate], bare[rate]
        share, theirs = of["cpu_s"] / seconds, base["cpu_s"] / seconds
        rows += [
            Row(f"{rate} adverts/s: handed to the rules", f"{of['received']:.0f} of {sent:.0f}"),
            Row(f"{rate} adverts/s: CPU of one core", f"{share:.1%}", "bleak", share / theirs),
            Row(f"{rate} adverts/s: above bleak", f"{share - theirs:.1%}"),
            Row(f"{rate} adverts/s: sent to decided p50", f"{of['p50']:.2f} ms"),
            Row(f"{rate} adverts/s: sent to decided p99", f"{of['p99']:.2f} ms"),
        ]
    return rows


if __name__ == "__main__":
    asyncio.run(air(sys.argv[2]) if sys.argv[1] == "air" else ear(sys.argv[2]))

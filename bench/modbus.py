"""Modbus TCP: 200, 1,000 and 5,000 servers, 20 registers of each every second, by the real daemon.

The daemon stores every sample and sends it upstream (Mosquitto, a platform that acknowledges). CPU
and memory are the daemon's own, jitter is what the servers saw. Then as many reads as go, from 1,
10 and 100 servers, against bare pymodbus.
"""

import asyncio
import json
import os
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import NamedTuple

from pymodbus.client import AsyncModbusTcpClient

from bench.report import Row
from drivers.modbus.address import Table
from drivers.modbus.answer import Excepted
from drivers.modbus.frame import crc16
from drivers.modbus.link import Connection
from drivers.modbus.plan import Block
from drivers.modbus.poller import Poller
from drivers.modbus.settings import ModbusDevice, ModbusLink
from drivers.modbus.unit import Reading, Unit
from gateway.clock import SystemClock
from gateway.driver import Device
from gateway.errors import GatewayError
from gateway.health import LinkHealth
from gateway.profile import Profile, load_profile
from simulators.broker import broker
from tests.harness.daemon import Daemon
from tests.harness.ports import free_ports

SERVERS = (200, 1000, 5000)
WARM_S, MEASURED_S = 12.0, 15.0
READ_S, ROUNDS = 1.0, 4  # each side reads as fast as it can; the best of some turns counts
PATIENCE_S = 120.0

_PROFILE = """\
profile: bench-meter
type: meter
facility: utilities
protocol: modbus
status: bench
sources: ["bench/modbus_peers.py"]
limits: {{max_regs: 20, timeout: 500ms}}
defaults: {{at: {{table: input, type: f32}}}}
points:
{points}
vectors:
- {{name: one block, request: "01 04 00 00 00 14 F0 05", response: "{response}", values: {{elec.voltage.a: 230.2}}}}
"""
_NAMES = ("elec.voltage.a", "elec.voltage.b", "elec.voltage.c", "elec.current.a", "elec.current.b",
          "elec.current.c", "elec.power.a", "elec.power.b", "elec.power.c", "elec.power.total")  # fmt: skip


class Load(NamedTuple):
    """What the daemon took while it was watched, and what the servers saw."""

    cpu: float  # cores
    rss_mib: float
    polls: dict[str, float]


def run() -> list[Row]:
    rows = []
    for count in SERVERS:
        load = asyncio.run(_daemon_load(count))
        seen = load.polls
        what = f"{count:,} servers:"
        rows += [
            Row(f"{what} polls a second", f"{seen['polls'] / MEASURED_S:,.0f}"),
            Row(f"{what} late or lost polls", f"{seen['late'] + seen['lost']:,.0f}"),
            Row(f"{what} jitter, p99 (most)", f"{seen['p99_ms']:.1f} ({seen['most_ms']:.0f}) ms"),
            Row(f"{what} CPU of one core", f"{load.cpu:.1%}"),
            Row(f"{what} RSS", f"{load.rss_mib:.0f} MiB"),
        ]
    for count in (1, 10, 100):
        bare, checked, sampled = asyncio.run(_fastest(count))
        baseline = f"bare pymodbus ({bare:,.0f}/s)"
        rows += [
            Row(f"reads from {count}, checked", f"{checked:,.0f} /s", baseline, checked / bare),
            Row(
                f"reads from {count}, made samples", f"{sampled:,.0f} /s", baseline, sampled / bare
            ),
        ]
    return rows


async def _daemon_load(count: int) -> Load:
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-modbus-")))
        (target,) = free_ports(1)
        place = folder / "broker"
        place.mkdir()
        await stack.enter_async_context(broker("127.0.0.1", target, place))
        await stack.enter_async_context(_peer("bench.peers", "collect", str(target), "1000000000"))
        peers = await stack.enter_async_context(_peer("bench.modbus_peers"))
        config = _configure(folder, count, int(await _line(peers)), target)
        daemon = Daemon(config, folder / "state", ready_s=PATIENCE_S)
        try:
            await daemon.start()
            await daemon.until(
                lambda s: all(x["state"] == "up" for x in (*s["links"], *s["upstream"])), PATIENCE_S
            )
            await asyncio.sleep(WARM_S)
            await _say(peers, "count")
            before = _cpu_s(daemon.process.pid)
            await asyncio.sleep(MEASURED_S)
            cpu = (_cpu_s(daemon.process.pid) - before) / MEASURED_S
            await _say(peers, "report")
            return Load(cpu, _rss_mib(daemon.process.pid), json.loads(await _line(peers)))
        finally:
            await daemon.stop()


def _configure(folder: Path, count: int, port: int, target: int) -> Path:
    """`count` links of one device each; every loopback address is a server."""
    _profile(folder)
    lines = ["version: 1", "gateway: {id: gw-bench, timezone: Asia/Shanghai, state_dir: state}", "profiles: [.]", "links:"]  # fmt: skip
    hosts = [f"127.1.{n // 250}.{n % 250 + 1}" for n in range(count)]
    lines += [f"  l{n}: {{driver: modbus, host: {host}, port: {port}}}" for n, host in enumerate(hosts)]  # fmt: skip
    lines += ["devices:"]
    lines += [f"  m{n}: {{profile: bench-meter, link: l{n}, poll: 1s}}" for n in range(count)]
    lines += [f'upstream: {{platform: {{url: "mqtt://127.0.0.1:{target}", lanes: [0, 1, 2]}}}}']
    lines += ["log: {format: console, level: warning}"]
    config = folder / "gateway.yaml"
    config.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return config


def _profile(folder: Path) -> Profile:
    points = [f'- {{id: {name}, unit: "1", at: {2 * n}}}' for n, name in enumerate(_NAMES)]
    body = bytes([1, 4, 40]) + b"\x43\x66\x33\x33" * 10
    response = (body + crc16(body).to_bytes(2, "little")).hex(" ")
    file = folder / "bench-meter.yaml"
    file.write_text(_PROFILE.format(points="\n".join(points), response=response), encoding="utf-8")
    return load_profile(file)[0]


async def _fastest(count: int) -> tuple[float, float, float]:
    """Reads a second: bare pymodbus; ours, every answer checked; the same decoded into samples."""
    with tempfile.TemporaryDirectory(prefix="bench-modbus-") as folder:
        profile = _profile(Path(folder))
    async with _peer("bench.modbus_peers") as peers:
        port = int(await _line(peers))
        hosts = [f"127.1.0.{n + 1}" for n in range(count)]
        rates: list[tuple[float, float, float]] = [
            (
                await _rate([_bare(host, port) for host in hosts]),
                await _rate([_checked(host, port) for host in hosts]),
                await _rate([_sampled(host, port, profile) for host in hosts]),
            )
            for _ in range(ROUNDS)
        ]
    bare, checked, sampled = (max(column) for column in zip(*rates, strict=True))
    return bare, checked, sampled


async def _rate(readers: list[AsyncIterator[None]]) -> float:
    """Reads a second of all `readers` together."""
    loop = asyncio.get_running_loop()
    start = loop.time()

    async def work(reader: AsyncIterator[None]) -> int:
        done = 0
        async for _ in reader:
            done += 1
            if loop.time() - start > READ_S:
                break
        return done

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(work(reader), name="reader") for reader in readers]
    for reader in readers:
        await reader.aclose()  # type: ignore[attr-defined]  # they are generators
    return sum(task.result() for task in tasks) / (loop.time() - start)


async def _bare(host: str, port: int) -> AsyncIterator[None]:
    client = AsyncModbusTcpClient(host, port=port, retries=0, reconnect_delay=0)
    assert await client.connect()
    try:
        while True:
            answer = await client.read_input_registers(0, count=20, device_id=1)
            assert len(answer.registers) == 20
            yield
    finally:
        client.close()


async def _checked(host: str, port: int) -> AsyncIterator[None]:
    connection = Connection(ModbusLink(driver="modbus", host=host, port=port), lambda: None)
    block = Block(Table.INPUT, 0, 20, ())
    try:
        while True:
            answer = await connection.read(1, block, 0.5)
            assert not isinstance(answer, Excepted)
            assert len(answer) == 20
            yield
    finally:
        connection.close()


async def _sampled(host: str, port: int, profile: Profile) -> AsyncIterator[None]:
    section = ModbusDevice.model_validate({"profile": profile.profile, "link": "l", "unit": 1})
    unit = Unit(Device("m", profile, section))
    health, clock = LinkHealth(), SystemClock()
    connection = Connection(ModbusLink(driver="modbus", host=host, port=port), lambda: None)
    poller = Poller("l", connection, health, clock)
    names = frozenset(profile.by_id)
    try:
        while True:
            reading = Reading(names)
            (blocks,) = unit.groups(names, 0.0)
            assert await poller.read(unit, blocks, reading)
            assert len(unit.sample(reading, clock).values) == 10
            yield
    finally:
        connection.close()


@asynccontextmanager
async def _peer(module: str, *arguments: str) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", module, *arguments,
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        yield process
    finally:
        process.kill()
        await process.wait()


async def _line(process: asyncio.subprocess.Process) -> str:
    if process.stdout is None:
        raise GatewayError("the peer has no output")
    async with asyncio.timeout(PATIENCE_S):
        return (await process.stdout.readline()).decode().strip()


async def _say(process: asyncio.subprocess.Process, command: str) -> None:
    if process.stdin is None:
        raise GatewayError("the peer has no input")
    process.stdin.write(f"{command}\n".encode())
    await process.stdin.drain()


def _cpu_s(pid: int) -> float:
    """CPU seconds of a process so far: utime and stime, proc(5)."""
    stat = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(stat[11]) + int(stat[12])) / os.sysconf("SC_CLK_TCK")


def _rss_mib(pid: int) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise GatewayError("no VmRSS")

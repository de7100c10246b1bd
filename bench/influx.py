"""InfluxDB: a backlog from the journal to an HTTP server that takes everything, against `Point` objects.

The same journal, client, server and batches; only the lines are made by the client's own `Point`.
Then `gateway history` of a day in a compound of 500 points (`bench.volume`), from the journal.
"""

import asyncio
import resource
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from influxdb_client.client.influxdb_client_async import InfluxDBClientAsync
from influxdb_client.client.write.point import Point
from pydantic import SecretStr

from bench import volume
from bench.report import Row
from drivers.modbus.settings import ModbusDevice
from gateway.clock import SystemClock
from gateway.driver import Device
from gateway.errors import GatewayError
from gateway.model import LANE_SAMPLE, Sample
from gateway.profile import load_profile, shipped_folder
from gateway.sinks.influx import MAX_LINES, InfluxSink, Timing
from gateway.sinks.influx_encode import Body, Encoder
from gateway.sinks.influx_settings import InfluxSection
from gateway.store.settings import StoreSettings
from gateway.store.store import Position, Slice, Store

SAMPLES = 84_000  # of 12 points: a million
POINTS = {f"elec.point.p{i}": 230.1 + i / 7 for i in range(12)}
DEVICES = 25
POINT: Any = Point  # it has no types


def run() -> list[Row]:
    with tempfile.TemporaryDirectory(prefix="bench-influx-") as folder:
        rows = asyncio.run(_measure(Path(folder)))
        return [*rows, *volume.queried(Path(folder) / "day")]


async def _measure(folder: Path) -> list[Row]:
    clock = SystemClock()
    settings = StoreSettings.model_validate({"group_commit": "1s"})
    store = Store(folder / "state", gateway_id="gw-bench", settings=settings, clock=clock)
    await asyncio.to_thread(store.open)
    await store.start()
    devices = await asyncio.to_thread(_devices)
    try:
        await _fill(store, clock)
        async with _server() as port:
            ours, lags, grown = await _ours(store, clock, devices, port)
            theirs = await _theirs(store, devices, port)
        mine_us, point_us = await _lines(store, devices)
    finally:
        await store.close()
    lags.sort()
    return [
        Row("points written from a backlog", f"{ours:,.0f} /s", f"Point objects ({theirs:,.0f}/s)", ours / theirs),
        Row(f"memory grows over {SAMPLES * len(POINTS):,} points by", f"{grown / 1e6:.1f} MB"),
        Row("loop lag meanwhile, p99", f"{lags[len(lags) * 99 // 100] * 1e3:.1f} ms"),
        Row("one line of 12 points", f"{mine_us:.1f} us", f"a Point ({point_us:.1f} us)", mine_us / point_us),
    ]  # fmt: skip


def _devices() -> dict[str, Device]:
    profile, _ = load_profile(shipped_folder() / "eastron-sdm120.yaml")
    keys = {"profile": "eastron-sdm120", "link": "meters", "tags": {"building": "3", "room": "101"}}
    section = ModbusDevice.model_validate(keys)
    return {f"meter-{n}": Device(f"meter-{n}", profile, section) for n in range(DEVICES)}


async def _fill(store: Store, clock: SystemClock) -> None:
    now = clock.time_ns()
    for n in range(1, SAMPLES + 1):
        if n % 1_000 == 0:
            await store.room()
        at = now + n * 1_000_000
        store.append(Sample(f"meter-{n % DEVICES}", at, at, 1, True, POINTS, n=n), held=True)
    await store.durable(SAMPLES)


@asynccontextmanager
async def _server() -> AsyncIterator[int]:
    """In a process of its own, so that it does not share our processor time."""
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bench.influx", stdout=asyncio.subprocess.PIPE
    )
    if child.stdout is None:
        raise GatewayError("the server has no output")
    try:
        yield int(await child.stdout.readline())
    finally:
        child.kill()
        await child.wait()


def _section(port: int) -> InfluxSection:
    keys = {"url": f"http://127.0.0.1:{port}", "org": "o", "bucket": "b", "token": SecretStr("t")}
    return InfluxSection.model_validate(keys)


async def _ours(
    store: Store, clock: SystemClock, devices: dict[str, Device], port: int
) -> tuple[float, list[float], int]:
    """(points a second, how late the loop was every 5 ms, bytes of memory that were added after the
    first tenth).
    """
    sink = InfluxSink(
        _section(port), gateway_id="gw-bench", devices=devices, store=store, clock=clock,
        timing=Timing(linger_s=0, pause_s=0),
    )  # fmt: skip
    lags: list[float] = []
    warm = most = 0
    async with asyncio.TaskGroup() as group:
        started = time.perf_counter()
        running = group.create_task(sink.run(), name="sink")
        while left := store.backlog(LANE_SAMPLE, store.cursor(sink.name, LANE_SAMPLE)):
            if left > SAMPLES * 9 // 10:
                warm = _memory()
            most = max(most, _memory())
            before = time.perf_counter()
            await asyncio.sleep(0.005)
            lags.append(time.perf_counter() - before - 0.005)
        elapsed = time.perf_counter() - started
        running.cancel()
    return SAMPLES * len(POINTS) / elapsed, lags, most - warm


def _memory() -> int:
    """Resident bytes of this process (proc(5), statm)."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


async def _theirs(store: Store, devices: dict[str, Device], port: int) -> float:
    started = time.perf_counter()
    client = InfluxDBClientAsync(f"http://127.0.0.1:{port}", token="t", org="o")  # noqa: S106 -- of the bench's own server
    writer = client.write_api()
    try:
        after: Position | None = None
        while part := await store.read(LANE_SAMPLE, after, max_items=MAX_LINES, max_bytes=10**9):
            if not await writer.write(bucket="b", record=_points(part, devices)):
                raise GatewayError("not taken")
            after = Position(part.epoch, part.last)
    finally:
        await client.close()  # type: ignore[no-untyped-call]  # the library's
    return SAMPLES * len(POINTS) / (time.perf_counter() - started)


def _points(part: Slice, devices: dict[str, Device]) -> Sequence[Any]:
    made = []
    for _, item in part.items:
        if isinstance(item, Sample):
            device = devices[item.device]
            point = (
                POINT(device.profile.facility).tag("gateway", "gw-bench").tag("device", item.device)
            )
            point.tag("profile", device.profile.profile)
            for key, value in device.section.tags.items():
                point.tag(key, value)
            for name, number in item.values.items():
                point.field(name, float(number))
            made.append(point.time(item.time_ns))
    return made


async def _lines(store: Store, devices: dict[str, Device]) -> tuple[float, float]:
    """Microseconds for a line: ours, theirs."""
    part = await store.read(LANE_SAMPLE, None, max_items=MAX_LINES, max_bytes=10**9)
    if part is None:
        raise GatewayError("no backlog")
    encoder = Encoder("gw-bench", devices)
    Body(encoder, part, 10**9).fill(MAX_LINES)
    started = time.perf_counter()
    Body(encoder, part, 10**9).fill(MAX_LINES)
    between = time.perf_counter()
    for point in _points(part, devices):
        point.to_line_protocol()
    ended = time.perf_counter()
    count = len(part.items) / 1e6
    return (between - started) / count, (ended - between) / count


async def _serve() -> None:
    """Reads requests to their end and answers 204; prints its port."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                size = head.lower().split(b"content-length:")[1].split(b"\r\n")[0]
                await reader.readexactly(int(size))
                writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")
        except asyncio.IncompleteReadError:
            writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_serve())

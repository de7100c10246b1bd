"""The client's own path of version 2 against a server that we did not write: VictoriaMetrics.

It is no InfluxDB: texts become 0, and what it has acknowledged is not yet on its disk.
"""

import asyncio
import json
import shutil
import urllib.request
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.harness.influx import influx_sink, until_empty
from tests.harness.ports import free_ports
from tests.harness.site import running, site

BINARY = shutil.which("victoria-metrics")


def get(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=5) as answer:  # noqa: S310 -- on loopback
        return bytes(answer.read())


class Victoria:
    """A server in a process of its own, on loopback."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        (self.port,) = free_ports(1)
        self.url = f"http://127.0.0.1:{self.port}"
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Returns when it answers."""
        assert BINARY is not None
        with (self._folder / "victoria.log").open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                BINARY, f"-httpListenAddr=127.0.0.1:{self.port}",
                f"-storageDataPath={self._folder / 'victoria'}",
                "-memory.allowedBytes=64MB", stdout=log, stderr=log,
            )  # fmt: skip
        async with asyncio.timeout(10):
            while True:
                try:
                    await asyncio.to_thread(get, f"{self.url}/health")
                    return
                except OSError:
                    await asyncio.sleep(0.05)

    async def kill(self) -> None:
        """SIGKILL: what it holds in memory is gone."""
        assert self._process is not None
        self._process.kill()
        await self._process.wait()


@asynccontextmanager
async def victoria(folder: Path) -> AsyncIterator[Victoria]:
    server = Victoria(folder)
    await server.start()
    try:
        yield server
    finally:
        await server.kill()


async def exported(url: str, name: str) -> list[Any]:
    """The series of one name; new ones are found some time after they were written."""
    query = f"{url}/api/v1/export?match[]=%7B__name__=%22{name}%22%7D&end=4000000000"
    async with asyncio.timeout(10):
        while True:
            await asyncio.to_thread(get, f"{url}/internal/force_flush")
            if rows := (await asyncio.to_thread(get, query)).splitlines():
                return [json.loads(row) for row in rows]
            await asyncio.sleep(0.1)


pytestmark = pytest.mark.skipif(BINARY is None, reason="victoria-metrics is not installed")


async def test_victoria_metrics_takes_every_number(tmp_path: Path) -> None:
    async with victoria(tmp_path) as server, site(tmp_path / "state") as one:
        one.event()
        await one.samples(500)
        await one.durable()
        sink = influx_sink(one.store, one.clock, server.port)
        async with running(sink):
            await until_empty(sink)
        found = await exported(server.url, "utilities_elec.energy.total")
    values = [value for series in found for value in series["values"]]
    assert sorted(values) == [float(n) for n in range(500)]
    assert {series["metric"]["building"] for series in found} == {"3 号楼"}


@pytest.mark.parametrize(("ack_lag", "missing"), [("10s", 0), ("0s", 300)])
async def test_what_a_killed_server_had_only_in_memory_is_written_again(
    tmp_path: Path, ack_lag: str, missing: int
) -> None:
    async with victoria(tmp_path) as server, site(tmp_path / "state") as one:
        sink = influx_sink(one.store, one.clock, server.port, ack_lag=ack_lag)
        async with running(sink):
            await one.samples(300)
            await one.durable()
            await until_empty(sink)
            await server.kill()
            await server.start()
            await one.samples(1)
            await one.durable()
            await until_empty(sink)
        found = await exported(server.url, "utilities_elec.energy.total")
    # One that is written twice is there twice: the server was not told to deduplicate.
    points = {(series["metric"]["device"], at) for series in found for at in series["timestamps"]}
    assert len(points) == 301 - missing

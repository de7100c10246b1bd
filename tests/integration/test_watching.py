"""Who watches the gateway sees what there is: `gateway tail`, and figures for Prometheus."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.harness.compound import Site, site, write_config
from tests.harness.ports import free_port
from tests.integration.test_daemon import GATEWAY, healthy
from tests.integration.test_reload import speaking
from tests.unit.test_metrics import GET, Series, figures, http, parsed

LINES = 40
# By the second, or by what else runs on the machine.
MOVING = {
    "gateway_uptime_seconds", "gateway_device_age_seconds", "gateway_upstream_oldest_seconds",
    "gateway_loop_lag_seconds", "gateway_memory_bytes", "gateway_store_free_bytes",
}  # fmt: skip


@asynccontextmanager
async def running(folder: Path, sabotage: str | None) -> AsyncIterator[tuple[Site, int]]:
    """And the port for Prometheus."""
    path, port = write_config(folder, meters=1), free_port()
    metrics = f'metrics: {{listen: "127.0.0.1:{port}"}}\n'
    path.write_text(path.read_text(encoding="utf-8") + metrics, encoding="utf-8")
    async with site(folder, sabotage=sabotage, lamp_interval_s=60, config=path) as one:
        await one.daemon.until(healthy)
        yield one, port


async def watched(one: Site, *words: str) -> list[str]:
    """The first lines of `gateway tail`."""
    process = await asyncio.create_subprocess_exec(
        *GATEWAY, "tail", *words, "-n", str(LINES), "-c", str(one.daemon.config),
        stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    async with asyncio.timeout(30):
        output, _ = await process.communicate()
    assert process.returncode == 0
    return output.decode().splitlines()


async def tail(folder: Path, sabotage: str | None = None) -> None:
    """A lamp counts its messages: who watches sees each of them, from his first one on."""
    async with running(folder, sabotage) as (one, _), speaking(one, 0.01):
        lines = await watched(one, "light-1", "--samples", "--json")
    seen = [json.loads(line)["values"] for line in lines]
    values = [one["elec.energy.total"] for one in seen if len(one) == 1]  # not what the lamp shows
    assert len(values) > LINES / 2
    first = values[0][0]
    assert values == [[first + number, "kW.h"] for number in range(len(values))]


async def told(one: Site, port: int) -> tuple[Series, Series, Series]:
    """Figures of `status`, of Prometheus, and of `status` again."""
    before = figures(await one.daemon.status())
    _, body = await http(port, GET)
    return still(before), still(parsed(body)), still(figures(await one.daemon.status()))


def still(series: Series) -> Series:
    return {key: value for key, value in series.items() if key[0] not in MOVING}


async def prometheus(folder: Path, sabotage: str | None = None) -> None:
    """Between two looks at `status` with the same figures, Prometheus has them too, while work goes on."""
    async with running(folder, sabotage) as (one, port):
        written: list[float] = []
        async with asyncio.timeout(30):
            while len(set(written)) < 3:
                before, between, after = await told(one, port)
                if before == after and before["gateway_store_written_total", ()] not in written:
                    assert between == pytest.approx(before)
                    written.append(before["gateway_store_written_total", ()])


@pytest.mark.timeout(60)
async def test_who_watches_sees_every_sample(tmp_path: Path) -> None:
    await tail(tmp_path)


@pytest.mark.timeout(60)
async def test_prometheus_is_told_what_status_tells(tmp_path: Path) -> None:
    await prometheus(tmp_path)


@pytest.mark.chaos
@pytest.mark.timeout(60)
async def test_teeth_a_stream_with_holes_is_noticed(tmp_path: Path) -> None:
    with pytest.raises(AssertionError):
        await tail(tmp_path, "lossy_tail")


@pytest.mark.chaos
@pytest.mark.timeout(60)
async def test_teeth_figures_that_do_not_move_are_noticed(tmp_path: Path) -> None:
    with pytest.raises(AssertionError):
        await prometheus(tmp_path, "first_figures")

"""A real InfluxDB has an answer to every query of every shipped dashboard."""

import asyncio
import time
from pathlib import Path

import pytest

from tests.harness.dashboards import NAMES, Query, lines, profiles, queries
from tests.harness.influxd import Influxd, needs_influxd


def every_query() -> list[Query]:
    return [query for name in NAMES for query in queries(name)]


@needs_influxd
@pytest.mark.timeout(60)
async def test_every_query_of_every_dashboard_has_an_answer(tmp_path: Path) -> None:
    influxd = Influxd(tmp_path / "influxd")
    await asyncio.to_thread(influxd.start)
    try:
        body = await asyncio.to_thread(lambda: b"\n".join(lines(profiles(), time.time_ns())))
        assert await asyncio.to_thread(influxd.write, body) == (204, b"")
        asked = await asyncio.to_thread(every_query)
        silent = [q for q in asked if not await asyncio.to_thread(influxd.query, q.filled_in())]
    finally:
        await asyncio.to_thread(influxd.kill)
    assert silent == []

"""The InfluxDB that a test runs against: a real 1.6.7 behind the shim, or the 2.x server of INFLUX_URL.

`INFLUX_URL` (https, or http on loopback), `INFLUX_TOKEN` (one that may make buckets and tasks) and
`INFLUX_ORG` name a server of one's own. `gateway influx init` makes a bucket there for the test; it
is removed at the end with all that was made beside it.
"""

import asyncio
import os
import secrets
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from pydantic import SecretStr

from gateway.cli.influx_api import Api
from gateway.cli.influx_setup import Setup, levels
from gateway.sinks.influx_settings import InfluxSection
from tests.harness.influx import TOKEN, section, shim
from tests.harness.influxd import BINARY, Influxd

URL = os.environ.get("INFLUX_URL", "")
needs_engine = pytest.mark.skipif(
    not URL and shutil.which(BINARY) is None,
    reason="influxd is not installed (apt-get install influxdb), and INFLUX_URL is not set",
)
DAY_S = 86_400


@asynccontextmanager
async def engine(folder: Path) -> AsyncIterator[Api]:
    """An empty bucket; the token is in the file `token` of the folder, as the configuration wants it."""
    async with _theirs() if URL else _ours(folder) as there:
        file = folder / "token"
        file.touch(mode=0o600)
        file.write_text(there.token.get_secret_value())
        yield Api(there)


@asynccontextmanager
async def _ours(folder: Path) -> AsyncIterator[InfluxSection]:
    influxd = Influxd(folder / "influxd")
    await asyncio.to_thread(influxd.start)
    try:
        async with shim(influxd.port) as port:
            yield section(port, token=SecretStr(TOKEN))
    finally:
        await asyncio.to_thread(influxd.kill)


@asynccontextmanager
async def _theirs() -> AsyncIterator[InfluxSection]:
    names = {"org": os.environ["INFLUX_ORG"], "bucket": f"gwtest{secrets.token_hex(4)}_raw"}
    token = SecretStr(os.environ["INFLUX_TOKEN"])
    there = InfluxSection.model_validate({"url": URL, "token": token, **names})
    api = Api(there)
    await asyncio.to_thread(Setup(api, 30 * DAY_S, []).run)
    try:
        yield there
    finally:
        await asyncio.to_thread(_remove, api)


def _remove(api: Api) -> None:
    made = [api.section.bucket, *(level.name for level in levels(api.section.bucket))]
    org = {"org": api.section.org}
    for task in api.ask("GET", "/api/v2/tasks", {**org, "limit": "500"}).value["tasks"]:
        if made[0].removesuffix("_raw") in task["name"]:
            api.ask("DELETE", f"/api/v2/tasks/{task['id']}")
    for name in made:
        found = api.ask("GET", "/api/v2/dbrps", {**org, "db": name}).value.get("content", [])
        for mapping in found:
            api.ask("DELETE", f"/api/v2/dbrps/{mapping['id']}", org)
        for bucket in api.ask("GET", "/api/v2/buckets", {**org, "name": name}).value["buckets"]:
            api.ask("DELETE", f"/api/v2/buckets/{bucket['id']}")

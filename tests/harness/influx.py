"""What stands in for InfluxDB 2.x: a shim in front of a real 1.6.7, and a server that says what it is told.

Neither has 2.x's way with a body in which one line cannot be parsed (it takes nothing of it).
"""

import asyncio
import json
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
from aiohttp import web
from pydantic import SecretStr

from drivers.modbus.settings import ModbusDevice
from gateway.clock import Clock
from gateway.driver import Device
from gateway.profile import load_profile, shipped_folder
from gateway.sinks.influx import InfluxSink, Timing
from gateway.sinks.influx_settings import InfluxSection
from gateway.store.store import Store
from tests.harness.influxd import DATABASE

TOKEN, ORG, BUCKET = "t0ken", "yuhua", "iot_raw"
_PRECISION = {"ns": "n", "us": "u", "ms": "ms", "s": "s"}

Answer = int | str | tuple[int, bytes] | tuple[int, bytes, dict[str, str]]
PROFILE, _ = load_profile(shipped_folder() / "eastron-sdm120.yaml")
QUICK = Timing(linger_s=0.05, event_linger_s=0.05, pause_s=0.01)


def section(port: int, **keys: object) -> InfluxSection:
    whole = {
        "url": f"http://127.0.0.1:{port}", "org": ORG, "bucket": BUCKET,
        "token": SecretStr(TOKEN), **keys,
    }  # fmt: skip
    return InfluxSection.model_validate(whole)


def meters(count: int = 25) -> dict[str, Device]:
    """`meter-0` and so on, as `Site.samples` names them."""
    keys = {
        "profile": "eastron-sdm120",
        "link": "meters",
        "tags": {"building": "3 号楼", "room": "1,01"},
    }
    return {
        f"meter-{n}": Device(f"meter-{n}", PROFILE, ModbusDevice.model_validate({**keys, "unit": n + 1}))
        for n in range(count)
    }  # fmt: skip


async def until_empty(sink: InfluxSink) -> None:
    async with asyncio.timeout(15):
        while any(lane.backlog for lane in sink.lanes()):
            await asyncio.sleep(0.01)


def influx_sink(
    store: Store,
    clock: Clock,
    port: int,
    *,
    ack_lag: str = "0s",
    to: InfluxSection | None = None,
    **options: Any,
) -> InfluxSink:
    whole: dict[str, Any] = {"timing": QUICK, "devices": meters(), **options}
    settings = to or section(port, ack_lag=ack_lag)
    return InfluxSink(settings, gateway_id="gw-test-01", store=store, clock=clock, **whole)


@asynccontextmanager
async def served(app: web.Application, port: int = 0) -> AsyncIterator[int]:
    """The port on which it is served; 0 finds a free one."""
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", port)
        await site.start()
        yield int(runner.addresses[0][1])
    finally:
        await runner.cleanup()


@asynccontextmanager
async def shim(influxd_port: int) -> AsyncIterator[int]:
    """`/api/v2/write` of 2.x in front of `/write` of 1.x: token, bucket, precision, error texts."""
    async with aiohttp.ClientSession(f"http://127.0.0.1:{influxd_port}") as session:

        async def write(request: web.Request) -> web.StreamResponse:
            if request.headers.get("Authorization") != f"Token {TOKEN}":
                return _error(401, "unauthorized", "unauthorized access")
            if request.query["bucket"] != BUCKET or request.query["org"] != ORG:
                return _error(404, "not found", f"bucket {request.query['bucket']!r} not found")
            query = {"db": DATABASE, "precision": _PRECISION[request.query["precision"]]}
            try:
                async with session.post(
                    "/write", params=query, data=await request.read()
                ) as answer:
                    if answer.status == 204:
                        return web.Response(status=204)
                    said = json.loads(await answer.read())["error"]
            except aiohttp.ClientError:
                return _cut(request)
            refused = "field type conflict" in said or "beyond retention" in said
            code = "unprocessable entity" if refused else "invalid"
            return _error(422 if refused else answer.status, code, said)

        async def query(request: web.Request) -> web.StreamResponse:
            if request.headers.get("Authorization") != f"Token {TOKEN}":
                return _error(401, "unauthorized", "unauthorized access")
            if request.query["db"] != BUCKET:  # 2.x: no mapping of that name
                return _error(404, "not found", "database not found")
            wanted = {**request.query, "db": DATABASE}
            async with session.get("/query", params=wanted) as answer:
                return web.Response(status=answer.status, body=await answer.read())

        async def ping(request: web.Request) -> web.StreamResponse:
            try:
                async with session.get("/ping") as answer:
                    return web.Response(status=answer.status)
            except aiohttp.ClientError:
                return _cut(request)

        app = web.Application(client_max_size=10_000_000)
        app.add_routes(
            [web.post("/api/v2/write", write), web.get("/ping", ping), web.get("/query", query)]
        )
        async with served(app) as port:
            yield port


def _error(status: int, code: str, message: str) -> web.Response:
    return web.json_response({"code": code, "message": message}, status=status)


def _cut(request: web.Request) -> web.Response:
    """The server is not there: so must it look."""
    assert request.transport is not None
    request.transport.abort()
    return web.Response(status=502)


class Fake:
    """Takes every write, but for the next `answers`, one for each request.

    An answer is a status, a status with a body, or `hang` or `reset`.
    """

    def __init__(self) -> None:
        self.port = 0
        self.answers: deque[Answer] = deque()
        self.bodies: list[bytes] = []  # taken
        self.refused: list[bytes] = []
        self.requests: list[web.BaseRequest] = []
        self.pings = 0
        self.headers: dict[str, str] = {}  # of every answer
        self.judge: Callable[[bytes], Answer] = lambda _body: 204  # when no answer is told
        self.news = asyncio.Event()
        self.released = asyncio.Event()  # ends what hangs

    @property
    def lines(self) -> list[bytes]:
        return [line for body in self.bodies for line in body.split(b"\n")]

    async def until(self, lines: int) -> None:
        async with asyncio.timeout(10):
            while len(self.lines) < lines:
                self.news.clear()
                await self.news.wait()

    async def until_refused(self, requests: int) -> None:
        async with asyncio.timeout(10):
            while len(self.refused) < requests:
                self.news.clear()
                await self.news.wait()

    async def write(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        self.requests.append(request)
        answer: Answer = self.answers.popleft() if self.answers else self.judge(body)
        (self.bodies if answer in (201, 204) else self.refused).append(body)
        self.news.set()
        if answer == "hang":
            await self.released.wait()
        if answer in ("hang", "reset"):
            return _cut(request)
        if isinstance(answer, tuple):
            status, said, *headers = answer
            return web.Response(status=status, body=said, headers=headers[0] if headers else None)
        assert isinstance(answer, int)
        return web.Response(status=answer, headers=self.headers)

    async def ping(self, _request: web.Request) -> web.StreamResponse:
        self.pings += 1
        return web.Response(status=204, headers=self.headers)


@asynccontextmanager
async def served_on(one: Fake, port: int) -> AsyncIterator[None]:
    app = web.Application(client_max_size=10_000_000)
    app.add_routes([web.post("/api/v2/write", one.write), web.get("/ping", one.ping)])
    async with served(app, port) as one.port:
        try:
            yield
        finally:
            one.released.set()


@asynccontextmanager
async def fake() -> AsyncIterator[Fake]:
    one = Fake()
    async with served_on(one, 0):
        yield one

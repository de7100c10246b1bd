"""What the InfluxDB sink relies on in influxdb-client and aiohttp, and what it works around.

As in `test_libraries.py`. "Relies on": gateway/sinks/influx_client.py. T60 to T65.
"""

import asyncio
import subprocess
import sys
import warnings
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from influxdb_client.client.exceptions import InfluxDBError
from influxdb_client.client.influxdb_client_async import InfluxDBClientAsync
from influxdb_client.client.write.point import Point
from influxdb_client.domain.write_precision import WritePrecision
from influxdb_client.rest import ApiException

from tests.contract.test_libraries import known_bad
from tests.harness.influx import BUCKET, ORG, TOKEN, Answer, Fake, fake
from tests.harness.ports import free_ports

ROOT = Path(__file__).parents[2]
RELIES = "gateway/sinks/influx_client.py relies on "
LINE = b"m,t=x v=1.0 1"
POINT: Any = Point  # it has no types


@pytest.fixture
async def server() -> AsyncIterator[Fake]:
    async with fake() as running:
        yield running


@asynccontextmanager
async def client(port: int, **options: Any) -> AsyncIterator[InfluxDBClientAsync]:
    made = InfluxDBClientAsync(f"http://127.0.0.1:{port}", token=TOKEN, org=ORG, **options)
    try:
        yield made
    finally:
        await made.close()  # type: ignore[no-untyped-call]  # the library's


async def write(one: InfluxDBClientAsync, body: Any = LINE, **options: Any) -> bool:
    return await one.write_api().write(bucket=BUCKET, record=body, **options)


# T60: the batching writer

BATCHING = """\
import sys
from influxdb_client import InfluxDBClient, WriteOptions
client = InfluxDBClient(url=sys.argv[1], token="t", org="o")
writer = client.write_api(write_options=WriteOptions(batch_size=1_000, flush_interval=60_000))
try:
    for n in range(100):
        writer.write(bucket="b", record=f"m v=1.0 {n}")
    if sys.argv[2] == "close":
        writer.close()
except Exception:
    print("told", flush=True)
else:
    print("well", flush=True)
"""


async def batching(server: Fake, end: str) -> str:
    """What a process says that writes 100 lines as the client's own examples do; then SIGTERM."""
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-W", "ignore", "-c", BATCHING, f"http://127.0.0.1:{server.port}", end,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    assert child.stdout is not None
    said = (await child.stdout.readline()).decode().strip()
    child.terminate()
    await child.wait()
    if said not in {"told", "well"}:
        raise RuntimeError("the child did not work")
    return said


@known_bad("influxdb-client-python#644: what the batching writer holds at the end is lost")
async def test_t60_the_batching_writer_loses_nothing_at_the_end(server: Fake) -> None:
    """Known bad (the batching WriteApi is forbidden)."""
    said = await batching(server, "exit")
    assert said == "told" or len(server.lines) == 100


@known_bad("influxdb-client-python#144: a refused batch is gone, and nobody is told")
async def test_t60_the_batching_writer_tells_of_a_refused_batch(server: Fake) -> None:
    """Known bad (the batching WriteApi is forbidden)."""
    server.answers.append(400)
    said = await batching(server, "close")
    assert said == "told" or len(server.lines) == 100


@pytest.mark.parametrize(
    "text",
    ["from influxdb_client.client.write_api import SYNCHRONOUS", "from influxdb_client import WriteApi",
     "from influxdb_client import InfluxDBClient"],
)  # fmt: skip
async def test_t60_the_linter_refuses_the_batching_writer(text: str) -> None:
    command = [
        str(Path(sys.executable).with_name("ruff")),
        "check",
        "--select",
        "TID251",
        "--no-cache",
    ]
    named = ["--stdin-filename", "gateway/sinks/other.py", "-"]
    done = await asyncio.to_thread(
        subprocess.run, [*command, *named], input=f"{text}\n", text=True, capture_output=True, cwd=ROOT, check=False
    )  # fmt: skip
    assert "TID251" in done.stdout


def test_t60_only_one_module_imports_the_client() -> None:
    importers = [
        str(path.relative_to(ROOT))
        for package in ("gateway", "drivers", "rules", "simulators")
        for path in (ROOT / package).rglob("*.py")
        if any(word in path.read_text() for word in ("import aiohttp", "from aiohttp", "import influxdb_client", "from influxdb_client"))
    ]  # fmt: skip
    assert importers == ["gateway/sinks/influx_client.py"]


# T61: what comes back


@pytest.mark.both_loops
@pytest.mark.parametrize(
    ("answer", "taken"), [(204, True), (201, True), (200, False), (202, False)]
)
async def test_t61_only_201_and_204_are_true(server: Fake, answer: int, taken: bool) -> None:
    server.answers.append(answer)
    async with client(server.port) as one:
        assert await write(one) is taken, f"{RELIES}False for any other success"


@pytest.mark.both_loops
@pytest.mark.parametrize(
    "answer", [(400, b'{"code":"invalid","message":"bad line"}'), (503, b"\xff\xfe"), 429]
)
async def test_t61_a_refusal_is_an_api_exception_with_its_status(
    server: Fake, answer: Answer
) -> None:
    server.answers.append(answer)
    async with client(server.port) as one:
        with pytest.raises(ApiException) as caught:
            await write(one)
    assert isinstance(caught.value, InfluxDBError)
    assert caught.value.status == (answer if isinstance(answer, int) else answer[0])
    said = caught.value.message
    assert (
        said == {400: "bad line", 503: b"\xff\xfe", 429: "Too Many Requests"}[caught.value.status]
    )


@pytest.mark.both_loops
async def test_t61_network_faults_are_errors_of_aiohttp(server: Fake) -> None:
    server.answers.append("reset")
    async with client(server.port) as one:
        with pytest.raises(aiohttp.ServerDisconnectedError):
            await write(one)
    (port,) = free_ports(1)
    async with client(port) as one:
        with pytest.raises(aiohttp.ClientConnectorError):
            await write(one)


@pytest.mark.both_loops
async def test_t61_nothing_is_sent_twice_and_cancelling_is_clean(server: Fake) -> None:
    server.answers.extend([503, "hang"])
    async with client(server.port) as one:
        with pytest.raises(ApiException):
            await write(one)
        assert len(server.refused) == 1, f"{RELIES}a client that never retries"
        task = asyncio.create_task(write(one))
        await server.until_refused(2)
        task.cancel()
        async with asyncio.timeout(1):
            await asyncio.wait({task})
        assert task.cancelled(), f"{RELIES}cancellation coming out as cancellation"
        assert await write(one), "the client is as good as new"


async def test_t61_a_redirect_is_a_refusal_when_it_is_not_followed(server: Fake) -> None:
    server.answers.append(307)
    async with client(server.port, allow_redirects=False) as one:
        with pytest.raises(ApiException) as caught:
            await write(one)
    assert caught.value.status == 307


# T62: how long it takes


@pytest.mark.both_loops
async def test_t62_the_time_out_of_the_client_counts(server: Fake) -> None:
    server.answers.append("hang")
    async with client(server.port, timeout=50) as one:
        with pytest.raises(TimeoutError):
            await write(one)


@known_bad("`_request_timeout` is not looked at")
async def test_t62_the_time_out_of_a_call_counts(server: Fake) -> None:
    """Known bad (the time-out is the client's)."""
    server.answers.append("hang")
    async with client(server.port, timeout=300) as one:
        started = asyncio.get_running_loop().time()
        with pytest.raises(TimeoutError):
            await write(one, _request_timeout=0.01)
        assert asyncio.get_running_loop().time() - started < 0.2


# T63: the body


async def test_t63_one_body_of_bytes_is_one_request_unchanged(server: Fake) -> None:
    body = 'm,t=é v="a\nb\\\\",w=1.0 1\nm,t=é v="" 2'.encode()
    async with client(server.port) as one:
        assert await write(one, body)
    assert server.bodies == [body]
    (request,) = server.requests
    assert request.headers["Content-Type"].startswith("text/plain")
    assert "Content-Encoding" not in request.headers
    assert request.query == {"org": ORG, "bucket": BUCKET, "precision": "ns"}


@known_bad("points of two precisions are two requests at once, and the first error hides the other")
async def test_t63_one_call_is_one_request(server: Fake) -> None:
    """Known bad (one body, one precision)."""
    points = [
        POINT("m").field("v", 1.0).time(n, p)
        for n, p in enumerate([WritePrecision.NS, WritePrecision.S])
    ]
    async with client(server.port) as one:
        assert await write(one, points)
    assert len(server.requests) == 1


# T64, T65: points


@known_bad("float division and int(): one in eight is off by a millisecond")
def test_t64_a_point_keeps_its_millisecond() -> None:
    """Known bad (integer timestamps, our own encoder)."""
    start = datetime(2026, 3, 1, tzinfo=UTC)
    wrong = 0
    for n in range(2_000):
        at = start + timedelta(milliseconds=n * 7_919)
        line = POINT("m").field("v", 1.0).time(at, WritePrecision.MS).to_line_protocol()
        wrong += int(line.rsplit(" ", 1)[1]) != (at - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)  # fmt: skip
    assert wrong == 0


@known_bad(
    "21 is written as an integer, 21.0 as a float: a type conflict for the life of the shard"
)
def test_t65_numbers_have_one_type() -> None:
    """Known bad (gateway/sinks/line.py writes floats)."""
    whole, real = (POINT("m").field("v", v).to_line_protocol() for v in (21, 21.0))
    assert whole.endswith("i") is real.endswith("i")


@known_bad("a NaN vanishes, and with it the line")
def test_t65_a_point_without_a_number_is_told() -> None:
    """Known bad (gateway/sinks/line.py leaves it out and the sink counts it)."""
    with warnings.catch_warnings(action="ignore"):
        assert POINT("m").field("v", float("nan")).to_line_protocol()

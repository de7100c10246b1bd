"""The one module that imports the InfluxDB client, and says what its answers mean.

Only `InfluxDBClientAsync` and bytes: the client's batching writer loses what it holds at exit and
on errors (influxdb-client-python#144, #198, #644). This one never retries and cancels cleanly; the
journal behind it is the retry.
"""

import asyncio
import gzip
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Any

import aiohttp
from influxdb_client.client.exceptions import InfluxDBError
from influxdb_client.client.influxdb_client_async import InfluxDBClientAsync
from influxdb_client.rest import ApiException
from influxdb_client.service.write_service import WriteService

from gateway.errors import LinkDown, Refused
from gateway.sinks.influx_settings import NAME, HttpUrl, InfluxSection

# Of the whole request. `_request_timeout` of a single call is ignored by the async client.
TIMEOUT_S = 10.0
CLOSE_S = 2.0
PATIENT = frozenset({408, 425, 429})  # RFC 9110, 8470, 6585: the same request may succeed later
# Wrong token, organisation, bucket, method or proxy: not the fault of any line.
HELD = frozenset({401, 402, 403, 404, 405, 407})
TOO_LARGE = 413
LONGEST_RETRY_S = 600.0  # a server may ask for more, or for nonsense
GZIP_LEVEL = 1  # 1 ms for 1,000 lines, 45 KB of 212; level 9 takes 22 ms for 24 KB (measured)


class LinesRefused(Refused):
    """The server says no to what the lines say, or to how many they are: a smaller body may pass."""

    def __init__(self, what: str, status: int) -> None:
        super().__init__(what)
        self.status = status


class Busy(LinkDown):
    """The server asks to be left alone for `wait_s` seconds, 0 to 600."""

    def __init__(self, what: str, wait_s: float) -> None:
        super().__init__(what)
        self.wait_s = wait_s


class Server:
    """An open client. Both methods raise LinkDown or Refused, and nothing is taken then."""

    def __init__(
        self, section: InfluxSection, client: InfluxDBClientAsync, connections: "_Connections"
    ) -> None:
        self._section = section
        self._connections = connections
        self._client = client
        self._writer = WriteService(client.api_client)  # type: ignore[no-untyped-call]  # the library's

    async def write(self, body: bytes) -> None:
        """Returns when the server has taken every line. One body is one request, unchanged; it is
        compressed for a server elsewhere, in a thread: zlib lets the loop run meanwhile.

        Raises Busy and LinesRefused too, which are a LinkDown and a Refused.
        """
        more = {}
        if not self._section.url.here:
            body = await asyncio.to_thread(gzip.compress, body, GZIP_LEVEL)
            more["content_encoding"] = "gzip"
        with self._translated("writing"):
            _, status, _ = await self._writer.post_write_async(
                self._section.org, self._section.bucket, body, precision="ns",
                content_type="text/plain; charset=utf-8", _return_http_data_only=False, **more,
            )  # type: ignore[no-untyped-call]  # fmt: skip
        if status not in {201, 204}:
            raise LinkDown(f"{self._place('writing')}: a success that is neither 201 nor 204")

    async def ping(self) -> None:
        """Somebody answers there; says nothing about token and bucket."""
        with self._translated("ping"):
            await self._client.ping()

    def is_new(self) -> bool:
        """A TCP connection was made since the last call, and the server had not said that it would
        end the one before: it may have been killed.
        """
        new, self._connections.unexpected = self._connections.unexpected, False
        return new

    def _place(self, doing: str) -> str:
        return f"{NAME}: {doing} to {self._section.bucket} at {self._section.url}"

    @contextmanager
    def _translated(self, doing: str) -> Iterator[None]:
        place = self._place(doing)
        try:
            yield
        except ApiException as error:
            raise _meaning(error, f"{place}: {error.status} {_shown(error.message)}") from error
        except TimeoutError as error:
            raise LinkDown(f"{place}: no answer within {TIMEOUT_S:g} s") from error
        except (InfluxDBError, aiohttp.ClientError, OSError) as error:
            raise LinkDown(f"{place}: {error}") from error


def _meaning(error: ApiException, what: str) -> LinkDown | Refused:
    status = error.status or 0
    if status in PATIENT or not 300 <= status < 500:
        said = "" if error.headers is None else str(error.headers.get("Retry-After", ""))
        return Busy(what, min(float(said), LONGEST_RETRY_S)) if said.isdecimal() else LinkDown(what)
    return Refused(what) if status < 400 or status in HELD else LinesRefused(what, status)


class _Connections:
    """Watches the connections that the client makes by itself when it needs one."""

    def __init__(self) -> None:
        self.unexpected = False
        self._announced = False
        self.trace = aiohttp.TraceConfig()
        self.trace.on_connection_create_end.append(self._created)
        self.trace.on_request_end.append(self._answered)

    def session(self, **options: Any) -> aiohttp.ClientSession:
        """The InfluxDB client fills `trace_configs` itself, with nothing."""
        return aiohttp.ClientSession(**{**options, "trace_configs": [self.trace]})

    async def _created(self, *_what: object) -> None:
        self.unexpected = self.unexpected or not self._announced
        self._announced = False

    async def _answered(
        self, _session: object, _context: object, end: aiohttp.TraceRequestEndParams
    ) -> None:
        """RFC 9112, 9.3 and 9.6: who does not keep the connection says so, or speaks HTTP/1.0."""
        answer = end.response
        closing = answer.headers.get("Connection", "").lower() == "close"
        self._announced = closing or answer.version == aiohttp.HttpVersion10


@asynccontextmanager
async def connect(section: InfluxSection) -> AsyncIterator[Server]:
    """A client for one run; opening it asks nobody. Closed in bounded time."""
    context = await asyncio.to_thread(_tls, section.url)
    connections = _Connections()
    client = InfluxDBClientAsync(
        str(section.url),
        token=section.token.get_secret_value(),
        org=section.org,
        timeout=int(TIMEOUT_S * 1000),
        ssl_context=context,
        allow_redirects=False,  # the token is for this server
        client_session_type=connections.session,
    )
    try:
        yield Server(section, client, connections)
    finally:
        with suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_S):
                await client.close()  # type: ignore[no-untyped-call]  # the library's


def _tls(url: HttpUrl) -> ssl.SSLContext:
    """Reads the system's certificates, but for plain HTTP, where the client wants one all the same."""
    return ssl.create_default_context() if url.tls else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


def _shown(message: object) -> str:
    """One short line of what the server said."""
    said = message.decode(errors="replace") if isinstance(message, bytes) else str(message)
    line = " ".join(said.split())
    return line if len(line) <= 200 else line[:197] + "..."

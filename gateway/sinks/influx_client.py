"""The one module that imports the InfluxDB client, and says what its answers mean.

Only `InfluxDBClientAsync` and bytes: the client's batching writer loses what it holds at exit and
on errors (influxdb-client-python#144, #198, #644). This one never retries and cancels cleanly; the
journal behind it is the retry.
"""

import asyncio
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Any

import aiohttp
from influxdb_client.client.exceptions import InfluxDBError
from influxdb_client.client.influxdb_client_async import InfluxDBClientAsync
from influxdb_client.rest import ApiException

from gateway.errors import LinkDown, Refused
from gateway.sinks.influx_settings import NAME, HttpUrl, InfluxSection

# Of the whole request. `_request_timeout` of a single call is ignored by the async client.
TIMEOUT_S = 10.0
CLOSE_S = 2.0
PATIENT = frozenset({408, 425, 429})  # RFC 9110, 8470, 6585: the same request may succeed later


class Server:
    """An open client. Both methods raise LinkDown or Refused, and nothing is taken then."""

    def __init__(
        self, section: InfluxSection, client: InfluxDBClientAsync, connections: "_Connections"
    ) -> None:
        self._section = section
        self._connections = connections
        self._client = client
        self._writer = client.write_api()

    async def write(self, body: bytes) -> None:
        """Returns when the server has taken every line. One body is one request, unchanged."""
        with self._translated("writing"):
            taken = await self._writer.write(bucket=self._section.bucket, record=body)
        if not taken:
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
            what = f"{place}: {error.status} {_shown(error.message)}"
            final = 300 <= error.status < 500 and error.status not in PATIENT
            raise (Refused if final else LinkDown)(what) from error
        except TimeoutError as error:
            raise LinkDown(f"{place}: no answer within {TIMEOUT_S:g} s") from error
        except (InfluxDBError, aiohttp.ClientError, OSError) as error:
            raise LinkDown(f"{place}: {error}") from error


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

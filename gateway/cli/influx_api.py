"""What the command line asks an InfluxDB server: the v2 API, and InfluxQL through `/query`. Blocking.

The standard library alone: the client of the sink takes 0.3 s to import.
"""

import http.client
import json
import ssl
from collections.abc import Mapping
from typing import Any, NamedTuple
from urllib.parse import quote, urlencode

from gateway.errors import LinkDown, Refused
from gateway.sinks.influx_settings import InfluxSection

TIMEOUT_S = 10.0
MAX_ANSWER = 50_000_000  # bytes; 10,000 rows are 2 MB


class Answer(NamedTuple):
    """`value`: what the JSON said; None if there was none. `said`: the server's own words."""

    status: int
    value: Any
    said: str
    version: str


class Api:
    """One server, as the configuration names it; each request is a connection of its own."""

    def __init__(self, section: InfluxSection, token: str = "") -> None:
        self.section = section
        self._token = token or section.token.get_secret_value()

    def ask(
        self, method: str, path: str, query: Mapping[str, str] | None = None, body: object = None
    ) -> Answer:
        """`body`: bytes go as they are, anything else as JSON. Raises LinkDown if nobody answers."""
        data = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        kind = "text/plain; charset=utf-8" if isinstance(body, bytes) else "application/json"
        headers = {"Authorization": f"Token {self._token}", "Content-Type": kind}
        connection = self._connection()
        try:
            connection.request(method, f"{path}?{urlencode(query or {}, quote_via=quote)}", data, headers)  # fmt: skip
            answer = connection.getresponse()
            raw = answer.read(MAX_ANSWER)
        except (OSError, http.client.HTTPException) as error:
            raise LinkDown(f"{self.section.url}: {error}") from error
        finally:
            connection.close()
        value = _json(raw)
        version = answer.headers.get("X-Influxdb-Version", "")
        return Answer(answer.status, value, _said(value, raw), version)

    def rows(self, text: str) -> list[dict[str, Any]]:
        """Of one InfluxQL statement; times are ns. Raises LinkDown, or Refused with the server's words."""
        query = {"db": self.section.bucket, "epoch": "ns", "q": text}
        answer = self.ask("GET", "/query", query)
        results = answer.value.get("results") if isinstance(answer.value, dict) else None
        if answer.status != http.client.OK or not results:
            raise Refused(f"{self.section.url}/query: {answer.status} {answer.said}")
        if "error" in results[0]:
            raise Refused(f"{self.section.url}/query: {results[0]['error']}")
        return [
            dict(zip(one["columns"], row, strict=True))
            for one in results[0].get("series", [])
            for row in one["values"]
        ]

    def _connection(self) -> http.client.HTTPConnection:
        url = self.section.url
        if url.tls:
            context = ssl.create_default_context()
            return http.client.HTTPSConnection(url.host, url.port, timeout=TIMEOUT_S, context=context)  # fmt: skip
        return http.client.HTTPConnection(url.host, url.port, timeout=TIMEOUT_S)


def _json(raw: bytes) -> Any:
    try:
        return json.loads(raw)
    except ValueError:
        return None


def _said(value: Any, raw: bytes) -> str:
    """One short line."""
    known = value if isinstance(value, dict) else {}
    text = str(known.get("message") or known.get("error") or raw[:200].decode(errors="replace"))
    return " ".join(text.split())[:200]


def identifier(name: str) -> str:
    """An InfluxQL identifier."""
    escaped = name.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


def literal(text: str) -> str:
    """An InfluxQL string."""
    escaped = text.replace("\\", "\\\\").replace("'", "\\'").replace("\n", "\\n")
    return f"'{escaped}'"

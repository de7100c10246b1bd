"""The `influxdb:` section of the configuration; imports nothing of the client."""

from importlib.util import find_spec
from typing import Annotated, NamedTuple, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from gateway.endpoint import address, is_loopback
from gateway.settings import Duration, Secret, Section, wrong
from gateway.store.rewind import KEPT_S
from gateway.words.text import fault, text

# The sink's name in cursors, `status` and events: no upstream may have it.
NAME = "influxdb"


class HttpUrl(NamedTuple):
    tls: bool
    host: str
    port: int

    @property
    def here(self) -> bool:
        """The server runs on this machine."""
        return is_loopback(self.host)

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'https' if self.tls else 'http'}://{host}:{self.port}"


def _url(value: object) -> HttpUrl:
    """`http://host[:80]` or `https://host[:443]` (RFC 9110, 4.2)."""
    tls, host, port = address(
        value, "http", "https", example="influx.example.com:8086", keys=text("setting.key_token")
    )
    return HttpUrl(tls, host, port or (443 if tls else 80))


def _ack_lag(value: float) -> float:
    if not 0 <= value <= KEPT_S:
        raise wrong(*fault("setting.ack_lag", value=value, most=KEPT_S))
    return value


Name = Annotated[str, Field(min_length=1, max_length=200)]


class InfluxSection(Section):
    """A bucket of an InfluxDB 2.x server, and the API token that may write to it."""

    url: Annotated[HttpUrl, BeforeValidator(_url)]
    org: Name
    bucket: Name
    token: Secret
    # How long before it is durable the server acknowledges. InfluxDB synchronizes its log first.
    ack_lag: Annotated[Duration, AfterValidator(_ack_lag)] = 0.0

    @model_validator(mode="after")
    def _installed(self) -> Self:
        """The client is an extra of the package; without it the file is refused, not the start."""
        if find_spec("influxdb_client") is None or find_spec("aiohttp") is None:
            raise wrong(*fault("setting.influx_client"))
        return self

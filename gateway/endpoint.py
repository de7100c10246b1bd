"""Where a peer is and how we prove who we are: the keys that links and upstreams share."""

import ipaddress
import re
from typing import Annotated, NamedTuple, Self
from urllib.parse import urlsplit

from pydantic import BeforeValidator, model_validator

from gateway.settings import FilePath, Secret, Section, wrong
from gateway.words.text import fault, text


class MqttUrl(NamedTuple):
    tls: bool
    host: str
    port: int

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'mqtts' if self.tls else 'mqtt'}://{host}:{self.port}"


def is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class Address(NamedTuple):
    """What an URL of host and port says; `port` is None if it names none."""

    tls: bool
    host: str
    port: int | None


def address(value: object, plain: str, secure: str, *, example: str, keys: str) -> Address:
    """Read `plain://host[:port]`, for loopback only, or `secure://host[:port]`; nothing else in it.

    For the messages, `example` is a host with port and `keys` names what holds the credentials.
    Raises what a pydantic validator may raise.
    """
    if not isinstance(value, str):
        raise wrong(*fault("setting.url", value=repr(value), example=f"{secure}://{example}"))
    shown = re.sub(r"//.*@", "//***@", value)  # people do write passwords there
    port_of = example.rpartition(":")[2]
    try:
        parts = urlsplit(value)
        port = parts.port
    except ValueError:
        example = f"{secure}://host:{port_of}"
        said = fault("setting.url_port", url=shown, example=example)
        raise wrong(*said) from None  # its text would repeat the value
    if parts.scheme not in {plain, secure} or not parts.hostname or port == 0:
        other = fault(
            "setting.url_kind", url=shown, kind=plain.upper(),
            example=f"{secure}://host:{port_of}", plain=f"{plain}://",
        )  # fmt: skip
        raise wrong(*other)
    if "@" in parts.netloc or parts.path not in {"", "/"} or parts.query or parts.fragment:
        raise wrong(*fault("setting.url_more", url=shown, keys=keys))
    tls = parts.scheme == secure
    if not tls and not is_loopback(parts.hostname):
        raise wrong(
            *fault("setting.url_plain", url=shown, example=f"{secure}://{parts.hostname}:{port_of}")
        )
    return Address(tls, parts.hostname, port)


def _url(value: object) -> MqttUrl:
    """`mqtt://host[:1883]` or `mqtts://host[:8883]` (IANA service names)."""
    tls, host, port = address(
        value, "mqtt", "mqtts", example="platform.example.com:8883", keys=text("setting.keys_user")
    )  # fmt: skip
    return MqttUrl(tls, host, port or (8883 if tls else 1883))


class MqttEndpoint(Section):
    """`url` with TLS unless on loopback; `ca` in place of the system's; a client pair for mTLS."""

    url: Annotated[MqttUrl, BeforeValidator(_url)]
    username: str | None = None
    password: Secret | None = None
    ca: FilePath | None = None
    client_cert: FilePath | None = None
    client_key: FilePath | None = None

    @model_validator(mode="after")
    def _pairs(self) -> Self:
        if (self.client_cert is None) != (self.client_key is None):
            raise wrong(*fault("setting.cert_pair"))
        if self.password is not None and self.username is None:
            raise wrong(*fault("setting.no_user"))
        return self

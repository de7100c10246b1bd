"""Where a peer is and how we prove who we are: the keys that links and upstreams share."""

import ipaddress
import re
from typing import Annotated, NamedTuple, Self
from urllib.parse import urlsplit

from pydantic import BeforeValidator, model_validator

from gateway.settings import FilePath, Secret, Section, wrong


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
        raise wrong(f"{value!r} is no URL", f"write e.g. {secure}://{example}")
    shown = re.sub(r"//.*@", "//***@", value)  # people do write passwords there
    port_of = example.rpartition(":")[2]
    try:
        parts = urlsplit(value)
        port = parts.port
    except ValueError:
        fix = f"write e.g. {secure}://host:{port_of}, with a port of 1 to 65535"
        raise wrong(f"'{shown}' is no URL", fix) from None  # its text would repeat the value
    if parts.scheme not in {plain, secure} or not parts.hostname or port == 0:
        what = f"'{shown}' is no {plain.upper()} URL"
        raise wrong(what, f"write {secure}://host:{port_of}, or {plain}:// on loopback")
    if "@" in parts.netloc or parts.path not in {"", "/"} or parts.query or parts.fragment:
        raise wrong(f"'{shown}' has more than host and port", f"use {keys}")
    tls = parts.scheme == secure
    if not tls and not is_loopback(parts.hostname):
        raise wrong(f"'{shown}' is not encrypted", f"write {secure}://{parts.hostname}:{port_of}")
    return Address(tls, parts.hostname, port)


def _url(value: object) -> MqttUrl:
    """`mqtt://host[:1883]` or `mqtts://host[:8883]` (IANA service names)."""
    tls, host, port = address(
        value, "mqtt", "mqtts", example="platform.example.com:8883", keys="the keys username and password"
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
            raise wrong("client_cert and client_key go together", "give both or neither")
        if self.password is not None and self.username is None:
            raise wrong("password without username", "add username")
        return self

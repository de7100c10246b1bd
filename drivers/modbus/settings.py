"""The keys of a Modbus link and of a Modbus device in the configuration."""

import os
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, ValidationInfo, field_validator, model_validator

from gateway.driver import DeviceSection, LinkSection
from gateway.settings import Port, wrong

# Keys that later versions bring.
NOT_YET = frozenset({"framer", "connections", "budget"})

Transport = Literal["tcp", "rtu", "rtu_over_tcp"]
# What UARTs and USB adapters of every make can do. 9600 and 19200 are mandatory (MODBUS over
# Serial Line 1.02, 3.2.1).
Baud = Literal[1200, 2400, 4800, 9600, 19200, 38400, 57600, 115200]

_NETWORK: tuple[Transport, ...] = ("tcp", "rtu_over_tcp")
_SERIAL: tuple[Transport, ...] = ("rtu",)
# The transports that a key belongs to; the others would ignore it.
_FOR = {
    "host": _NETWORK,
    "port": _NETWORK,
    "path": _SERIAL,
    "parity": _SERIAL,
    "stop": _SERIAL,
    "bytesize": _SERIAL,
    "baud": ("rtu", "rtu_over_tcp"),
}


def _unit(value: int) -> int:
    """0 is what some TCP devices answer to; 248 to 255 are reserved (Serial Line 1.02, 2.2)."""
    if not 0 <= value <= 247:
        raise wrong(f"{value} is no Modbus unit", "write 0 to 247")
    return value


def _host(value: str) -> str:
    if not value or any(c.isspace() or c in "/@" for c in value):
        raise wrong(f"'{value}' is no host", "write a host name or an IP address")
    return value


def _device_file(value: str) -> str:
    if not value.startswith("/"):
        raise wrong(f"'{value}' is no serial port", "write its whole path, e.g. /dev/serial/by-id/...")  # fmt: skip
    return value


def _bytesize(value: int) -> int:
    if value != 8:
        raise wrong(f"{value} data bits", "write 8: RTU frames are bytes (Serial Line 1.02, 2.5.1)")
    return value


class ModbusLink(LinkSection):
    """One bus: a serial port, a serial server or Modbus gateway on the network, or one TCP device.

    `baud` of a serial server is that of the bus behind it: it paces the requests.
    """

    driver: Literal["modbus"]
    transport: Transport = "tcp"
    host: Annotated[str, AfterValidator(_host)] = ""
    port: Port = 502  # IANA: mbap
    path: Annotated[str, AfterValidator(_device_file)] = ""
    baud: Baud = 9600
    parity: Literal["N", "E", "O"] = "N"
    stop: Literal[1, 2] = 1
    bytesize: Annotated[int, AfterValidator(_bytesize)] = 8

    @field_validator(*_FOR, mode="after")
    @classmethod
    def _belongs(cls, value: object, info: ValidationInfo) -> object:
        transport = info.data.get("transport")
        fits = _FOR[info.field_name or ""]
        if transport is not None and transport not in fits:
            fix = f"remove it, or write transport: {fits[0]}"
            raise wrong(f"{info.field_name} means nothing to transport {transport}", fix)
        return value

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if self.transport == "rtu" and not self.path:
            raise wrong("transport rtu without a port", "add path: /dev/serial/by-id/...")
        if self.transport != "rtu" and not self.host:
            raise wrong(f"transport {self.transport} without a host", "add e.g. host: 192.0.2.20")
        return self

    @property
    def framed(self) -> bool:
        """RTU frames, which carry no transaction id."""
        return self.transport != "tcp"

    @property
    def peer(self) -> str:
        """Where it is, in words for people."""
        return self.path if self.transport == "rtu" else f"{self.host}:{self.port}"

    @property
    def owned(self) -> tuple[str, str]:
        """(what no other link may use, the key that names it); symbolic links are followed."""
        if self.transport == "rtu":
            return os.path.realpath(self.path), "path"
        return self.peer, "host"


class ModbusDevice(DeviceSection):
    """`variant` (one of each part) and `vars` where the device cannot tell, or tells wrong."""

    unit: Annotated[int, AfterValidator(_unit)] = 1
    variant: str | list[str] = []
    vars: dict[str, int | float] = {}

    @property
    def variants(self) -> list[str]:
        return [self.variant] if isinstance(self.variant, str) else self.variant

"""The keys of a Modbus link and of a Modbus device in the configuration."""

import os
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, ValidationInfo, field_validator, model_validator

from gateway.driver import DeviceSection, LinkSection
from gateway.settings import Port, wrong
from gateway.words.text import fault

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
        raise wrong(*fault("setting.modbus_unit", value=value))
    return value


def _host(value: str) -> str:
    if not value or any(c.isspace() or c in "/@" for c in value):
        raise wrong(*fault("setting.host", value=value))
    return value


def _device_file(value: str) -> str:
    if not value.startswith("/"):
        raise wrong(*fault("setting.serial", value=value))
    return value


def _bytesize(value: int) -> int:
    if value != 8:
        raise wrong(*fault("setting.bytesize", value=value))
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
            key = info.field_name
            raise wrong(*fault("setting.transport", key=key, transport=transport, fits=fits[0]))
        return value

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if self.transport == "rtu" and not self.path:
            raise wrong(*fault("setting.no_port"))
        if self.transport != "rtu" and not self.host:
            raise wrong(*fault("setting.no_host", transport=self.transport))
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

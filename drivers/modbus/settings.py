"""The keys of a Modbus link and of a Modbus device in the configuration."""

from typing import Annotated, Literal

from pydantic import AfterValidator

from gateway.driver import DeviceSection, LinkSection
from gateway.settings import Port, wrong

# Keys that serial transports, their scheduler and later profile features bring.
NOT_YET = frozenset({
    "path", "baud", "parity", "stop", "bytesize", "framer", "connections", "budget", "limits", "variant", "vars",
})  # fmt: skip


def _unit(value: int) -> int:
    """0 is what some TCP devices answer to; 248 to 255 are reserved (Serial Line 1.02, 2.2)."""
    if not 0 <= value <= 247:
        raise wrong(f"{value} is no Modbus unit", "write 0 to 247")
    return value


def _host(value: str) -> str:
    if not value or any(c.isspace() or c in "/@" for c in value):
        raise wrong(f"'{value}' is no host", "write a host name or an IP address")
    return value


class ModbusLink(LinkSection):
    """One TCP connection to a meter or to a gateway with many meters behind it."""

    driver: Literal["modbus"]
    transport: Literal["tcp"] = "tcp"
    host: Annotated[str, AfterValidator(_host)]
    port: Port = 502  # IANA: mbap


class ModbusDevice(DeviceSection):
    unit: Annotated[int, AfterValidator(_unit)] = 1

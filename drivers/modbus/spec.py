"""The entry point of the Modbus driver; imports nothing of the protocol library."""

from collections.abc import Sequence

from drivers.modbus.check import check, check_profile
from drivers.modbus.counters import ranges
from drivers.modbus.settings import NOT_YET, ModbusDevice, ModbusLink
from gateway.clock import Clock
from gateway.driver import Device, Driver, DriverSpec, LinkSection


def build(name: str, link: LinkSection, devices: Sequence[Device], clock: Clock) -> Driver:
    from drivers.modbus.driver import ModbusDriver  # noqa: PLC0415 -- pymodbus loads when it is used

    if not isinstance(link, ModbusLink):
        raise TypeError(f"{name} is no Modbus link")
    return ModbusDriver(name, link, devices, clock)


def owned(link: LinkSection) -> tuple[str, str] | None:
    return link.owned if isinstance(link, ModbusLink) else None


SPEC = DriverSpec(
    name="modbus",
    protocols=frozenset({"modbus"}),
    link=ModbusLink,
    device=ModbusDevice,
    build=build,
    check=check,
    check_profile=check_profile,
    not_yet=NOT_YET,
    owned=owned,
    counter_ranges=ranges,
)

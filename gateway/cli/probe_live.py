"""The works of `gateway probe modbus` that ask the bus: measure, read, scan."""

import argparse
import asyncio
import sys

from drivers.modbus.answer import Excepted
from drivers.modbus.prober import Answer, ProbeError, opened
from drivers.modbus.settings import ModbusDevice
from gateway.cli import probe_pages as pages
from gateway.cli.probe_arguments import Place, range_of, read_arguments, timeout_s, type_of
from gateway.cli.probe_bus import Bus
from gateway.cli.probe_pages import print_json
from gateway.cli.progress import progress
from gateway.clock import SystemClock
from gateway.driver import Device

TIMEOUT_S = 1.0  # "from 1 s to several seconds" at 9600 baud (MODBUS over Serial Line 1.02, 2.4.1)
_SCAN_TIMEOUT_S = 0.3  # most of 247 units do not exist
_MEASURED = 5  # requests to each device: the median of them counts


async def measure(bus: Bus, options: argparse.Namespace) -> dict[str, float]:
    """Seconds that each device takes to answer; those that do not answer are told and left out."""
    found = {}
    async with opened(bus.link, SystemClock(), timeout_s(options, TIMEOUT_S)) as prober:
        for device in bus.devices:
            try:
                found[device.id] = await prober.answer_s(device, _MEASURED)
            except ProbeError as error:
                print(f"{device.id}: {error}", file=sys.stderr)
    return found


def read(bus: Bus, options: argparse.Namespace) -> int:
    """Exit code 1 for an exception."""
    place, count = read_arguments(options)
    bus.claim()
    answer = asyncio.run(_read(bus, options, place, count))
    code = answer.exception
    if options.json:
        data = None if isinstance(answer.data, Excepted) else list(answer.data)
        print_json({"data": data, "exception": code, "took_s": answer.took_s})
        return 0 if code is None else 1
    if isinstance(answer.data, Excepted):
        print(f"{place}: {pages.exception(answer.data.code)}")
    else:
        print(f"{place}, {pages.counted(count, 'bit' if place.table.bits else 'register')}")
        for line in pages.registers(
            place.block(count), answer.data, *type_of(options, place.table)
        ):
            print(line)
    print(f"answered in {pages.ms(answer.took_s)} ms")
    return 0 if code is None else 1


async def _read(bus: Bus, options: argparse.Namespace, place: Place, count: int) -> Answer:
    async with opened(bus.link, SystemClock(), timeout_s(options, TIMEOUT_S)) as prober:
        return await prober.read(place.unit, place.block(count))


def scan(bus: Bus, options: argparse.Namespace) -> int:
    """Exit code 1 if no unit answers."""
    units = range_of(options.scan)
    bus.claim()
    found = asyncio.run(_scan(bus, options, units))
    if options.json:
        print_json([
            {"unit": unit, "took_s": answer.took_s, "exception": answer.exception}
            for unit, answer in found.items()
        ])  # fmt: skip
    else:
        print(f"{len(found)} of {pages.counted(len(units), 'unit')} answered")
        for line in pages.round_trips([answer.took_s for answer in found.values()]):
            print(line)
    return 0 if found else 1


async def _scan(bus: Bus, options: argparse.Namespace, units: range) -> dict[int, Answer]:
    found = {}
    limit_s = timeout_s(options, _SCAN_TIMEOUT_S)
    async with opened(bus.link, SystemClock(), limit_s) as prober:
        with progress("units") as advanced:
            async for unit, answer in prober.scan(units, limit_s):
                advanced(1, len(units))
                if answer is None:
                    continue
                found[unit] = answer
                if not options.json:
                    print(_scanned(bus, unit, answer), flush=True)
    return found


def _scanned(bus: Bus, unit: int, answer: Answer) -> str:
    known = known_device(bus, unit)
    name = f" ({known.id})" if known is not None else ""
    how = "" if answer.exception is None else f", {pages.exception(answer.exception)}"
    return f"unit {unit}{name} answers in {pages.ms(answer.took_s)} ms{how}"


def known_device(bus: Bus, unit: int) -> Device | None:
    """The device that the configuration has at this unit."""
    for device in bus.devices:
        if isinstance(device.section, ModbusDevice) and device.section.unit == unit:
            return device
    return None

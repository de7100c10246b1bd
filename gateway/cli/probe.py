"""`gateway probe modbus LINK`: look at a bus before, or beside, the gateway that reads it."""

import argparse
import asyncio
import sys
from collections.abc import Callable, Mapping
from importlib import import_module

from drivers.modbus.budget import Budget, Request, check_time
from gateway.cli import probe_pages as pages
from gateway.cli.main import ALREADY_RUNNING, CONFIG, USAGE
from gateway.cli.probe_bus import Bus, InUseError, UsageError, find_bus, silent
from gateway.cli.say import refuse
from gateway.errors import ConfigError, GatewayError

_LIVE = {
    "read": "probe_live",
    "scan": "probe_live",
    "identify": "probe_identify",
    "write": "probe_write",
}


def modbus(options: argparse.Namespace) -> int:
    """Exit code 0 when what was asked for was found, else 1."""
    try:
        bus = find_bus(options)
        with silent("drivers.modbus"):
            return _work(options)(bus, options)
    except ConfigError as error:
        refuse(error)
        return CONFIG
    except UsageError as error:
        print(error, file=sys.stderr)
        return USAGE
    except InUseError as error:
        print(error, file=sys.stderr)
        return ALREADY_RUNNING
    except GatewayError as error:
        print(error, file=sys.stderr)
        return 1


def _work(options: argparse.Namespace) -> Callable[[Bus, argparse.Namespace], int]:
    if options.live and not options.plan:
        raise UsageError("--live goes with --plan")
    if options.type and not (options.read or options.write):
        raise UsageError("--type goes with --read and --write")
    if options.order and not options.type:
        raise UsageError("--order goes with --type")
    if options.plan:
        return _plan
    chosen = next(name for name in _LIVE if getattr(options, name) is not None)
    # pymodbus loads when it is used
    module = import_module(f"gateway.cli.{_LIVE[chosen]}")
    work: Callable[[Bus, argparse.Namespace], int] = getattr(module, chosen)
    return work


def _plan(bus: Bus, options: argparse.Namespace) -> int:
    """Exit code 1 if the bus cannot keep its periods."""
    if not bus.devices:
        where = f"link {bus.name}" if bus.name else options.link
        raise UsageError(f"{where} has no devices in the configuration: --plan is of devices")
    measured: Mapping[str, float] = {}
    if options.live:
        bus.claim()
        from gateway.cli.probe_live import measure  # noqa: PLC0415 -- with pymodbus

        measured = asyncio.run(measure(bus, options))
    budget = Budget(bus.link, bus.devices, measured)
    if options.json:
        pages.print_json(_as_json(bus, budget, measured))
    else:
        for line in pages.plan(bus.name, budget, measured):
            print(line)
        for finding in check_time(bus.name, bus.link, bus.devices, measured):
            print(f"warning: {finding.what}: {finding.fix}")
    return 0 if budget.short is None else 1


def _as_json(bus: Bus, budget: Budget, measured: Mapping[str, float]) -> dict[str, object]:
    devices = {}
    for device in bus.devices:
        polls = [
            {"every_s": period_s, "requests": [_request(request) for request in requests]}
            for period_s, requests in budget.requests(device.id).items()
        ]
        devices[device.id] = {
            "answer_s": budget.answer_s(device.id), "measured": device.id in measured, "polls": polls,
        }  # fmt: skip
    windows = [{**window._asdict(), "margin_s": window.margin_s} for window in budget.windows]
    return {"link": bus.name, "devices": devices, "cycles": windows, "load": budget.load}


def _request(request: Request) -> dict[str, object]:
    block = request.block
    return {
        "function": block.table.read_function, "address": block.addr, "count": block.size,
        "cost_s": request.cost_s, "points": [target.point.id for target in block.targets],
    }  # fmt: skip

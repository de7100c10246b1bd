"""`gateway simulate`: every link and upstream of a configuration on this machine, by simulators."""

import argparse
import asyncio
import signal
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

from drivers.ble.settings import BleDevice, BleLink
from drivers.modbus.settings import ModbusDevice, ModbusLink
from drivers.mqtt.dialect import captures
from drivers.mqtt.settings import MqttDevice, MqttLink
from gateway.config import Config
from gateway.document import load
from gateway.driver import Device
from gateway.endpoint import is_loopback
from gateway.errors import ConfigError, Problem
from simulators.broker import BrokerError
from simulators.compound import MQTT_PROFILES, LampStreet, MeterBus, Plan, PlatformSite, compound
from simulators.home import BUS, CONNECTED, SENSORS, HomeAlarm, HomeRadio
from simulators.lights import Place
from simulators.modbus import METERS_S, NO_TIME, Timing
from simulators.modbus_meter import SimMeter

FAILED = 1


def serve(config: Config, options: argparse.Namespace) -> int:
    """Raises ConfigError as `plan_of`."""
    plan = plan_of(config)
    if options.platform_log:
        first, *others = plan.platforms
        plan = replace(plan, platforms=(replace(first, log=Path(options.platform_log)), *others))
    plan = replace(plan, faults=options.faults / 100)
    with ExitStack() as stack:
        if options.device_log:
            log = stack.enter_context(
                Path(options.device_log).open("a", encoding="utf-8", buffering=1)
            )
            plan = replace(plan, device_log=log)
        try:
            asyncio.run(_main(plan, options))
        except (OSError, BrokerError) as error:
            print(f"gateway simulate: {error}", file=sys.stderr)
            return FAILED
    return 0


async def _main(plan: Plan, options: argparse.Namespace) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with compound(plan, seed=options.seed) as running, asyncio.TaskGroup() as group:
        brokers = ", ".join(f"{b.kind} on {b.host}:{b.port}" for b in running.brokers) or "none"
        print(f"simulating {len(plan.buses)} meter buses, {len(plan.streets)} streets, "
              f"{len(plan.platforms)} platforms; brokers: {brokers}", flush=True)  # fmt: skip
        for bus in plan.buses:
            if bus.transport == "rtu":
                print(f"serial port {bus.path} is {bus.path.readlink()}", flush=True)
        if running.home is not None:
            print(f"Bluetooth: start the gateway with {BUS}={running.home.bus}", flush=True)
        playing = group.create_task(running.play(incidents=options.incidents), name="play")
        await stop.wait()
        playing.cancel()


def plan_of(config: Config) -> Plan:
    """What to serve. Raises ConfigError for an address that is not on this machine."""
    problems: list[Problem] = []
    buses, streets, radios = [], [], []
    for name, link in config.links.items():
        devices = config.devices_of(name)
        section = link.section
        if isinstance(section, ModbusLink):
            if section.transport == "rtu":
                _port(config, name, section, problems)
            else:
                _loopback(config, ("links", name, "host"), section.host, problems)
            buses.append(_bus(section, devices))
        elif isinstance(section, MqttLink):
            _loopback(config, ("links", name, "url"), section.url.host, problems)
            lamps = _lamps(config, devices, problems)
            streets.append(LampStreet(section.url.host, section.url.port, lamps))
        elif isinstance(section, BleLink):
            radios.append(HomeRadio(section.adapter, _alarms(config, devices, problems)))
        else:
            fix = "remove the link from the file that is simulated"
            problems.append(
                _problem(config, ("links", name), f"driver {link.spec.name} has no simulator", fix)
            )
    platforms = []
    for name, upstream in config.upstream.items():
        _loopback(config, ("upstream", name, "url"), upstream.url.host, problems)
        platforms.append(PlatformSite(upstream.url.host, upstream.url.port, config.gateway.id))
    if problems:
        raise ConfigError(problems)
    return Plan(buses, streets, platforms, radios)


def _alarms(config: Config, devices: Sequence[Device], problems: list[Problem]) -> list[HomeAlarm]:
    found = []
    for device in devices:
        name = device.profile.profile
        if not isinstance(device.section, BleDevice):
            continue
        if name not in SENSORS and name != CONNECTED:
            what, fix = f"profile {name} has no simulator", f"use one of {', '.join(SENSORS)}"
            problems.append(_problem(config, ("devices", device.id, "profile"), what, fix))
            continue
        found.append(HomeAlarm(device.id, name, device.section.address, device.section.secret))
    return found


def _lamps(config: Config, devices: Sequence[Device], problems: list[Problem]) -> list[Place]:
    lamps = []
    for device in devices:
        section, profile = device.section, device.profile
        if not isinstance(section, MqttDevice):
            continue
        if profile.dialect != "native" and profile.profile not in MQTT_PROFILES:
            what = f"profile {profile.profile} has no simulator"
            path = ("devices", device.id, "profile")
            problems.append(_problem(config, path, what, "remove the device from the file that is simulated"))  # fmt: skip
            continue
        places = captures(profile, section)
        lamps.append(Place(device.id, section.topic_id, profile, places, section.groups))
    return lamps


def _bus(link: ModbusLink, devices: Sequence[Device]) -> MeterBus:
    meters = [
        SimMeter(
            device.id, device.profile, device.section.unit, tuple(device.section.variants),
            {name: Decimal(str(number)) for name, number in device.section.vars.items()},
            device.section.decisions,
        )
        for device in devices
        if isinstance(device.section, ModbusDevice)
    ]  # fmt: skip
    bits = 9 + link.stop + (link.parity != "N")
    timing = Timing(link.baud, bits, METERS_S) if link.framed else NO_TIME
    return MeterBus(link.host, link.port, meters, link.transport, Path(link.path), timing)


def _port(config: Config, name: str, link: ModbusLink, problems: list[Problem]) -> None:
    if Path(link.path).is_relative_to("/dev"):
        what = f"{link.path} may be a real serial port"
        fix = (
            "simulate a port elsewhere, e.g. /tmp/bus-1: it is made for the time of the simulation"
        )
        problems.append(_problem(config, ("links", name, "path"), what, fix))
    if link.parity != "N":  # pseudo terminals have none, and the C library then refuses to set it
        what = "a simulated port has no parity bit"
        problems.append(_problem(config, ("links", name, "parity"), what, "write parity: N"))


def _loopback(config: Config, path: tuple[str, ...], host: str, problems: list[Problem]) -> None:
    if not is_loopback(host):
        what = f"{host} is not on this machine"
        problems.append(_problem(config, path, what, "simulate only what listens on 127.0.0.1"))


def _problem(config: Config, path: tuple[str, ...], what: str, fix: str) -> Problem:
    return load(config.path).problem(path, what, fix)

"""What sections of the configuration say about each other: commands, upstreams, devices."""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from gateway.document import suggest
from gateway.driver import Device, DriverSpec
from gateway.model import LANE_ALARM, LANE_EVENT
from gateway.own import GATEWAY
from gateway.sections import File
from gateway.sinks import influx_settings
from gateway.words.text import fault, text


class Fault(NamedTuple):
    """`note`: it stops nothing."""

    path: tuple[str | int, ...]
    what: str
    fix: str
    note: bool = False


def commands(file: File, devices: Mapping[str, Device]) -> Iterator[Fault]:
    """Who may write what: origins and devices must be there."""
    origins = {"cli", "rules", *file.upstream}
    for index, allow in enumerate(file.commands.allow):
        path = ("commands", "allow", index)
        if allow.origin not in origins:
            fix = suggest(allow.origin, origins)
            unknown = fault("config.no_origin", name=allow.origin, fix=fix)
            yield Fault((*path, "origin"), *unknown)
        elif allow.origin in file.upstream and not file.upstream[allow.origin].downlink:
            yield Fault((*path, "origin"), *fault("config.no_downlink", name=allow.origin))
        for device in allow.ids():
            if device not in devices:
                missing = fault("value.no_device", name=device, fix=suggest(device, devices))
                yield Fault((*path, "devices"), *missing)


def names(devices: Mapping[str, Device]) -> Iterator[Fault]:
    """Names that are taken."""
    if GATEWAY in devices:
        yield Fault(("devices", GATEWAY), *fault("config.itself", name=GATEWAY))


def upstreams(file: File) -> Iterator[Fault]:
    for name, upstream in file.upstream.items():
        path = ("upstream", name)
        if name in {"cli", "rules", "gateway", influx_settings.NAME}:
            yield Fault(path, *fault("config.reserved", name=name))
        if upstream.downlink and all(line.origin != name for line in file.commands.allow):
            yield Fault((*path, "downlink"), *fault("config.no_allow", name=name), note=True)
        if not upstream.lanes:
            yield Fault((*path, "lanes"), *fault("config.no_lane"))
    if file.upstream and not any(0 in u.lanes for u in file.upstream.values()):
        yield Fault(("upstream",), *fault("config.no_alarms"), note=True)


def recipients(file: File, specs: Mapping[str, DriverSpec]) -> Iterator[Fault]:
    """Where notifications go must be there and able to take them; `specs` are those of the links."""
    for name, recipient in file.recipients.items():
        path = ("recipients", name)
        if recipient.via == "mqtt":
            link, able = str(recipient.link), [n for n, spec in specs.items() if spec.announces]
            if link not in specs:
                unknown = fault("config.no_link", name=link, fix=suggest(link, able or specs))
                yield Fault((*path, "link"), *unknown)
            elif link not in able:
                fix = suggest(link, able) if able else text("config.add_mqtt")
                silent = fault("config.no_topic", driver=specs[link].name, fix=fix)
                yield Fault((*path, "link"), *silent)
            continue
        upstream = file.upstream.get(str(recipient.to))
        if upstream is None:
            name_ = str(recipient.to)
            fix = suggest(name_, file.upstream) if file.upstream else text("config.add_upstream")
            yield Fault((*path, "to"), *fault("config.no_upstream", name=name_, fix=fix))
        elif missing := {LANE_ALARM, LANE_EVENT} - {*upstream.lanes}:
            lanes = " and ".join(str(lane) for lane in sorted(missing))
            needed = fault("config.notice_lanes", name=recipient.to, lanes=lanes)
            yield Fault((*path, "to"), *needed)

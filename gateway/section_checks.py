"""What sections of the configuration say about each other: commands, upstreams, devices."""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from gateway.document import suggest
from gateway.driver import Device, DriverSpec
from gateway.model import LANE_ALARM, LANE_EVENT
from gateway.sections import File
from gateway.sinks import influx_settings


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
            what, fix = f"unknown origin '{allow.origin}'", suggest(allow.origin, origins)
            yield Fault((*path, "origin"), what, fix)
        elif allow.origin in file.upstream and not file.upstream[allow.origin].downlink:
            what = f"upstream {allow.origin} takes no commands"
            yield Fault((*path, "origin"), what, f"add downlink: {{}} to upstream.{allow.origin}")
        for device in allow.ids():
            if device not in devices:
                yield Fault(
                    (*path, "devices"), f"unknown device '{device}'", suggest(device, devices)
                )


def upstreams(file: File) -> Iterator[Fault]:
    for name, upstream in file.upstream.items():
        path = ("upstream", name)
        if name in {"cli", "rules", "gateway", influx_settings.NAME}:
            yield Fault(path, f"'{name}' is a reserved name", "choose another")
        if upstream.downlink and all(line.origin != name for line in file.commands.allow):
            what, fix = "commands.allow has no line for it", f"add one with origin: {name}"
            yield Fault((*path, "downlink"), what, fix, note=True)
        if not upstream.lanes:
            yield Fault((*path, "lanes"), "no lane", "write e.g. [0, 1]")
    if file.upstream and not any(0 in u.lanes for u in file.upstream.values()):
        what = "no upstream has lane 0: alarms stay here"
        yield Fault(("upstream",), what, "add 0 to its lanes", note=True)


def recipients(file: File, specs: Mapping[str, DriverSpec]) -> Iterator[Fault]:
    """Where notifications go must be there and able to take them; `specs` are those of the links."""
    for name, recipient in file.recipients.items():
        path = ("recipients", name)
        if recipient.via == "mqtt":
            link, able = str(recipient.link), [n for n, spec in specs.items() if spec.announces]
            if link not in specs:
                yield Fault((*path, "link"), f"unknown link '{link}'", suggest(link, able or specs))
            elif link not in able:
                what = f"a {specs[link].name} link cannot publish to a topic"
                yield Fault(
                    (*path, "link"), what, suggest(link, able) if able else "add an MQTT link"
                )
            continue
        upstream = file.upstream.get(str(recipient.to))
        if upstream is None:
            what = f"unknown upstream '{recipient.to}'"
            fix = (
                suggest(str(recipient.to), file.upstream) if file.upstream else "add it to upstream"
            )
            yield Fault((*path, "to"), what, fix)
        elif missing := {LANE_ALARM, LANE_EVENT} - {*upstream.lanes}:
            lanes = " and ".join(str(lane) for lane in sorted(missing))
            what = f"upstream {recipient.to} does not take lane {lanes}, in which notifications go"
            yield Fault((*path, "to"), what, f"add {lanes} to upstream.{recipient.to}.lanes")

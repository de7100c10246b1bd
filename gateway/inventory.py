"""What the configuration says about links and points, as drivers, store and counters want it. Pure."""

from collections import defaultdict
from collections.abc import Iterable, Mapping

from gateway.clock import Clock
from gateway.config import Config
from gateway.counter import Range
from gateway.driver import Device, Driver
from gateway.store.points import PointInfo


def infos(config: Config) -> dict[tuple[str, str], PointInfo]:
    """What the profiles say about each point of each device."""
    return {
        (name, point.id): PointInfo(point.unit, point.kind, profile.profile, profile.revision)
        for name, profile in ((name, device.profile) for name, device in config.everything.items())
        for point in profile.points
    }


def counters(config: Config) -> tuple[dict[str, list[str]], dict[tuple[str, str], Range]]:
    """The counters of each device, and where their registers wrap."""
    names: dict[str, list[str]] = {}
    ranges: dict[tuple[str, str], Range] = {}
    known: dict[tuple[str, str], Mapping[str, tuple[float, float]]] = {}
    for device in config.devices.values():
        names[device.id] = [p.id for p in device.profile.points if p.kind == "counter"]
        spec = config.links[device.section.link].spec
        key = spec.name, device.profile.profile
        if key not in known:
            known[key] = spec.counter_ranges(device.profile) if spec.counter_ranges else {}
        ranges |= {(device.id, point): Range(*ends) for point, ends in known[key].items()}
    return names, ranges


def drivers(config: Config, links: Iterable[str], clock: Clock) -> dict[str, Driver]:
    """Those of `links`; they open nothing yet."""
    behind: dict[str, list[Device]] = defaultdict(list)
    for device in config.devices.values():
        behind[device.section.link].append(device)
    return {
        name: spec.build(name, section, behind[name], clock)
        for name, (spec, section) in ((name, config.links[name]) for name in links)
    }

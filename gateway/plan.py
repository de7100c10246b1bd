"""What another configuration changes in a running gateway. Pure."""

from collections import defaultdict
from collections.abc import Mapping
from typing import NamedTuple

from gateway.config import Config
from gateway.driver import Device
from gateway.sinks.influx_settings import NAME as INFLUX


class Change(NamedTuple):
    """Names, each in the order of its configuration."""

    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()

    @property
    def gone(self) -> tuple[str, ...]:
        """What ends."""
        return (*self.removed, *self.changed)

    @property
    def fresh(self) -> tuple[str, ...]:
        """What begins."""
        return (*self.added, *self.changed)

    def __bool__(self) -> bool:
        return any(self)


class Plan(NamedTuple):
    """`fixed`: keys that cannot change while the gateway runs, none if the plan can be carried out.

    A link changes with its section or one of its devices, InfluxDB with any device: its tags are
    theirs. `engine`: the rules begin anew with what is known. `others`: sections that are taken over
    and restart nothing.
    """

    fixed: tuple[str, ...]
    links: Change
    devices: Change
    sinks: Change
    rules: Change
    recipients: Change
    engine: bool
    others: tuple[str, ...]

    @property
    def empty(self) -> bool:
        return not any(self)

    @property
    def restarted(self) -> frozenset[tuple[str, str]]:
        """Links and upstreams that end and begin again: what the change may have broken."""
        links = {("link", name) for name in self.links.changed}
        return frozenset(links | {("upstream", name) for name in self.sinks.changed})

    def told(self) -> dict[str, object]:
        """For people and events: what is added, removed, changed, by kind; only what there is."""
        told: dict[str, object] = {}
        for kind, names in self._asdict().items():
            if isinstance(names, Change):
                part = {how: list(which) for how, which in names._asdict().items() if which}
                told |= {kind: part} if part else {}
        return told | ({"sections": list(self.others)} if self.others else {})


def plan(old: Config, new: Config, *, rules: bool) -> Plan:
    """`rules`: the texts of the rule files are other ones."""
    devices = _changes(old.devices, new.devices)
    recipients = _changes(old.recipients, new.recipients)
    others = ("gateway", "commands", "log", "report", "reload", "metrics")
    return Plan(
        fixed=_fixed(old, new),
        links=_changes(_links(old), _links(new)),
        devices=devices,
        sinks=_changes(_sinks(old, devices), _sinks(new, devices)),
        rules=_changes({r.id: r for r in old.rules.rules}, {r.id: r for r in new.rules.rules}),
        recipients=recipients,
        engine=rules or bool(devices) or bool(recipients) or old.gateway != new.gateway,
        others=tuple(name for name in others if getattr(old, name) != getattr(new, name)),
    )


def _fixed(old: Config, new: Config) -> tuple[str, ...]:
    """The journal belongs to one gateway, and its files are open."""
    pairs = {
        "gateway.id": (old.gateway.id, new.gateway.id),
        "gateway.state_dir": (old.state_dir, new.state_dir),
        "store": (old.store, new.store),
    }
    return tuple(key for key, (before, after) in pairs.items() if before != after)


def _links(config: Config) -> dict[str, object]:
    """What a driver is made of, by link."""
    behind: dict[str, list[Device]] = defaultdict(list)
    for device in config.devices.values():
        behind[device.section.link].append(device)
    return {
        name: (link.spec.name, link.section, behind[name])
        for name, link in config.links.items()
        if behind[name] or config.uses(name)
    }


def _sinks(config: Config, devices: Change) -> dict[str, object]:
    zone = config.gateway.timezone  # of their daily counts
    sinks: dict[str, object] = {n: (zone, section) for n, section in config.upstream.items()}
    if config.influxdb is not None:
        tags = [config.devices.get(name) for name in devices.fresh]
        sinks[INFLUX] = (config.influxdb, tags)
    return sinks


def _changes(old: Mapping[str, object], new: Mapping[str, object]) -> Change:
    return Change(
        tuple(name for name in new if name not in old),
        tuple(name for name in old if name not in new),
        tuple(name for name in new if name in old and new[name] != old[name]),
    )

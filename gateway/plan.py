"""What another configuration changes in a running gateway. Pure."""

from collections import defaultdict
from collections.abc import Mapping
from typing import NamedTuple

from gateway.config import Config
from gateway.profile import Profile
from gateway.sinks.influx_settings import NAME as INFLUX

SHOWN = 20  # names of a kind, for people and events


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

    def told(self) -> dict[str, object]:
        """For people and events: what is added, removed, changed, by kind; only what there is."""
        told: dict[str, object] = {}
        for kind, names in self._asdict().items():
            if isinstance(names, Change):
                part = {how: _some(which) for how, which in names._asdict().items() if which}
                told |= {kind: part} if part else {}
        return told | ({"sections": list(self.others)} if self.others else {})


def _some(names: tuple[str, ...]) -> list[str]:
    more = [f"and {len(names) - SHOWN} more"] if len(names) > SHOWN else []
    return [*names[:SHOWN], *more]


def plan(old: Config, new: Config, *, rules: bool) -> Plan:
    """`rules`: the texts of the rule files are other ones."""
    same, own = _same_profiles(old, new), old.own != new.own  # rules read the gateway's own points
    devices = _changes(_devices(old, same), _devices(new, same))
    recipients = _changes(old.recipients, new.recipients)
    others = ("gateway", "commands", "log", "report", "reload", "metrics", "control")
    links = _changes(_links(old, same), _links(new, same))
    return Plan(
        fixed=_fixed(old, new),
        links=links,
        devices=devices,
        sinks=_changes(_sinks(old, devices), _sinks(new, devices)),
        rules=_changes({r.id: r for r in old.rules.rules}, {r.id: r for r in new.rules.rules}),
        recipients=recipients,
        engine=rules or bool(devices or recipients) or old.gateway != new.gateway or own,
        others=tuple(name for name in others if getattr(old, name) != getattr(new, name)),
    )


def watched(old: Config, new: Config, change: Plan) -> dict[tuple[str, str], tuple[str, str]]:
    """What the change may have broken: links and upstreams that begin, each with the one that did its
    work before: its own name, or the link that one of its devices was behind.
    """
    found = {("upstream", name): ("upstream", name) for name in change.sinks.changed}
    found |= {("link", name): ("link", name) for name in change.links.changed}
    for device in new.devices.values():
        before, now = old.devices.get(device.id), device.section.link
        if now in change.links.added and before is not None:
            found["link", now] = ("link", before.section.link)
    return found


def _fixed(old: Config, new: Config) -> tuple[str, ...]:
    """The journal belongs to one gateway, and its files are open."""
    pairs = {
        "gateway.id": (old.gateway.id, new.gateway.id),
        "gateway.state_dir": (old.state_dir, new.state_dir),
        "store": (old.store, new.store),
    }
    return tuple(key for key, (before, after) in pairs.items() if before != after)


def _same_profiles(old: Config, new: Config) -> dict[int, Profile]:
    """By id of a profile object the one to compare: thousands of devices share a few of them."""
    before = {d.profile.profile: d.profile for d in old.devices.values()}
    same = {id(profile): profile for profile in before.values()}
    for device in new.devices.values():
        profile, known = device.profile, before.get(device.profile.profile)
        if id(profile) not in same:
            same[id(profile)] = known if known is not None and known == profile else profile
    return same


def _devices(config: Config, same: Mapping[int, Profile]) -> dict[str, object]:
    return {
        name: (same.get(id(d.profile), d.profile), d.section) for name, d in config.devices.items()
    }


def _links(config: Config, same: Mapping[int, Profile]) -> dict[str, object]:
    """What a driver is made of, by link."""
    behind: dict[str, list[object]] = defaultdict(list)
    made_of = _devices(config, same)
    for name, device in config.devices.items():
        behind[device.section.link].append((name, made_of[name]))
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

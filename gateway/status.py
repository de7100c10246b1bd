"""Builds the status snapshot from what the parts tell; asks no database and no network."""

import os
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from typing import NamedTuple, Protocol

from gateway.clock import Clock
from gateway.driver import Device, stale_after_s
from gateway.health import DeviceHealth, LinkHealth, LinkState, Word
from gateway.lag import Lag
from gateway.model import Level, Severity
from gateway.snapshot import (
    VERSION,
    AlarmPart,
    AuditPart,
    ConfigPart,
    DevicePart,
    DeviceReadings,
    HealthPart,
    LanePart,
    LinkPart,
    NotificationsPart,
    PointPart,
    SinkPart,
    Snapshot,
    StorePart,
)
from gateway.state import Reading, State

RELEASE = version("community-gateway")  # read once: it looks into files
ALARM_WAIT_S = 60.0  # an alarm that waits longer for the platform is worth a word


class Alarm(NamedTuple):
    """An alarm whose incident is open, or that is put aside; `since` is engine time (CLOCK_BOOTTIME ns).

    `latched`: its condition has ended, it waits for a reset. `letter` is its state after ISA-18.2,
    `raises` how often it was raised, `until_ns` when it is not shelved or out of service any more,
    which `by` did, out of service for `reason`.
    """

    instance: str
    rule: str
    device: str
    severity: Severity
    title: str
    since_ns: int
    latched: bool = False
    letter: str = "B"
    acked_by: str = ""
    raises: int = 1
    muted: bool = False
    until_ns: int | None = None
    by: str = ""
    reason: str = ""


class Lane(NamedTuple):
    lane: int
    backlog: int
    oldest_time_ns: int | None
    rate_per_s: float
    acked: int
    dead: int
    parked: str = ""
    bytes_today: int | None = None
    bytes_by_day: Mapping[str, int] = {}


class LinkSource(Protocol):
    @property
    def health(self) -> LinkHealth: ...
    @property
    def devices(self) -> Mapping[str, DeviceHealth]: ...


class Sources(Protocol):
    """Where the figures come from; `gateway.app` implements it."""

    @property
    def gateway_id(self) -> str: ...
    @property
    def gateway_name(self) -> str: ...
    @property
    def loop_name(self) -> str: ...
    @property
    def started_ns(self) -> int: ...
    @property
    def lag(self) -> Lag: ...
    @property
    def clock(self) -> Clock: ...
    @property
    def state(self) -> State: ...
    @property
    def devices(self) -> Mapping[str, Device]: ...
    @property
    def own(self) -> Device:
        """The gateway itself."""

    @property
    def drivers(self) -> Mapping[str, LinkSource]: ...
    def driver_name(self, link: str) -> str: ...
    @property
    def safe_mode(self) -> str:
        """Why only the most necessary parts run, "" in normal operation."""

    def alarms(self) -> list[Alarm]: ...
    def sinks(self) -> Mapping[str, tuple[LinkHealth, list[Lane]]]: ...
    def store(self) -> StorePart: ...
    def counters(self) -> dict[str, int]: ...
    def command_counters(self) -> dict[str, int]: ...
    def audit_part(self) -> AuditPart: ...
    def notifications(self) -> NotificationsPart: ...
    def config_part(self) -> ConfigPart: ...


def snapshot(source: Sources) -> Snapshot:
    """One picture of the whole gateway. Takes microseconds for each device."""
    now_ns = source.clock.boottime_ns()
    devices = [_device(source, device, now_ns) for device in source.devices.values()]
    links = [_link(source, name, now_ns) for name in source.drivers]
    sinks = [_sink(source, name, *parts) for name, parts in source.sinks().items()]
    store, audit, notices = source.store(), source.audit_part(), source.notifications()
    config = source.config_part()
    alarms = alarm_parts(source.alarms(), now_ns)
    return {
        "v": VERSION, "gateway": source.gateway_id, "name": source.gateway_name,
        "version": RELEASE, "pid": os.getpid(), "loop": source.loop_name,
        "loop_lag_ms": {"p99": source.lag.p99_ms(), "worst": source.lag.worst_ms()},
        "uptime_s": (now_ns - source.started_ns) / 1e9,
        "health": health(devices, links, sinks, store, source.safe_mode, audit["failing"], notices, config["note"]),
        "clock": {
            "ok": source.clock.ok, "boot": source.clock.boot,
            "time": datetime.fromtimestamp(source.clock.time_ns() / 1e9, UTC).isoformat(timespec="seconds"),
        },
        "devices": devices, "own": _device(source, source.own, now_ns),
        "links": links, "upstream": sinks, "alarms": alarms, "store": store,
        "counters": source.counters(), "commands": source.command_counters(),
        "audit": audit, "notifications": notices, "config": config,
    }  # fmt: skip


def alarm_parts(alarms: Iterable[Alarm], now_ns: int) -> list[AlarmPart]:
    """For the control socket."""
    return [
        {"instance": a.instance, "rule": a.rule, "device": a.device, "severity": a.severity.name.lower(),
         "title": a.title, "since_s": (now_ns - a.since_ns) / 1e9, "latched": a.latched,
         "letter": a.letter, "acked_by": a.acked_by, "raises": a.raises, "muted": a.muted,
         "left_s": None if a.until_ns is None else (a.until_ns - now_ns) / 1e9, "by": a.by, "reason": a.reason}
        for a in alarms
    ]  # fmt: skip


def health(
    devices: list[DevicePart],
    links: list[LinkPart],
    sinks: list[SinkPart],
    store: StorePart,
    safe_mode: str = "",
    audit: str = "",
    notices: NotificationsPart | None = None,
    config: str = "",
) -> HealthPart:
    """One word and why. Critical: nothing can be kept, or nothing can be heard."""
    critical = [safe_mode] if safe_mode else []
    degraded = [f"audit log: {audit}"] if audit else []
    degraded += [f"configuration: {config}"] if config else []
    if store["state"] != "ok":
        critical.append(f"storage: {store['reason']}")
    if not store["reserve"]:
        critical.append("storage: disk full: samples are not stored")
    down = [link for link in links if link["state"] != LinkState.UP]
    if (
        links
        and len(down) == len(links)
        and all(link["state"] != LinkState.STARTING for link in down)
    ):
        critical.append("no link to any device is up")
    degraded += [f"link {x['name']} {x['state']}: {x['reason']}" for x in down if x["reason"]]
    degraded += [f"link {x['name']} is starting" for x in down if not x["reason"]]
    up = (link for link in links if link["state"] == LinkState.UP)
    degraded += [f"link {x['name']}: {x['reason']}" for x in up if x["reason"]]
    for sink in sinks:
        if sink["state"] != LinkState.UP:
            degraded.append(
                f"upstream {sink['name']} {sink['state']}"
                + (f": {sink['reason']}" if sink["reason"] else "")
            )
        degraded += [
            f"upstream {sink['name']}: lane {x['lane']} is refused by the broker: {x['parked']}"
            for x in sink["lanes"] if x["parked"]
        ]  # fmt: skip
        if sink["note"]:
            degraded.append(f"upstream {sink['name']}: {sink['note']}")
        waiting = next((x["oldest_s"] for x in sink["lanes"] if x["lane"] == 0), None)
        if waiting is not None and waiting > ALARM_WAIT_S:
            degraded.append(f"alarms wait for {sink['name']} since {waiting:.0f} s")
    degraded += [
        f"notification to {x['recipient']} waits since {x['since_s']:.0f} s: {x['reason']}"
        for x in (notices["waiting"][:3] if notices else ()) if x["since_s"] > ALARM_WAIT_S
    ]  # fmt: skip
    silent = [device["id"] for device in devices if not device["live"]]
    if silent:
        shown = ", ".join(silent[:3]) + (f" and {len(silent) - 3} more" if len(silent) > 3 else "")
        degraded.append(f"{len(silent)} of {len(devices)} devices not live: {shown}")
    word = Word.CRITICAL if critical else Word.DEGRADED if degraded else Word.HEALTHY
    return {"word": word.value, "reasons": critical + degraded}


def _device(source: Sources, device: Device, now_ns: int) -> DevicePart:
    link = source.drivers.get(device.section.link)
    told = (link.devices.get(device.id) if link is not None else None) or DeviceHealth()
    readings = source.state.readings(device.id)
    seen_ns = source.state.seen_ns(device.id)
    age_s = None if seen_ns is None else (now_ns - seen_ns) / 1e9
    bad = {name: r.quality.reason for name, r in readings.items() if r.quality is not None}
    if age_s is None:
        quality = "bad" if bad else "never"
    elif age_s > stale_after_s(device):
        quality = "stale"
    else:
        levels = {r.quality.level for r in readings.values() if r.quality is not None}
        quality = "good" if not levels else "bad" if Level.BAD in levels else "uncertain"
    return {
        "id": device.id, "name": device.section.name, "profile": device.profile.profile,
        "link": device.section.link, "live": age_s is not None and quality != "stale", "age_s": age_s,
        "quality": quality, "bad": bad, "good": told.good, "errors": dict(told.errors),
        "online": told.online, "level": told.level, "note": told.note,
        "hearing": told.hearing(now_ns) if told.hearing else None,
    }  # fmt: skip


def readings(source: Sources, device: Device) -> DeviceReadings:
    """The last reading of every point of a device, in the order of its profile."""
    now_ns = source.clock.boottime_ns()
    last = source.state.readings(device.id)
    points: list[PointPart] = [
        {"point": point.id, "unit": point.unit, "value": last[point.id].value,
         "age_s": (now_ns - last[point.id].received_ns) / 1e9, "quality": _quality(last[point.id])}
        for point in device.profile.points if point.id in last
    ]  # fmt: skip
    return {"id": device.id, "name": device.section.name, "points": points}


def _quality(reading: Reading) -> str:
    return (
        "good" if reading.quality is None else f"{reading.quality.level}: {reading.quality.reason}"
    )


def _since(then_ns: int, now_ns: int) -> float | None:
    return None if then_ns == 0 else (now_ns - then_ns) / 1e9


def _link(source: Sources, name: str, now_ns: int) -> LinkPart:
    link = source.drivers[name].health
    return {
        "name": name, "driver": source.driver_name(name), "state": link.state.value,
        "since_s": _since(link.since_ns, now_ns), "reason": link.reason or link.note,
        "last_good_s": _since(link.last_good_ns, now_ns), "connects": link.connects,
        "counters": dict(link.counters),
    }  # fmt: skip


def _sink(source: Sources, name: str, link: LinkHealth, lanes: list[Lane]) -> SinkPart:
    wall_ns = source.clock.time_ns()
    parts: list[LanePart] = [
        {"lane": x.lane, "backlog": x.backlog, "rate_per_s": x.rate_per_s, "acked": x.acked, "dead": x.dead,
         "parked": x.parked, "bytes_today": x.bytes_today, "bytes_by_day": dict(x.bytes_by_day),
         "oldest_s": None if x.oldest_time_ns is None else max(0.0, (wall_ns - x.oldest_time_ns) / 1e9)}
        for x in lanes
    ]  # fmt: skip
    return {
        "name": name, "state": link.state.value, "since_s": _since(link.since_ns, source.clock.boottime_ns()),
        "reason": link.reason, "note": link.note, "connects": link.connects,
        "counters": dict(link.counters), "lanes": parts,
    }  # fmt: skip

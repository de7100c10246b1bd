"""Builds the status snapshot from what the parts tell; asks no database and no network."""

import os
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple, Protocol

from gateway.clock import Clock
from gateway.driver import Device, stale_after_s
from gateway.health import DeviceHealth, LinkHealth, LinkState, Word
from gateway.lag import Lag
from gateway.logs import lost
from gateway.model import LANE_ALARM, Level, Severity
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
from gateway.spare import Spare
from gateway.state import Reading, State
from gateway.store.settings import StoreSettings
from gateway.store.stats import StoreStats
from gateway.words.text import text
from gateway.words.wire import packed

RELEASE = version("community-gateway")  # read once: it looks into files
ALARM_WAIT_S = 60.0  # an alarm that waits longer for the platform is worth a word


class Alarm(NamedTuple):
    """An alarm whose incident is open, that is put aside, or waits for data; `since` is engine time
    (CLOCK_BOOTTIME ns).

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
    def spare(self) -> Spare: ...
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
    config, log = source.config_part(), lost()
    alarms = alarm_parts(source.alarms(), now_ns)
    return {
        "v": VERSION, "gateway": source.gateway_id, "name": source.gateway_name,
        "version": RELEASE, "pid": os.getpid(), "loop": source.loop_name,
        "loop_lag_ms": {"p99": source.lag.p99_ms(), "worst": source.lag.worst_ms()},
        "uptime_s": (now_ns - source.started_ns) / 1e9,
        "health": health(devices, links, sinks, store, source.safe_mode, audit["failing"], notices, config["note"],
                         source.spare.reason),
        "clock": {
            "ok": source.clock.ok, "boot": source.clock.boot,
            "time": datetime.fromtimestamp(source.clock.time_ns() / 1e9, UTC).isoformat(timespec="seconds"),
        },
        "devices": devices, "own": _device(source, source.own, now_ns),
        "links": links, "upstream": sinks, "alarms": alarms, "store": store,
        "counters": source.counters(), "commands": source.command_counters(),
        "audit": audit, "notifications": notices, "config": config,
        "log": {"lost": log.lines, "failing": log.failing},
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
    files: str = "",
) -> HealthPart:
    """One word and why. Critical: nothing can be kept, or nothing can be heard."""
    critical = [safe_mode] if safe_mode else []
    degraded: list[str] = [text("health.audit", why=audit)] if audit else []
    degraded += [text("health.files", why=files)] if files else []
    degraded += [text("health.config", why=config)] if config else []
    degraded += [text("health.log", why=lost().failing)] if lost().failing else []
    if store["state"] != "ok":
        critical.append(text("health.storage", why=store["reason"]))
    if not store["reserve"]:
        critical.append(text("health.full"))
    if links and all(x["state"] not in {LinkState.UP, LinkState.STARTING} for x in links):
        critical.append(text("health.no_link"))
    degraded += [*_link_reasons(links), *_sink_reasons(sinks)]
    degraded += [
        text("health.notice", name=x["recipient"], seconds=round(x["since_s"]), why=x["reason"])
        for x in (notices["waiting"][:3] if notices else ()) if x["since_s"] > ALARM_WAIT_S
    ]  # fmt: skip
    silent = [device["id"] for device in devices if not device["live"]]
    if silent:
        more = text("health.more", count=len(silent) - 3) if len(silent) > 3 else ""
        names = ", ".join(silent[:3])
        degraded.append(
            text("health.silent", count=len(silent), total=len(devices), names=names, more=more)
        )
    word = Word.CRITICAL if critical else Word.DEGRADED if degraded else Word.HEALTHY
    reasons = critical + degraded
    return {"word": word.value, "reasons": reasons, "said": [packed(one) for one in reasons]}


def _link_reasons(links: Iterable[LinkPart]) -> Iterator[str]:
    down = [x for x in links if x["state"] != LinkState.UP]
    for x in down:
        if x["reason"]:
            state = text(f"word.{x['state']}")
            yield text("health.link", name=x["name"], state=state, why=x["reason"])
    yield from (text("health.starting", name=x["name"]) for x in down if not x["reason"])
    for x in links:
        if x["state"] == LinkState.UP and x["reason"]:
            yield text("health.link_note", name=x["name"], why=x["reason"])


def _sink_reasons(sinks: Iterable[SinkPart]) -> Iterator[str]:
    for sink in sinks:
        name = sink["name"]
        if sink["state"] != LinkState.UP:
            state = text(f"word.{sink['state']}")
            if sink["reason"]:
                yield text("health.upstream_why", name=name, state=state, why=sink["reason"])
            else:
                yield text("health.upstream", name=name, state=state)
        for x in sink["lanes"]:
            if x["parked"]:
                yield text("health.lane", name=name, lane=x["lane"], why=x["parked"])
        if sink["note"]:
            yield text("health.upstream_note", name=name, why=sink["note"])
        waiting = next((x["oldest_s"] for x in sink["lanes"] if x["lane"] == 0), None)
        if waiting is not None and waiting > ALARM_WAIT_S:
            yield text("health.waiting", name=name, seconds=round(waiting))


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
        "building": device.section.tags.get("building", ""),
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


def store_part(stats: StoreStats, directory: Path, settings: StoreSettings) -> StorePart:
    return {
        "state": stats.state, "reason": stats.reason, "directory": str(directory),
        "epoch": stats.epoch, "queued": stats.queued, "bytes_on_disk": stats.bytes_on_disk,
        "free_bytes": stats.free_bytes, "commit_ms_p99": stats.commit_ms_p99,
        "written": stats.written,
        "dropped": dict(stats.dropped), "evicted": dict(stats.evicted),
        "undelivered": stats.undelivered, "reserve": stats.reserve,
        "telemetry_bytes": stats.telemetry_bytes, "telemetry_quota": settings.telemetry_quota,
        "alarm_bytes": stats.event_bytes[LANE_ALARM], "alarm_quota": settings.alarm_quota,
    }  # fmt: skip

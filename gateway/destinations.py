"""Everything that the journal is sent to, as the configuration names it, and the ways back."""

import asyncio
from importlib import import_module
from typing import TYPE_CHECKING, NamedTuple

from gateway.audit import AuditLog
from gateway.clock import Clock
from gateway.commands import Commands
from gateway.config import Config
from gateway.model import LANE_DIAGNOSTIC, LANES
from gateway.sinks.build import upstreams
from gateway.sinks.desired import Apply, Desired
from gateway.sinks.downlink import Downlink, GroupCommands
from gateway.sinks.influx_settings import NAME as INFLUX
from gateway.sinks.influx_types import FieldTypes
from gateway.sinks.sink import Sink
from gateway.sinks.traffic import Tell
from gateway.status import Lane
from gateway.store.store import Store

if TYPE_CHECKING:
    from gateway.sinks.influx import InfluxSink


class Parts(NamedTuple):
    """What destinations are made of."""

    store: Store
    commands: Commands
    groups: GroupCommands
    audit: AuditLog
    clock: Clock
    tell: Tell
    apply: Apply  # a configuration that a platform wishes


class Destinations(NamedTuple):
    sinks: dict[str, Sink]
    downlinks: dict[str, Downlink]


async def destinations(config: Config, parts: Parts) -> Destinations:
    """Made when the store is open: they begin at its cursors."""
    downlinks = {
        name: downlink
        for name in config.upstream
        if (downlink := _downlink(name, config, parts)) is not None
    }
    sinks = upstreams(
        config.upstream, gateway_id=config.gateway.id, timezone=config.gateway.timezone,
        state_dir=config.state_dir, store=parts.store, clock=parts.clock, tell=parts.tell,
        downlinks=downlinks,
    )  # fmt: skip
    if config.influxdb is not None:
        sinks[INFLUX] = await _influx(config, parts)
    return Destinations(sinks, downlinks)


def _downlink(name: str, config: Config, parts: Parts) -> Downlink | None:
    section = config.upstream[name].downlink
    if section is None:
        return None
    desired = None
    if section.config:
        desired = Desired(
            name, config.state_dir, config.path, gateway_id=config.gateway.id, audit=parts.audit,
            apply=parts.apply if section.config == "apply" else None,
        )  # fmt: skip
    return Downlink(
        name, section, gateway_id=config.gateway.id, commands=parts.commands, ledger=parts.store,
        audit=parts.audit, clock=parts.clock, desired=desired, groups=parts.groups,
    )  # fmt: skip


async def _influx(config: Config, parts: Parts) -> Sink:
    """Its client is imported for those who use it: 0.3 s and 11 MB, and not on the loop."""
    assert config.influxdb is not None  # noqa: S101 -- the caller looked
    module = await asyncio.to_thread(import_module, "gateway.sinks.influx")
    build: type[InfluxSink] = module.InfluxSink
    types = FieldTypes(config.state_dir)
    await asyncio.to_thread(types.load)
    return build(
        config.influxdb, gateway_id=config.gateway.id, devices=config.everything, store=parts.store,
        clock=parts.clock, types=types,
    )  # fmt: skip


def sink_lanes(config: Config) -> dict[str, list[int]]:
    """What each sink takes; the journal keeps it for them."""
    lanes = {name: list(section.lanes) for name, section in config.upstream.items()}
    if config.influxdb is not None:
        lanes[INFLUX] = [lane for lane in LANES if lane != LANE_DIAGNOSTIC]
    return lanes


def lanes(sink: Sink) -> list[Lane]:
    """What `status` shows of them."""
    return [
        Lane(x.lane, x.backlog, x.oldest_time_ns, x.rate_per_s, x.acked, x.dead, x.parked,
             x.bytes_today, x.bytes_by_day)
        for x in sink.lanes()
    ]  # fmt: skip

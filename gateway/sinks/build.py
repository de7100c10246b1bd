"""Makes the sinks of the `upstream:` section."""

from collections.abc import Mapping
from pathlib import Path
from zoneinfo import ZoneInfo

from gateway.clock import Clock
from gateway.sinks.downlink import Downlink
from gateway.sinks.meter import Meter
from gateway.sinks.settings import UpstreamSection
from gateway.sinks.sink import Sink
from gateway.sinks.traffic import Tell
from gateway.sinks.upstream import UpstreamSink
from gateway.store.store import Store


def upstreams(
    sections: Mapping[str, UpstreamSection],
    *,
    gateway_id: str,
    timezone: str,
    state_dir: Path,
    store: Store,
    clock: Clock,
    tell: Tell,
    downlinks: Mapping[str, Downlink],
) -> dict[str, Sink]:
    """By name. The store is open: they begin at its cursors. Days are those of `timezone`."""
    zone = ZoneInfo(timezone)
    return {
        name: UpstreamSink(
            name,
            section,
            gateway_id=gateway_id,
            store=store,
            clock=clock,
            tell=tell,
            meter=Meter(state_dir, name, zone, clock),
            downlink=downlinks.get(name),
        )
        for name, section in sections.items()
    }

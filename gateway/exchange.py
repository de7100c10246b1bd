"""Takes a running gateway over to another configuration: only what differs ends and begins again."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from gateway import announce, logs
from gateway.config import Config
from gateway.destinations import Destinations, destinations, sink_lanes
from gateway.driver import Driver
from gateway.inventory import counters, drivers, infos
from gateway.plan import Plan
from gateway.sinks.influx_settings import NAME as INFLUX
from gateway.supervise import Contained, contained

if TYPE_CHECKING:
    from gateway.app import App


async def exchange(app: "App", new: Config, plan: Plan) -> None:
    """Build, then stop what is gone, then change all at once and start what is new.

    Raises Refused before anything has changed if a driver cannot be built. Sinks begin at the cursors
    of those before them, so they are made when these have ended.
    """
    built = contained("links", lambda: drivers(new, plan.links.fresh, app.clock))
    await app.links.stop(plan.links.gone)
    await app.outlets.stop(plan.sinks.gone)
    await app.ways.stop(plan.sinks.gone)
    app.retiring.keep(new.devices)
    app.retiring.remove(app.devices[name] for name in plan.devices.removed)
    made = await destinations(_of_sinks(app, new, plan.sinks.fresh), app.parts)
    _take_over(app, new, plan, built, made)
    app.run_links(plan.links.fresh)
    app.run_sinks(plan.sinks.fresh)


def _of_sinks(app: "App", config: Config, names: Iterable[str]) -> Config:
    """With these destinations alone, and with devices whose records are still to be delivered."""
    wanted = set(names)
    upstream = {name: section for name, section in config.upstream.items() if name in wanted}
    influxdb = config.influxdb if INFLUX in wanted else None
    devices = {**app.retiring.devices, **config.devices}
    return replace(config, upstream=upstream, influxdb=influxdb, devices=devices)


def _take_over(
    app: "App", new: Config, plan: Plan, built: Mapping[str, Driver], made: Destinations
) -> None:
    """No await: whoever looks sees the one configuration or the other."""
    app.config = new
    app.gateway_name = new.gateway.name
    app.sink_names = {*new.upstream, *([INFLUX] if new.influxdb else [])}
    _put(app.devices, new.devices, new.devices)
    links = [name for name in new.links if name in built or name in app.drivers]
    _put(app.drivers, {**app.drivers, **built}, [n for n in links if n not in plan.links.removed])
    for name in plan.links.gone:
        del app.writers[name]
    app.writers |= {name: Contained(driver.write) for name, driver in built.items()}
    sinks = [*new.upstream, INFLUX]
    _put(app.upstreams, {**app.upstreams, **made.sinks}, [n for n in sinks if n in app.sink_names])
    ways = {n: w for n, w in app.downlinks.items() if n not in plan.sinks.gone} | made.downlinks
    _put(app.downlinks, ways, ways)
    app.journal.sinks(sink_lanes(new))
    app.commands.adopt(new.commands)
    app.groups.adopt(app.devices, app.drivers)
    app.notifier.adopt(new.recipients, announce.announcers(app.drivers))
    _take_points(app, new, plan)
    logs.setup(new.log.format, new.log.level)


def _take_points(app: "App", new: Config, plan: Plan) -> None:
    """What is known of devices that stay is kept; rules go on with it."""
    app.own = new.own
    if plan.devices or plan.sinks:
        app.journal.describe(infos(new))
        app.state.adopt({name: device.profile for name, device in new.everything.items()})
        app.counted.adopt(*counters(new))
        app.reports.adopt(new.everything, {*plan.devices.fresh, new.own.id})
    if plan.engine:
        now_ns = app.clock.boottime_ns()
        app.decider.adopt(new.rules, app.state.samples(), now_ns, app.bus)


def _put(place: dict[str, Any], values: Mapping[str, Any], names: Iterable[str]) -> None:
    """`place` holds `names` alone, in their order; others have references to it."""
    kept = {name: values[name] for name in names}
    place.clear()
    place.update(kept)

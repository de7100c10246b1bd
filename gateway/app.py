"""Puts the parts together: starts them downstream first, stops them upstream first, in bounded time."""

import asyncio
import logging
from collections.abc import Coroutine, Iterable, Mapping
from functools import partial
from typing import Any
from uuid import UUID

from gateway import announce, control
from gateway.audit import AuditLog
from gateway.audit_hooks import LOOKS, audited, begin, refusals, telling
from gateway.bus import Bus
from gateway.clock import SystemClock
from gateway.commands import Commands
from gateway.config import Config
from gateway.config_history import remember
from gateway.counter import Counters
from gateway.decider import RuleDecider
from gateway.destinations import Parts, destinations, lanes, sink_lanes
from gateway.drill import Drills
from gateway.driver import Driver
from gateway.group import Groups
from gateway.health import LinkHealth, LinkState
from gateway.holds import Holds
from gateway.inventory import counters, drivers, infos
from gateway.jobs import Jobs
from gateway.lag import Lag
from gateway.loglevels import LogLevels
from gateway.losses import Losses
from gateway.metrics import Metrics
from gateway.model import (
    Event,
    EventKind,
    Severity,
)
from gateway.moments import Moments
from gateway.operating import alarms
from gateway.order import order
from gateway.pulse import Pulse
from gateway.recall import recall
from gateway.reload import Reload
from gateway.report import Reports
from gateway.retiring import Retiring
from gateway.safemode import SafeMode, reduced
from gateway.sinks.downlink import Downlink
from gateway.sinks.influx_settings import NAME as INFLUX
from gateway.sinks.sink import Sink
from gateway.snapshot import (
    AuditPart,
    ConfigPart,
    NotificationsPart,
    StorePart,
)
from gateway.spare import Spare
from gateway.state import State
from gateway.status import Alarm, Lane, snapshot, store_part
from gateway.store.store import Store
from gateway.supervise import Contained, Run, supervise
from gateway.systemd import Systemd
from gateway.tap import Tap
from gateway.timeline import offset
from gateway.verbs import verbs
from gateway.wall import Wall
from gateway.watchdog import COMMIT_S, FORWARD_S, INGEST_S, Stage, Watchdog
from rules.trace import Traces

log = logging.getLogger(__name__)

DRAIN_S = 3.0  # what is still to go upstream at a stop; the rest goes after the next start
CLOSE_S = 12.0  # the store bounds itself at 10 s
AUDIT_S = 2.0
# A bus that is back is read again within 5 s, with the silence before its first request.
LINK_DELAY_S = 3.0
UPLINK_DELAY_S = 60.0  # a platform that is back is not stormed by all its gateways at once
HOUSEKEEPING_S = 10.0


class App:
    """The daemon. `run` returns when `stop` is set; a bug in the core raises out of it."""

    def __init__(self, config: Config, *, loop_name: str) -> None:
        self.config = config
        self.loop_name = loop_name
        self.clock = SystemClock()
        self.started_ns = self.clock.boottime_ns()
        self.lag = Lag()
        self.systemd = Systemd()
        self.watchdog = Watchdog(self.systemd, self.lag, self._stages)
        self.gateway_id = config.gateway.id
        self.gateway_name = config.gateway.name
        self.levels = LogLevels()
        self.spare = Spare()
        self.metrics = Metrics(lambda: self.config.metrics, lambda: snapshot(self), self.spare)
        self._make_memory(config)
        self._make_outside(config)
        self._make_deeds(config)
        self._make_core(config)
        self.reload = Reload(self)

    def _make_memory(self, config: Config) -> None:
        """What is kept: state, journal, audit log."""
        self.state = State({name: device.profile for name, device in config.everything.items()})
        self.journal = Store(
            config.state_dir, gateway_id=config.gateway.id, settings=config.store, clock=self.clock
        )
        self.journal.describe(infos(config))
        self.journal.sinks(sink_lanes(config))
        self.audit, self.traces = AuditLog(config.state_dir, self.clock), Traces()
        self.moments = Moments(config.state_dir)
        self.mode = SafeMode(config.state_dir, self.clock)
        self.losses = Losses(self.journal, self._emit)

    def _make_outside(self, config: Config) -> None:
        """Links and sinks. A reload changes `devices`, `drivers` and `writers` in place."""
        self.devices, self.own = dict(config.devices), config.own
        self.sink_names = {*config.upstream, *([INFLUX] if config.influxdb else [])}
        self.links, self.outlets, self.ways = Jobs("link"), Jobs("upstream"), Jobs("downlink")
        used = [name for name in config.links if config.uses(name)]
        self.drivers: dict[str, Driver] = drivers(config, used, self.clock)
        self.writers = {name: Contained(driver.write) for name, driver in self.drivers.items()}
        # Made when the store is open: they begin at its cursors.
        self.upstreams: dict[str, Sink] = {}
        self.downlinks: dict[str, Downlink] = {}

    def _make_deeds(self, config: Config) -> None:
        """What the gateway does: commands, notifications, rules."""
        self.holds = Holds(self.clock)
        self.commands = Commands(
            config.commands, devices=self.devices, writers=self.writers, state=self.state,
            ledger=self.journal, clock=self.clock, emit=self._emit, told=telling(self.audit, self.traces),
            holds=self.holds,
        )  # fmt: skip
        self.notifier = announce.notifier(
            config, self.drivers, journal=self.journal, clock=self.clock, emit=self._emit, audit=self.audit
        )  # fmt: skip
        self.groups = Groups(config.devices, self.drivers, self.commands)
        self.order = order(self.commands, self.groups, self.clock)
        self.decider = RuleDecider(
            config.rules, self.commands, self.notifier.send, offset(self.clock), self.traces
        )
        self.drills = Drills(
            self.decider, self.commands, self.notifier, clock=self.clock, emit=self._emit,
            state_dir=config.state_dir,
        )  # fmt: skip

    def _make_core(self, config: Config) -> None:
        """The bus, through which everything goes, and who looks on."""
        self.counted = Counters(*counters(config))
        self.reports = Reports(config.everything.values())
        self.bus = Bus(
            store=self.journal, state=self.state, clock=self.clock, decider=self.decider,
            counted=self.counted, reports=self.reports, told=refusals(self.audit),
        )  # fmt: skip
        self.holds.shelf = self.bus
        self.tap = Tap(self.devices, partial(setattr, self.bus, "tap"))
        self.wall = Wall(self.clock, self.decider, self.bus, self.moments)
        self.retiring = Retiring(self.journal, self.clock, config.store.group_commit + 1, self.tell)

    async def run(self, stop: asyncio.Event) -> None:
        """Raises AlreadyRunning or StateRefused before anything is started.

        Returns at `stop`, and when safe mode is over: then start another one.
        """
        await asyncio.to_thread(self.journal.open)
        await asyncio.to_thread(self.mode.begin)
        await asyncio.to_thread(self.moments.load)
        await asyncio.to_thread(self.clock.remember, self.config.state_dir)
        if self.safe_mode:
            self.config = reduced(self.config)
            self.decider.restrict(self.config.rules)
        await asyncio.to_thread(
            recall, self.decider, self.journal, self.config, self.clock, self.moments.kept
        )
        self.holds.recall(self.journal.rules, self.decider.engine_time(0))
        self.bus.restore()
        self.journal.on_reopen(self.bus.reopened)
        self.upstreams, self.downlinks = await destinations(self.config, self.parts)
        self.state.restore(self.journal.alarms)
        self.counted.restore(self.journal.counted, self.journal.alarms)
        await self.journal.start()
        self.losses.report()
        await begin(self.audit, self.config.state_dir, self.config.files)
        what = (self.config.state_dir, self.config.files, "start", self.clock.time_ns())
        await asyncio.to_thread(remember, *what)
        self.commands.settle(self.journal.interrupted())
        self.notifier.restore(self.journal.alarms)
        try:
            handlers = audited(verbs(self), self.audit)
            access = control.Access(LOOKS, self.reload.operators)
            async with control.serve(self.config.state_dir, handlers, access, self.spare):
                await self._run_core(stop)
            await asyncio.to_thread(self.mode.end)
        finally:
            await self.audit.close(AUDIT_S)
            async with asyncio.timeout(CLOSE_S):
                await self.journal.close()
        log.info("stopped", extra={"component": "app"})

    async def _run_core(self, stop: asyncio.Event) -> None:
        """Core, then sinks, then drivers; stopped the other way round."""
        async with asyncio.TaskGroup() as core:
            tasks = [
                core.create_task(self.journal.watch(), name="store"),
                core.create_task(self.commands.run(), name="commands"),
                core.create_task(self.notifier.run(), name="notify"),
                core.create_task(self.bus.run(), name="rules"),
                core.create_task(self.wall.run(), name="wall"),
                core.create_task(self._housekeeping(), name="housekeeping"),
                core.create_task(self.lag.run(), name="lag"),
                core.create_task(self.watchdog.run(), name="watchdog"),
                core.create_task(self.metrics.run(), name="metrics"),
                core.create_task(self.losses.run(), name="losses"),
                core.create_task(self.spare.run(), name="spare"),
                core.create_task(Pulse(self, self.bus).run(), name="pulse"),
            ]
            await asyncio.sleep(0)  # now they run: rules may hold something from before the restart
            self.ways.open(core)
            async with asyncio.TaskGroup() as downstream:
                self.outlets.open(downstream)
                self.run_sinks(self.upstreams)
                await self._run_drivers(stop)
                await self._drain()
                self.outlets.cancel()
            self.ways.cancel()
            _cancel(tasks)

    async def _run_drivers(self, stop: asyncio.Event) -> None:
        async with asyncio.TaskGroup() as group:
            self.links.open(group)
            self.run_links(self.drivers)
            log.info(
                "running: %d devices on %d links, %d rules, %d upstreams", len(self.devices),
                len(self.drivers), len(self.config.rules.rules), len(self.upstreams),
                extra={"component": "app"},
            )  # fmt: skip
            self.commands.resume()
            self.decider.restore(self.clock.boottime_ns(), self.bus)
            self.systemd.ready(len(self.devices))
            async with self.reload.serving():
                await self.mode.over(stop)
            if stop.is_set():
                self.systemd.stopping()
            log.info("stopping", extra={"component": "app"})
            self.links.cancel()

    async def _drain(self) -> None:
        async with asyncio.TaskGroup() as group:
            for sink in self.upstreams.values():
                group.create_task(sink.drain(DRAIN_S), name="drain")

    def run_links(self, names: Iterable[str]) -> None:
        for name in names:
            driver = self.drivers[name]
            run = partial(driver.run, self.bus)
            self.links.start(name, self._supervised("link", name, run, driver.health, LINK_DELAY_S))

    def run_sinks(self, names: Iterable[str]) -> None:
        for name in names:
            sink = self.upstreams[name]
            work = self._supervised("upstream", name, sink.run, sink.health, UPLINK_DELAY_S)
            self.outlets.start(name, work)
            if name in self.downlinks:
                self.ways.start(name, self.downlinks[name].run())

    def _supervised(
        self, what: str, name: str, run: Run, health: LinkHealth, longest_s: float
    ) -> Coroutine[Any, Any, None]:
        return supervise(
            f"{what} {name}", run, health, clock=self.clock,
            transition=partial(self._transition, what, name), longest_s=longest_s,
        )  # fmt: skip

    @property
    def parts(self) -> Parts:
        return Parts(
            self.journal, self.commands, self.groups, self.audit, self.clock, self.tell,
            self.reload.wish,
        )  # fmt: skip

    def _stages(self) -> list[Stage]:
        """What has to get on for the gateway to be alive."""
        return [
            Stage("ingest", self.bus.beat, INGEST_S),
            Stage("commit", self.journal.beat, COMMIT_S),
            *(Stage(f"forward {n}", s.health.beat, FORWARD_S) for n, s in self.upstreams.items()),
        ]

    def _transition(self, what: str, name: str, state: LinkState, reason: str) -> None:
        up = state is LinkState.UP
        kind = EventKind.LINK_UP if up else EventKind.LINK_DOWN
        attributes: dict[str, object] = {what: name, "state": state.value, "reason": reason}
        self._emit(kind, Severity.OPERATIONAL, "gateway", attributes)

    def _emit(
        self,
        kind: EventKind,
        severity: Severity,
        device: str,
        attributes: dict[str, object],
        cause: UUID | None = None,
    ) -> Event:
        return self.bus.emit(kind, severity, device, attributes, cause)

    def tell(self, kind: EventKind, severity: Severity, what: dict[str, object]) -> None:
        self._emit(kind, severity, "gateway", what)

    async def _housekeeping(self) -> None:
        while True:
            await asyncio.sleep(HOUSEKEEPING_S)
            self.losses.report()
            self.bus.report_losses()
            self.retiring.look(sink_lanes(self.config))
            await asyncio.to_thread(self.clock.refresh)

    # -- what status asks (gateway.status.Sources) ----------------------------------------------

    @property
    def safe_mode(self) -> str:
        return self.mode.reason

    def driver_name(self, link: str) -> str:
        return self.config.links[link].spec.name

    def alarms(self) -> list[Alarm]:
        return alarms(self.decider)

    def sinks(self) -> Mapping[str, tuple[LinkHealth, list[Lane]]]:
        return {name: (s.health, lanes(s)) for name, s in self.upstreams.items()}

    def store(self) -> StorePart:
        return store_part(self.journal.stats(), self.config.state_dir, self.config.store)

    def counters(self) -> dict[str, int]:
        return dict(self.bus.counters)

    def command_counters(self) -> dict[str, int]:
        counted = {f"{n} {k}": v for n, x in self.downlinks.items() for k, v in x.counters.items()}
        return {**self.commands.counters, **counted}

    def notifications(self) -> NotificationsPart:
        return announce.part(self.notifier, self.clock)

    def config_part(self) -> ConfigPart:
        return self.reload.part()

    def audit_part(self) -> AuditPart:
        log = self.audit
        return {
            "failing": log.failing, "n": log.head.n, "hash": log.head.hash, "lost": log.counters["lost"],
        }  # fmt: skip


def _cancel(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()

"""One device on a link: its points, plans, schedule and health, and what one poll of it found."""

from collections.abc import Iterable, Sequence

from drivers.modbus.address import Address, parse
from drivers.modbus.breaker import Breaker
from drivers.modbus.canary import Shape, unlike
from drivers.modbus.contact import Contact, expected, is_fixed
from drivers.modbus.isolate import Isolation
from drivers.modbus.plan import Block, Planner, address_defaults, targets
from drivers.modbus.quick import Decoder, decoder
from drivers.modbus.schedule import Schedule
from drivers.modbus.settings import ModbusDevice
from gateway.clock import Clock
from gateway.driver import Device, Poll
from gateway.health import DeviceHealth
from gateway.model import Level, Quality, Sample, Value
from gateway.profile import CommandSpec, Point

_KEPT = 64
MS = 1_000_000  # time stamps are ms: finer is not true of a polled bus


class Reading:
    """What one poll found so far; a wanted point that is in neither mapping was not read."""

    def __init__(self, wanted: frozenset[str]) -> None:
        self.wanted = wanted
        self.values: dict[str, Value] = {}
        self.quality: dict[str, Quality] = {}
        self.answered = False

    def bad(self, names: Iterable[str], reason: str) -> None:
        quality = Quality(Level.BAD, reason)
        self.quality.update(dict.fromkeys(names, quality))

    def rest_bad(self, reason: str) -> None:
        """Every wanted point that was not read is BAD."""
        self.bad(self.wanted - self.values.keys() - self.quality.keys(), reason)

    def forget(self, names: Iterable[str]) -> None:
        """Leave these points out: somebody has read them later than this poll."""
        names = frozenset(names)
        self.wanted -= names
        for name in names:
            self.values.pop(name, None)
            self.quality.pop(name, None)


class Unit:
    """State of one device while its link runs."""

    def __init__(self, device: Device, phase: float = 0.0) -> None:
        """`phase`, 0 to 1: its place among the units of the link, see `Schedule`."""
        if not isinstance(device.section, ModbusDevice):
            raise TypeError(f"{device.id} is no Modbus device")
        self.id = device.id
        self.section = device.section
        self.number = device.section.unit
        self.profile = device.profile
        self.timeout_s = device.profile.limits.timeout
        self.pause_s = device.profile.limits.pause
        self.map = expected(device.profile, device.section)  # until first contact tells
        self.targets = targets(self.map)
        self.found: Contact | None = None  # at the latest first contact
        self._is_fixed = is_fixed(device.profile)
        self.health = DeviceHealth()
        self.silent = False  # nothing came at the latest attempt
        self.identified = False
        self._fresh = True  # nothing was read yet: read everything
        self._period = {p.id: period(p, device.section.poll) for p in device.profile.points}
        self.isolation = Isolation(self._replan)
        self._planner = Planner(self.targets, device.profile.limits, self.isolation.fits)
        self.schedule = Schedule({p for p in self._period.values() if p is not None}, phase)
        self.breaker = Breaker()
        self.unanswered: set[Shape] = set()  # answers to these may come yet
        alarms = device.profile.alarms
        self._alarms = frozenset(alarms)
        self._alarm_periods = frozenset(self._period[name] for name in alarms if name in self._period)  # fmt: skip
        # By what is due: one entry for each combination of periods. (A cache of functools takes 1 KB.)
        self._planned: dict[frozenset[str], tuple[tuple[Block, ...], ...]] = {}
        self._decoders: dict[int, tuple[Block, Decoder]] = {}  # by id of the block, which is kept
        self._last_ns = 0

    def begin(self, now: float) -> None:
        """A new connection: probe again, read everything. A back-off goes on."""
        self.identified = False
        self._fresh = True
        self.isolation.forget()
        self.schedule.start(now)

    @property
    def due_at(self) -> float:
        """When to read next; infinite if nothing is read again."""
        return self.breaker.retry_at if self.breaker.open else self.schedule.due

    def urgent(self, now: float) -> bool:
        """Alarm-bearing points are due."""
        if not self._alarm_periods or self.breaker.open:
            return False
        return not self._alarm_periods.isdisjoint(self.schedule.periods(now))

    def due(self, now: float) -> tuple[frozenset[str], int]:
        """(points to read now, ticks that were missed since the last poll)."""
        periods, missed = self.schedule.take(now)
        if self._fresh:
            return frozenset(self.targets), 0
        targets = self.targets
        return frozenset(
            n for n, p in self._period.items() if p in periods and n in targets
        ), missed

    @property
    def settled(self) -> bool:
        """It is known what to read, and how."""
        return self._is_fixed or self.identified

    def settle(self, found: Contact) -> None:
        """It is the device of its profile: this is what to read, and how."""
        self.identified = True
        self.found = found
        if found.targets is not self.targets:
            self.map, self.targets = found.profile, found.targets
            self._planner = Planner(self.targets, self.profile.limits, self.isolation.fits)
            self._replan()

    def plan(self, names: frozenset[str]) -> tuple[Block, ...]:
        """The requests for `names`, less the points that the device does not have."""
        return self._planner.for_points(names.difference(self.isolation.missing))

    def groups(self, names: frozenset[str], now: float) -> Sequence[tuple[Block, ...]]:
        """The plan of a poll in parts that are published one by one, at least one; see `_groups`."""
        self.isolation.begin()
        groups = self._planned.get(names)
        if groups is None:
            groups = self._planned[names] = self._groups(names)
        retries = self.isolation.retries(self.targets, now)
        return (*groups, retries) if retries else groups or ((),)

    def decoder(self, block: Block) -> Decoder:
        """What decodes the answer to `block`, a request of this unit's plan."""
        found = self._decoders.get(id(block))
        if found is None:
            if len(self._decoders) >= _KEPT:  # requests beyond the plan are made anew each time
                self._decoders.clear()
            found = self._decoders[id(block)] = block, decoder(block)
        return found[1]

    def _replan(self) -> None:
        self._planned.clear()
        self._decoders.clear()

    def _groups(self, names: frozenset[str]) -> tuple[tuple[Block, ...], ...]:
        """Requests with alarms first."""
        first, rest = list[Block](), list[Block]()
        for block in self.plan(names):
            alarm = not self._alarms.isdisjoint(names_of(block))
            (first if alarm else rest).append(block)
        return tuple(tuple(unlike(blocks)) for blocks in (first, rest) if blocks)

    def command(self, name: str) -> tuple[CommandSpec, Point, Address] | None:
        """How point `name` is written; None if it is not."""
        spec = self.profile.by_command.get(name)
        if spec is None:
            return None
        address = parse(spec.at, address_defaults(self.profile))
        target = self.targets.get(spec.point)
        point = self.profile.by_id[spec.point] if target is None else target.point
        return spec, point, address

    def answered(self) -> None:
        """It answers again, or still."""
        self.silent = False
        self.health.note = ""
        self.breaker.worked()

    def polled(self, names: frozenset[str]) -> None:
        """All of `names` were asked for; it stays fresh until every point was."""
        whole = names == self.targets.keys() and not self.isolation.searching
        self._fresh = self._fresh and not whole

    def failed(self, now: float, cost_s: float, *, silent: bool, wrong: bool = False) -> None:
        """Back off; one that was silent or wrong may be another device when it answers again.

        `cost_s`: what the attempt took from the other units of the bus.
        """
        self.silent = silent
        if silent or wrong:
            self.identified = False
            self.isolation.forget()
        self._fresh = True
        self.breaker.failed(now, cost_s, longest=wrong)

    def sample(self, reading: Reading, clock: Clock) -> Sample:
        now = clock.time_ns() // MS * MS
        if self._last_ns // MS * MS == now:
            now = self._last_ns + 1  # (device, time) identifies a sample everywhere
        self._last_ns = now
        return Sample(
            device=self.id,
            time_ns=now,
            received_ns=clock.boottime_ns(),
            boot=clock.boot,
            clock_ok=clock.ok,
            values=reading.values,
            quality=reading.quality,
        )


def period(point: Point, poll: Poll) -> float | None:
    """Seconds between reads of `point`; None: only at first contact."""
    if isinstance(point.poll, float):
        return point.poll
    return {"fast": poll.fast, "slow": poll.slow}.get(point.poll)


def names_of(block: Block) -> list[str]:
    return [target.point.id for target in block.targets]

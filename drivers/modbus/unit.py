"""One device on a link: its points, plans, schedule and health, and what one poll of it found."""

from collections.abc import Iterable

from drivers.modbus.address import Address, parse
from drivers.modbus.plan import Block, Planner, address_defaults, targets
from drivers.modbus.schedule import Schedule
from drivers.modbus.settings import ModbusDevice
from gateway.clock import Clock
from gateway.driver import Device, Poll
from gateway.health import DeviceHealth
from gateway.model import Level, Quality, Sample, Value
from gateway.profile import CommandSpec, Identity, Point

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

    def __init__(self, device: Device) -> None:
        if not isinstance(device.section, ModbusDevice):
            raise TypeError(f"{device.id} is no Modbus device")
        self.id = device.id
        self.number = device.section.unit
        self.profile = device.profile
        self.timeout_s = device.profile.limits.timeout
        self.targets = targets(device.profile)
        self.health = DeviceHealth()
        self.silent = False  # nothing came at the latest attempt
        self.identified = False
        self._fresh = True  # nothing was read yet: read everything
        self._period = {p.id: period(p, device.section.poll) for p in device.profile.points}
        self._planner = Planner(self.targets, device.profile.limits)
        self.schedule = Schedule({p for p in self._period.values() if p is not None})
        self._last_ns = 0

    def begin(self, now: float) -> None:
        """A new connection: probe again, read everything."""
        self.silent = self.identified = False
        self._fresh = True
        self.schedule.start(now)

    def due(self, now: float) -> tuple[frozenset[str], int]:
        """(points to read now, ticks that were missed since the last poll)."""
        periods, missed = self.schedule.take(now)
        if self._fresh:
            return frozenset(self.targets), 0
        return frozenset(name for name, p in self._period.items() if p in periods), missed

    def plan(self, names: frozenset[str]) -> tuple[Block, ...]:
        return self._planner.for_points(names)

    def probes(self) -> list[tuple[Identity, Address]]:
        defaults = address_defaults(self.profile)
        return [(probe, parse(probe.at, defaults)) for probe in self.profile.identity]

    def command(self, name: str) -> tuple[CommandSpec, Point, Address] | None:
        """How point `name` is written; None if it is not."""
        spec = self.profile.by_command.get(name)
        if spec is None:
            return None
        address = parse(spec.at, address_defaults(self.profile))
        return spec, self.profile.by_id[spec.point], address

    def worked(self, reading: Reading) -> None:
        """The unit answered; it stays fresh until every point was asked for."""
        self.silent = False
        self._fresh = self._fresh and reading.wanted != self.targets.keys()
        self.health.note = ""
        self.schedule.worked()

    def failed(self, now: float, *, silent: bool, wrong: bool = False) -> None:
        """Back off; one that was silent or wrong may be another device when it answers again."""
        self.silent = silent
        if silent or wrong:
            self.identified = False
        self._fresh = True
        self.schedule.failed(now, longest=wrong)

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


def probe_block(address: Address) -> Block:
    """The request that reads one identity register; it belongs to no point."""
    return Block(address.table, address.addr, address.type.width, ())


def names_of(block: Block) -> list[str]:
    return [target.point.id for target in block.targets]

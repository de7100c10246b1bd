"""One simulated Modbus device: its registers, as its profile describes them, at any instant."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from drivers.modbus import codec, decode
from drivers.modbus.address import Address, Table, parse
from drivers.modbus.plan import Target, address_defaults, targets
from gateway.model import Value
from gateway.profile import Point, Profile
from gateway.units import convert
from simulators.load import Load


class SimMeter(NamedTuple):
    """What to simulate: a device id, its profile, its unit address."""

    device: str
    profile: Profile
    unit: int


class Registers:
    """The tables of one device.

    Electrical points come from a `Load`; every other point stands in the middle of its limits.
    A register between two defined ones that are at most `max_gap` apart reads 0, any other
    undefined one does not exist.
    """

    def __init__(self, meter: SimMeter, seed: int) -> None:
        self.device, self.profile = meter.device, meter.profile
        self.voltage: float | None = None  # overrides the load's
        self.forced: dict[str, Value] = {}  # overrides any point
        self._targets = targets(meter.profile)
        three = "elec.voltage.b" in self._targets
        self._load = Load(f"{seed}/{meter.device}", phases=3 if three else 1)
        self._written: dict[tuple[Table, int], int] = {}
        defaults = address_defaults(meter.profile)
        self._probes = [(probe, parse(probe.at, defaults)) for probe in meter.profile.identity]
        self._commands = [parse(command.at, defaults) for command in meter.profile.commands]
        self._spans = {table: list(self._defined(table)) for table in Table}
        self._latest_ns = 0

    def read(
        self, table: Table, addr: int, size: int, time_ns: int
    ) -> tuple[list[int], dict[str, Value]] | None:
        """(registers or bits, what a correct reader makes of them); None: they do not exist."""
        if not any(low <= addr and addr + size <= high for low, high in self._spans[table]):
            return None
        self._latest_ns = max(self._latest_ns, time_ns)  # a clock that steps back moves no counter
        quantities = self._load.quantities(self._latest_ns / 1e9, self.voltage)
        image: dict[int, int] = {}
        for probe, place in self._probes:
            if place.table is table:
                number = next(iter([*(probe.equals or ()), *(probe.in_ or ())]), 0)
                image.update(_placed(place, codec.words(place, number)))
        covered = []
        for target in self._targets.values():
            place = target.address
            if place.table is not table or place.end <= addr or place.addr >= addr + size:
                continue
            quantity = quantities.get(target.point.id)
            image.update(_placed(place, self._words(target, quantity)))
            if addr <= place.addr and place.end <= addr + size:
                covered.append(target)
        image.update({a: word for (t, a), word in self._written.items() if t is table})
        data = [image.get(a, 0) for a in range(addr, addr + size)]
        return data, dict(_readable(covered, data, addr))

    def write(self, table: Table, addr: int, words: Sequence[int]) -> bool:
        """Take what a master writes, if a command of the profile has its place here."""
        size = len(words)
        fits = any(
            c.table is table and c.addr <= addr and addr + size <= c.end for c in self._commands
        )
        if fits:
            self._written.update({(table, addr + i): word for i, word in enumerate(words)})
        return fits

    def _defined(self, table: Table) -> Iterator[tuple[int, int]]:
        """Spans of addresses that may be read in one request, first and behind the last."""
        places = [target.address for target in self._targets.values()]
        places += [place for _, place in self._probes] + self._commands
        span: tuple[int, int] | None = None
        for place in sorted((p for p in places if p.table is table), key=lambda p: p.addr):
            if span is not None and place.addr - span[1] <= self.profile.limits.max_gap:
                span = span[0], max(span[1], place.end)
                continue
            if span is not None:
                yield span
            span = place.addr, place.end
        if span is not None:
            yield span

    def _words(self, target: Target, quantity: tuple[float, str] | None) -> tuple[int, ...]:
        point, place = target.point, target.address
        value: Value = _idle(target)
        if quantity is not None:
            number = convert(*quantity, point.unit)
            value = value if number is None else number
        value = self.forced.get(point.id, value)
        if isinstance(value, str):
            names = {text: raw for raw, text in (point.enum or {}).items()}
            return codec.words(place, int(names[value]))
        return codec.words(place, _raw(point, place, value))


def _readable(covered: list[Target], data: list[int], addr: int) -> Iterator[tuple[str, Value]]:
    for target in covered:
        start = target.address.addr - addr
        value, _ = decode.point(target, data[start : start + target.address.type.width])
        if value is not None:
            yield target.point.id, value


def _placed(place: Address, words: Sequence[int]) -> Iterator[tuple[int, int]]:
    return ((place.addr + i, word) for i, word in enumerate(words))


def _idle(target: Target) -> Value:
    """A value for a point that the load does not know."""
    point, limits = target.point, target.plausible
    if point.enum:
        return next(iter(point.enum.values()))
    if target.address.table.bits:
        return False
    if limits is not None:
        return (limits.min + limits.max) / 2
    if point.min is not None and point.max is not None:
        return (point.min + point.max) / 2
    return point.min or point.max or 0


def _raw(point: Point, place: Address, value: float) -> codec.Raw:
    """The nearest raw number that the register can hold."""
    number = (value - float(point.offset)) / float(point.scale)
    if place.type.floating:
        return number
    low, high = place.type.limits
    return min(max(round(number), low), high)

"""One simulated Modbus device: its registers, as its profile describes them, at any instant."""

from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from typing import NamedTuple

from drivers.modbus import codec, decode
from drivers.modbus.address import Address, Table, parse
from drivers.modbus.plan import Target, address_defaults, targets
from gateway.model import Value
from gateway.profile import CommandSpec, Profile
from gateway.profile_choice import assumed, assumed_variables, decided
from gateway.units import convert
from simulators.load import Load
from simulators.modbus_cells import cells, idle, merged, spelled

_NO_VARIABLES: Mapping[str, Decimal] = {}
_NO_DECISIONS: Mapping[str, str] = {}


class SimMeter(NamedTuple):
    """What to simulate: a device id, its profile, its unit address, and which of its maps it has."""

    device: str
    profile: Profile
    unit: int
    variants: tuple[str, ...] = ()  # of each part without one: the first
    variables: Mapping[str, Decimal] = _NO_VARIABLES
    decisions: Mapping[str, str] = _NO_DECISIONS


class Registers:
    """The tables of one device.

    Electrical points come from a `Load`; every other point stands in the middle of its limits.
    A register between two defined ones that are at most `max_gap` apart reads 0, any other
    undefined one does not exist. With `limits.even` half a pair of registers does not exist either, in
    the tables that hold points.
    """

    def __init__(self, meter: SimMeter, seed: int) -> None:
        whole = decided(meter.profile, meter.decisions)
        self.device = meter.device
        self.profile = assumed(whole, meter.variants, meter.variables)
        self.voltage: float | None = None  # overrides the load's
        self.forced: dict[str, Value] = {}  # overrides any point
        self._targets = targets(self.profile)
        tables = {target.address.table for target in self._targets.values()}
        self._even = {t for t in tables if self.profile.limits.even and not t.bits}
        three = "elec.voltage.b" in self._targets
        self._load = Load(f"{seed}/{meter.device}", phases=3 if three else 1)
        self._written: dict[tuple[Table, int], int] = {}
        defaults = address_defaults(whole)
        self._fixed = list(_fixed(whole, self.profile, meter.variables))
        self._commands = [(spec, parse(spec.at, defaults)) for spec in whole.commands]
        self._spans = {table: list(self._defined(table)) for table in Table}
        self._latest_ns = 0

    def read(
        self, table: Table, addr: int, size: int, time_ns: int
    ) -> tuple[list[int], dict[str, Value]] | None:
        """(registers or bits, what a correct reader makes of them); None: they do not exist."""
        if not any(low <= addr and addr + size <= high for low, high in self._spans[table]):
            return None
        if table in self._even and (addr % 2 or size % 2):
            return None
        self._latest_ns = max(self._latest_ns, time_ns)  # a clock that steps back moves no counter
        quantities = self._load.quantities(self._latest_ns / 1e9, self.voltage)
        image: dict[int, int] = {}
        for place, words in self._fixed:
            if place.table is table:
                merged(place, words, image)
        covered = []
        for target in self._targets.values():
            place = target.address
            if place.table is not table or place.end <= addr or place.addr >= addr + size:
                continue
            value = self._value(target, quantities.get(target.point.id))
            merged(place, cells(target, value), image)
            if addr <= place.addr and place.end <= addr + size:
                covered.append(target)
        image.update({a: word for (t, a), word in self._written.items() if t is table})
        data = [image.get(a, 0) for a in range(addr, addr + size)]
        return data, dict(_readable(covered, data, addr))

    def write(self, table: Table, addr: int, words: Sequence[int]) -> bool:
        """Take what a master writes, if a command of the profile has its place here."""
        end = addr + len(words)
        for spec, place in self._commands:
            if place.table is table and place.addr <= addr and end <= place.end:
                self._written.update({(table, addr + i): word for i, word in enumerate(words)})
                self._obey(spec, place, words)
                return True
        return False

    def _obey(self, spec: CommandSpec, place: Address, words: Sequence[int]) -> None:
        """Show what was written at the point that confirms it, if that is elsewhere."""
        shown = self._targets.get(spec.feedback)
        if shown is None or shown.span.overlaps(Target(shown.point, place).span):
            return
        if len(words) != place.width:
            return
        number = codec.raw(place, words)
        if spec.enum is not None:
            self.forced[spec.feedback] = spec.enum.get(str(number), number)
        else:
            self.forced[spec.feedback] = decode.scaled(self.profile.by_id[spec.point], number)

    def _defined(self, table: Table) -> Iterator[tuple[int, int]]:
        """Spans of addresses that may be read in one request, first and behind the last."""
        places = [target.address for target in self._targets.values()]
        places += [place for place, _ in self._fixed] + [place for _, place in self._commands]
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

    def _value(self, target: Target, quantity: tuple[float, str] | None) -> Value:
        name = target.point.id
        if name in self.forced:
            return self.forced[name]
        number = None if quantity is None else convert(*quantity, target.point.unit)
        return idle(target) if number is None else number


def _fixed(
    whole: Profile, settled: Profile, variables: Mapping[str, Decimal]
) -> Iterator[tuple[Address, tuple[int, ...]]]:
    """What identity probes and variables of the profile read: it never changes."""
    defaults = address_defaults(whole)
    for probe in settled.identity:
        shown = next(iter([*(probe.equals or ()), *(probe.in_ or ())]), 0)
        place = parse(probe.at, defaults)
        words = spelled(place, shown) if isinstance(shown, str) else codec.words(place, shown)
        yield place, words
    given = {**assumed_variables(whole), **variables}
    for name, variable in whole.variables.items():
        place = parse(variable.at, defaults)
        number = given[name] / variable.scale
        yield place, codec.words(place, number if place.type.floating else round(number))


def _readable(covered: list[Target], data: list[int], addr: int) -> Iterator[tuple[str, Value]]:
    for target in covered:
        start = target.address.addr - addr
        value, _ = decode.point(target, data[start : start + target.address.width])
        if value is not None:
            yield target.point.id, value

"""Do the readings of an electricity meter agree with each other? Pure.

At first contact this finds wrong scales, current transformers that only one side knows of, and
wires that were swapped: faults that no single value shows.
"""

from collections.abc import Iterator, Mapping
from itertools import permutations
from typing import NamedTuple

from gateway.model import Value

PHASES = ("a", "b", "c")
TOLERANCE = 0.15  # class B meters are within 2 %; the values of one poll are up to 1 s apart
_GRID_HZ = (49.0, 51.0)  # normal operation is 49.8 to 50.2 Hz (GB/T 15945), faults reach further
_LEAST_VA = 30.0  # below, meters round current and power factor to almost nothing
_DEAD_V = 50.0
_CALLED = {"a": "phase a", "b": "phase b", "c": "phase c", "total": "the total"}


class Phase(NamedTuple):
    """One phase, or the total of a meter that has one; `factor` is 1 where it is not known."""

    name: str
    volts: float
    amperes: float
    watts: float
    factor: float
    known: bool

    @property
    def expected(self) -> float:
        return self.volts * self.amperes * abs(self.factor)


def disagreements(values: Mapping[str, Value]) -> Iterator[str]:
    """What does not fit, in words for the person at the switchboard. `values` are by point id."""
    numbers = {n: float(v) for n, v in values.items() if not isinstance(v, str | bool)}
    phases = [phase for name in PHASES if (phase := _phase(name, numbers)) is not None]
    phases = phases or list(_together(numbers))
    yield from _frequency(numbers)
    yield from _dead(numbers)
    yield from _negative(phases)
    wrong = [phase for phase in phases if not _agrees(phase)]
    swapped = _swapped(phases) if len(wrong) > 1 else ""
    if swapped:
        yield swapped
    else:
        for phase in wrong:
            yield _why(phase)
    yield from _sum(numbers)


def _phase(name: str, numbers: Mapping[str, float]) -> Phase | None:
    single = "elec.voltage.b" not in numbers

    def of(what: str) -> float | None:
        own = numbers.get(f"elec.{what}.{name}")
        return numbers.get(f"elec.{what}.total") if own is None and single else own

    volts, amperes, watts = of("voltage"), of("current"), of("power")
    if volts is None or amperes is None or watts is None:
        return None
    factor = of("pf")
    return Phase(name, volts, amperes, watts, 1.0 if factor is None else factor, factor is not None)


def _together(numbers: Mapping[str, float]) -> Iterator[Phase]:
    """The phases as one, of a meter that tells the power of all together only."""
    pairs = [(numbers.get(f"elec.voltage.{n}"), numbers.get(f"elec.current.{n}")) for n in PHASES]
    watts = numbers.get("elec.power.total")
    products = [v * i for v, i in pairs if v is not None and i is not None]
    if watts is not None and len(products) == len(PHASES):
        factor = numbers.get("elec.pf.total")
        known = factor is not None
        yield Phase("total", 1.0, sum(products), watts, 1.0 if factor is None else factor, known)


def _agrees(phase: Phase) -> bool:
    """V x I x PF is P; without a power factor P is at most V x I."""
    if phase.volts * phase.amperes < _LEAST_VA and abs(phase.watts) < _LEAST_VA:
        return True
    if phase.known:
        return _close(phase.expected, abs(phase.watts))
    return abs(phase.watts) <= phase.expected * (1 + TOLERANCE)


def _close(one: float, other: float) -> bool:
    return abs(one - other) <= TOLERANCE * max(one, other, _LEAST_VA)


def _why(phase: Phase) -> str:
    product = "V x I x PF" if phase.known else "V x I"
    said = (
        f"{_CALLED[phase.name]}: {product} is {phase.expected:.4g} W, but P is {phase.watts:.4g} W"
    )
    low, high = sorted((phase.expected, abs(phase.watts)))
    ratio = high / low if low else 0.0
    for power in (10, 100, 1000):
        if abs(ratio / power - 1) <= TOLERANCE:
            return f"{said}: a factor of {power}: check the scale of voltage, current and power"
    if phase.known and ratio >= 2 and abs(ratio - round(ratio)) <= 0.05 * ratio:
        return f"{said}: a factor of {round(ratio)}: a current transformer that only one of them knows?"
    return f"{said}: check the wiring, and scale and order of the registers"


def _swapped(phases: list[Phase]) -> str:
    """Each power fits the current of another phase: voltages and currents are not of one wire."""
    if len(phases) < 3 or not all(phase.known for phase in phases):
        return ""
    for order in permutations(phases):
        mixed = [p._replace(amperes=o.amperes) for p, o in zip(phases, order, strict=True)]
        if all(_agrees(phase) for phase in mixed):
            both = zip(phases, order, strict=True)
            pairs = ", ".join(f"{p.name} with {o.name}" for p, o in both if p is not o)
            return f"the powers fit currents of other phases ({pairs}): phases are swapped"
    return ""


def _negative(phases: list[Phase]) -> Iterator[str]:
    loaded = [phase for phase in phases if abs(phase.watts) >= _LEAST_VA]
    negative = [phase for phase in loaded if phase.watts < 0]
    if negative and len(negative) < len(loaded):
        names = " and ".join(_CALLED[phase.name] for phase in negative)
        yield f"P is negative on {names} only: a current transformer the wrong way round, or phases swapped"
    elif negative:
        yield "P is negative: a plant that feeds in, or the current flows the wrong way through the meter"


def _frequency(numbers: Mapping[str, float]) -> Iterator[str]:
    hertz = numbers.get("elec.frequency")
    if hertz is not None and not _GRID_HZ[0] <= hertz <= _GRID_HZ[1]:
        yield f"frequency {hertz:g} Hz: not that of a 50 Hz grid: check scale and order, or the generator"


def _dead(numbers: Mapping[str, float]) -> Iterator[str]:
    volts = {name: numbers[f"elec.voltage.{name}"] for name in PHASES if f"elec.voltage.{name}" in numbers}  # fmt: skip
    dead = [name for name, value in volts.items() if abs(value) < _DEAD_V]
    if dead and len(dead) < len(volts):
        yield f"no voltage on {' and '.join(_CALLED[name] for name in dead)}: fuse or wire"


def _sum(numbers: Mapping[str, float]) -> Iterator[str]:
    parts = [numbers.get(f"elec.power.{name}") for name in PHASES]
    total = numbers.get("elec.power.total")
    if total is None or any(part is None for part in parts):
        return
    added = sum(part for part in parts if part is not None)
    if abs(added - total) > TOLERANCE * max(abs(added), abs(total), 3 * _LEAST_VA):
        yield f"the phases add up to {added:.4g} W, but the total is {total:.4g} W: check scale and wiring"

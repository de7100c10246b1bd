"""What an apartment draws from the mains: a pure function of time, so nothing has to be kept.

Voltage, current, power and energy fit each other: P = U * I * pf on every phase, energy is the
exact integral of power and never falls while time does not, also over a restart.
"""

import math
import random
from itertools import accumulate, pairwise
from typing import NamedTuple

# Mean draw at each full hour of local time, in W: night, breakfast, noon, evening.
_HOURLY = (190, 170, 160, 155, 160, 200, 420, 560, 380, 290, 270, 330,
           480, 390, 280, 270, 300, 460, 820, 1050, 980, 760, 480, 280)  # fmt: skip
_EDGES = tuple(pairwise((*_HOURLY, _HOURLY[0])))
_SINCE_MIDNIGHT_WH = (0.0, *accumulate((a + b) / 2 for a, b in _EDGES))
_DAY_S = 86_400
_NOMINAL_V = 226.0  # a little above the 220 V of GB/T 156, as close to a transformer
_UTC_OFFSET_S = 8 * 3600  # China Standard Time
_INSTALLED_S = 1_735_689_600  # 2025-01-01T00:00:00Z: the meters began to count
# A refrigerator: 110 W for 15 of every 45 minutes.
_FRIDGE_W, _FRIDGE_ON_S, _FRIDGE_CYCLE_S = 110.0, 900.0, 2700.0

Quantity = tuple[float, str]  # number and UCUM unit


class _Phase(NamedTuple):
    letter: str
    share: float  # of the power
    pf: float
    shift: float  # of the voltage's swing, radians


class Load:
    """One consumer on one or three phases; `seed` decides its size and habits."""

    def __init__(self, seed: str, *, phases: int = 1) -> None:
        dice = random.Random(seed)
        self._factor = dice.uniform(0.5, 1.8) * phases
        self._fridge_at = dice.uniform(0, _FRIDGE_CYCLE_S)
        self._habit_s = dice.uniform(-3600, 3600)
        self._before_wh = dice.uniform(2e5, 8e6)
        weights = [dice.uniform(0.6, 1.4) for _ in range(phases)]
        self._phases = tuple(
            _Phase("abc"[i], weight / sum(weights), dice.uniform(0.90, 0.99), dice.uniform(0, 6.28))
            for i, weight in enumerate(weights)
        )

    def power_w(self, time_s: float) -> float:
        hour, part = self._hour(time_s)
        low, high = _EDGES[hour]
        fridge = (time_s + self._fridge_at) % _FRIDGE_CYCLE_S < _FRIDGE_ON_S
        return self._factor * (low + (high - low) * part) + _FRIDGE_W * fridge

    def energy_wh(self, time_s: float) -> float:
        """The integral of `power_w` since the meter began to count."""
        hour, part = self._hour(time_s)
        low, high = _EDGES[hour]
        today = _SINCE_MIDNIGHT_WH[hour] + part * (low + (high - low) * part / 2)
        days = (self._local(time_s) - _INSTALLED_S) // _DAY_S
        curve = self._factor * (days * _SINCE_MIDNIGHT_WH[-1] + today)
        cycles, rest = divmod(time_s + self._fridge_at - _INSTALLED_S, _FRIDGE_CYCLE_S)
        on_s = cycles * _FRIDGE_ON_S + min(rest, _FRIDGE_ON_S)
        return self._before_wh + curve + _FRIDGE_W * on_s / 3600

    def quantities(self, time_s: float, voltage: float | None = None) -> dict[str, Quantity]:
        """Everything a meter may show, by point name; `voltage` overrides that of every phase."""
        power, energy = self.power_w(time_s), self.energy_wh(time_s) / 1000
        shown: dict[str, Quantity] = {
            "elec.frequency": (50 + 0.02 * math.sin(time_s / 97), "Hz"),
            "elec.energy.import": (energy, "kW.h"),
            "elec.energy.total": (energy, "kW.h"),
            "elec.energy.export": (0.0, "kW.h"),
            "elec.renergy.export": (0.0, "kV.A.h{reactive}"),
        }
        totals = dict.fromkeys(("power", "apparent", "reactive", "current", "renergy"), 0.0)
        for phase in self._phases:
            volts = voltage if voltage is not None else self._mains(time_s, phase)
            found = _phase(phase, volts, power, energy)
            for name, (number, unit) in found.items():
                shown[f"elec.{name}.{phase.letter}"] = number, unit
                if name in totals:
                    totals[name] += number
        shown["elec.power.total"] = totals["power"], "W"
        shown["elec.apparent.total"] = totals["apparent"], "V.A"
        shown["elec.reactive.total"] = totals["reactive"], "V.A{reactive}"
        shown["elec.current.total"] = totals["current"], "A"
        shown["elec.renergy.import"] = totals["renergy"], "kV.A.h{reactive}"
        shown["elec.pf.total"] = totals["power"] / totals["apparent"], "1"
        return shown

    def _local(self, time_s: float) -> float:
        return time_s + _UTC_OFFSET_S + self._habit_s

    def _hour(self, time_s: float) -> tuple[int, float]:
        """(hour of the consumer's day, part of it that is over)."""
        hour, part = divmod(self._local(time_s) % _DAY_S / 3600, 1)
        return int(hour) % 24, part

    @staticmethod
    def _mains(time_s: float, phase: _Phase) -> float:
        slow = 3.0 * math.sin(2 * math.pi * time_s / _DAY_S + phase.shift)
        return _NOMINAL_V + slow + 1.2 * math.sin(2 * math.pi * time_s / 613 + phase.shift)


def _phase(phase: _Phase, volts: float, power: float, energy_kwh: float) -> dict[str, Quantity]:
    power *= phase.share
    energy_kwh *= phase.share
    apparent = power / phase.pf
    tangent = math.sqrt(1 / phase.pf**2 - 1)  # reactive over active
    return {
        "voltage": (volts, "V"),
        "current": (apparent / volts, "A"),
        "power": (power, "W"),
        "apparent": (apparent, "V.A"),
        "reactive": (power * tangent, "V.A{reactive}"),
        "pf": (phase.pf, "1"),
        "energy.import": (energy_kwh, "kW.h"),
        "renergy": (energy_kwh * tangent, "kV.A.h{reactive}"),
    }

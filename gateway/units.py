"""Units: UCUM codes of profiles, the spellings people write, and how they convert.

One table. Codes are UCUM (ucum.org, case-sensitive); reactive power and energy have no unit of
their own there and carry an annotation in braces.
"""

from typing import NamedTuple


class Unit(NamedTuple):
    """value in the base unit of `dimension` = number * factor + offset."""

    dimension: str
    factor: float = 1.0
    offset: float = 0.0


UNITS: dict[str, Unit] = {
    "1": Unit("number"),
    "%": Unit("ratio"), "%{RH}": Unit("humidity"), "%{LEL}": Unit("explosive limit"), "[ppm]": Unit("fraction"),
    "V": Unit("voltage"), "mV": Unit("voltage", 1e-3), "kV": Unit("voltage", 1e3),
    "A": Unit("current"), "mA": Unit("current", 1e-3),
    "W": Unit("power"), "kW": Unit("power", 1e3), "MW": Unit("power", 1e6),
    "V.A": Unit("apparent power"), "kV.A": Unit("apparent power", 1e3),
    "V.A{reactive}": Unit("reactive power"), "kV.A{reactive}": Unit("reactive power", 1e3),
    "W.h": Unit("energy", 1e-3), "kW.h": Unit("energy"), "MW.h": Unit("energy", 1e3),
    "kV.A.h{reactive}": Unit("reactive energy"),
    "Hz": Unit("frequency"), "deg": Unit("angle"), "lx": Unit("illuminance"), "dB": Unit("sound level"),
    "Cel": Unit("temperature"), "[degF]": Unit("temperature", 5 / 9, -160 / 9),
    "Pa": Unit("pressure", 1e-3), "kPa": Unit("pressure"), "bar": Unit("pressure", 100.0), "MPa": Unit("pressure", 1e3),
    "mm": Unit("length", 1e-3), "cm": Unit("length", 1e-2), "m": Unit("length"), "km": Unit("length", 1e3),
    "m3": Unit("volume"), "L": Unit("volume", 1e-3), "m3/h": Unit("flow"), "L/h": Unit("flow", 1e-3),
    "ug/m3": Unit("concentration"), "mg/m3": Unit("concentration", 1e3), "m/s": Unit("speed"),
    "By": Unit("data"), "kBy": Unit("data", 1e3), "MBy": Unit("data", 1e6), "GBy": Unit("data", 1e9),
    "ms": Unit("time", 1e-3), "s": Unit("time"), "min": Unit("time", 60.0), "h": Unit("time", 3600.0),
}  # fmt: skip

SPELLINGS: dict[str, str] = {
    "°C": "Cel", "degC": "Cel", "°F": "[degF]", "ppm": "[ppm]", "pct": "%", "％": "%", "%RH": "%{RH}", "lux": "lx",
    "Wh": "W.h", "kWh": "kW.h", "MWh": "MW.h", "VA": "V.A", "kVA": "kV.A", "var": "V.A{reactive}",
    "kvar": "kV.A{reactive}", "kvarh": "kV.A.h{reactive}", "m³": "m3", "m³/h": "m3/h", "µg/m3": "ug/m3",
    "℃": "Cel", "℉": "[degF]", "㎥": "m3", "㎥/h": "m3/h", "μg/m3": "ug/m3", "µg/m³": "ug/m3", "μg/m³": "ug/m3", "mg/m³": "mg/m3",
    "B": "By", "kB": "kBy", "MB": "MBy", "GB": "GBy", "l/h": "L/h", "l": "L", "度": "kW.h",
}  # fmt: skip


def code_of(spelling: str) -> str | None:
    """The UCUM code for what somebody wrote, None if it is no unit that we know."""
    code = SPELLINGS.get(spelling, spelling)
    return code if code in UNITS else None


def convert(number: float, source: str, target: str) -> float | None:
    """`number` in UCUM unit `source`, expressed in `target`; None if their dimensions differ."""
    have, want = UNITS[source], UNITS[target]
    if have.dimension != want.dimension:
        return None
    if have == want:
        return number
    return (number * have.factor + have.offset - want.offset) / want.factor

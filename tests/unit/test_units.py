"""Units: codes, the spellings people write, conversions."""

import pytest

from gateway.units import SPELLINGS, UNITS, code_of, convert


@pytest.mark.parametrize(
    ("spelling", "code"),
    [
        ("V", "V"), ("kWh", "kW.h"), ("度", "kW.h"), ("°C", "Cel"), ("℃", "Cel"), ("°F", "[degF]"), ("％", "%"),
        ("m³/h", "m3/h"), ("µg/m3", "ug/m3"), ("μg/m3", "ug/m3"), ("lux", "lx"), ("ppm", "[ppm]"), ("kvar", "kV.A{reactive}"),
    ],
)  # fmt: skip
def test_what_people_write_has_a_code(spelling: str, code: str) -> None:
    assert code_of(spelling) == code


@pytest.mark.parametrize("word", ["", "volt", "v", "KWH", " V", "kw", "Hertz"])
def test_what_is_no_unit_has_none(word: str) -> None:
    assert code_of(word) is None


def test_every_spelling_leads_to_a_code_and_is_none_itself() -> None:
    assert set(SPELLINGS.values()) <= set(UNITS)
    assert not set(SPELLINGS) & set(UNITS)


@pytest.mark.parametrize(
    ("number", "source", "target", "result"),
    [
        (1.5, "kW", "W", 1500), (36, "W.h", "kW.h", 0.036), (2, "MW.h", "kW.h", 2000), (1.1, "bar", "kPa", 110),
        (0, "Cel", "[degF]", 32), (212, "[degF]", "Cel", 100), (-40, "[degF]", "Cel", -40), (3, "m3", "L", 3000),
        (90, "min", "h", 1.5), (1, "mg/m3", "ug/m3", 1000),
    ],
)  # fmt: skip
def test_a_number_is_converted(number: float, source: str, target: str, result: float) -> None:
    assert convert(number, source, target) == pytest.approx(result)


@pytest.mark.parametrize(
    ("source", "target"),
    [
        ("V", "A"),
        ("kW", "kV.A"),
        ("V.A", "V.A{reactive}"),
        ("%", "%{RH}"),
        ("%", "1"),
        ("kW", "kW.h"),
    ],
)
def test_different_things_are_not_converted(source: str, target: str) -> None:
    assert convert(1, source, target) is None

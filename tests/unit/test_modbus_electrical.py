"""Readings of a meter that contradict each other are found, those that agree are not."""

from collections.abc import Mapping

import pytest

from drivers.modbus.electrical import disagreements
from gateway.model import Value
from simulators.load import Load
from tests.harness.modbus import SDM120, SDM630

THREE: dict[str, Value] = {
    "elec.voltage.a": 231.0, "elec.voltage.b": 229.5, "elec.voltage.c": 230.2,
    "elec.current.a": 4.1, "elec.current.b": 10.0, "elec.current.c": 2.2,
    "elec.pf.a": 0.95, "elec.pf.b": 0.98, "elec.pf.c": 0.9,
    "elec.power.a": 900.0, "elec.power.b": 2249.0, "elec.power.c": 456.0,
    "elec.power.total": 3605.0, "elec.frequency": 50.02,
}  # fmt: skip
ONE: dict[str, Value] = {
    "elec.voltage.a": 230.0, "elec.current.a": 2.0, "elec.power.total": 437.0,
    "elec.pf.total": 0.95, "elec.frequency": 49.98, "door.state": "open", "relay.on": True,
}  # fmt: skip


def told(base: Mapping[str, Value], **changes: float) -> str:
    values = {**base, **{name.replace("_", "."): value for name, value in changes.items()}}
    return "\n".join(disagreements(values))


@pytest.mark.parametrize("base", [ONE, THREE])
def test_a_meter_that_is_wired_well_gives_no_hint(base: dict[str, Value]) -> None:
    assert told(base) == ""


@pytest.mark.parametrize("phases", [1, 3])
def test_simulated_meters_give_no_hint(phases: int) -> None:
    profile = SDM630 if phases == 3 else SDM120
    for hour in range(24):
        quantities = Load("m", phases=phases).quantities(1.7e9 + 3600 * hour)
        values = {n: v for n, (v, _unit) in quantities.items() if n in profile.by_id}
        hints = [hint for hint in disagreements(values) if "frequency" not in hint]
        assert hints == []


@pytest.mark.parametrize(
    ("base", "changes", "said"),
    [
        (ONE, {"elec_power_total": 43.7}, "phase a: V x I x PF is 437 W, but P is 43.7 W: a factor of 10: check the scale"),
        (ONE, {"elec_voltage_a": 2300.0}, "a factor of 10"),
        (ONE, {"elec_power_total": 0.437}, "a factor of 1000"),
        (ONE, {"elec_power_total": 437.0 * 40}, "a factor of 40: a current transformer that only one of them knows?"),
        (ONE, {"elec_power_total": 600.0}, "P is 600 W: check the wiring, and scale and order"),
        (ONE, {"elec_power_total": -437.0}, "P is negative: a plant that feeds in"),
        (ONE, {"elec_frequency": 500.2}, "frequency 500.2 Hz: not that of a 50 Hz grid"),
        (THREE, {"elec_power_b": -2249.0, "elec_power_total": -893.0}, "P is negative on phase b only: a current transformer the wrong way round"),
        (THREE, {"elec_current_a": 10.0, "elec_current_b": 4.1}, "the powers fit currents of other phases (a with b, b with a): phases are swapped"),
        (THREE, {"elec_voltage_b": 1.0, "elec_current_b": 0.0, "elec_power_b": 0.0, "elec_power_total": 1356.0}, "no voltage on phase b: fuse or wire"),
        (THREE, {"elec_power_total": 36050.0}, "the phases add up to 3605 W, but the total is 3.605e+04 W"),
    ],
)  # fmt: skip
def test_a_contradiction_is_named(
    base: dict[str, Value], changes: dict[str, float], said: str
) -> None:
    assert said in told(base, **changes)


def test_a_meter_without_powers_of_its_phases_is_compared_as_a_whole() -> None:
    values = {n: v for n, v in THREE.items() if not n.startswith(("elec.power.", "elec.pf."))}
    whole = {**values, "elec.power.total": 3605.0, "elec.pf.total": 0.96}
    assert told(whole) == ""
    assert "the total: V x I x PF is" in told({**whole, "elec.power.total": 7300.0})


def test_a_power_without_power_factor_is_at_most_volts_times_amperes() -> None:
    values = {n: v for n, v in ONE.items() if n != "elec.pf.total"}
    assert told(values, elec_power_total=200.0) == ""
    assert "V x I is 460 W, but P is 800 W" in told(values, elec_power_total=800.0)


def test_a_meter_with_almost_no_load_is_not_judged() -> None:
    assert told(ONE, elec_current_a=0.02, elec_power_total=0.0) == ""

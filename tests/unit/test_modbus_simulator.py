"""The simulated meters: electrically consistent, and the log says what was on the wire."""

import io
import json
import math

import pytest

from drivers.modbus.address import Table
from gateway.profile import Profile, load_profile, shipped_folder
from simulators.load import Load
from simulators.modbus import Farm
from simulators.modbus_meter import Registers, SimMeter

NOON_S = 1_772_337_600  # 2026-03-01T12:00 in China
SDM120, SDM630 = (load_profile(shipped_folder() / f"eastron-{n}.yaml")[0] for n in ("sdm120", "sdm630"))  # fmt: skip


def test_power_is_voltage_times_current_times_power_factor() -> None:
    for phases in (1, 3):
        shown = {k: v for k, (v, _) in Load("a", phases=phases).quantities(NOON_S).items()}
        for letter in "abc"[:phases]:
            volts, amps, pf = (shown[f"elec.{n}.{letter}"] for n in ("voltage", "current", "pf"))
            assert math.isclose(shown[f"elec.power.{letter}"], volts * amps * pf)
            assert 215 < volts < 245
        total = sum(shown[f"elec.power.{letter}"] for letter in "abc"[:phases])
        assert math.isclose(shown["elec.power.total"], total)
        apparent, reactive = shown["elec.apparent.total"], shown["elec.reactive.total"]
        assert apparent >= math.hypot(total, reactive) - 1e-6


def test_energy_is_the_integral_of_power_over_any_span() -> None:
    load = Load("a")
    for start, seconds in ((NOON_S, 600), (NOON_S - 50_000, 90_000), (NOON_S + 13_000, 3_600)):
        steps = 20_000
        width = seconds / steps
        summed = sum(load.power_w(start + (i + 0.5) * width) for i in range(steps)) * width / 3600
        assert math.isclose(load.energy_wh(start + seconds) - load.energy_wh(start), summed, rel_tol=1e-4)  # fmt: skip


def test_a_day_has_an_evening_peak_and_two_homes_differ() -> None:
    home, other = Load("a"), Load("b")

    def mean(load: Load, hour: float) -> float:
        return load.energy_wh(NOON_S + hour * 3600) - load.energy_wh(NOON_S + (hour - 1) * 3600)

    assert mean(home, 8) > 2 * mean(home, 15)
    assert home.energy_wh(NOON_S) != other.energy_wh(NOON_S)
    assert home.energy_wh(NOON_S) == Load("a").energy_wh(NOON_S)


def test_energy_never_falls_even_when_the_clock_steps_back() -> None:
    meter = Registers(SimMeter("m1", SDM120, 1), 0)
    later, earlier = NOON_S * 10**9, (NOON_S - 7200) * 10**9
    first, second = (meter.read(Table.INPUT, 0x48, 2, t) for t in (later, earlier))
    assert first is not None
    assert first == second


def test_registers_that_do_not_exist_are_refused_and_small_gaps_read_0() -> None:
    meter = Registers(SimMeter("m1", SDM120, 1), 0)
    read = meter.read(Table.INPUT, 0, 14, NOON_S * 10**9)
    assert read is not None
    assert read[0][2:6] == [0, 0, 0, 0]
    assert read[1].keys() == {"elec.voltage.a", "elec.current.a", "elec.power.total"}
    assert meter.read(Table.INPUT, 0x150, 8, 0) is None
    assert meter.read(Table.HOLDING, 0, 1, 0) is None
    assert meter.read(Table.HOLDING, 0xFC02, 1, 0) == ([0x20], {})


def test_an_over_voltage_keeps_the_power_and_lowers_the_current() -> None:
    meter = Registers(SimMeter("m1", SDM120, 1), 0)
    normal = meter.read(Table.INPUT, 0, 14, NOON_S * 10**9)
    meter.voltage = 265.0
    high = meter.read(Table.INPUT, 0, 14, NOON_S * 10**9)
    assert normal is not None
    assert high is not None
    assert high[1]["elec.voltage.a"] == 265.0
    assert high[1]["elec.power.total"] == normal[1]["elec.power.total"]
    assert float(high[1]["elec.current.a"]) < float(normal[1]["elec.current.a"])


def test_points_without_a_load_stand_in_the_middle_of_their_limits() -> None:
    profile = Profile.model_validate({
        "profile": "p", "type": "climate", "facility": "environment", "protocol": "modbus",
        "sources": ["this test"], "status": "code",
        "defaults": {"at": {"table": "input", "type": "i16"}},
        "plausible": [{"point": "env.humidity", "min": 20, "max": 70}],
        "points": [
            {"id": "env.temperature", "at": 1, "scale": "0.1", "min": -40, "max": 80},
            {"id": "env.humidity", "at": 2, "scale": "0.1"},
            {"id": "fan.state", "at": 3, "enum": {"2": "slow", "3": "fast"}},
            {"id": "elec.power.total", "at": 4, "unit": "kW", "scale": "0.001"},
        ],
    })  # fmt: skip
    meter = Registers(SimMeter("c1", profile, 1), 0)
    read = meter.read(Table.INPUT, 1, 4, NOON_S * 10**9)
    assert read is not None
    values = dict(read[1])
    power = float(values.pop("elec.power.total"))
    assert values == {"env.temperature": 20.0, "env.humidity": 45.0, "fan.state": "slow"}
    assert 0.1 < power < 5
    meter.forced["fan.state"] = "fast"
    forced = meter.read(Table.INPUT, 3, 1, 0)
    assert forced == ([3], {"fan.state": "fast"})


def test_the_log_has_what_each_answer_held() -> None:
    log = io.StringIO()
    farm = Farm([SimMeter("m3", SDM630, 7)], log, 0, lambda: NOON_S * 10**9)
    answered = farm.answer(7, bytes.fromhex("0400000006"))
    assert answered is not None
    assert answered[0][:2] == bytes([4, 12])
    entry = json.loads(log.getvalue())
    assert (entry["unit"], entry["device"], entry["time"]) == (7, "m3", str(NOON_S * 10**9))
    assert entry["values"].keys() == {"elec.voltage.a", "elec.voltage.b", "elec.voltage.c"}


@pytest.mark.parametrize(
    ("request_pdu", "answer"),
    [
        ("0400000000", "8403"),  # no registers
        ("040000007E", "8403"),  # 126 registers
        ("0301000001", "8302"),  # no such register
        ("0600000001", "8602"),  # nothing to write
        ("0500000001", "8503"),  # a coil is 0000 or FF00
        ("1000000002020001", "9003"),  # two registers announced, one sent
        ("2B0E0100", "AB01"),  # a function it does not have
    ],
)
def test_a_wrong_request_is_answered_by_an_exception(request_pdu: str, answer: str) -> None:
    farm = Farm([SimMeter("m1", SDM120, 1)], None, 0, lambda: 0)
    assert farm.answer(1, bytes.fromhex(request_pdu)) == (bytes.fromhex(answer), None)
    assert farm.answer(2, bytes.fromhex(request_pdu)) is None, "an unknown unit is silent"


def test_two_devices_cannot_share_a_unit() -> None:
    with pytest.raises(ValueError, match="used twice"):
        Farm([SimMeter("a", SDM120, 1), SimMeter("b", SDM120, 1)], None, 0, lambda: 0)

"""First contact, over a table of registers: which device, which variant, which numbers in its scales."""

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from drivers.modbus import codec
from drivers.modbus.address import Address, Order, Table, Type
from drivers.modbus.answer import Excepted
from drivers.modbus.contact import Contact, Mismatch, Unready, contact, expected, is_fixed
from drivers.modbus.plan import Block
from drivers.modbus.settings import ModbusDevice
from gateway.model import Value
from gateway.profile import Profile
from tests.harness.modbus import SDM120, shipped

DTSU, QDY = shipped("chint-dtsu666"), shipped("qdy30a-level")
F32 = Type.F32


class Registers:
    """A unit: what it holds, and what it was asked for."""

    def __init__(self, words: Mapping[int, int], refuse: int = 2) -> None:
        self.words = dict(words)
        self.refuse = refuse
        self.asked: list[tuple[int, int]] = []

    async def ask(self, block: Block) -> Sequence[int] | Excepted:
        self.asked.append((block.addr, block.size))
        wanted = range(block.addr, block.addr + block.size)
        if any(addr not in self.words for addr in wanted):
            return Excepted(self.refuse)
        return [self.words[addr] for addr in wanted]

    def put(self, addr: int, number: float, order: Order = Order.ABCD) -> "Registers":
        address = Address(Table.HOLDING, addr, F32, order)
        self.words |= {addr + i: word for i, word in enumerate(codec.words(address, number))}
        return self


def section(**keys: Any) -> ModbusDevice:
    return ModbusDevice.model_validate({"profile": "p", "link": "l", **keys})


async def met(unit: Registers, profile: Profile = DTSU, before: Sequence[str] = (), **keys: Any) -> Contact:  # fmt: skip
    return await contact(profile, section(**keys), unit.ask, before)


def meter(volts: float, energy: int = 0x101E, **words: int) -> Registers:
    unit = Registers({0x06: 40, 0x07: 10, **{int(k[1:], 16): v for k, v in words.items()}})
    return unit.put(0x2006, volts).put(energy, 1234.5)


def scale(found: Contact, name: str) -> str:
    return str(found.targets[name].point.scale.normalize())


async def test_the_meter_of_2019_is_known_by_its_register_and_its_voltage() -> None:
    found = await met(meter(2201.0, x0C=0))
    assert found.variants == ("gen2019", "energy-101e")
    assert found.identified
    assert (scale(found, "elec.voltage.a"), scale(found, "elec.current.a")) == ("0.1", "0.04")
    assert scale(found, "elec.power.total") == "4"
    assert found.targets["elec.energy.import"].address.addr == 0x101E
    assert found.why[0] == "gen2019: register 0x000c is 0, elec.voltage.a is 220.1 V"
    assert "elec.power.a" in found.targets


async def test_the_meter_of_2016_is_known_by_its_voltage() -> None:
    found = await met(meter(220.0, 0x401E))
    assert found.variants == ("gen2016", "energy-401e")
    assert (scale(found, "elec.voltage.a"), scale(found, "elec.current.a")) == ("1", "4E+1")
    assert "elec.power.a" not in found.targets
    assert found.targets["elec.energy.export"].address.addr == 0x4028


async def test_scales_of_one_generation_and_energy_of_the_other_are_found_independently() -> None:
    found = await met(meter(2201.0, 0x401E, x0C=1))
    assert found.variants == ("gen2019", "energy-401e")


async def test_a_register_that_means_something_else_does_not_outweigh_the_voltage() -> None:
    found = await met(meter(221.5, 0x401E, x0C=2))
    assert found.variants == ("gen2016", "energy-401e")


async def test_no_variant_that_fits_is_refused_with_what_was_read() -> None:
    with pytest.raises(Mismatch) as caught:
        await met(meter(12.0, x0C=9))
    assert caught.value.reason == "unknown_variant"
    assert str(caught.value) == (
        "no variant of chint-dtsu666 fits (gen2019: register 0x000c is 9;"
        " gen2016: elec.voltage.a is 12.0 V, expected 160 to 280)"
    )


async def test_two_variants_that_fit_are_refused_with_what_to_write() -> None:
    unit = meter(2201.0, x0C=0).put(0x401E, 0.0)
    with pytest.raises(Mismatch) as caught:
        await met(unit)
    said = str(caught.value)
    assert "energy-101e and energy-401e fit equally well" in said
    assert "elec.energy.import is 49380.0 kW.h" in said
    assert said.endswith("write `variant:` of this device")
    found = await met(unit, variant="energy-101e")
    assert found.variants == ("gen2019", "energy-101e")


async def test_a_float_in_another_order_is_named() -> None:
    unit = meter(0.0, x0C=9).put(0x2006, 229.7, Order.CDAB)
    with pytest.raises(Mismatch) as caught:
        await met(unit)
    assert "but 229.7 V in order CDAB" in str(caught.value)


async def test_what_was_found_before_holds_while_a_phase_is_dead() -> None:
    unit = meter(0.0, x0C=0)
    with pytest.raises(Mismatch, match="no variant of chint-dtsu666 fits"):
        await met(unit)
    found = await met(unit, before=("gen2019", "energy-101e"))
    assert found.variants == ("gen2019", "energy-101e")
    with pytest.raises(Mismatch, match="0x000c is 9"):
        await met(meter(0.0, x0C=9), before=("gen2019", "energy-101e"))


async def test_a_variant_that_the_site_names_is_not_looked_for_but_checked() -> None:
    unit = meter(0.0, 0x401E)
    found = await met(unit, variant=["gen2016", "energy-401e"], vars={"ct": 1, "pt": 1})
    assert found.variants == ("gen2016", "energy-401e")
    assert unit.asked == []
    with pytest.raises(Mismatch, match="identity register 0x000c is 9: not a chint-dtsu666"):
        await met(meter(2200.0, x0C=9), variant="gen2019")


async def test_neighbouring_variables_are_one_request_and_each_register_is_read_once() -> None:
    unit = meter(2201.0, x0C=0)
    await met(unit)
    assert unit.asked == [(0x06, 2), (0x0C, 1), (0x2006, 2), (0x101E, 2), (0x401E, 2)]


async def test_a_variable_that_the_device_lacks_has_its_default() -> None:
    unit = meter(2201.0, x0C=0)
    del unit.words[0x07]
    found = await met(unit)
    assert {name: float(number) for name, number in found.variables.items()} == {"ct": 40, "pt": 1}


@pytest.mark.parametrize(
    ("ct", "said"),
    [(0, "ct, register 0x0006, is 0, expected 1 to 9999"), (0xFFFF, "ct, register 0x0006, is 65535, expected 1 to 9999")],
)  # fmt: skip
async def test_a_variable_outside_its_limits_is_refused(ct: int, said: str) -> None:
    with pytest.raises(Mismatch) as caught:
        await met(meter(2201.0, x06=ct, x0C=0))
    assert (caught.value.reason, str(caught.value)) == ("bad_variable", said)


def level(unit: int, decimals: int, value: int = 873) -> Registers:
    return Registers({2: unit, 3: decimals, 4: value})


@pytest.mark.parametrize(
    ("unit", "decimals", "factor"),
    [(16, 0, "1"), (16, 2, "0.01"), (17, 1, "0.001"), (18, 0, "0.001"), (18, 4, "1E-7")],
)
async def test_a_level_is_in_metres_whatever_the_transmitter_counts_in(
    unit: int, decimals: int, factor: str
) -> None:
    found = await met(level(unit, decimals), QDY)
    assert found.variant == "level"
    assert scale(found, "water.level") == factor


async def test_a_pressure_version_shows_a_pressure_and_no_level() -> None:
    found = await met(level(1, 1), QDY)
    assert found.variant == "pressure"
    assert list(found.targets) == ["water.pressure"]


@pytest.mark.parametrize(
    ("unit", "decimals", "said"),
    [
        (9, 1, "no variant of qdy30a-level fits (level: register 0x0002 is 9; pressure: register 0x0002 is 9)"),
        (17, 5, "dec, register 0x0003, is 5, expected 0 to 4"),
    ],
)  # fmt: skip
async def test_a_code_that_no_map_knows_is_no_reading(unit: int, decimals: int, said: str) -> None:
    with pytest.raises(Mismatch) as caught:
        await met(level(unit, decimals), QDY)
    assert str(caught.value) == said


async def test_a_unit_code_that_the_table_lacks_says_which_it_knows() -> None:
    with pytest.raises(Mismatch) as caught:
        await met(level(17, 1), QDY, variant="level", vars={"unit_code": 12, "dec": 1})
    assert "water.level: unit code 12; the profile knows 16 (m), 17 (cm), 18 (mm)" in str(caught.value)  # fmt: skip
    assert caught.value.reason == "wrong_device"


async def test_a_busy_device_is_asked_again_later() -> None:
    with pytest.raises(Unready) as caught:
        await met(Registers({}, refuse=6), QDY)
    assert caught.value.code == 6


async def test_a_variable_without_default_must_be_there() -> None:
    with pytest.raises(Mismatch) as caught:
        await met(Registers({2: 17}), QDY)
    assert str(caught.value) == "dec, register 0x0003, answers exception 2: not a qdy30a-level"


def text_device(**keys: Any) -> Profile:
    return Profile.model_validate({
        "profile": "acme", "type": "test", "facility": "pipes", "protocol": "modbus", "sources": ["this test"],
        "status": "code", "defaults": {"at": {"table": "holding", "type": "u16"}},
        "points": [{"id": "a.b", "at": 9, "unit": "V", "contested": {"tenths": {"scale": "0.1"}, "whole": {"at": 10}}}],
        **keys,
    })  # fmt: skip


@pytest.mark.parametrize(("held", "fits"), [(b"M1\0\0", True), (b"M2  ", False), (b"\xff\xff\xff\xff", False)])  # fmt: skip
async def test_a_model_may_be_known_by_a_text(held: bytes, fits: bool) -> None:
    at = {"addr": 0, "type": "string", "words": 2}
    profile = text_device(identity=[{"at": at, "equals": ["M1"]}])
    unit = Registers({i: int.from_bytes(held[2 * i : 2 * i + 2], "big") for i in range(2)})
    if fits:
        assert (await met(unit, profile)).identified
    else:
        with pytest.raises(Mismatch, match="not a acme"):
            await met(unit, profile)


@pytest.mark.parametrize(("choice", "addr", "factor"), [("tenths", 9, "0.1"), ("whole", 10, "1")])
async def test_a_contested_point_is_read_as_the_site_has_decided(
    choice: str, addr: int, factor: str
) -> None:
    found = await met(Registers({}), text_device(), decisions={"a.b": choice})
    assert found.targets["a.b"].address.addr == addr
    assert scale(found, "a.b") == factor


async def test_a_profile_without_choices_is_met_without_a_request_of_its_own() -> None:
    unit = Registers({0xFC02: 0x20})
    found = await met(unit, SDM120)
    assert found.profile is SDM120
    assert unit.asked == [(0xFC02, 1)]
    assert is_fixed(SDM120)
    assert not is_fixed(DTSU)


def test_what_is_expected_before_anything_was_read_is_a_whole_map() -> None:
    found = expected(DTSU, section(vars={"ct": 40}))
    numbers: dict[str, Value] = {p.id: float(p.scale) for p in found.points}
    assert numbers["elec.current.a"] == pytest.approx(0.04)
    assert "elec.power.a" in numbers
    found = expected(DTSU, section(variant="gen2016"))
    assert "elec.power.a" not in {p.id for p in found.points}
    assert [p.scale for p in expected(QDY, section()).points] == [1]

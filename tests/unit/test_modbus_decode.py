"""Registers to points: types, orders, exactness and quality."""

from typing import Any

import pytest

from drivers.modbus import codec, decode, frame, mbap
from drivers.modbus.address import Address, Order, Table, Type
from drivers.modbus.plan import Block, Target
from gateway.model import Level, Quality, Value
from gateway.profile import CommandSpec, Plausible, Point


def registers(request: str, response: str) -> list[int]:
    data = frame.data(frame.request(request), response)
    assert data is not None
    return data


def target(at: Address, **keys: Any) -> Target:
    plausible = keys.pop("plausible", None)
    return Target(Point.model_validate({"id": "x.y", "at": 0, **keys}), at, plausible)


def decoded(at: Address, words: list[int], **keys: Any) -> Value | Quality | None:
    value, quality = decode.point(target(at, **keys), words)
    return quality if value is None else value


U16 = Address(Table.HOLDING, 0x100, Type.U16)
F32 = Address(Table.INPUT, 0, Type.F32)


def test_published_exchanges_are_decoded() -> None:
    """Vectors of makers' documents and public drivers, and computed ones for the other types."""
    wind = registers("01 03 00 00 00 01 84 0A", "01 03 02 00 56 38 7A")
    assert decoded(U16, wind, scale="0.1") == 8.6
    block = registers("01 03 01 00 00 06 C4 34", "01 03 0C 08 FD 08 FA 09 01 00 9A 00 00 02 0E B9 5C")  # fmt: skip
    points = tuple(
        Target(Point.model_validate({"id": f"p.x{i}", "scale": "0.1" if i < 3 else "0.01"}), U16._replace(addr=0x100 + i))
        for i in range(6)
    )  # fmt: skip
    values: dict[str, Value] = {}
    quality: dict[str, Quality] = {}
    decode.block(Block(Table.HOLDING, 0x100, 6, points), block, values, quality)
    assert list(values.values()) == [230.1, 229.8, 230.5, 1.54, 0, 5.26]
    assert not quality
    i32 = Address(Table.HOLDING, 0x110, Type.I32)
    power = registers("01 03 01 10 00 02 C4 32", "01 03 04 FF FF F6 5C BD 8E")
    assert decoded(i32, power) == -2468
    u32 = Address(Table.HOLDING, 0x120, Type.U32)
    energy = registers("01 03 01 20 00 02 C4 3D", "01 03 04 00 74 CB B1 2D 6D")
    assert decoded(u32, energy, scale="0.01") == 76543.21
    swapped = registers("01 04 00 00 00 02 71 CB", "01 04 04 33 34 43 66 04 14")
    assert decoded(F32._replace(order=Order.CDAB), swapped) == 230.20001
    assert frame.data(frame.request("01 04 00 00 00 02 71 CB"), "01 84 03 03 01") is None


@pytest.mark.parametrize(
    ("order", "words"),
    [
        (Order.ABCD, [0x4366, 0x3333]),
        (Order.CDAB, [0x3333, 0x4366]),
        (Order.BADC, [0x6643, 0x3333]),
        (Order.DCBA, [0x3333, 0x6643]),
    ],
)
def test_each_byte_order_reads_the_same_number(order: Order, words: list[int]) -> None:
    address = F32._replace(order=order)
    assert codec.raw(address, words) == 230.2
    assert list(codec.words(address, 230.2)) == words


def test_wide_numbers_keep_every_digit() -> None:
    u64 = Address(Table.HOLDING, 0, Type.U64)
    assert decoded(u64, [0xFFFF] * 4) == 2**64 - 1
    assert decoded(u64, [0xFFFF] * 4, scale="10", integer=True) == 10 * (2**64 - 1)
    f64 = Address(Table.HOLDING, 0, Type.F64)
    assert decoded(f64, [0x3FB9, 0x9999, 0x9999, 0x999A]) == 0.1


def test_an_integer_point_is_rounded_to_a_whole_number() -> None:
    assert decoded(F32, list(codec.words(F32, 2.6)), integer=True) == 3
    assert decoded(U16, [26], scale="0.1", integer=True) == 3
    assert isinstance(decoded(U16, [26], scale="0.1", integer=True), int)


@pytest.mark.parametrize(
    ("at", "words", "keys", "reason"),
    [
        (F32, [0x7FC0, 0], {}, "not_a_number"),
        (F32, [0x7F80, 0], {}, "not_a_number"),
        (F32, [0x7FC0, 0], {"sentinels": [0x7FC00000]}, "sentinel"),
        (F32, [0xC000, 0], {"sentinels": [-2]}, "sentinel"),
        (U16, [0xFFFF], {"sentinels": [0xFFFF], "scale": "0.1"}, "sentinel"),
        (U16._replace(type=Type.I16), [0x8000], {"sentinels": [0x8000]}, "sentinel"),
        (U16._replace(type=Type.I16), [0x8000], {"sentinels": [-32768]}, "sentinel"),
        (U16, [301], {"max": 300}, "out_of_range"),
        (U16, [1], {"min": 2}, "out_of_range"),
        (U16, [4], {"enum": {"0": "normal", "1": "fire"}}, "unknown_enum_4"),
        (Address(Table.HOLDING, 0, Type.F64), [0x7FEF, 0xFFFF, 0xFFFF, 0xFFFF], {"scale": "10"}, "not_a_number"),
    ],
)  # fmt: skip
def test_a_reading_that_is_none_is_bad_with_its_reason(
    at: Address, words: list[int], keys: dict[str, Any], reason: str
) -> None:
    assert decode.point(target(at, **keys), words) == (None, Quality(Level.BAD, reason))


def test_an_implausible_reading_is_kept_and_uncertain() -> None:
    limits = Plausible(point="x.y", min=160, max=280)
    found = decode.point(target(U16, plausible=limits), [300])
    assert found == (300, Quality(Level.UNCERTAIN, "implausible"))
    assert decode.point(target(U16, plausible=limits), [230]) == (230, None)


def test_bits_are_true_and_false_or_their_names() -> None:
    bit = Address(Table.DISCRETE, 0, Type.BOOL)
    assert decoded(bit, [1]) is True
    assert decoded(bit, [0], enum={"0": "closed", "1": "open"}) == "closed"
    assert decoded(bit, [1], sentinels=[9]) is True


@pytest.mark.parametrize(
    ("value", "words"), [(21.5, (215,)), (-4, (0xFFD8,)), (0.1 + 0.2, None), (4000, None)]
)
def test_a_value_is_written_exactly_or_not_at_all(
    value: float, words: tuple[int, ...] | None
) -> None:
    command = CommandSpec(id="c.x", point="x.y")
    point = Point.model_validate({"id": "x.y", "scale": "0.1"})
    address = U16._replace(type=Type.I16)
    if words is None:
        with pytest.raises(ValueError, match=r"finer than|does not fit"):
            decode.encode(command, point, address, value)
    else:
        assert decode.encode(command, point, address, value) == words


@pytest.mark.parametrize("value", ["high", True, float("nan"), float("inf")])
def test_what_is_no_number_is_not_written_to_a_register(value: Value) -> None:
    with pytest.raises(ValueError, match="is not a number"):
        decode.encode(CommandSpec(id="c.x", point="x.y"), Point(id="x.y"), U16, value)


def test_a_number_too_large_for_binary32_is_refused() -> None:
    with pytest.raises(ValueError, match="does not fit a f32"):
        codec.words(F32, 1e39)


def test_half_a_number_is_not_written_to_an_integer_register() -> None:
    with pytest.raises(ValueError, match=r"1\.5 is no whole number"):
        codec.words(U16, 1.5)


def test_the_largest_binary32_is_read_without_overflow() -> None:
    assert codec.raw(F32, [0x7F7F, 0xFFFF]) == 3.4028235e38


SENT = bytes.fromhex("000100000006010400000002")


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        ("000100000007010404000000AA", None),
        ("00000000000701040443663334", None),  # transaction 0 is accepted
        ("0001000000", None),  # more is to come
        ("00010001000701040443663334", "protocol"),
        ("00010000FFFF01040443663334", "length"),
        ("00020000000701040443663334", "transaction"),
        ("00010000000702040443663334", "unit"),
        ("00010000000701040343663334", "length"),
        ("000100000006010403436633", "length"),
        ("00010000000301840200", "surplus"),
        ("000100000003018402", None),
        ("00010000000401840200", "length"),
        ("000100000005010500000F", "length"),
        ("0001000000030107AA", "function"),
    ],
)
def test_a_received_frame_is_judged_before_pymodbus_sees_it(data: str, kind: str | None) -> None:
    assert mbap.fault(SENT, bytes.fromhex(data)) == kind

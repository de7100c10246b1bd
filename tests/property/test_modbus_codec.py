import math
import struct
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from drivers.modbus import codec, decode, frame, mbap
from drivers.modbus.address import Address, Order, Table, Type, parse
from drivers.modbus.plan import Target, plan
from gateway.profile import Limits, Point

ADDRESSES = st.builds(
    Address,
    st.just(Table.HOLDING),
    st.integers(0, 0xFFF0),
    st.sampled_from([t for t in Type if t not in {Type.BOOL, Type.BCD, Type.STRING}]),
    st.sampled_from(Order),
    st.just(0),
    st.none(),
)
BCD = st.builds(
    Address,
    st.just(Table.HOLDING),
    st.just(0),
    st.just(Type.BCD),
    st.sampled_from(Order),
    st.integers(1, 4),
    st.none(),
)
BINARY32 = st.floats(width=32, allow_nan=False, allow_infinity=False)


@given(ADDRESSES, st.data())
def test_every_number_a_register_holds_survives_encode_and_decode(
    address: Address, data: st.DataObject
) -> None:
    if address.type is Type.F32:
        number: float = data.draw(BINARY32)
    elif address.type is Type.F64:
        number = data.draw(st.floats(allow_nan=False, allow_infinity=False))
    else:
        number = data.draw(st.integers(*address.type.limits))
    words = codec.words(address, number)
    back = codec.raw(address, words)
    assert len(words) == address.type.width
    assert codec.words(address, back) == words
    if address.type is not Type.F32:
        assert back == number


@given(BCD, st.data())
def test_every_decimal_number_survives_encode_and_decode(
    address: Address, data: st.DataObject
) -> None:
    number = data.draw(st.integers(*address.limits))
    words = codec.words(address, number)
    assert len(words) == address.width
    assert codec.raw(address, words) == number
    plain = codec.words(address._replace(order=Order.ABCD), number)
    assert "".join(f"{word:04x}" for word in plain) == f"{number:0{4 * address.words}d}"


@given(BCD, st.data())
def test_a_nibble_above_nine_is_no_decimal_number(address: Address, data: st.DataObject) -> None:
    words = [data.draw(st.integers(0, 0xFFFF)) for _ in range(address.words)]
    decimal = all(digit.isdigit() for word in words for digit in f"{word:04x}")
    assert math.isnan(codec.raw(address, words)) is not decimal


@given(
    st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=20),
    st.sampled_from([Order.ABCD, Order.BADC]),
)
def test_a_text_survives_both_byte_orders(text: str, order: Order) -> None:
    data = text.encode("ascii").ljust(20, b"\0")
    form = "<" if order is Order.BADC else ">"
    address = Address(Table.HOLDING, 0, Type.STRING, order, 10)
    assert codec.text(address, struct.unpack(f"{form}10H", data)) == text.strip()


@given(st.binary(min_size=4, max_size=4))
def test_bytes_that_are_no_ascii_are_no_text(data: bytes) -> None:
    address = Address(Table.HOLDING, 0, Type.STRING, words=2)
    text = codec.text(address, struct.unpack(">2H", data))
    held = data.partition(b"\0")[0]
    assert (text is None) == any(not 32 <= byte < 127 for byte in held)


@given(st.sampled_from([Type.U16, Type.U32, Type.U64]), st.sampled_from(Order), st.data())
def test_each_bit_of_a_register_is_its_own(kind: Type, order: Order, data: st.DataObject) -> None:
    number = data.draw(st.integers(*kind.limits))
    whole = Address(Table.HOLDING, 0, kind, order)
    words = codec.words(whole, number)
    bits = [codec.raw(whole._replace(bit=bit), words) for bit in range(16 * kind.width)]
    assert sum(int(bit) << place for place, bit in enumerate(bits)) == number


@given(st.sampled_from([Type.U64, Type.F64]), st.sampled_from(Order), st.binary(min_size=8, max_size=8))  # fmt: skip
def test_the_letters_of_a_long_order_say_where_each_byte_stands(
    kind: Type, order: Order, data: bytes
) -> None:
    letters = {"ABCD": "ABCDEFGH", "CDAB": "GHEFCDAB", "BADC": "BADCFEHG", "DCBA": "HGFEDCBA"}[
        order
    ]
    address = parse({"table": "input", "addr": 0, "type": kind, "order": letters}, {})
    assert address.order is order
    sent = bytes(data["ABCDEFGH".index(letter)] for letter in letters)
    value = codec.unsigned(address, struct.unpack(">4H", sent))
    assert value == int.from_bytes(data, "big")


@given(BINARY32)
def test_a_f32_becomes_the_shortest_decimal_that_is_the_same_f32(number: float) -> None:
    data = struct.pack(">f", number)
    short = codec.shortest(data)
    assert struct.pack(">f", short) == data
    digits = len(Decimal(repr(short)).normalize().as_tuple().digits)
    assert digits <= 9
    if digits > 6:  # one digit less is another number
        assert struct.pack(">f", float(f"{number:.{digits - 1}g}")) != data


@given(st.integers(0, 999_999), st.integers(-4, 3))
def test_a_decimal_of_six_digits_is_read_as_it_was_written(digits: int, exponent: int) -> None:
    number = float(f"{digits}e{exponent}")
    assert codec.shortest(struct.pack(">f", number)) == number


@given(
    st.integers(*Type.U64.limits),
    st.decimals("0.000001", 1000, places=6),
    st.decimals(-1000, 1000, places=3),
)
def test_scale_and_offset_are_exact_until_the_value_becomes_a_float(
    raw: int, scale: Decimal, offset: Decimal
) -> None:
    point = Point(id="x.y", scale=str(scale), offset=str(offset), at=0)  # type: ignore[arg-type]  # as in a file
    value = decode.scaled(point, raw)
    exact = Fraction(raw) * Fraction(scale) + Fraction(offset)
    assert math.isclose(float(value), float(exact), rel_tol=1e-15, abs_tol=1e-300)


@st.composite
def layouts(draw: st.DrawFn) -> tuple[list[Target], Limits]:
    found, addr = [], 0
    for number in range(draw(st.integers(1, 25))):
        addr += draw(st.integers(0, 30))
        kind = draw(st.sampled_from([Type.U16, Type.F32, Type.U64]))
        table = draw(st.sampled_from([Table.INPUT, Table.HOLDING]))
        found.append(Target(Point(id=f"p{number}", at=0), Address(table, addr, kind)))
        addr += kind.width
    return found, Limits(max_regs=draw(st.integers(4, 125)), max_gap=draw(st.integers(0, 40)))


@given(layouts())
def test_a_plan_reads_every_point_once_within_the_limits(
    layout: tuple[list[Target], Limits],
) -> None:
    wanted, limits = layout
    blocks = plan(reversed(wanted), limits)
    assert sorted(t.point.id for b in blocks for t in b.targets) == sorted(t.point.id for t in wanted)  # fmt: skip
    for block in blocks:
        assert block.size <= limits.max_regs
        edge = block.addr
        for target in block.targets:
            assert target.address.table is block.table
            assert target.address.addr - edge <= limits.max_gap
            edge = target.address.end
        assert edge == block.addr + block.size
    for one, two in pairwise(blocks):  # no two could have been one
        if one.table is two.table:
            first_of_two = two.targets[0].address
            apart = first_of_two.addr - (one.addr + one.size)
            assert apart > limits.max_gap or first_of_two.end - one.addr > limits.max_regs


@given(st.binary(max_size=300))
def test_no_bytes_make_the_frame_check_fail_in_another_way_than_it_says(data: bytes) -> None:
    sent = bytes.fromhex("000100000006010400000004")
    assert mbap.fault(sent, data) in {None, "protocol", "length", "transaction", "unit", "function", "surplus"}  # fmt: skip
    for read in (frame.pdu, frame.request):
        try:
            read(data.hex())
        except frame.FrameError as error:
            assert str(error)

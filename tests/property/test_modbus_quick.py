"""The quick decoder says of every block what the plain one says."""

import math
from decimal import Decimal
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from drivers.modbus import decode
from drivers.modbus.address import Address, Order, Table, Type
from drivers.modbus.plan import Block, Target, whole
from drivers.modbus.quick import decoder
from gateway.model import Quality, Value
from gateway.profile import Plausible, Point

NUMBERS = st.floats(-1e6, 1e6) | st.integers(-70_000, 70_000)
EXACT = st.decimals(-1000, 1000, places=3).map(lambda d: Decimal(str(d)))
KEYS = st.fixed_dictionaries(
    {},
    optional={
        "min": NUMBERS, "max": NUMBERS, "scale": EXACT.filter(bool).map(str), "offset": EXACT.map(str),
        "integer": st.booleans(), "sentinels": st.lists(st.integers(0, 0xFFFF), max_size=2),
        "enum": st.just({"0": "off", "1": "on"}),
    },
)  # fmt: skip
TYPES = st.sampled_from([t for t in Type if t is not Type.BOOL])


@st.composite
def blocks(draw: st.DrawFn) -> Block:
    addr, targets = 0, []
    for index in range(draw(st.integers(1, 6))):
        kind = draw(TYPES)
        size = draw(st.integers(1, 4)) if kind in {Type.BCD, Type.STRING} else 0
        bit = draw(st.none() | st.integers(0, 15)) if kind in {Type.U16, Type.U32} else None
        address = Address(Table.HOLDING, addr, kind, draw(st.sampled_from(Order)), size, bit)
        keys: dict[str, Any] = draw(KEYS)
        point = Point.model_validate({"id": f"p{index}", **keys})
        limits = draw(st.none() | st.tuples(NUMBERS, NUMBERS).map(sorted))
        plausible = Plausible(point=point.id, min=limits[0], max=limits[1]) if limits else None
        targets.append(Target(point, address, plausible))
        addr = address.end + draw(st.integers(0, 2))
    return whole(targets)


WORDS = st.sampled_from([0, 1, 0x7F80, 0x7FC0, 0x8000, 0xFFFF]) | st.integers(0, 0xFFFF)


@given(blocks(), st.data())
def test_a_block_is_decoded_as_the_plain_decoder_does(block: Block, data: st.DataObject) -> None:
    words = data.draw(st.lists(WORDS, min_size=block.size, max_size=block.size))
    plain: tuple[dict[str, Value], dict[str, Quality]] = {}, {}
    quick: tuple[dict[str, Value], dict[str, Quality]] = {}, {}
    decode.block(block, words, *plain)
    decoder(block)(words, *quick)
    assert quick == plain
    assert [type(value) for value in quick[0].values()] == [type(v) for v in plain[0].values()]
    assert all(math.isfinite(v) for v in quick[0].values() if not isinstance(v, str))


def test_devices_of_one_model_share_their_decoders() -> None:
    point = Point.model_validate({"id": "p"})
    address = Address(Table.INPUT, 0, Type.U16, Order.ABCD)
    assert decoder(whole([Target(point, address)])) is decoder(whole([Target(point, address)]))
    other = Point.model_validate({"id": "p", "scale": "0.1"})
    assert decoder(whole([Target(other, address)])) is not decoder(whole([Target(point, address)]))

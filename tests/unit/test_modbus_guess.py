"""What registers may mean, and links in one word."""

import pytest

from drivers.modbus import codec
from drivers.modbus.address import Address, Order, Table, Type
from drivers.modbus.guess import decodings, mains, other_order
from drivers.modbus.settings import ModbusLink
from drivers.modbus.uri import link_of


def words(value: float, type_: Type, order: Order = Order.ABCD) -> tuple[int, ...]:
    return codec.words(Address(Table.HOLDING, 0, type_, order), value)


def found(*registers: int) -> set[tuple[int, str, str, float]]:
    return {(d.offset, str(d.type), str(d.order), d.value) for d in decodings(registers)}


def test_one_register_is_a_number_with_and_without_sign() -> None:
    assert found(0xFFFE) == {(0, "u16", "ABCD", 65534), (0, "i16", "ABCD", -2)}
    assert found(2301) == {(0, "u16", "ABCD", 2301)}


@pytest.mark.parametrize("order", list(Order))
def test_a_voltage_is_recognised_in_any_order_and_in_one_only(order: Order) -> None:
    registers = words(230.2, Type.F32, order)
    assert (0, "f32", str(order), 230.2) in found(*registers)
    [(decoding, unit)] = mains(registers)
    assert (decoding.order, decoding.value, unit) == (order, 230.2, "V")


def test_zeros_are_told_once() -> None:
    assert found(0, 0) == {(0, "u16", "ABCD", 0), (1, "u16", "ABCD", 0), (0, "u32", "ABCD", 0), (0, "f32", "ABCD", 0.0)}  # fmt: skip


def test_a_wanted_type_is_shown_whatever_it_is() -> None:
    registers = [*words(49.98, Type.F32, Order.CDAB), *words(1.5, Type.F32, Order.CDAB)]
    shown = [(d.offset, d.value) for d in decodings(registers, Type.F32, Order.CDAB)]
    assert shown == [(0, 49.98), (2, 1.5)]
    assert list(decodings([1], Type.F32)) == []


def test_another_order_is_named_when_the_declared_one_makes_no_sense() -> None:
    address = Address(Table.INPUT, 0, Type.F32, Order.ABCD)
    assert other_order(address, words(50.01, Type.F32, Order.CDAB)) == (Order.CDAB, 50.01, "Hz")
    assert other_order(address, words(50.01, Type.F32)) is None
    assert other_order(address, words(3.0, Type.F32)) is None
    assert other_order(address._replace(type=Type.U32), words(50, Type.U32)) is None


@pytest.mark.parametrize(
    ("text", "section"),
    [
        ("tcp://192.0.2.1", {"host": "192.0.2.1"}),
        ("tcp://localhost:5020", {"host": "localhost", "port": 5020}),
        ("rtu:///dev/ttyUSB0", {"transport": "rtu", "path": "/dev/ttyUSB0"}),
        ("rtu:///dev/ttyUSB0?baud=2400&parity=E&stop=2", {"transport": "rtu", "path": "/dev/ttyUSB0", "baud": 2400, "parity": "E", "stop": 2}),
        ("rtu+tcp://10.0.0.1:4196?baud=4800", {"transport": "rtu_over_tcp", "host": "10.0.0.1", "port": 4196, "baud": 4800}),
    ],
)  # fmt: skip
def test_a_link_is_written_in_one_word(text: str, section: dict[str, object]) -> None:
    assert link_of(text) == ModbusLink.model_validate({"driver": "modbus", **section})


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("udp://h", "'udp://' is no Modbus link: write e.g. tcp://192.0.2.20:502"),
        ("tcp://h:99999", "write 1 to 65535"),
        ("tcp://", "'' is no host"),
        ("rtu://", "'' is no serial port"),
        ("rtu:///dev/ttyS0?baud=9601", "baud: 9601 is not allowed"),
        ("rtu:///dev/ttyS0?baud=fast", "baud: 'fast' is not allowed"),
        ("tcp://h?parity=E", "parity means nothing to transport tcp"),
        ("tcp://h?speed=9600", "speed: "),
    ],
)  # fmt: skip
def test_a_wrong_link_is_explained(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=":") as error:
        link_of(text)
    assert said in str(error.value)

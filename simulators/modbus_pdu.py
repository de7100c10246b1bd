"""What a Modbus device answers to a request, by the book (Application Protocol 1.1b3). Pure."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

from drivers.modbus.address import Table
from gateway.model import Value

_TABLES = {table.read_function: table for table in Table}
_MOST = {Table.COIL: 2000, Table.DISCRETE: 2000, Table.HOLDING: 125, Table.INPUT: 125}
_ILLEGAL_FUNCTION, _ILLEGAL_ADDRESS, _ILLEGAL_VALUE = 1, 2, 3  # ibid., 7
_NOTHING: Mapping[str, Value] = {}


class Slave(Protocol):
    """One device on a bus."""

    @property
    def device(self) -> str:
        """Its name."""
        ...

    def read(
        self, table: Table, addr: int, size: int, time_ns: int
    ) -> tuple[Sequence[int], Mapping[str, Value]] | None:
        """(registers or bits, what a correct reader makes of them); None: they do not exist."""
        ...

    def write(self, table: Table, addr: int, words: Sequence[int]) -> bool:
        """Take registers or bits; False: they do not exist or cannot be written."""
        ...


class Answer(NamedTuple):
    """A PDU, and the values in it as a correct reader decodes them."""

    pdu: bytes
    values: Mapping[str, Value] = _NOTHING


def answer(slave: Slave, pdu: bytes, time_ns: int) -> Answer:
    """What `slave` answers to the request `pdu`: functions 1 to 6, 15 and 16."""
    function = pdu[0]
    if function in _TABLES and len(pdu) == 5:
        return _read(slave, _TABLES[function], pdu, time_ns)
    if function in {5, 6} and len(pdu) == 5:
        return Answer(_write_one(slave, pdu))
    if function in {15, 16} and len(pdu) >= 7 and len(pdu) == 6 + pdu[5]:
        return Answer(_write_several(slave, pdu))
    return Answer(_exception(pdu, _ILLEGAL_FUNCTION))


def _exception(pdu: bytes, code: int) -> bytes:
    return bytes([pdu[0] | 0x80, code])


def _read(slave: Slave, table: Table, pdu: bytes, time_ns: int) -> Answer:
    addr, size = int.from_bytes(pdu[1:3], "big"), int.from_bytes(pdu[3:5], "big")
    if not 1 <= size <= _MOST[table]:
        return Answer(_exception(pdu, _ILLEGAL_VALUE))
    found = slave.read(table, addr, size, time_ns)
    if found is None:
        return Answer(_exception(pdu, _ILLEGAL_ADDRESS))
    data, values = found
    body = _packed(data) if table.bits else b"".join(word.to_bytes(2, "big") for word in data)
    return Answer(bytes([pdu[0], len(body)]) + body, values)


def _write_one(slave: Slave, pdu: bytes) -> bytes:
    """Write Single Coil, Write Single Register (6.5 and 6.6)."""
    addr, word = int.from_bytes(pdu[1:3], "big"), int.from_bytes(pdu[3:5], "big")
    table = Table.COIL if pdu[0] == 5 else Table.HOLDING
    if table.bits:
        if word not in {0x0000, 0xFF00}:
            return _exception(pdu, _ILLEGAL_VALUE)
        word = word >> 15
    return pdu if slave.write(table, addr, [word]) else _exception(pdu, _ILLEGAL_ADDRESS)


def _write_several(slave: Slave, pdu: bytes) -> bytes:
    """Write Multiple Coils, Write Multiple Registers (6.11 and 6.12)."""
    addr, count = int.from_bytes(pdu[1:3], "big"), int.from_bytes(pdu[3:5], "big")
    table, data = Table.COIL if pdu[0] == 15 else Table.HOLDING, pdu[6:]
    needed = (count + 7) // 8 if table.bits else 2 * count
    if count == 0 or len(data) != needed:
        return _exception(pdu, _ILLEGAL_VALUE)
    if table.bits:
        words = [data[i // 8] >> i % 8 & 1 for i in range(count)]
    else:
        words = [int.from_bytes(data[i : i + 2], "big") for i in range(0, needed, 2)]
    return pdu[:5] if slave.write(table, addr, words) else _exception(pdu, _ILLEGAL_ADDRESS)


def _packed(bits: Sequence[int]) -> bytes:
    packed = bytearray((len(bits) + 7) // 8)
    for index, bit in enumerate(bits):
        packed[index // 8] |= bit << index % 8
    return bytes(packed)

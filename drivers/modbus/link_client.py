"""What `link.py` makes of pymodbus: a client for each transport, the requests, faster answers."""

import logging
import struct
from collections.abc import Callable, Sequence

from pymodbus.client import AsyncModbusSerialClient, AsyncModbusTcpClient
from pymodbus.framer import FramerType
from pymodbus.pdu import DecodePDU, ModbusPDU
from pymodbus.pdu.bit_message import (
    ReadCoilsRequest,
    ReadDiscreteInputsRequest,
    WriteSingleCoilRequest,
)
from pymodbus.pdu.register_message import (
    ReadHoldingRegistersRequest,
    ReadHoldingRegistersResponse,
    ReadInputRegistersRequest,
    WriteMultipleRegistersRequest,
    WriteSingleRegisterRequest,
)

from drivers.modbus.address import Table
from drivers.modbus.plan import Block
from drivers.modbus.settings import ModbusLink

# It logs each timeout as an error; which of them matter, and in which words, is ours to say.
logging.getLogger("pymodbus").setLevel(logging.CRITICAL)

CONNECT_TIMEOUT_S = 3.0  # one lost SYN is sent again after 1 s (RFC 6298, 2.1)
# Silent requests after which pymodbus closes the connection: never; that is decided in link.py.
_NEVER = 1_000_000

_READS: dict[Table, type[ModbusPDU]] = {
    Table.COIL: ReadCoilsRequest,
    Table.DISCRETE: ReadDiscreteInputsRequest,
    Table.HOLDING: ReadHoldingRegistersRequest,
    Table.INPUT: ReadInputRegistersRequest,
}

Client = AsyncModbusTcpClient | AsyncModbusSerialClient
Inspect = Callable[[bool, bytes], bytes]  # sending or receiving, the bytes; returns what goes on
Traced = Callable[[bool], None]  # connected or not


def new_client(link: ModbusLink, inspect: Inspect, traced: Traced) -> Client:
    """A client that neither retries nor reconnects; `inspect` sees every byte before it does."""
    client: Client
    if link.transport == "rtu":
        client = AsyncModbusSerialClient(
            link.path, baudrate=link.baud, parity=link.parity, stopbits=link.stop,
            bytesize=link.bytesize, timeout=CONNECT_TIMEOUT_S, retries=0, reconnect_delay=0,
            trace_packet=inspect, trace_connect=traced,
        )  # fmt: skip
    else:
        client = AsyncModbusTcpClient(
            link.host, port=link.port, framer=FramerType.RTU if link.framed else FramerType.SOCKET,
            timeout=CONNECT_TIMEOUT_S, retries=0, reconnect_delay=0,
            trace_packet=inspect, trace_connect=traced,
        )  # fmt: skip
    client.set_max_no_responses(_NEVER)  # read when the connection is made
    client.ctx.framer.decoder = _DECODER
    return client


def read_request(unit: int, block: Block) -> ModbusPDU:
    return _READS[block.table](dev_id=unit, address=block.addr, count=block.size)


def write_request(unit: int, table: Table, addr: int, words: Sequence[int]) -> ModbusPDU:
    """Function 5, 6 or 16."""
    if table.bits:
        return WriteSingleCoilRequest(dev_id=unit, address=addr, bits=[bool(words[0])])
    if len(words) == 1:
        return WriteSingleRegisterRequest(dev_id=unit, address=addr, registers=[*words])
    return WriteMultipleRegistersRequest(dev_id=unit, address=addr, registers=[*words])


def worded(request: ModbusPDU) -> str:
    """The request, in words."""
    what = f"unit {request.dev_id}, function {request.function_code}"
    return f"{what}, {request.count or 1} at {request.address:#06x}"


class _Holding(ReadHoldingRegistersResponse):
    """pymodbus' own takes the registers apart one by one, and words each answer for its log."""

    def decode(self, data: bytes) -> None:
        size = data[0]
        self.registers = struct.unpack(f">{size // 2}H", data[1 : 1 + size])

    def __str__(self) -> str:
        return f"{len(self.registers)} registers"


class _Input(_Holding):
    function_code = 4


# One for all clients: it keeps nothing between two answers.
_DECODER = DecodePDU(False)  # noqa: FBT003 -- pymodbus' signature: not of a server
_DECODER.register(_Holding)
_DECODER.register(_Input)

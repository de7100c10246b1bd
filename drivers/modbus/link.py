"""One Modbus TCP connection. The only module that imports pymodbus.

pymodbus 3.16.1 compares neither the function code nor the count of an answer with the request,
takes a late answer for the next one where there is no transaction id, closes the connection by
itself after some silent requests, and reconnects with up to 300 s between attempts
(docs/libraries.md, T20 to T29). So: no retry and no reconnect by the library, one request at a
time, every answer checked, and after a request that went wrong the connection is closed, so that
no late answer can reach the next request.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple

from pymodbus.client import AsyncModbusTcpClient
from pymodbus.exceptions import ModbusException
from pymodbus.pdu import ModbusPDU

from drivers.modbus.address import Table
from drivers.modbus.mbap import fault
from drivers.modbus.plan import Block
from gateway.errors import BadData, GatewayError, LinkDown

# It logs each timeout as an error; which of them matter, and in which words, is ours to say.
logging.getLogger("pymodbus").setLevel(logging.CRITICAL)

CONNECT_TIMEOUT_S = 3.0  # one lost SYN is sent again after 1 s (RFC 6298, 2.1)
# Silent requests after which pymodbus closes the connection: never; that is decided here.
_NEVER = 1_000_000


class NoAnswer(GatewayError):  # noqa: N818 -- a state, named as operators say it
    """The unit did not answer in time; the link itself may be fine."""


class BadFrame(BadData):
    """An answer that does not fit its request; `kind` is the class that is counted."""

    def __init__(self, kind: str, what: str) -> None:
        super().__init__(what)
        self.kind = kind


class Excepted(NamedTuple):
    """An exception response (Application Protocol 1.1b3, 7): the unit answers and says no."""

    code: int


class Connection:
    """Requests to the units behind one host and port, one after the other.

    Not for concurrent use: one owner task. `lost` is called when the peer closes the connection.
    """

    def __init__(self, host: str, port: int, lost: Callable[[], None]) -> None:
        self._host, self._port = host, port
        self._on_lost = lost
        self._client: AsyncModbusTcpClient | None = None
        self._lost = False
        self._sent = b""
        self._fault: str | None = None

    def __str__(self) -> str:
        return f"{self._host}:{self._port}"

    @property
    def is_open(self) -> bool:
        return self._client is not None

    def check(self) -> None:
        """Raises LinkDown if the peer closed the connection."""
        if self._lost:
            raise LinkDown(f"{self} closed the connection")

    async def open(self) -> None:
        """Connect. Raises LinkDown."""
        self.close()
        self._lost = False
        client = AsyncModbusTcpClient(
            self._host,
            port=self._port,
            timeout=CONNECT_TIMEOUT_S,
            retries=0,
            reconnect_delay=0,
            trace_packet=self._inspect,
            trace_connect=self._traced,
        )
        client.set_max_no_responses(_NEVER)  # read when the connection is made
        self._client = client
        connected = await client.connect()
        _cancelled_is_cancelled()
        if not connected:
            self.close()
            raise LinkDown(f"{self} does not accept connections")

    def close(self) -> None:
        """Close at once; does nothing if it is closed."""
        client, self._client = self._client, None
        if client is not None:
            client.close()

    async def read(self, unit: int, block: Block, timeout_s: float) -> Sequence[int] | Excepted:
        """Registers, or bits as 0 and 1, of one block.

        Raises NoAnswer, BadFrame (the connection is closed then and opened again by the next
        request) or LinkDown.
        """

        def ask(client: AsyncModbusTcpClient) -> Awaitable[ModbusPDU]:
            function = {
                Table.COIL: client.read_coils,
                Table.DISCRETE: client.read_discrete_inputs,
                Table.HOLDING: client.read_holding_registers,
                Table.INPUT: client.read_input_registers,
            }[block.table]
            return function(block.addr, count=block.size, device_id=unit)

        what = f"{block.size} at {block.addr:#06x} of {block.table}"
        answer = await self._request(ask, block.table.read_function, unit, timeout_s, what)
        if answer.isError():
            return Excepted(answer.exception_code)
        if block.table.bits:
            needed, got = (block.size + 7) // 8 * 8, len(answer.bits)
            data = [int(bit) for bit in answer.bits[: block.size]]
        else:
            needed, got = block.size, len(answer.registers)
            data = list(answer.registers)
        if got != needed:
            raise self._bad("count", f"unit {unit}, {what}: {got} came, {needed} were asked for")
        return data

    async def write(
        self, unit: int, table: Table, addr: int, words: Sequence[int], timeout_s: float
    ) -> Excepted | None:
        """Write one coil (function 5), one register (6) or several (16); None when it was taken.

        Raises as `read` does; whether the unit obeyed is unknown then.
        """

        def ask(client: AsyncModbusTcpClient) -> Awaitable[ModbusPDU]:
            if table.bits:
                return client.write_coil(addr, bool(words[0]), device_id=unit)
            if len(words) == 1:
                return client.write_register(addr, words[0], device_id=unit)
            return client.write_registers(addr, list(words), device_id=unit)

        function = 5 if table.bits else 6 if len(words) == 1 else 16
        what = f"writing {len(words)} at {addr:#06x} of {table}"
        answer = await self._request(ask, function, unit, timeout_s, what)
        if answer.isError():
            return Excepted(answer.exception_code)
        if answer.address != addr:
            raise self._bad("echo", f"unit {unit}, {what}: the answer is about {answer.address:#06x}")  # fmt: skip
        return None

    async def _request(
        self,
        ask: Callable[[AsyncModbusTcpClient], Awaitable[ModbusPDU]],
        function: int,
        unit: int,
        timeout_s: float,
        what: str,
    ) -> ModbusPDU:
        self.check()
        if self._client is None:
            await self.open()
        client = self._client
        assert client is not None  # noqa: S101 -- open() has set it or raised
        client.ctx.comm_params.timeout_connect = timeout_s  # what a request waits for its answer
        self._fault = None
        try:
            answer = await ask(client)
        except ModbusException as error:
            _cancelled_is_cancelled()
            raise self._failure(f"unit {unit}, {what}", timeout_s) from error
        except BaseException:
            self.close()  # cancelled: an answer may still come
            raise
        _cancelled_is_cancelled()
        if answer.function_code & 0x7F != function:
            got = answer.function_code & 0x7F
            raise self._bad("function", f"unit {unit}, {what}: function {got} answers {function}")
        return answer

    def _failure(self, what: str, timeout_s: float) -> GatewayError:
        """Why a request came to nothing; closes the connection."""
        if self._fault is not None:
            return self._bad(self._fault, f"{what}: bad frame ({self._fault})")
        lost = self._lost
        self.close()
        if lost:
            return LinkDown(f"{self} closed the connection: {what}")
        return NoAnswer(f"{what}: no answer within {timeout_s:g} s")

    def _bad(self, kind: str, what: str) -> BadFrame:
        self.close()
        return BadFrame(kind, what)

    def _inspect(self, sending: bool, data: bytes) -> bytes:  # noqa: FBT001 -- pymodbus' signature
        """Keep frames away from pymodbus that it would raise on inside the event loop."""
        if sending:
            self._sent = data
            return data
        found = fault(self._sent, data)
        if found is None:
            return data
        self._fault = found
        return b""

    def _traced(self, connected: bool) -> None:  # noqa: FBT001 -- pymodbus' signature
        """Called on connections made and lost, but not for our own close."""
        if not connected and self._client is not None:
            self._lost = True
            self._on_lost()


def _cancelled_is_cancelled() -> None:
    """Raise CancelledError if this task was cancelled while pymodbus had its hand on it.

    Its `asyncio.wait_for` (Python 3.11) returns the result, and forgets the cancellation, when both
    come in the same turn of the loop.
    """
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError

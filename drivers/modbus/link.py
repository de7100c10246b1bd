"""One bus: TCP, RTU on a serial port, RTU over TCP. With `link_client.py` the only user of pymodbus.

pymodbus 3.16.1 compares neither the function code nor the count of an answer with the request,
takes a late answer for the next one where there is no transaction id, closes the connection by
itself after some silent requests, and reconnects with up to 300 s between attempts
(docs/libraries.md, T20 to T29). So: no retry and no reconnect by the library, one request at a
time, every answer judged before the library sees it, and after a request that went wrong nothing
is trusted: a TCP connection is closed, a serial line must fall silent first (`quarantine.py`).
"""

import asyncio
import termios
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from time import monotonic

from pymodbus.exceptions import ModbusException, ModbusIOException
from pymodbus.pdu import ModbusPDU

from drivers.modbus import rtu
from drivers.modbus.address import Table
from drivers.modbus.answer import Excepted
from drivers.modbus.link_client import (
    Client,
    new_client,
    read_request,
    worded,
    write_request,
)
from drivers.modbus.mbap import fault
from drivers.modbus.plan import Block
from drivers.modbus.port import why_not
from drivers.modbus.quarantine import MOST_DESYNCS, Quarantine
from drivers.modbus.settings import ModbusLink
from drivers.modbus.wire import wire
from gateway.errors import BadData, GatewayError, LinkDown

# Of the loop, until pymodbus has set up the serial port that it opened.
_TURNS = 5


class NoAnswer(GatewayError):  # noqa: N818 -- a state, named as operators say it
    """The unit did not answer in time; the link itself may be fine."""


class BadFrame(BadData):
    """An answer that does not fit its request; `kind` is the class that is counted."""

    def __init__(self, kind: str, what: str) -> None:
        super().__init__(what)
        self.kind = kind


class _ClosedError(LinkDown):
    """The peer closed the connection while a request was under way."""


class Connection:
    """Requests to the units of one link, one after the other.

    Not for concurrent use: one owner task. `lost` is called when a serial port is gone; a network
    peer may close an idle connection, the next request opens it again. `counters` gets `reopened`
    and `quarantines`.
    """

    def __init__(
        self, link: ModbusLink, lost: Callable[[], None], counters: Counter[str] | None = None
    ) -> None:
        self._link = link
        self._on_lost = lost
        self._counters = Counter[str]() if counters is None else counters
        self._wire = wire(link)
        self._quarantine = Quarantine()
        self._client: Client | None = None
        self._made = False
        self._lost = False
        self._asking = False
        self._answers = 0  # since the connection was opened
        self._tid = 0  # runs on over all connections: an old answer stays old
        self._zero: bool | None = None  # the peer answers every transaction as 0
        self._sent = b""
        self._fault: str | None = None
        self._last = 0.0  # when the latest byte came
        self._strange = link.framed  # who used the line before may still be answered

    def __str__(self) -> str:
        return self._link.peer

    @property
    def is_open(self) -> bool:
        return self._client is not None

    @property
    def twofold(self) -> bool:
        """A second copy of an answer would pass for the next one if the two look alike."""
        return self._link.framed or self._zero is True

    def cost_s(self) -> float:
        """Seconds that the latest request has taken from the others, with the silence after it."""
        return self._quarantine.cost_s(monotonic())

    def check(self) -> None:
        """Raises LinkDown if the serial port is gone."""
        if self._lost:
            raise LinkDown(f"{self} is gone")

    async def open(self) -> None:
        """Connect. Raises LinkDown."""
        self.close()
        self._made, self._lost, self._zero, self._answers = False, False, None, 0
        client = self._client = new_client(self._link, self._inspect, self._traced)
        connected = False
        with suppress(termios.error):  # pyserial, of a port that goes while it is opened
            connected = await client.connect()
        _cancelled_is_cancelled()
        for _ in range(_TURNS if connected else 0):
            if not self._made:
                await asyncio.sleep(0)
        if not self._made:
            self.close()
            raise LinkDown(await self._refusal())
        client.ctx.next_tid = self._tid
        if self._strange or self._quarantine.active:
            self._quarantine.over()
            self._quarantine.distrust(monotonic())
        self._strange = False

    def close(self) -> None:
        """Close at once; does nothing if it is closed."""
        client, self._client = self._client, None
        if client is None:
            return
        self._tid = client.ctx.next_tid
        if self._made or self._link.transport != "rtu":
            client.close()
        else:  # pymodbus sets the port up in the next turn, and cannot when it is closed then
            asyncio.get_running_loop().call_soon(client.close)

    async def read(
        self, unit: int, block: Block, timeout_s: float, pause_s: float = 0.0
    ) -> Sequence[int] | Excepted:
        """Registers, or bits as 0 and 1, of one block, after `pause_s` of silence on a serial line.

        `timeout_s` counts from when the answer could be there at the earliest. A network peer
        that closed an idle connection is asked once more. Raises NoAnswer, BadFrame (the next
        request waits until no old answer can reach it) or LinkDown.
        """
        request = read_request(unit, block)
        bits = block.table.bits
        data_bytes = (block.size + 7) // 8 if bits else 2 * block.size
        await self._ready(pause_s)
        idle = self._answers
        try:
            answer = await self._request(request, timeout_s, data_bytes)
        except _ClosedError:
            if not idle or self._link.transport == "rtu":
                raise
            await self._ready(pause_s)
            answer = await self._request(request, timeout_s, data_bytes)
        if answer.isError():
            return Excepted(answer.exception_code)
        data = answer.bits if bits else answer.registers
        if len(data) != (8 * data_bytes if bits else block.size):
            raise self._bad("count", f"{worded(request)}: {len(data)} came")
        return [int(bit) for bit in data[: block.size]] if bits else data

    async def write(
        self,
        unit: int,
        table: Table,
        addr: int,
        words: Sequence[int],
        timeout_s: float,
        pause_s: float = 0.0,
    ) -> Excepted | None:
        """Write one coil (function 5), one register (6) or several (16); None when it was taken.

        Raises as `read` does; whether the unit obeyed is unknown then, so it is never sent twice.
        """
        request = write_request(unit, table, addr, words)
        await self._ready(pause_s)
        answer = await self._request(request, timeout_s, 2 * len(words))
        if answer.isError():
            return Excepted(answer.exception_code)
        if answer.address != addr:
            raise self._bad("echo", f"{worded(request)}: answered for {answer.address:#06x}")
        return None

    async def _ready(self, pause_s: float) -> None:
        """Wait until a request may go out. Raises LinkDown."""
        self.check()
        if self._quarantine.desyncs >= MOST_DESYNCS:
            self._quarantine.desyncs = 0
            self.close()
        if self._client is None:
            self._counters["reopened"] += 1
            await self.open()
        if not self._link.framed:
            return
        if self._quarantine.active:
            await self._drain()
        rest = self._last + max(self._wire.gap_s, pause_s) - monotonic()
        if rest > 0:
            await asyncio.sleep(rest)
            self.check()

    async def _drain(self) -> None:
        """Wait until the line has been silent for long enough. Raises LinkDown if it never is."""
        self._counters["quarantines"] += 1
        while (rest := self._quarantine.rest_s(monotonic())) > 0:
            if self._quarantine.noisy(monotonic()):
                raise LinkDown(f"{self}: the line does not fall silent")
            await asyncio.sleep(rest)
            self.check()
        self._quarantine.over()

    async def _request(self, request: ModbusPDU, timeout_s: float, data_bytes: int) -> ModbusPDU:
        client = self._client
        if client is None:  # closed while it waited for its turn
            raise self._closed(worded(request))
        # What pymodbus waits for the answer: a timeout around it would leave the answer behind.
        client.ctx.comm_params.timeout_connect = timeout_s + self._wire.read_s(data_bytes)
        self._fault = None
        self._asking = True
        self._quarantine.asked(monotonic())
        try:
            answer: ModbusPDU = await client.execute(False, request)  # noqa: FBT003 -- pymodbus' signature
        except ModbusException as error:
            _cancelled_is_cancelled()
            raise self._failure(worded(request), timeout_s) from error
        except BaseException:
            self._distrust()  # cancelled: an answer may still come
            raise
        finally:
            self._asking = False
        _cancelled_is_cancelled()
        if answer.function_code & 0x7F != request.function_code:
            raise self._bad("function", f"{worded(request)}: function {answer.function_code} came")
        self._answers += 1
        self._quarantine.answered(monotonic())
        return answer

    def _failure(self, what: str, timeout_s: float) -> GatewayError:
        """Why a request came to nothing."""
        if self._fault is not None:
            return self._bad(self._fault, f"{what}: bad frame ({self._fault})")
        closed = self._client is None
        self._distrust()
        if closed:
            return self._closed(what)
        return NoAnswer(f"{what}: no answer within {timeout_s:g} s")

    def _closed(self, what: str) -> LinkDown:
        """A serial port closes no connection: it has been pulled out."""
        if self._lost:
            return LinkDown(f"{self} is gone")
        return _ClosedError(f"{self} closed the connection: {what}")

    def _bad(self, kind: str, what: str) -> BadFrame:
        self._distrust(desync=True)
        return BadFrame(kind, what)

    def _distrust(self, *, desync: bool = False) -> None:
        """From here on an answer may be one to an older request."""
        if self._link.framed:
            self._quarantine.distrust(monotonic(), desync=desync)
        else:
            self.close()

    def _inspect(self, sending: bool, data: bytes) -> bytes:  # noqa: FBT001 -- pymodbus' signature
        """Judge what came since the request; pymodbus gets whole answers that fit, nothing else."""
        if sending:
            self._sent = data
            return data
        self._last = monotonic()
        if not self._asking:
            self._unasked(data)
            return b""
        if self._fault is not None:
            return b""
        if self._link.framed:
            data, self._fault = rtu.seen(self._sent, data)
        else:
            self._fault = fault(self._sent, data) or self._mixed(data)
        if self._fault is None:
            return data
        self._end_request()
        return b""

    def _mixed(self, data: bytes) -> str | None:
        """A peer may number its answers or leave them all at 0, but not now this, now that."""
        zero = data[:2] == b"\0\0"
        if len(data) < 2 or zero is self._zero:
            return None
        if self._zero is not None:
            return "transaction"
        self._zero = zero
        return None

    def _unasked(self, data: bytes) -> None:
        if self._quarantine.active:
            self._quarantine.heard(self._last)
        elif not self._link.framed or rtu.stray(data):
            self._counters["frame_errors_unasked"] += 1
            self._distrust(desync=True)

    def _end_request(self) -> None:
        """Wake the request that waits inside pymodbus: nothing that comes can be its answer."""
        client = self._client
        if client is not None and self._asking and not client.ctx.response_future.done():
            client.ctx.response_future.set_exception(ModbusIOException("no answer"))

    def _traced(self, connected: bool) -> None:  # noqa: FBT001 -- pymodbus' signature
        """Called on connections made and lost, but not for our own close."""
        if connected:
            self._made = True
        elif self._client is not None:
            self._end_request()
            self.close()
            self._lost = self._link.transport == "rtu"
            if self._lost:
                self._on_lost()

    async def _refusal(self) -> str:
        if self._link.transport != "rtu":
            return f"{self} does not accept connections"
        return f"{self}: {await asyncio.to_thread(why_not, self._link.path)}"


def _cancelled_is_cancelled() -> None:
    """Raise CancelledError if this task was cancelled while pymodbus had its hand on it.

    Its `asyncio.wait_for` (Python 3.11) returns the result, and forgets the cancellation, when both
    come in the same turn of the loop.
    """
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError

"""What drivers/modbus/link.py relies on in pymodbus 3.16.1, and what it has to make good.

Numbers as in docs/libraries.md. A test marked xfail(strict) states the behaviour we would like: when
a new version turns it green, the workaround named in the reason can go.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, cast

import pytest
from pymodbus.client import AsyncModbusTcpClient
from pymodbus.exceptions import ConnectionException, ModbusIOException
from pymodbus.framer import FramerType
from pymodbus.pdu.register_message import ReadInputRegistersResponse
from pymodbus.server import ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice

from drivers.modbus.address import Table
from drivers.modbus.link import BadFrame, Connection, NoAnswer
from drivers.modbus.plan import Block
from drivers.modbus.settings import ModbusLink
from gateway.profile import load_profile, shipped_folder
from simulators.modbus import Farm, Fault, Misbehaviour, SimMeter, serve
from tests.harness.line import Parts, at_once, block, connected, server_link, tcp_line, words

SDM120 = load_profile(shipped_folder() / "eastron-sdm120.yaml")[0]
BLOCK = Block(Table.INPUT, 0, 4, ())


@asynccontextmanager
async def farm(fault: Misbehaviour | None = None) -> AsyncIterator[Farm]:
    async with serve("127.0.0.1", 0, [SimMeter("m1", SDM120, 1)]) as served:
        if fault is not None:
            served.misbehave("m1", fault)
        yield served


@asynccontextmanager
async def client(port: int, **options: Any) -> AsyncIterator[AsyncModbusTcpClient]:
    settings = {"timeout": 0.2, "retries": 0, "reconnect_delay": 0} | options
    connected = AsyncModbusTcpClient("127.0.0.1", port=port, **settings)
    try:
        assert await connected.connect()
        yield connected
    finally:
        connected.close()


@asynccontextmanager
async def pymodbus_server(port: int = 0) -> AsyncIterator[int]:
    block = SimData(0, values=[11, 22, 33, 44], datatype=DataType.REGISTERS)
    server = ModbusTcpServer(SimDevice(1, simdata=[block]), address=("127.0.0.1", port))
    await server.serve_forever(background=True)
    try:
        # uvloop's server is an asyncio.Server in shape, not in class
        listener = cast("asyncio.Server", server.transport)
        yield listener.sockets[0].getsockname()[1]
    finally:
        await server.shutdown()  # type: ignore[no-untyped-call]  # pymodbus has no type there


def our_connection(port: int) -> Connection:
    return Connection(ModbusLink(driver="modbus", host="127.0.0.1", port=port), lambda: None)


async def our_link_refuses(port: int, kind: str) -> None:
    connection = our_connection(port)
    await connection.open()
    with pytest.raises(BadFrame) as refused:
        await connection.read(1, BLOCK, 0.5)
    assert refused.value.kind == kind
    assert not connection.is_open, "a desync may follow: it closes"


async def shifted(read: Callable[[int], Awaitable[Sequence[int]]]) -> list[bool]:
    """Is what `read` returns that of another address, for the four reads after a late answer?"""
    wrong = []
    for addr in (200, 300, 400, 500):
        try:
            values = list(await read(addr))
        except (ModbusIOException, NoAnswer, BadFrame):
            values = []
        wrong.append(values not in ([], words(1, block(addr))))
    return wrong


def late(_request: bytes, answer: bytes) -> Parts:
    yield 0.25, answer


@pytest.mark.xfail(strict=True, reason="T20: a late answer shifts all later ones; link.py waits")
async def test_t20_pymodbus_gives_no_request_the_answer_to_an_older_one() -> None:
    async with tcp_line() as line, client(line.port, framer=FramerType.RTU) as master:
        line.script = late
        with pytest.raises(ModbusIOException):
            await master.read_holding_registers(100, count=4, device_id=1)

        async def read(addr: int) -> Sequence[int]:
            return (await master.read_holding_registers(addr, count=4, device_id=1)).registers

        assert not any(await shifted(read))


async def test_t20_our_link_gives_no_request_the_answer_to_an_older_one() -> None:
    async with tcp_line() as line, connected(server_link(line.port)) as connection:
        line.script = late
        with pytest.raises(NoAnswer):
            await connection.read(1, block(100), 0.2)
        line.script = at_once

        async def read(addr: int) -> Sequence[int]:
            return await connection.read(1, block(addr), 0.2)

        assert not any(await shifted(read))


@pytest.mark.xfail(strict=True, reason="T21: pymodbus compares no function code; link.py does")
async def test_t21_pymodbus_refuses_an_answer_of_another_function() -> None:
    async with farm(Misbehaviour(Fault.WRONG_FUNCTION)) as served, client(served.port) as master:
        with pytest.raises(ModbusIOException):
            await master.read_input_registers(0, count=4, device_id=1)


async def test_t21_our_link_refuses_an_answer_of_another_function() -> None:
    async with farm(Misbehaviour(Fault.WRONG_FUNCTION)) as served:
        await our_link_refuses(served.port, "function")


@pytest.mark.xfail(strict=True, reason="T22: pymodbus compares no register count; link.py does")
async def test_t22_pymodbus_refuses_an_answer_with_too_few_registers() -> None:
    async with farm(Misbehaviour(Fault.WRONG_COUNT)) as served, client(served.port) as master:
        with pytest.raises(ModbusIOException):
            await master.read_input_registers(0, count=4, device_id=1)


async def test_t22_our_link_refuses_an_answer_with_too_few_registers() -> None:
    async with farm(Misbehaviour(Fault.WRONG_COUNT)) as served:
        await our_link_refuses(served.port, "count")


@pytest.mark.both_loops
async def test_t23_no_retries_means_one_request_and_one_timeout() -> None:
    async with farm(Misbehaviour(Fault.SILENT)) as served, client(served.port) as master:
        loop = asyncio.get_running_loop()
        start = loop.time()
        with pytest.raises(ModbusIOException, match="No response received after 0 retries"):
            await master.read_input_registers(0, count=4, device_id=1)
        assert 0.19 < loop.time() - start < 0.35
        assert served.requests["m1"] == 1


async def test_t23_the_timeout_can_be_set_for_each_request() -> None:
    async with (
        farm(Misbehaviour(Fault.SILENT)) as served,
        client(served.port, timeout=5) as master,
    ):
        master.ctx.comm_params.timeout_connect = 0.1  # link.py sets it to the unit's own timeout
        async with asyncio.timeout(1):
            with pytest.raises(ModbusIOException):
                await master.read_input_registers(0, count=4, device_id=1)


@pytest.mark.both_loops
async def test_t24_a_refused_connect_returns_false_and_close_leaves_nothing() -> None:
    async with pymodbus_server() as port:
        async with client(port) as master:
            answer = await master.read_holding_registers(0, count=4, device_id=1)
            assert list(answer.registers) == [11, 22, 33, 44]
        tasks = asyncio.all_tasks()
        with pytest.raises(ConnectionException):  # raised at the call, not at the await
            _ = master.read_holding_registers(0, count=4, device_id=1)
        assert asyncio.all_tasks() == tasks
    gone = AsyncModbusTcpClient("127.0.0.1", port=port, retries=0, reconnect_delay=0, timeout=0.5)
    assert await gone.connect() is False
    async with pymodbus_server(port):
        assert await gone.connect() is True
        gone.close()
        await asyncio.sleep(0)


async def test_t24_a_lost_connection_is_told_and_never_made_again() -> None:
    told: list[bool] = []
    async with farm() as served, client(served.port, trace_connect=told.append) as master:
        served.cut()
        async with asyncio.timeout(2):
            while master.connected:
                await asyncio.sleep(0.01)
        assert told == [True, False]
        assert served.accepted == 1


async def test_t26_pymodbus_closes_after_silent_requests_unless_it_is_told_not_to() -> None:
    async with farm(Misbehaviour(Fault.SILENT)) as served:
        for never, stays in ((False, False), (True, True)):
            master = AsyncModbusTcpClient("127.0.0.1", port=served.port, timeout=0.05, retries=0, reconnect_delay=0)  # fmt: skip
            if never:
                master.set_max_no_responses(1_000_000)  # before connect(): it is read there
            assert await master.connect()
            for _ in range(6):
                with pytest.raises((ModbusIOException, ConnectionException)):
                    await master.read_input_registers(0, count=4, device_id=1)
            assert master.connected is stays
            master.close()


@pytest.mark.both_loops
async def test_t27_a_cancelled_request_is_cancelled_at_once() -> None:
    async with farm(Misbehaviour(Fault.SILENT)) as served, client(served.port, timeout=5) as master:
        loop = asyncio.get_running_loop()

        async def ask() -> None:
            await master.read_input_registers(0, count=4, device_id=1)

        task = asyncio.create_task(ask())
        async with asyncio.timeout(2):
            while not served.requests:
                await asyncio.sleep(0.01)
        start = loop.time()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert loop.time() - start < 0.1
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await master.read_input_registers(0, count=4, device_id=1)


async def test_t27_our_link_is_cancelled_even_when_the_answer_comes_in_the_same_turn() -> None:
    """asyncio.wait_for of Python 3.11, which pymodbus uses, returns the answer then."""
    async with farm(Misbehaviour(Fault.SILENT)) as served:
        connection = our_connection(served.port)
        await connection.open()
        task = asyncio.create_task(connection.read(1, BLOCK, 5))
        async with asyncio.timeout(2):
            while not served.requests:
                await asyncio.sleep(0.01)
        assert connection._client is not None
        answer = ReadInputRegistersResponse(registers=[1, 2, 3, 4], dev_id=1, transaction_id=1)
        connection._client.ctx.response_future.set_result(answer)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        connection.close()


async def test_t28_an_exception_response_is_no_exception_and_holds_no_registers() -> None:
    async with pymodbus_server() as port, client(port) as master:
        answer = await master.read_holding_registers(100, count=4, device_id=1)
        assert answer.isError()
        assert answer.exception_code == 2
        assert list(answer.registers) == []

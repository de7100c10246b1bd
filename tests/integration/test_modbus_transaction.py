"""Modbus TCP peers that number their answers wrongly, or not at all."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import cast

import pytest

from drivers.modbus.link import BadFrame, Connection
from drivers.modbus.settings import ModbusLink
from tests.harness.line import block, connected, word
from tests.harness.modbus import eventually

Answers = Callable[[bytes, bytes], list[bytes]]  # transaction of the request, rest of the answer


@asynccontextmanager
async def peer(answers: Answers) -> AsyncIterator[Connection]:
    class Session(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            self.transport = cast("asyncio.Transport", transport)

        def data_received(self, data: bytes) -> None:
            addr, count = int.from_bytes(data[8:10], "big"), data[11]
            words = b"".join(
                word(data[6], data[7], addr + i).to_bytes(2, "big") for i in range(count)
            )
            rest = b"\0\0\0" + bytes([3 + len(words)]) + data[6:8] + bytes([len(words)]) + words
            for part in answers(data[:2], rest):
                self.transport.write(part)

    server = await asyncio.get_running_loop().create_server(Session, "127.0.0.1", 0)
    link = ModbusLink(driver="modbus", host="127.0.0.1", port=server.sockets[0].getsockname()[1])
    try:
        async with connected(link) as connection:
            yield connection
    finally:
        server.close()
        await asyncio.sleep(0)
        await server.wait_closed()


async def test_a_peer_that_numbers_every_answer_0_is_read() -> None:
    async with peer(lambda _tid, rest: [b"\0\0" + rest]) as connection:
        assert not connection.twofold
        for addr in (0, 100):
            answer = await connection.read(1, block(addr), 1.0)
            assert list(answer) == [word(1, 3, addr + i) for i in range(4)]
        assert connection.twofold, "the driver sends no two requests in a row that look alike"


async def test_a_peer_that_begins_to_leave_numbers_out_is_refused() -> None:
    numbers = iter([True, False, True])
    async with peer(lambda t, rest: [(t if next(numbers) else b"\0\0") + rest]) as connection:
        await connection.read(1, block(0), 1.0)
        with pytest.raises(BadFrame) as refused:
            await connection.read(1, block(0), 1.0)
        assert refused.value.kind == "transaction"
        assert not connection.is_open
        await connection.read(1, block(0), 1.0)


async def test_a_second_copy_of_an_answer_closes_the_connection() -> None:
    async with peer(lambda tid, rest: [tid + rest] * 2) as connection:
        with pytest.raises(BadFrame) as refused:
            await connection.read(1, block(0), 1.0)
        assert refused.value.kind == "surplus"
        assert not connection.is_open


async def test_an_answer_that_nobody_asked_for_closes_the_connection() -> None:
    later: list[bytes] = []

    def answers(tid: bytes, rest: bytes) -> list[bytes]:
        later.append(tid + rest)
        return [tid + rest]

    async with peer(answers) as connection:
        await connection.read(1, block(0), 1.0)
        assert connection._client is not None
        connection._client.ctx.data_received(later[0])
        await eventually(lambda: not connection.is_open)
        assert connection._counters["frame_errors_unasked"] == 1


async def test_transactions_go_on_counting_over_connections() -> None:
    seen: list[int] = []

    def answers(tid: bytes, rest: bytes) -> list[bytes]:
        seen.append(int.from_bytes(tid, "big"))
        return [tid + rest]

    async with peer(answers) as connection:
        for _ in range(3):
            await connection.read(1, block(0), 1.0)
            connection.close()
    assert seen == [1, 2, 3]

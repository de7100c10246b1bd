"""A serial line on a pty, or a serial server on TCP, with scripted units: the value says where it was read.

Unit u, function f, register a holds `word(u, f, a)`. Each request is answered by `script`, which
gets the right answer and says what goes on the line and when.
"""

import asyncio
import os
import tty
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import cast

from drivers.modbus.address import Table
from drivers.modbus.frame import crc16
from drivers.modbus.link import Connection
from drivers.modbus.plan import Block
from drivers.modbus.settings import ModbusLink

Parts = Iterable[tuple[float, bytes]]  # seconds after the request, what is put on the line
Script = Callable[[bytes, bytes], Parts]  # request, right answer


def word(unit: int, function: int, addr: int) -> int:
    return (unit << 11 ^ function << 9 ^ addr * 7) & 0xFFFF


def framed(body: bytes) -> bytes:
    return body + crc16(body).to_bytes(2, "little")


def right(request: bytes) -> bytes:
    """The answer of a unit that works."""
    unit, function, addr = request[0], request[1], int.from_bytes(request[2:4], "big")
    if function in {5, 6}:
        return request
    if function == 16:
        return framed(request[:6])
    count = int.from_bytes(request[4:6], "big")
    words = (word(unit, function, addr + i) for i in range(count))
    if function <= 2:
        bits = [value & 1 for value in words]
        packed = bytes(sum(b << j for j, b in enumerate(bits[i : i + 8])) for i in range(0, count, 8))  # fmt: skip
        return framed(bytes([unit, function, len(packed)]) + packed)
    data = b"".join(value.to_bytes(2, "big") for value in words)
    return framed(bytes([unit, function, len(data)]) + data)


def at_once(_request: bytes, answer: bytes) -> Parts:
    yield 0.0, answer


class Line:
    """What is on the line: `requests` as they came; `script` answers them."""

    def __init__(self) -> None:
        self.requests: list[bytes] = []
        self.script: Script = at_once
        self.port = 0
        self._buffer = b""
        self.send: Callable[[bytes], None] = lambda _data: None
        self._timers: list[asyncio.TimerHandle] = []

    def take(self, data: bytes) -> None:
        """Requests are told apart by their length: each is written at once."""
        self._buffer += data
        while len(self._buffer) >= 8:
            size = 9 + self._buffer[6] if self._buffer[1] == 16 else 8
            if len(self._buffer) < size:
                return
            request, self._buffer = self._buffer[:size], self._buffer[size:]
            self.requests.append(request)
            for delay, part in self.script(request, right(request)):
                self.later(delay, part)

    def later(self, delay: float, part: bytes) -> None:
        self._timers.append(asyncio.get_running_loop().call_later(delay, lambda: self.send(part)))

    def stop(self) -> None:
        for timer in self._timers:
            timer.cancel()


@asynccontextmanager
async def pty_line(path: Path) -> AsyncIterator[Line]:
    """A line whose port is the symbolic link `path`, as udev makes them; unplugged at the end."""
    line = Line()
    master, slave = os.openpty()
    tty.setraw(slave)
    os.set_blocking(master, False)
    path.symlink_to(os.ttyname(slave))
    loop = asyncio.get_running_loop()
    loop.add_reader(master, lambda: line.take(os.read(master, 4096)))
    line.send = lambda data: void(os.write(master, data))
    try:
        yield line
    finally:
        line.stop()
        loop.remove_reader(master)
        path.unlink()
        os.close(slave)
        os.close(master)


@asynccontextmanager
async def tcp_line() -> AsyncIterator[Line]:
    """The same behind a serial server: what is on the line reaches who is connected then."""
    line = Line()
    sessions: list[asyncio.Transport] = []

    class Session(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            sessions.append(cast("asyncio.Transport", transport))

        def connection_lost(self, exc: Exception | None) -> None:
            sessions.pop(0)

        def data_received(self, data: bytes) -> None:
            line.take(data)

    def send(data: bytes) -> None:
        for session in sessions:
            session.write(data)

    line.send = send
    server = await asyncio.get_running_loop().create_server(Session, "127.0.0.1", 0)
    line.port = server.sockets[0].getsockname()[1]
    try:
        yield line
    finally:
        line.stop()
        server.close()
        for session in sessions[:]:
            session.close()
        async with asyncio.timeout(2):
            await server.wait_closed()


def void(_result: object) -> None:
    return


def serial_link(path: Path, baud: int = 115200) -> ModbusLink:
    section = {"driver": "modbus", "transport": "rtu", "path": str(path), "baud": baud}
    return ModbusLink.model_validate(section)


def server_link(port: int) -> ModbusLink:
    section = {"driver": "modbus", "transport": "rtu_over_tcp", "host": "127.0.0.1", "port": port}
    return ModbusLink.model_validate(section)


def block(addr: int, size: int = 4, table: Table = Table.HOLDING) -> Block:
    return Block(table, addr, size, ())


def words(unit: int, what: Block) -> list[int]:
    """What is right for `what`."""
    return [word(unit, what.table.read_function, what.addr + i) for i in range(what.size)]


@asynccontextmanager
async def connected(link: ModbusLink) -> AsyncIterator[Connection]:
    connection = Connection(link, lambda: None)
    await connection.open()
    try:
        yield connection
    finally:
        connection.close()

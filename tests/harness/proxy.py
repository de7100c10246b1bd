"""A TCP proxy that breaks connections: the one source of network faults in the tests."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from enum import Enum, auto

from tests.harness import teller


class Mode(Enum):
    PASS = auto()
    REFUSE = auto()  # new connections are closed at once, old ones are cut
    BLACK_HOLE = auto()  # connections stay open, nothing gets through: a half-open link
    DEAF = auto()  # MQTT: what is published does not reach the client, answers to it do
    DOUBLE = auto()  # MQTT: what is published reaches the client twice


class Proxy:
    """Forwards to `host:port`; `mode` and `per_s`, bytes/s in each direction, may change any time."""

    def __init__(self, host: str, port: int, *, mqtt: bool) -> None:
        self.port = 0
        self.accepted = 0
        self.per_s = 0  # 0: no limit
        self.serving = 0  # connections, until their tasks have ended
        self._target = (host, port)
        self._mqtt = mqtt
        self._mode = Mode.PASS
        self._passing = asyncio.Event()
        self._passing.set()
        self._writers: set[asyncio.StreamWriter] = set()

    @property
    def mode(self) -> Mode:
        return self._mode

    @mode.setter
    def mode(self, mode: Mode) -> None:
        self._mode = mode
        if mode is Mode.BLACK_HOLE:
            self._passing.clear()
        else:
            self._passing.set()
        if mode is Mode.REFUSE:
            self.cut()

    def cut(self) -> None:
        """Reset every connection."""
        for writer in list(self._writers):
            writer.transport.abort()

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        if self._mode is Mode.REFUSE:
            writer.transport.abort()
            return
        self._writers.add(writer)
        self.serving += 1
        try:
            with contextlib.suppress(OSError):
                up_reader, up_writer = await asyncio.open_connection(*self._target)
                self._writers.add(up_writer)
                async with asyncio.TaskGroup() as group:
                    group.create_task(self._pump(reader, up_writer))
                    group.create_task(
                        (self._packets if self._mqtt else self._pump)(up_reader, writer)
                    )
        finally:
            writer.transport.abort()
            self._writers.discard(writer)
            self.serving -= 1

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(max(1, self.per_s // 20) if self.per_s else 65536):
                await self._passing.wait()
                if self.per_s:
                    await asyncio.sleep(len(data) / self.per_s)
                writer.write(data)
                await writer.drain()
        except OSError:
            return
        finally:
            writer.transport.abort()
            self._writers.discard(writer)

    async def _packets(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """As `_pump`, one MQTT packet at a time."""
        try:
            while True:
                kind, body = await teller.read(reader)
                await self._passing.wait()
                published = kind & 0xF0 == teller.PUBLISH
                times = {Mode.DEAF: 0, Mode.DOUBLE: 2}.get(self._mode, 1) if published else 1
                writer.write(teller.packet(kind, body) * times)
                await writer.drain()
        except (OSError, EOFError):
            return
        finally:
            writer.transport.abort()
            self._writers.discard(writer)


@asynccontextmanager
async def proxy(
    host: str, port: int, listen: int = 0, *, mqtt: bool = False
) -> AsyncIterator[Proxy]:
    """A proxy on `listen` (0: a free port) of 127.0.0.1 for the time of the block.

    `mqtt`: it knows the packets that come from `port`, a broker.
    """
    one = Proxy(host, port, mqtt=mqtt)
    server = await asyncio.start_server(one.connected, "127.0.0.1", listen)
    one.port = server.sockets[0].getsockname()[1]
    try:
        yield one
    finally:
        server.close()
        one.mode = Mode.PASS
        one.cut()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(2):
                await server.wait_closed()
                while one.serving:  # Python 3.11 does not wait for them
                    await asyncio.sleep(0.01)

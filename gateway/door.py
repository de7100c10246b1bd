"""Lets in who connects to a listening socket, also when no file descriptor is left.

The servers of the event loops do not: uvloop (libuv) hangs up on whoever comes, and takes all of the
processor once another thread has got the descriptor that it keeps for this; asyncio logs a traceback
every second.
"""

import asyncio
import logging
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager

from gateway.spare import SHORT, Spare

log = logging.getLogger(__name__)

BACKLOG = 100
PAUSE_S = 1.0  # until the next try; meanwhile they wait in the backlog

Connected = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def open_doors(
    doors: Sequence[tuple[socket.socket, Connected]], spare: Spare, *, limit: int
) -> AsyncIterator[None]:
    """For the time of the block whoever connects to one of the bound, non-blocking sockets is handed over.

    `limit` is that of the reader, in bytes. The sockets are closed at the end, connections are not.
    """
    for listener, _ in doors:
        listener.listen(BACKLOG)
    async with asyncio.TaskGroup() as group:
        tasks = [
            group.create_task(_Door(listener, connected, spare, limit).run(), name="door")
            for listener, connected in doors
        ]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()


class _Door:
    def __init__(
        self, listener: socket.socket, connected: Connected, spare: Spare, limit: int
    ) -> None:
        self._listener, self._connected, self._spare, self._limit = (
            listener,
            connected,
            spare,
            limit,
        )

    async def run(self) -> None:
        with self._listener:
            while True:
                connection = await self._accept()
                if connection is None:
                    await asyncio.sleep(PAUSE_S)
                else:
                    await self._hand_over(connection)

    async def _accept(self) -> socket.socket | None:
        """None: not now."""
        try:
            return (await asyncio.get_running_loop().sock_accept(self._listener))[0]
        except OSError as error:  # of the network, or of the one who comes: accept(2)
            if error.errno not in SHORT:
                log.debug("%s", error, extra={"component": "files"})
                return None
            self._spare.missed(error)
        return self._accept_with_a_spare()

    def _accept_with_a_spare(self) -> socket.socket | None:
        """Somebody else may be faster: then it is gone, and may be put aside again at the next look."""
        if not self._spare.lend():
            return None
        try:
            connection = self._listener.accept()[0]
        except OSError:
            return None
        connection.settimeout(0)
        return connection

    async def _hand_over(self, connection: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader(limit=self._limit, loop=loop)
        protocol = asyncio.StreamReaderProtocol(reader, self._connected, loop=loop)
        try:
            await loop.connect_accepted_socket(lambda: protocol, connection)
        except OSError as error:  # hung up on already
            log.debug("%s", error, extra={"component": "files"})
            connection.close()

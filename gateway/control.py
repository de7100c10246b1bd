"""The Unix socket that the CLI talks to: one JSON line in, one JSON line out.

The socket's mode (0660) and SO_PEERCRED say who asks; limits keep a careless script from
hurting the daemon.
"""

import asyncio
import logging
import socket
from collections.abc import (
    AsyncGenerator,
    AsyncIterator,
    Awaitable,
    Callable,
    Container,
    Mapping,
)
from contextlib import aclosing, asynccontextmanager, suppress
from pathlib import Path
from typing import NamedTuple

import orjson

from gateway.ask import NAME, Peer, abstract, address_of, peer_of
from gateway.door import open_doors
from gateway.spare import Spare

log = logging.getLogger(__name__)

MAX_REQUEST = 64 * 1024
MAX_CONNECTIONS = 8
CLOSE_S = 1.0  # for the connections that are open when the daemon stops
DEADLINE_S = 5.0  # to send the request, and again to read the answer
ONLY_LOOK = "you may look, not change: that is for root, the gateway's user and control.operators"

Handler = Callable[[Mapping[str, object], int], Awaitable[object]]
"""Takes the request and the caller's uid, returns what JSON can hold, or an async generator of it, of
which each part is a line until the caller hangs up. Raises ValueError to refuse.
"""


class Access(NamedTuple):
    """Who may open the socket may ask the verbs `looks`; the others are for root, the daemon's own
    user, and members of the group `operators()` (None: nobody else).
    """

    looks: Container[str]
    operators: Callable[[], int | None]

    def allows(self, verb: str, peer: Peer) -> bool:
        return verb in self.looks or peer.owner or self.operators() in peer.groups


@asynccontextmanager
async def serve(
    directory: Path,
    handlers: Mapping[str, Handler],
    access: Access | None = None,
    spare: Spare | None = None,
) -> AsyncIterator[None]:
    """Listen on `directory`/control.sock for the time of the block, and on a socket without a file.

    The latter is there when the storage device fails: only for root and the daemon's own user.
    Without `access` whoever can open the socket may do everything. `spare`: for those who ask when no
    file descriptor is left.
    """
    path = directory / NAME
    doors: list[tuple[socket.socket, _Server]] = []
    try:
        doors.append((await asyncio.to_thread(_bind, path), _Server(handlers, access)))
    except OSError as error:
        extra = {"component": "control"}
        log.warning("%s: %s; only root and our own user may ask", path, error, extra=extra)
    with suppress(OSError):  # somebody has taken the name
        doors.append((_bind_abstract(directory), _Server(handlers, access, owners=True)))
    open_to = [(sock, server.connected) for sock, server in doors]
    try:
        async with open_doors(open_to, spare or Spare(), limit=MAX_REQUEST):
            yield
    finally:
        async with asyncio.timeout(CLOSE_S):
            for _, server in doors:
                await server.close()
            with suppress(OSError):  # a card that is read-only by now; the next start removes it
                await asyncio.to_thread(path.unlink, missing_ok=True)


def _bind(path: Path) -> socket.socket:
    """A socket that only the owner and the group may use. The store's lock says that we are alone."""
    path.unlink(missing_ok=True)
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    with address_of(path.parent) as address:
        sock.bind(address)
    path.chmod(0o660)
    sock.settimeout(0)
    return sock


def _bind_abstract(directory: Path) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    sock.bind(abstract(directory))
    sock.settimeout(0)
    return sock


class _Server:
    def __init__(
        self, handlers: Mapping[str, Handler], access: Access | None, *, owners: bool = False
    ) -> None:
        """`owners`: root and our own user alone may ask."""
        self._handlers = handlers
        self._access = access
        self._owners = owners
        self._lives: set[asyncio.Timeout] = set()  # one for each open connection
        self._closing = False
        self._none_left = asyncio.Event()

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        life = asyncio.timeout(0 if self._closing else None)
        self._lives.add(life)
        try:
            async with life:
                if len(self._lives) > MAX_CONNECTIONS:
                    await self._send(writer, {"error": "too many connections, try again"})
                else:
                    await self._serve(reader, writer)
        except (ConnectionError, TimeoutError) as error:
            log.debug("control connection: %s", error, extra={"component": "control"})
            writer.transport.abort()  # what nobody reads is not kept for them
        finally:
            self._lives.discard(life)
            if self._closing and not self._lives:
                self._none_left.set()
            writer.close()

    async def close(self) -> None:
        """End every connection, whatever its handler waits for."""
        self._closing = True
        for life in self._lives:
            life.reschedule(0)
        if self._lives:
            await self._none_left.wait()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(DEADLINE_S):
                line = await reader.readline()
            request = orjson.loads(line)
        except ValueError as error:  # too long for the limit, or not JSON
            await self._send(writer, {"error": f"request not understood: {error}"})
            return
        answer = await self._answer(request, peer_of(writer.get_extra_info("socket")))
        if isinstance(answer, AsyncGenerator):
            async with aclosing(answer):
                async for part in answer:
                    await self._send(writer, {"result": part})
            return
        await self._send(writer, answer)

    async def _answer(self, request: object, peer: Peer) -> object:
        if self._owners and not peer.owner:
            return {"error": "storage fails: only root and the gateway's own user may ask now"}
        verb = request.get("verb") if isinstance(request, dict) else None
        handler = self._handlers.get(str(verb))
        if handler is None or not isinstance(request, dict):
            return {"error": f"unknown verb {verb!r}; known: {', '.join(self._handlers)}"}
        if self._access is not None and not self._access.allows(str(verb), peer):
            log.warning("uid %d may not ask %r", peer.uid, verb, extra={"component": "control"})
            return {"error": f"{verb}: {ONLY_LOOK}"}
        try:
            result = await handler(request, peer.uid)
            return result if isinstance(result, AsyncGenerator) else {"result": result}
        except ValueError as error:
            return {"error": str(error)}

    async def _send(self, writer: asyncio.StreamWriter, answer: object) -> None:
        # A key that is an enum's text is a text: one such counter must not silence `status`.
        writer.write(orjson.dumps(answer, option=orjson.OPT_NON_STR_KEYS) + b"\n")
        async with asyncio.timeout(DEADLINE_S):
            await writer.drain()

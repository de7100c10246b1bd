"""The Unix socket that the CLI talks to: one JSON line in, one JSON line out.

The socket's mode (0660) and SO_PEERCRED say who asks; limits keep a careless script from
hurting the daemon.
"""

import asyncio
import logging
import os
import socket
import struct
from collections.abc import (
    AsyncGenerator,
    AsyncIterator,
    Awaitable,
    Callable,
    Container,
    Iterator,
    Mapping,
)
from contextlib import aclosing, asynccontextmanager, contextmanager, suppress
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

import orjson

log = logging.getLogger(__name__)

NAME = "control.sock"
MAX_REQUEST = 64 * 1024
MAX_CONNECTIONS = 8
CLOSE_S = 1.0  # for the connections that are open when the daemon stops
DEADLINE_S = 5.0  # to send the request, and again to read the answer
ONLY_LOOK = "you may look, not change: that is for root, the gateway's user and control.operators"
_SO_PEERGROUPS = 59  # asm-generic/socket.h, since Linux 4.13
_GROUPS_BYTES = 1024  # the most that Python asks for: 256 groups
LONGEST_PATH = 107  # bytes: sun_path of unix(7) less its NUL

Handler = Callable[[Mapping[str, object], int], Awaitable[object]]
"""Takes the request and the caller's uid, returns what JSON can hold, or an async generator of it, of
which each part is a line until the caller hangs up. Raises ValueError to refuse.
"""


class Peer(NamedTuple):
    """Who is at the other end, as the kernel says (SO_PEERCRED, SO_PEERGROUPS, unix(7))."""

    uid: int
    groups: frozenset[int]

    @property
    def owner(self) -> bool:
        return self.uid in {0, os.geteuid()}


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
    directory: Path, handlers: Mapping[str, Handler], access: Access | None = None
) -> AsyncIterator[None]:
    """Listen on `directory`/control.sock for the time of the block, and on a socket without a file.

    The latter is there when the storage device fails: only for root and the daemon's own user.
    Without `access` whoever can open the socket may do everything.
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
    listeners = [
        await asyncio.start_unix_server(server.connected, sock=sock, limit=MAX_REQUEST)
        for sock, server in doors
    ]
    try:
        yield
    finally:
        for listener in listeners:
            listener.close()
        async with asyncio.timeout(CLOSE_S):
            for _, server in doors:
                await server.close()
            with suppress(OSError):  # a card that is read-only by now; the next start removes it
                await asyncio.to_thread(path.unlink, missing_ok=True)


def _bind(path: Path) -> socket.socket:
    """A socket that only the owner and the group may use. The store's lock says that we are alone."""
    path.unlink(missing_ok=True)
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    with _address(path.parent) as address:
        sock.bind(address)
    path.chmod(0o660)
    sock.settimeout(0)
    return sock


def _bind_abstract(directory: Path) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    sock.bind(_abstract(directory))
    sock.settimeout(0)
    return sock


def _abstract(directory: Path) -> bytes:
    """A name that needs no file (unix(7), "abstract"). Anybody may take it, so both ends look who
    the other one is.
    """
    return b"\0gateway-" + sha256(os.fsencode(directory.absolute())).hexdigest().encode()


@contextmanager
def _address(directory: Path) -> Iterator[str]:
    """A name for the socket that fits into a socket address, however long that of its folder is."""
    path = directory / NAME
    if len(os.fsencode(path)) <= LONGEST_PATH:
        yield str(path)
        return
    folder = os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{folder}/{NAME}"
    finally:
        os.close(folder)


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
        answer = await self._answer(request, _peer(writer.get_extra_info("socket")))
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


def _peer(sock: socket.socket) -> Peer:
    _pid, uid, gid = struct.unpack("3i", sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
    raw = b""
    with suppress(OSError):  # ERANGE, more groups: then the first one alone counts
        raw = sock.getsockopt(socket.SOL_SOCKET, _SO_PEERGROUPS, _GROUPS_BYTES)
    return Peer(uid, frozenset({gid, *(group for (group,) in struct.iter_unpack("I", raw))}))


def ask(directory: Path, request: Mapping[str, object], timeout_s: float) -> object:
    """The other end, for the CLI: one question, one answer. Blocking.

    Raises ConnectionError when no daemon listens there or it ends before it answers, TimeoutError
    when it does not answer, ValueError with the daemon's words when it refuses.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        sock.settimeout(timeout_s)
        _connect(sock, directory)
        try:
            sock.sendall(orjson.dumps(request) + b"\n")
        except (BrokenPipeError, ConnectionResetError):
            log.debug("hung up on before the request was sent")  # its reason may be there to read
        answer = orjson.loads(_line(sock))
    if "error" in answer:
        raise ValueError(answer["error"])
    return answer["result"]


def listen(directory: Path, request: Mapping[str, object], timeout_s: float) -> Iterator[object]:
    """As `ask`, for a question with many answers: one after the other, without end.

    Raises the same, TimeoutError when there is none for `timeout_s`.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        sock.settimeout(timeout_s)
        _connect(sock, directory)
        sock.sendall(orjson.dumps(request) + b"\n")
        with sock.makefile("rb") as lines:
            for line in lines:
                answer = orjson.loads(line)
                if "error" in answer:
                    raise ValueError(answer["error"])
                yield answer["result"]
    raise ConnectionError("the gateway ended the connection")


def _connect(sock: socket.socket, directory: Path) -> None:
    try:
        with _address(directory) as address:
            sock.connect(address)
    except (FileNotFoundError, ConnectionRefusedError) as error:
        if not _connect_abstract(sock, directory):
            raise ConnectionError(f"no gateway runs in {directory}") from error
    except BlockingIOError as error:  # EAGAIN: its queue of connections is full (unix(7))
        raise TimeoutError(f"the gateway in {directory} takes no connection") from error
    except TimeoutError:
        raise
    except OSError as error:
        raise ConnectionError(f"{directory / NAME}: {error.strerror or error}") from error


def _connect_abstract(sock: socket.socket, directory: Path) -> bool:
    """False if nobody is there, or somebody who is not the gateway's user."""
    try:
        owner = directory.stat().st_uid
    except OSError:
        owner = os.geteuid()
    try:
        sock.connect(_abstract(directory))
    except OSError:
        return False
    return _peer(sock).uid in {0, owner, os.geteuid()}


def _line(sock: socket.socket) -> bytes:
    line = b""
    while not line.endswith(b"\n"):
        try:
            chunk = sock.recv(65536)
        except ConnectionResetError:
            chunk = b""
        if not chunk:
            raise ConnectionError("the gateway ended the connection before it answered")
        line += chunk
    return line

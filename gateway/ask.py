"""The asking end of the control socket (`gateway.control` is the other): one JSON line out, one in.

Apart from it, because the command line starts faster without an event loop.
"""

import logging
import os
import socket
import struct
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

import orjson

log = logging.getLogger(__name__)

NAME = "control.sock"
_SO_PEERGROUPS = 59  # asm-generic/socket.h, since Linux 4.13
_GROUPS_BYTES = 1024  # the most that Python asks for: 256 groups
LONGEST_PATH = 107  # bytes: sun_path of unix(7) less its NUL


class Peer(NamedTuple):
    """Who is at the other end, as the kernel says (SO_PEERCRED, SO_PEERGROUPS, unix(7))."""

    uid: int
    groups: frozenset[int]

    @property
    def owner(self) -> bool:
        return self.uid in {0, os.geteuid()}


def abstract(directory: Path) -> bytes:
    """A name that needs no file (unix(7), "abstract"). Anybody may take it, so both ends look who
    the other one is.
    """
    return b"\0gateway-" + sha256(os.fsencode(directory.absolute())).hexdigest().encode()


@contextmanager
def address_of(directory: Path) -> Iterator[str]:
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


def peer_of(sock: socket.socket) -> Peer:
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
        with address_of(directory) as address:
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
        sock.connect(abstract(directory))
    except OSError:
        return False
    return peer_of(sock).uid in {0, owner, os.geteuid()}


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

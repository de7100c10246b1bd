"""Who connects is let in, also when no file descriptor is left: on both event loops."""

import asyncio
import os
import resource
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from pathlib import Path

import pytest

from gateway import door
from gateway.door import open_doors
from gateway.spare import KEPT, QUIET, Spare


@contextmanager
def none_left() -> Iterator[None]:
    """This process may open nothing any more."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    free = os.dup(0)  # the lowest one: dup(2)
    os.close(free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (free, before[1]))
    try:
        with pytest.raises(OSError, match="Too many open files"):
            os.close(os.dup(0))
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


@asynccontextmanager
async def greeting(path: Path, spare: Spare) -> AsyncIterator[list[asyncio.StreamWriter]]:
    """Whoever connects is greeted, and hung up on at the end; those who are connected."""
    connected: list[asyncio.StreamWriter] = []

    async def greet(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connected.append(writer)
        writer.write(b"hello")
        await writer.drain()

    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.settimeout(0)
    async with open_doors([(listener, greet)], spare, limit=1_000):
        yield connected
    for writer in connected:
        writer.close()
        await writer.wait_closed()


async def heard(client: socket.socket) -> bytes:
    async with asyncio.timeout(10):
        return await asyncio.get_running_loop().sock_recv(client, 10)


@pytest.mark.both_loops
async def test_as_many_are_let_in_as_were_put_aside_and_the_others_when_there_are_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(door, "PAUSE_S", 0.05)
    spare, path = Spare(), tmp_path / "s"
    spare.look()
    with ExitStack() as stack:
        clients = [stack.enter_context(socket.socket(socket.AF_UNIX)) for _ in range(KEPT + 1)]
        async with greeting(path, spare) as connected:
            await asyncio.sleep(0)
            with none_left():
                for client in clients:
                    client.settimeout(0)
                    client.connect(str(path))
                for client in clients[:KEPT]:
                    assert await heard(client) == b"hello"
                assert len(connected) == KEPT
                assert "Too many open files" in spare.reason
                spare.look()
                assert spare.reason
            assert await heard(clients[KEPT]) == b"hello"
            for _ in range(QUIET):
                assert spare.reason
                spare.look()
            assert spare.reason == ""
        while spare.lend():
            pass


def test_what_is_short_is_said_once_until_there_have_been_enough_for_a_while(
    caplog: pytest.LogCaptureFixture,
) -> None:
    spare = Spare()
    for _ in range(3):
        spare.missed(OSError(24, "Too many open files"))
        spare.look()
    assert caplog.text.count("no file descriptor is left") == 1
    for _ in range(QUIET):
        spare.look()
    assert caplog.text.count("there are file descriptors again") == 1
    while spare.lend():
        pass

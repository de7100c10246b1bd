"""Connections to a broker that end in every way: none leaves a file, a task or memory behind."""

import asyncio
import gc
import tracemalloc
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from paho.mqtt.client import Client

from gateway.errors import LinkDown
from gateway.mqtt import Connection, Subscription, connect
from tests.harness.broker import HOST, Mosquitto, established, until
from tests.harness.clock import FakeClock
from tests.harness.mqtt import endpoint
from tests.harness.proxy import Proxy, proxy

TOPIC = "d/panel-1/event"
WARM_UP = 20  # what is made once and kept
LEAK_BYTES = 200_000  # for a hundred connections or a thousand: one leaves nothing

End = Callable[[Connection, Proxy], Awaitable[None]]


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


async def leave(_connection: Connection, _line: Proxy) -> None:
    """We end it."""


async def cut(connection: Connection, line: Proxy) -> None:
    line.cut()
    await connection.closed()


async def cut_with_work(connection: Connection, line: Proxy) -> None:
    """Messages are under way both ways."""
    for number in range(20):
        connection.publish_nowait(TOPIC, b"%d" % number)
    await connection.receive()
    line.cut()
    await connection.closed()


async def once(line: Proxy, end: End) -> None:
    there = endpoint(f"mqtt://{HOST}:{line.port}")
    topics = (Subscription(TOPIC),)
    with suppress(LinkDown):
        async with connect(there, client_id="gw", clock=FakeClock(), subscriptions=topics) as one:
            await end(one, line)


async def left_behind(folder: Path, times: int) -> tuple[int, int, int]:
    """Files, tasks and bytes after `times` connections, over what was there after the first ones."""
    ends = (leave, cut, cut_with_work)
    async with Mosquitto(folder / "broker") as broker, proxy(HOST, broker.port) as line:
        for number in range(WARM_UP):
            await once(line, ends[number % len(ends)])
        await until(lambda: established(broker.port) == 0)
        gc.collect()
        files, tasks = open_files(), len(asyncio.all_tasks())
        tracemalloc.start()
        try:
            before, _ = tracemalloc.get_traced_memory()
            for number in range(times):
                await once(line, ends[number % len(ends)])
            with suppress(TimeoutError):  # the proxy needs some turns to close its own
                await until(lambda: open_files() <= files and len(asyncio.all_tasks()) <= tasks, 1)
            gc.collect()
            after, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        return open_files() - files, len(asyncio.all_tasks()) - tasks, after - before


@pytest.mark.both_loops
@pytest.mark.parametrize(
    "times", [100, pytest.param(1_000, marks=[pytest.mark.chaos, pytest.mark.timeout(300)])]
)
async def test_broken_connections_leave_no_file_no_task_and_no_memory(
    tmp_path: Path, times: int
) -> None:
    files, tasks, memory = await left_behind(tmp_path, times)
    print(f"{times} connections: {files} files, {tasks} tasks, {memory} bytes")
    assert (files, tasks) == (0, 0)
    assert memory < LEAK_BYTES


async def test_without_closing_the_socket_files_are_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept: list[Any] = []

    def keep(self: Client) -> None:
        if (sock := self._sock) is not None:
            self._sock = None
            self._call_socket_unregister_write(sock)
            self._call_socket_close(sock)
            kept.append(sock)

    monkeypatch.setattr(Client, "_sock_close", keep)
    files, _tasks, _memory = await left_behind(tmp_path, 10)
    assert files >= 10
    for sock in kept:
        sock.close()

"""A stand-in for the service manager's end of sd_notify(3): a real socket that keeps what it hears."""

import asyncio
import os
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple


class Said(NamedTuple):
    at: float  # CLOCK_MONOTONIC s
    line: str


class Manager:
    """Listens on `path`; `environ` is what it starts a daemon with."""

    def __init__(self, path: Path, watchdog_s: float) -> None:
        self.said: list[Said] = []
        self._path, self._watchdog_s = path, watchdog_s
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self._socket.bind(str(path))

    @property
    def environ(self) -> Mapping[str, str]:
        usec = str(round(self._watchdog_s * 1e6))
        return {**os.environ, "NOTIFY_SOCKET": str(self._path), "WATCHDOG_USEC": usec}

    async def until(self, line: str, *, after: int = 0, within_s: float = 15.0) -> int:
        """How many lines there were when `line` came, not counting it among the first `after`."""
        async with asyncio.timeout(within_s):
            while all(said.line != line for said in self.said[after:]):
                await self._hear()
        return len(self.said)

    async def listen(self, seconds: float) -> None:
        """Hear for so long."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            try:
                async with asyncio.timeout(left):
                    await self._hear()
            except TimeoutError:
                return

    def times(self, line: str) -> list[float]:
        return [said.at for said in self.said if said.line == line]

    async def _hear(self) -> None:
        loop = asyncio.get_running_loop()
        heard = (await loop.sock_recv(self._socket, 4096)).decode()
        self.said += [Said(time.monotonic(), line) for line in heard.split("\n")]

    def close(self) -> None:
        self._socket.close()


@contextmanager
def manager(path: Path, watchdog_s: float) -> Iterator[Manager]:
    one = Manager(path, watchdog_s)
    try:
        yield one
    finally:
        one.close()

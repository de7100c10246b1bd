"""A real Mosquitto that tests start, stop, kill and freeze."""

import asyncio
import base64
import hashlib
import os
import signal
from asyncio.subprocess import Process
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from simulators import broker
from tests.harness.ports import free_port

HOST = "127.0.0.1"


def password_line(user: str, password: str) -> str:
    """A line of Mosquitto's `password_file`: PBKDF2-HMAC-SHA512, as mosquitto_passwd(1) writes."""
    salt = os.urandom(12)
    key = hashlib.pbkdf2_hmac("sha512", password.encode(), salt, 101)
    return f"{user}:$7$101${base64.b64encode(salt).decode()}${base64.b64encode(key).decode()}\n"


class Mosquitto:
    """One port and one folder; `start` after `kill` or `stop` finds what was saved before.

    The shipped limits and persistence hold, or with `shipped` false Mosquitto's own: it keeps its
    queues in memory and saves them every 30 minutes and at SIGTERM. `extra` lines are added, `port`
    is chosen if 0.
    """

    def __init__(
        self, directory: Path, extra: Sequence[str] = (), port: int = 0, *, shipped: bool = True
    ) -> None:
        self.directory = directory
        self.extra = extra
        self.shipped = shipped
        self.port = port or free_port()
        self.process: Process | None = None

    @property
    def url(self) -> str:
        return f"mqtt://{HOST}:{self.port}"

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self.process is not None:
            self.resume()
            await self.kill()

    async def start(self) -> None:
        """Returns when it takes connections."""
        program = broker.mosquitto()
        assert program, "the tests need Mosquitto: sudo apt-get install mosquitto"
        self.directory.mkdir(parents=True, exist_ok=True)
        config = self.directory / "mosquitto.conf"
        config.write_text(self._config())
        log = self.directory / "mosquitto.log"
        self.process = await broker.spawn([program, "-c", str(config)], log)
        await broker.ready(self.process, HOST, self.port, log)

    def _config(self) -> str:
        text = broker.loopback_config(HOST, self.port, self.directory, self.extra)
        if self.shipped:
            return text
        limits = ("max_", "autosave_", "message_size_limit")
        kept = (line for line in text.splitlines() if not line.startswith(limits))
        return "\n".join([*kept, *self.extra, ""])

    async def stop(self) -> None:
        """SIGTERM: it saves its queues and says goodbye."""
        assert self.process
        await broker.stop(self.process)
        self.process = None

    async def kill(self) -> None:
        """SIGKILL: what it had not saved is lost."""
        assert self.process
        self.process.kill()
        await self.process.wait()
        self.process = None

    def pause(self) -> None:
        """SIGSTOP: the kernel still takes connections, nobody answers."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        self._signal(signal.SIGCONT)

    def save(self) -> None:
        """Write the queues to disk now (mosquitto(8), SIGUSR1)."""
        self._signal(signal.SIGUSR1)

    def _signal(self, number: signal.Signals) -> None:
        assert self.process
        self.process.send_signal(number)

    @property
    def log(self) -> str:
        return (self.directory / "mosquitto.log").read_text()


def established(port: int) -> int:
    """TCP connections of this machine to a local port, as the kernel counts them (proc(5))."""
    rows = [line.split() for line in Path("/proc/self/net/tcp").read_text().splitlines()[1:]]
    return sum(row[2].endswith(f":{port:04X}") and row[3] == "01" for row in rows)


async def until(condition: Callable[[], bool], within_s: float = 5.0) -> None:
    """Look at a condition that no event tells about, until it holds."""
    async with asyncio.timeout(within_s):
        while not condition():
            await asyncio.sleep(0.002)

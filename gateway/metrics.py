"""Figures for Prometheus: over HTTP on loopback, or as a file for the node exporter's collector."""

import asyncio
import errno
import logging
import os
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path

from gateway.door import open_doors
from gateway.metrics_section import MetricsSection
from gateway.openmetrics import exposition
from gateway.snapshot import Snapshot
from gateway.spare import Spare

log = logging.getLogger(__name__)

MAX_REQUEST = 8_192
MAX_CONNECTIONS = 4
DEADLINE_S = 2.0
TEXTFILE_S = 15.0  # Prometheus' usual interval
LOOK_S = 1.0  # at whether the section has changed
CONTENT = "application/openmetrics-text; version=1.0.0; charset=utf-8"
ABSENT = {errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL}  # a machine without IPv6
COMPONENT = {"component": "metrics"}


class Metrics:
    """`section` tells what is configured now, `look` gives a snapshot."""

    def __init__(
        self,
        section: Callable[[], MetricsSection | None],
        look: Callable[[], Snapshot],
        spare: Spare | None = None,
    ) -> None:
        self._section, self._look, self._spare = section, look, spare or Spare()
        self._lives: set[asyncio.Timeout] = set()  # one for each open connection

    async def run(self) -> None:
        """Until cancelled. A port or file that cannot be had is logged, and tried again."""
        while True:
            section = self._section()
            try:
                async with self._serving(section):
                    await self._until_another(section)
            except* OSError as group:
                log.warning("not served: %s", group.exceptions[0], extra=COMPONENT)
                await asyncio.sleep(TEXTFILE_S)

    @asynccontextmanager
    async def _serving(self, section: MetricsSection | None) -> AsyncIterator[None]:
        if section is None or section.listen is None:
            yield
            return
        host, port = section.listen
        listeners = await asyncio.to_thread(_bind, host, port)
        doors = [(listener, self._connected) for listener in listeners]
        try:
            async with open_doors(doors, self._spare, limit=MAX_REQUEST):
                yield
        finally:
            for life in self._lives:
                life.reschedule(0)

    async def _until_another(self, section: MetricsSection | None) -> None:
        left = 0.0
        while self._section() == section:
            if section is not None and section.textfile is not None and left <= 0:
                await asyncio.to_thread(_write, section.textfile, await self._text())
                left = TEXTFILE_S
            await asyncio.sleep(LOOK_S)
            left -= LOOK_S

    async def _text(self) -> bytes:
        return exposition(self._look(), await asyncio.to_thread(resident))

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        life = asyncio.timeout(DEADLINE_S)
        self._lives.add(life)
        crowded = len(self._lives) > MAX_CONNECTIONS
        try:
            async with life:
                request = await reader.readuntil(b"\r\n\r\n")
                if crowded:
                    writer.write(_answer("503 Service Unavailable", b"too many connections\n"))
                else:
                    writer.write(await self._answer(request))
                await writer.drain()
        except (OSError, TimeoutError, EOFError, asyncio.LimitOverrunError) as error:
            log.debug("connection: %s", error, extra=COMPONENT)
            writer.transport.abort()
        finally:
            self._lives.discard(life)
            writer.close()

    async def _answer(self, request: bytes) -> bytes:
        method, _, rest = request.partition(b" ")
        path = rest.split(b" ", 1)[0].split(b"?", 1)[0]
        if method not in {b"GET", b"HEAD"}:
            return _answer("405 Method Not Allowed", b"GET only\n")
        if path != b"/metrics":
            return _answer("404 Not Found", b"see /metrics\n")
        text = await self._text()
        whole = _answer("200 OK", text, CONTENT)
        return whole if method == b"GET" else whole[: -len(text)]


def _bind(host: str, port: int) -> list[socket.socket]:
    """On every address that the name has here. Raises OSError."""
    with ExitStack() as opened:
        listeners: list[socket.socket] = []
        for family, _, _, _, address in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM):
            try:
                listener = socket.create_server(address[:2], family=family)
            except OSError as error:
                if listeners and error.errno in ABSENT:
                    continue
                raise
            listeners.append(opened.enter_context(listener))
            listener.settimeout(0)
        opened.pop_all()
    return listeners


def _answer(status: str, body: bytes, kind: str = "text/plain; charset=utf-8") -> bytes:
    """HTTP/1.1 (RFC 9112); the connection ends with it."""
    head = f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    return head.encode() + body


def _write(path: Path, text: bytes) -> None:
    """Whoever reads sees the old file or the new one. Raises OSError."""
    new = path.with_name(f".{path.name}.new")
    new.write_bytes(text)
    new.chmod(0o644)
    new.replace(path)


def resident() -> int | None:
    """Bytes of memory in use (proc(5), statm), None where the system does not tell."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except (OSError, ValueError, IndexError):
        return None
    return pages * os.sysconf("SC_PAGE_SIZE")

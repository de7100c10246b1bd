"""The bus of simulated Modbus devices: TCP, RTU over TCP or a serial port, and its time.

On a serial line every character takes its time; a device answers after the whole request and a
turnaround, one request after the other.
"""

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple, Protocol, cast

from simulators.modbus_faults import Fault, Misbehaviour, parts
from simulators.modbus_frames import Framing, NotModbusError, Request
from simulators.pty import port as serial_port

# A frame with a longer pause in it is none: 3.5 characters at 1200 baud (MODBUS over Serial Line
# 1.02, 2.5.1.1), which is also more than a scheduler lets us wait.
_SILENCE_S = 0.032


class Timing(NamedTuple):
    """`baud` 0: a network, no time at all. `bits`: start, data, parity and stop of a character.

    `turnaround_s`: shortest and longest time from the end of a request to the begin of the answer;
    meters take 5 to 60 ms.
    """

    baud: int = 0
    bits: int = 10
    turnaround_s: tuple[float, float] = (0.0, 0.0)

    def line_s(self, size_bytes: int) -> float:
        return size_bytes * self.bits / self.baud if self.baud else 0.0


NO_TIME = Timing()
METERS_S = (0.02, 0.04)


class Devices(Protocol):
    """Those who answer on a bus, and who is connected to it over TCP."""

    open: "set[Peer]"
    accepted: int  # connections so far

    def answer(self, unit: int, pdu: bytes) -> tuple[bytes, Misbehaviour | None] | None:
        """(PDU of the answer, fault to apply to it); None for a unit that does not exist."""
        ...


class Session:
    """Requests in, answers out: one TCP connection, or one line with all who listen to it."""

    def __init__(
        self,
        devices: Devices,
        framing: Framing,
        send: Callable[[bytes], None],
        close: Callable[[], None],
        timing: Timing = NO_TIME,
    ) -> None:
        self._devices, self._framing, self._timing = devices, framing, timing
        self._send, self._close = send, close
        self._buffer = b""
        self._heard = 0.0
        self._dice = random.Random(0)
        self._busy: dict[int, float] = {}  # by unit: when its latest answer is through
        self._timers: set[asyncio.TimerHandle] = set()

    def feed(self, data: bytes) -> None:
        """Take what the master sends."""
        now = asyncio.get_running_loop().time()
        if self._timing.baud and now - self._heard > _SILENCE_S:
            self._buffer = b""
        self._heard = now
        try:
            requests, self._buffer = self._framing.requests(self._buffer + data)
        except NotModbusError:
            self._close()
            return
        for request in requests:
            self._serve(request, now)

    def forget(self) -> None:
        """Half a request that came is not continued."""
        self._buffer = b""

    def stop(self) -> None:
        """Nothing more is sent."""
        for timer in self._timers:
            timer.cancel()
        self._timers.clear()

    def _serve(self, request: Request, now: float) -> None:
        answered = self._devices.answer(request.unit, request.pdu)
        if answered is None:
            return
        pdu, how = answered
        if how is not None and how.fault is Fault.CUT:
            self._close()
            return
        arrived = now + self._timing.line_s(len(request.raw))
        begin = max(arrived, self._busy.get(request.unit, 0.0))
        begin += self._dice.uniform(*self._timing.turnaround_s)
        for after_s, data in parts(self._framing, request, pdu, how):
            at = begin + after_s + self._timing.line_s(len(data))
            self._busy[request.unit] = at
            self._later(at, data)

    def _later(self, at: float, data: bytes) -> None:
        loop = asyncio.get_running_loop()
        if at <= loop.time():
            self._send(data)
            return

        def fire() -> None:
            self._timers.discard(timer)
            self._send(data)

        timer = loop.call_at(at, fire)
        self._timers.add(timer)


class Peer(asyncio.Protocol):
    """One TCP connection of a master."""

    def __init__(self, line: "Line") -> None:
        self._line = line
        self._session: Session | None = None
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are asyncio.Transport in shape, not in class
        self._transport = cast("asyncio.Transport", transport)
        self._line.devices.accepted += 1
        self._line.devices.open.add(self)
        self._session = self._line.session(self)

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        self._line.devices.open.discard(self)
        if self._session is not None:
            self._line.left(self._session)

    def data_received(self, data: bytes) -> None:
        if self._session is not None:
            self._session.feed(data)

    def send(self, data: bytes) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()


class Line(Protocol):
    """What masters on TCP connect to."""

    devices: Devices

    def session(self, peer: Peer) -> Session:
        """For a new connection."""
        ...

    def left(self, session: Session) -> None:
        """A connection that had this session has ended."""
        ...


class Network:
    """Each connection is a world of its own, as in a Modbus TCP server."""

    def __init__(self, devices: Devices, framing: Framing, timing: Timing) -> None:
        self.devices = devices
        self._framing, self._timing = framing, timing

    def session(self, peer: Peer) -> Session:
        return Session(self.devices, self._framing, peer.send, peer.close, self._timing)

    def left(self, session: Session) -> None:
        session.stop()


class SerialServer:
    """All connections share one serial line: who is connected hears what is on it, late answers too."""

    def __init__(self, devices: Devices, framing: Framing, timing: Timing) -> None:
        self.devices = devices
        self._session = Session(devices, framing, self._send, self._close, timing)

    def session(self, peer: Peer) -> Session:
        del peer
        return self._session

    def left(self, session: Session) -> None:
        if not self.devices.open:
            session.forget()

    def stop(self) -> None:
        self._session.stop()

    def _send(self, data: bytes) -> None:
        for peer in list(self.devices.open):
            peer.send(data)

    def _close(self) -> None:
        for peer in list(self.devices.open):
            peer.close()


@asynccontextmanager
async def listening(host: str, port: int, line: Line) -> AsyncIterator[int]:
    """Take masters until the block ends; yields the port."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Peer(line), host, port)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for peer in list(line.devices.open):
            peer.close()
        async with asyncio.timeout(2):
            await server.wait_closed()


@asynccontextmanager
async def plugged(
    path: Path, devices: Devices, framing: Framing, timing: Timing
) -> AsyncIterator[None]:
    """A serial port at `path` with the devices on its line. Raises `simulators.pty.PortError`."""
    with serial_port(path) as port:
        session = Session(devices, framing, port.send, lambda: None, timing)
        port.listen(session.feed)
        try:
            yield
        finally:
            session.stop()
            port.deaf()

"""From the second smoke detector to the first command on the wire, in the whole daemon, against a bare echo.

100 buildings burn, one after the other. Encrypted adverts on a simulated BlueZ, doors on Modbus TCP, lights
on a real broker; 1,000 rules and 2,000 samples a second beside them, no uplink, and a disk that takes
2 s for each commit of an alarm, so that it stalls nearly all the time. All of that shares this
machine with whatever else runs here: so at each second advert a process that does nothing else is
asked over TCP, too, and its answer tells how long this machine lets anybody wait.
"""

import asyncio
import random
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from bench.report import Row
from simulators.bluez.bus import installed
from tests.harness.blaze import Blaze, blaze
from tests.harness.bluez import until
from tests.harness.ports import free_port

FIRES = 100
PAUSE_S = (0.2, 1.0)  # between two fires: no beat with commits, polls and bursts
LIMIT_MS = 20.0


class Echo(asyncio.Protocol):
    """The child: sends back what comes."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._transport.write(data)


async def echo(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(Echo, "127.0.0.1", port)
    await server.serve_forever()


class Pinger(asyncio.Protocol):
    """Asks the child; `taken` are the ms until each answer."""

    def __init__(self) -> None:
        self.taken: list[float] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def ping(self) -> None:
        self._asked = time.monotonic()
        self._transport.write(b"?")

    def data_received(self, data: bytes) -> None:
        self.taken.append((time.monotonic() - self._asked) * 1e3)


class Fires:
    """For each fire: ms from the second advert to the first command, to the door and to the light."""

    def __init__(self, pinger: Pinger) -> None:
        self.first: list[float] = []
        self.door: list[float] = []
        self.light: list[float] = []
        self.pinger = pinger

    async def burn(self, one: Blaze, building: int) -> None:
        sent, write = await one.burn(building, self.pinger.ping)
        names = f"door-{building}", f"light-{building}"
        await until(lambda: all(one.wire.of(name) for name in names), 10)
        self.first.append((write.at - sent) * 1e3)
        for name, taken in zip(names, (self.door, self.light), strict=True):
            at = next(w.at for w in one.wire.writes if w.device == name)
            taken.append((at - sent) * 1e3)


async def _connected(port: int) -> Pinger:
    while True:
        with suppress(ConnectionRefusedError):
            loop = asyncio.get_running_loop()
            return (await loop.create_connection(Pinger, "127.0.0.1", port))[1]
        await asyncio.sleep(0.05)


@asynccontextmanager
async def _pinging() -> AsyncIterator[Pinger]:
    port = free_port()
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bench.fire", str(port), cwd=Path(__file__).parents[1]
    )
    try:
        async with asyncio.timeout(10):
            pinger = await _connected(port)
        yield pinger
    finally:
        child.kill()
        await child.wait()


async def _measured() -> Fires:
    dice = random.Random(1)
    with tempfile.TemporaryDirectory(prefix="bench-fire-") as folder:
        async with blaze(Path(folder), FIRES) as one, _pinging() as pinger:
            fires = Fires(pinger)
            for building in range(1, FIRES + 1):
                await fires.burn(one, building)
                await asyncio.sleep(dice.uniform(*PAUSE_S))
    return fires


def run() -> list[Row]:
    if not installed():
        return [Row("dbus-daemon is not installed", "-")]
    fires = asyncio.run(_measured())
    bare = fires.pinger.taken
    within = sum(taken <= LIMIT_MS for taken in fires.first)
    rows = [
        _row(f"first command, {name}", fires.first, bare, part)
        for name, part in (("p50", 0.5), ("p90", 0.9), ("p99", 0.99))
    ]
    return [
        *rows,
        Row(f"  within {LIMIT_MS:g} ms", f"{within} of {FIRES}"),
        Row("door, p99", f"{_at(fires.door, 0.99):.1f} ms"),
        Row("light, p99", f"{_at(fires.light, 0.99):.1f} ms"),
    ]


def _row(what: str, ours: list[float], bare: list[float], part: float) -> Row:
    taken, theirs = _at(ours, part), _at(bare, part)
    return Row(what, f"{taken:.1f} ms", f"an echo ({theirs:.1f} ms)", taken / theirs)


def _at(values: list[float], part: float) -> float:
    return sorted(values)[min(len(values) - 1, int(len(values) * part))]


if __name__ == "__main__":
    asyncio.run(echo(int(sys.argv[1])))

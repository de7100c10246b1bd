"""The other process of the Modbus benchmark: TCP servers that answer at once and know when they were asked.

`python -m bench.modbus_peers` listens on one port of every loopback address, so that each address
is a server of its own. It reads commands from its input: `count` forgets what was, `report` prints
one JSON line: polls, servers, 99th percentile and maximum of the jitter in ms, late and lost polls.
"""

import asyncio
import json
import random
import resource
import struct
import sys
import time
from collections import defaultdict
from typing import cast

import uvloop

PERIOD_S = 1.0
LATE_S = PERIOD_S / 2  # a poll this far off its tick has missed it

asked: defaultdict[str, list[float]] = defaultdict(list)


class Server(asyncio.Protocol):
    """Any unit; registers hold f32 that differ from server to server and from poll to poll."""

    def __init__(self) -> None:
        self._buffer = b""
        self._number = random.randrange(1, 1021)
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._name = transport.get_extra_info("sockname")[0]

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while len(self._buffer) >= 12:
            request, self._buffer = self._buffer[:12], self._buffer[12:]
            asked[self._name].append(time.monotonic())
            size = 2 * int.from_bytes(request[10:12], "big")
            head = request[:4] + (3 + size).to_bytes(2, "big") + request[6:8] + bytes([size])
            self._number = self._number * 5 % 1021
            word = struct.pack(">f", 200 + self._number / 10)
            if self._transport is not None:
                self._transport.write(head + word * (size // 4))


def report() -> dict[str, float]:
    """How far each poll was from its tick: the ticks of a server begin with its earliest poll."""
    off: list[float] = []
    lost = 0
    for times in asked.values():
        phases = [(at - times[0] + LATE_S) % PERIOD_S - LATE_S for at in times]
        off += [phase - min(phases) for phase in phases]
        span = round((times[-1] - times[0]) / PERIOD_S)
        lost += span + 1 - len(times)
    off.sort()
    return {
        "polls": len(off),
        "servers": len(asked),
        "p99_ms": off[len(off) * 99 // 100] * 1000 if off else 0.0,
        "most_ms": off[-1] * 1000 if off else 0.0,
        "late": sum(one > LATE_S for one in off),
        "lost": lost,
    }


async def main() -> None:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Server, "0.0.0.0", 0, backlog=8192)  # noqa: S104 -- 127.0.0.0/8
    print(server.sockets[0].getsockname()[1], flush=True)
    commands = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(commands), sys.stdin)
    while command := await commands.readline():
        if command.strip() == b"report":
            print(json.dumps(report()), flush=True)
        asked.clear()


if __name__ == "__main__":
    uvloop.run(main())

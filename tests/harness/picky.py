"""A proxy before a real broker that answers some publishes of the client itself, with a reason code.

Mosquitto refuses whole topics only; other brokers refuse a payload, or everything for a while.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

# Of a PUBLISH: its reason code, 0 to pass it on, LOST to lose the broker's answer to it, SWALLOWED to
# lose it without an answer.
Judge = Callable[[bytes], int]
LOST, SWALLOWED = 256, 257


async def _packet(reader: asyncio.StreamReader) -> bytes:
    """One whole MQTT packet (MQTT 5, 2.1)."""
    head = await reader.readexactly(2)
    while head[-1] & 0x80:
        head += await reader.readexactly(1)
    length = sum((byte & 0x7F) << 7 * n for n, byte in enumerate(head[1:]))
    return head + await reader.readexactly(length)


def _packet_id(packet: bytes) -> bytes:
    """Of a PUBLISH with QoS 1 (MQTT 5, 3.3.2)."""
    at = 2
    while packet[at - 1] & 0x80:
        at += 1
    at += 2 + int.from_bytes(packet[at : at + 2])
    return packet[at : at + 2]


@asynccontextmanager
async def picky(host: str, port: int, judge: Judge) -> AsyncIterator[int]:
    """Yields its port on 127.0.0.1."""

    async def up(
        reader: asyncio.StreamReader, writers: list[asyncio.StreamWriter], lost: set[bytes]
    ) -> None:
        back, on = writers
        while True:
            packet = await _packet(reader)
            code = judge(packet) if packet[0] >> 4 == 3 else 0
            if code == LOST:
                lost.add(_packet_id(packet))
            if code in {0, LOST}:
                on.write(packet)
            elif code != SWALLOWED:
                back.write(b"\x40\x04" + _packet_id(packet) + bytes([code, 0]))

    async def down(
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter, lost: set[bytes]
    ) -> None:
        while True:
            packet = await _packet(reader)
            if packet[0] >> 4 != 4 or packet[2:4] not in lost:
                writer.write(packet)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection(host, port)
        lost: set[bytes] = set()
        jobs = [
            asyncio.create_task(up(reader, [writer, far_writer], lost)),
            asyncio.create_task(down(far_reader, writer, lost)),
        ]
        await asyncio.wait(jobs, return_when=asyncio.FIRST_COMPLETED)
        for job, end in zip(jobs, (far_writer, writer), strict=True):
            job.cancel()
            end.transport.abort()
        with contextlib.suppress(OSError, EOFError):
            await asyncio.gather(*jobs, return_exceptions=True)

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        yield server.sockets[0].getsockname()[1]

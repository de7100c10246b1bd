"""Lamps that talk all the time, in a process of their own: `python -m tests.harness.crowd PORT RATE QOS`.

With QoS 0 they go on whatever becomes of the disk; with QoS 1 the broker waits for the gateway's commits.
"""

import asyncio
import sys
import time

from bench.flow import Publisher

LAMPS = 200
BURST_S = 0.01


def topic_id(number: int) -> str:
    return f"crowd-{number}"


def state(number: int) -> bytes:
    """The message with this number: its power is another one than in the message before."""
    return b'{"values":{"light.level":%d,"elec.power.total":%d.5}}' % (number % 100, number // LAMPS % 60)  # fmt: skip


async def talk(port: int, rate: float, qos: int) -> None:
    """`rate` messages a second, all lamps together, until killed."""
    loop = asyncio.get_running_loop()
    _, publisher = await loop.create_connection(Publisher, "127.0.0.1", port)
    await publisher.ready.wait()
    began, sent = time.monotonic(), 0
    while True:
        due = int((time.monotonic() - began) * rate)
        for number in range(sent, due):
            publisher.send(f"d/{topic_id(number % LAMPS)}/state".encode(), [state(number)], qos)
        sent = due
        await publisher.drained()
        await asyncio.sleep(BURST_S)


if __name__ == "__main__":
    asyncio.run(talk(int(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3])))

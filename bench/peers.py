"""Peers of the benchmarks: `python -m bench.peers ROLE ...`.

`forward` is the baseline of the MQTT chain (a bare aiomqtt client that publishes each message on),
`collect` acknowledges upstream batches and counts what arrives.
"""

import asyncio
import sys
import time

import aiomqtt
import orjson

V5 = aiomqtt.ProtocolVersion.V5


async def forward(source: int, target: int) -> None:
    async with (
        aiomqtt.Client("127.0.0.1", source, protocol=V5, identifier="forwarder") as devices,
        aiomqtt.Client("127.0.0.1", target, protocol=V5, max_inflight_messages=1000) as platform,
    ):
        await devices.subscribe("d/+/state", qos=1)
        print("ready", flush=True)
        async for message in devices.messages:
            await platform.publish("up", message.payload, qos=1)


async def collect(port: int, count: int) -> None:
    """Counts messages on `up` and items on `gw/+/up/2`, acknowledges batches, prints the end time."""
    total = 0
    async with aiomqtt.Client("127.0.0.1", port, protocol=V5) as client:
        await client.subscribe([("up", 1), ("gw/+/up/+", 1)])
        print("ready", flush=True)
        async for message in client.messages:
            topic = message.topic.value
            if topic == "up":
                total += 1
            else:
                batch = orjson.loads(bytes(message.payload))
                total += sum(1 for item in batch["items"] if "values" in item)
                ack = {
                    "epoch": batch["epoch"],
                    "lane": batch["lane"],
                    "seq": batch["last"],
                    "rejects": [],
                }
                await client.publish(topic.split("/up/")[0] + "/ack", orjson.dumps(ack), qos=1)
            if total >= count:
                print(time.time(), flush=True)
                return


if __name__ == "__main__":
    role, *numbers = sys.argv[1:]
    arguments = [int(number) for number in numbers]
    asyncio.run({"forward": forward, "collect": collect}[role](*arguments))

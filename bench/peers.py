"""The other processes of the MQTT chain: `python -m bench.peers ROLE ...`.

`generate` publishes numbered device messages as fast as the broker takes them, `forward` is the
baseline (a bare aiomqtt client that publishes each message on), `collect` counts what arrives.
"""

import asyncio
import sys
import time

import aiomqtt
import orjson
import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

V5 = aiomqtt.ProtocolVersion.V5


def generate(port: int, count: int) -> None:
    """Prints the time at which it began; ends when the broker has acknowledged everything."""
    client = paho.Client(CallbackAPIVersion.VERSION2, protocol=paho.MQTTv5)
    client.max_inflight_messages_set(1000)
    client.connect("127.0.0.1", port)
    client.loop_start()
    payloads = [
        orjson.dumps({"id": f"g-{n}", "values": {"light.level": n % 100, "elec.power.total": 12.5, "elec.energy.total": n / 10}})
        for n in range(count)
    ]  # fmt: skip
    print(time.time(), flush=True)
    sent = [client.publish("d/l1/state", payload, qos=1) for payload in payloads]
    sent[-1].wait_for_publish(120)
    client.disconnect()


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
    if role == "generate":
        generate(*arguments)
    else:
        asyncio.run({"forward": forward, "collect": collect}[role](*arguments))

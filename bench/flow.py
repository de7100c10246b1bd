"""Device messages into one broker, upstream batches out of another, in one process: `python -m bench.flow`.

A closed loop: at most `window` messages are on their way from publish to arrival, so a rate is one
that is sustained. Plain sockets, because an MQTT client that does more would be what is measured.
"""

import argparse
import asyncio
import json
import time

import aiomqtt
import orjson

from gateway.mqtt_wire import Other, split

V5 = aiomqtt.ProtocolVersion.V5
BURST = 100  # messages that are written at once
PATIENCE_S = 60.0  # without a message that arrives


class Publisher(asyncio.Protocol):
    """A device: QoS 1 publishes; `acked` counts the broker's PUBACKs."""

    def __init__(self) -> None:
        self.acked = 0
        self.ready = asyncio.Event()
        self._rest = b""
        self._mid = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        body = b"\x00\x04MQTT\x05\x02\x00\x3c\x00" + b"\x00\x06bench1"  # clean start, 60 s
        transport.write(b"\x10" + bytes((len(body),)) + body)

    def data_received(self, data: bytes) -> None:
        packets, used = split(self._rest + data, 65_536)
        self._rest = (self._rest + data)[used:]
        for packet in packets:
            if isinstance(packet, Other) and packet.head == 0x40:
                self.acked += 1
            elif isinstance(packet, Other) and packet.head == 0x20:
                self.ready.set()

    def send(self, topic: bytes, payloads: list[bytes], qos: int = 1) -> None:
        parts = []
        for payload in payloads:
            self._mid = self._mid % 65_535 + 1
            mid = self._mid.to_bytes(2, "big") if qos else b""
            body = len(topic).to_bytes(2, "big") + topic + mid + b"\0" + payload
            size = len(body)
            length = bytes((size,)) if size < 0x80 else bytes((size & 0x7F | 0x80, size >> 7))
            parts.append((b"\x32" if qos else b"\x30") + length + body)
        self._transport.write(b"".join(parts))

    async def drained(self) -> None:
        while self._transport.get_write_buffer_size() > 100_000:
            await asyncio.sleep(0.001)


class Arrivals:
    """What has come out: samples by id, and when each alarm came after its publish."""

    def __init__(self) -> None:
        self.samples: set[str] = set()
        self.repeats = 0
        self.count = 0
        self.sent_at: dict[str, float] = {}
        self.alarm_s: list[float] = []
        self.telemetry_s: list[float] = []
        self.changed = asyncio.Event()

    def take(self, batch: dict[str, object], now: float) -> None:
        items = batch["items"]
        assert isinstance(items, list)
        for item in items:
            values = item.get("values")
            if values is None:
                point = item["attributes"].get("value")
                if (sent := self.sent_at.pop(f"alarm-{point}", None)) is not None:
                    self.alarm_s.append(now - sent)
                continue
            if item["device"] != "gateway":  # what it tells of itself
                self.one(str(values.get("elec.energy.total")), now)
        self.changed.set()

    def one(self, name: str, now: float) -> None:
        if name in self.samples:
            self.repeats += 1
            return
        self.samples.add(name)
        self.count += 1
        if (sent := self.sent_at.pop(name, None)) is not None:
            self.telemetry_s.append(now - sent)


def message(number: int) -> bytes:
    return b'{"id":"g-%d","values":{"light.level":%d,"elec.power.total":12.5,"elec.energy.total":%d}}' % (number, number % 100, number)  # fmt: skip


async def listen(port: int, arrivals: Arrivals, ready: asyncio.Event, *, bare: bool) -> None:
    async with aiomqtt.Client("127.0.0.1", port, protocol=V5) as client:
        await client.subscribe([("up", 1), ("gw/+/up/+", 1)])
        ready.set()
        async for each in client.messages:
            now = time.monotonic()
            payload = bytes(each.payload)
            if bare:
                arrivals.one(str(orjson.loads(payload)["values"]["elec.energy.total"]), now)
                arrivals.changed.set()
                continue
            batch = orjson.loads(payload)
            ack = {"epoch": batch["epoch"], "lane": batch["lane"], "seq": batch["last"], "rejects": []}  # fmt: skip
            await client.publish(
                each.topic.value.split("/up/")[0] + "/ack", orjson.dumps(ack), qos=1
            )
            arrivals.take(batch, now)


async def flood(publisher: Publisher, arrivals: Arrivals, count: int, window: int) -> None:
    sent = 0
    while arrivals.count < count:
        room = min(window - (sent - arrivals.count), count - sent)
        if room >= min(BURST, count - sent) and room > 0:
            publisher.send(
                b"d/l1/state", [message(n) for n in range(sent, sent + min(room, BURST))]
            )
            sent += min(room, BURST)
            await asyncio.sleep(0)
            continue
        arrivals.changed.clear()
        async with asyncio.timeout(PATIENCE_S):
            await arrivals.changed.wait()


async def steady(
    publisher: Publisher, arrivals: Arrivals, count: int, rate: float, alarms: float
) -> None:
    """`count` messages at `rate` a second, and alarms beside them, `alarms` a second."""
    began = time.monotonic()
    sent = raised = 0
    while sent < count:
        now = time.monotonic()
        due = min(count, int((now - began) * rate))
        names = range(sent, due)
        arrivals.sent_at.update((str(number), now) for number in names if number % 20 == 0)
        if names:
            publisher.send(b"d/l1/state", [message(number) for number in names])
        sent = due
        if alarms and raised < int((now - began) * alarms):
            raised += 1
            arrivals.sent_at[f"alarm-{raised}"] = time.monotonic()
            publisher.send(b"d/a1/event", [b'{"id":"a-%d","values":{"alarm.code":%d}}' % (raised, raised)])  # fmt: skip
        await asyncio.sleep(0.0015)
    async with asyncio.timeout(PATIENCE_S):
        while arrivals.count < count:
            arrivals.changed.clear()
            await arrivals.changed.wait()


async def run(args: argparse.Namespace) -> dict[str, object]:
    loop = asyncio.get_running_loop()
    arrivals, ready = Arrivals(), asyncio.Event()
    _, publisher = await loop.create_connection(Publisher, "127.0.0.1", args.source)
    await publisher.ready.wait()
    listener = loop.create_task(listen(args.target, arrivals, ready, bare=args.bare))
    await ready.wait()
    print("ready", flush=True)
    await loop.run_in_executor(None, input)
    began = time.monotonic()
    if args.rate:
        await steady(publisher, arrivals, args.count, args.rate, args.alarms)
    else:
        await flood(publisher, arrivals, args.count, args.window)
    took = time.monotonic() - began
    listener.cancel()
    return {
        "seconds": took, "arrived": arrivals.count, "repeats": arrivals.repeats,
        "acked": publisher.acked, "alarm_s": sorted(arrivals.alarm_s),
        "telemetry_s": sorted(arrivals.telemetry_s),
    }  # fmt: skip


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    for name in ("source", "target", "count"):
        parser.add_argument(name, type=int)
    parser.add_argument("--window", type=int, default=5_000)
    parser.add_argument("--rate", type=float, default=0.0)
    parser.add_argument("--alarms", type=float, default=0.0)
    parser.add_argument("--bare", action="store_true")
    print(json.dumps(asyncio.run(run(parser.parse_args()))), flush=True)

"""An alarm device at level L3, with an MQTT 3.1.1 client of its own: it shares no code with anybody.

It repeats each alarm until the gateway's `{"id": ...}` comes on d/<topic_id>/ack. What an alarm
says follows from its number, so that whoever receives it can tell whether it was changed.
"""

import asyncio
import hashlib
import json
from contextlib import suppress

REPEAT_S = 1.0  # an alarm without an answer is told again
WINDOW = 25  # alarms that may wait for their answer
CONNECT_S = 2.0
AGAIN_S = 0.1  # between two attempts to connect

# MQTT 3.1.1: packet types (2.2.1) with their flags
CONNECT, PUBLISH_QOS1, SUBSCRIBE = 0x10, 0x32, 0x82
CONNACK, PUBLISH, SUBACK = 0x20, 0x30, 0x90


# One event point that bears a text: each message is an alarm of its own, in lane 0.
PROFILE = """\
profile: panel-oracle
schema: 1
revision: 1
vendor: ""
model: A panel that tells numbered alarms
type: panel
facility: fire
protocol: mqtt
dialect: native
sources: ["tests/harness/teller.py"]
status: code
points:
  - {id: alarm.code, kind: event, severity: life}
  - {id: env.illuminance, unit: lx}
vectors:
  - name: an alarm
    response: "7b2276616c756573223a7b22616c61726d2e636f6465223a22302d6162227d7d"
    values: {alarm.code: 0-ab}
"""


def text_of(device: str, number: int) -> str:
    """What an alarm says: its number, and a digest that nobody can make up."""
    digest = hashlib.sha256(f"{device}/{number}".encode()).hexdigest()[:16]
    return f"{number}-{digest}"


def number_of(text: str) -> int:
    return int(text.partition("-")[0])


def level_of(device: str, number: int) -> int:
    return int(text_of(device, number).partition("-")[2][:6], 16)


class Teller:
    """`run` until cancelled. `minted` alarms were told, `acked` are those that it may forget."""

    def __init__(self, host: str, port: int, device: str, *, rate_per_s: float) -> None:
        self.device = device
        self.minted = 0
        self.acked: set[int] = set()
        self.repeats = 0
        self.telling = True  # makes new alarms
        self._address = (host, port)
        self._pause_s = 1 / rate_per_s
        self._waiting: dict[int, float] = {}  # number -> when it is told (again), loop time
        self._packet = 0

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    def mint(self) -> int:
        """A new alarm; it is told at once if there is a connection."""
        number = self.minted
        self.minted += 1
        self._waiting[number] = 0.0
        return number

    async def run(self) -> None:
        while True:
            with suppress(OSError, EOFError, TimeoutError):
                await self._session()
            await asyncio.sleep(AGAIN_S)

    async def _session(self) -> None:
        async with asyncio.timeout(CONNECT_S):
            reader, writer = await asyncio.open_connection(*self._address)
        try:
            async with asyncio.timeout(CONNECT_S):
                await self._greet(reader, writer)
            self._waiting = dict.fromkeys(self._waiting, 0.0)  # who knows what has arrived
            listening = asyncio.create_task(self._listen(reader), name=f"{self.device}:listen")
            try:
                while not listening.done():
                    self._tell(writer)
                    await writer.drain()
                    await asyncio.wait({listening}, timeout=self._pause_s)
            finally:
                listening.cancel()
                await asyncio.wait({listening})
        finally:
            writer.transport.abort()

    async def _greet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # Protocol level 4, clean session, no keep-alive (3.1.2)
        writer.write(packet(CONNECT, text("MQTT"), b"\x04\x02\x00\x00", text(self.device)))
        assert await read(reader) == (CONNACK, b"\x00\x00")
        writer.write(packet(SUBSCRIBE, b"\x00\x01", text(f"d/{self.device}/ack"), b"\x00"))
        assert (await read(reader))[0] == SUBACK

    def _tell(self, writer: asyncio.StreamWriter) -> None:
        now = asyncio.get_running_loop().time()
        if self.telling and len(self._waiting) < WINDOW:
            self.mint()
        for number, due in self._waiting.items():
            if due <= now:
                self.repeats += due > 0
                self._waiting[number] = now + REPEAT_S
                self._packet = self._packet % 65_535 + 1
                told = text(f"d/{self.device}/event"), self._packet.to_bytes(2), self._body(number)
                writer.write(packet(PUBLISH_QOS1, *told))

    def _body(self, number: int) -> bytes:
        values = {
            "alarm.code": text_of(self.device, number),
            "env.illuminance": level_of(self.device, number),
        }
        return json.dumps({"id": f"{self.device}-{number}", "values": values}).encode()

    async def _listen(self, reader: asyncio.StreamReader) -> None:
        """Until the connection ends; what the broker says to QoS 1 is of no interest."""
        with suppress(OSError, EOFError):
            while True:
                kind, body = await read(reader)
                if kind & 0xF0 == PUBLISH:
                    size = int.from_bytes(body[:2])
                    ident = json.loads(body[2 + size :])["id"]
                    number = int(ident.rpartition("-")[2])
                    self._waiting.pop(number, None)
                    self.acked.add(number)


def text(value: str) -> bytes:
    """MQTT 3.1.1, 1.5.3"""
    data = value.encode()
    return len(data).to_bytes(2) + data


def packet(kind: int, *parts: bytes) -> bytes:
    body = b"".join(parts)
    head, left = bytearray([kind]), len(body)
    while True:  # 2.2.3: seven bits at a time
        left, low = divmod(left, 128)
        head.append(low | 0x80 if left else low)
        if not left:
            return bytes(head) + body


async def read(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    kind = (await reader.readexactly(1))[0]
    size, shift = 0, 0
    while True:
        byte = (await reader.readexactly(1))[0]
        size |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return kind, await reader.readexactly(size)

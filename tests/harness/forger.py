"""A client that says whatever it likes: MQTT 5 packets made by hand (OASIS MQTT 5.0, chapter 3)."""

import asyncio
from contextlib import suppress
from typing import NamedTuple

CONNECT, CONNACK, PUBLISH, PUBACK, PUBREC, PUBREL, PUBCOMP = range(1, 8)
SUBSCRIBE, SUBACK, PINGREQ, PINGRESP = 8, 9, 12, 13
ANSWER_S = 10.0


class Heard(NamedTuple):
    topic: str
    payload: bytes


class HungUpError(Exception):
    """The broker ended the connection."""


class Forger:
    """Connected as `user`; `heard` is what the broker gave it."""

    def __init__(self, port: int, user: str = "", password: str = "", name: str = "") -> None:
        self.heard: list[Heard] = []
        self._port, self._user, self._password = port, user, password
        self._name = name or user
        self._mid = 0
        self._open: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def connect(self, will: tuple[str, bytes] | None = None) -> int:
        """The broker's reason code; 0 is success."""
        self._open = await asyncio.open_connection("127.0.0.1", self._port)
        flags = 0x02 | (0x0C if will else 0) | (0xC0 if self._user else 0)
        fields = [_text("MQTT"), bytes([5, flags, 0, 60, 0]), _text(self._name)]
        if will:
            fields += [b"\0", _text(will[0]), _bytes(will[1])]
        if self._user:
            fields += [_text(self._user), _text(self._password)]
        self._send(CONNECT << 4, b"".join(fields))
        try:
            code = (await self._until(CONNACK))[1]
        except HungUpError:
            code = 0xFF
        if code:
            self.vanish()
        return code

    async def publish(self, topic: str, payload: bytes, qos: int, *, retain: bool = False) -> str:
        """`taken`, `refused`, or `hung up`; for QoS 0 `sent`: the broker has handled it.

        Connects anew after the others: Mosquitto 2.0.11 ends a connection at the first publish
        after one that it refused.
        """
        try:
            how = await self._publish(topic, payload, qos, retain=retain)
        except (HungUpError, ConnectionError):
            how = "hung up"
        if how in {"refused", "hung up"}:
            self.vanish()
            await self.connect()
        return how

    async def _publish(self, topic: str, payload: bytes, qos: int, *, retain: bool) -> str:
        self._mid += 1
        mid = self._mid.to_bytes(2, "big")
        body = _text(topic) + (mid if qos else b"") + b"\0" + payload
        self._send(PUBLISH << 4 | qos << 1 | retain, body)
        if qos == 0:
            await self.settle()
            return "sent"
        answer = await self._until(PUBACK if qos == 1 else PUBREC)
        if len(answer) > 2 and answer[2] >= 0x80:
            return "refused"
        if qos == 2:
            self._send(PUBREL << 4 | 2, mid)
            await self._until(PUBCOMP)
        return "taken"

    def say(self, topic: str, payload: bytes) -> None:
        """Publish with QoS 0 and do not look back."""
        self._send(PUBLISH << 4, _text(topic) + b"\0" + payload)

    async def subscribe(self, topic: str) -> int:
        """The broker's reason code."""
        self._mid += 1
        body = self._mid.to_bytes(2, "big") + b"\0" + _text(topic) + b"\1"
        self._send(SUBSCRIBE << 4 | 2, body)
        return (await self._until(SUBACK))[-1]

    async def settle(self) -> None:
        """The broker has handled all that was sent: it answers in order."""
        self._send(PINGREQ << 4, b"")
        await self._until(PINGRESP)

    def vanish(self) -> None:
        """No goodbye: the broker publishes the last will."""
        self._ends[1].transport.abort()

    async def close(self) -> None:
        if self._open is not None:
            writer = self._open[1]
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()

    @property
    def _ends(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        assert self._open, "connect first"
        return self._open

    def _send(self, head: int, body: bytes) -> None:
        self._ends[1].write(bytes([head]) + _length(len(body)) + body)

    async def _until(self, wanted: int) -> bytes:
        async with asyncio.timeout(ANSWER_S):
            while True:
                kind, body = await self._packet()
                if kind == wanted:
                    return body

    async def _packet(self) -> tuple[int, bytes]:
        reader = self._ends[0]
        try:
            head = (await reader.readexactly(1))[0]
            length, shift = 0, 0
            while True:
                byte = (await reader.readexactly(1))[0]
                length |= (byte & 0x7F) << shift
                shift += 7
                if byte < 0x80:
                    break
            body = await reader.readexactly(length)
        except (asyncio.IncompleteReadError, ConnectionError) as error:
            raise HungUpError from error
        if head >> 4 == PUBLISH:
            self._hear(head, body)
        return head >> 4, body

    def _hear(self, head: int, body: bytes) -> None:
        end = 2 + int.from_bytes(body[:2], "big")
        topic, rest = body[2:end].decode(), body[end:]
        if head & 0x06:
            self._send(PUBACK << 4, rest[:2])
            rest = rest[2:]
        self.heard.append(Heard(topic, rest[1 + rest[0] :]))


def _text(value: str) -> bytes:
    return _bytes(value.encode())


def _bytes(value: bytes) -> bytes:
    return len(value).to_bytes(2, "big") + value


def _length(number: int) -> bytes:
    """Variable byte integer (MQTT 5.0, 1.5.5)."""
    digits = bytearray()
    while True:
        number, digit = divmod(number, 128)
        digits.append(digit | (0x80 if number else 0))
        if not number:
            return bytes(digits)

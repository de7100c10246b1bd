"""The reading end of an MQTT connection: many packets with one system call, and a way to pause."""

import asyncio
import socket
import ssl
import time
from collections.abc import Callable
from typing import NamedTuple

from paho.mqtt.client import Client
from paho.mqtt.enums import MQTTErrorCode
from paho.mqtt.exception import MalformedPacket

from gateway.clock import Clock
from gateway.errors import BadData
from gateway.mqtt_connect import PACKET_BYTES
from gateway.mqtt_wire import Arrived, Packet, split

# About 60 messages of a device: what follows them on the loop waits 2 ms at most.
READ_BYTES = 8_192
KNOWN_TOPICS = 10_000  # decoded once; more are forgotten and decoded again


class Received(NamedTuple):
    """A message; `received_ns` is CLOCK_BOOTTIME at its arrival. `mid` is good in `generation`."""

    topic: str
    payload: bytes
    retain: bool
    dup: bool
    generation: int
    mid: int
    qos: int
    received_ns: int


class SocketReader:
    """Reads paho's socket in its place, hands messages to `take` and other packets to paho.

    `end` is called with the reason when the
    connection is broken; paho has closed the socket then. Belongs to the loop's thread.
    """

    def __init__(
        self,
        paho: Client,
        loop: asyncio.AbstractEventLoop,
        clock: Clock,
        generation: int,
        take: Callable[[list[Received]], None],
        end: Callable[[str], None],
    ) -> None:
        self._paho = paho
        self._loop = loop
        self._clock = clock
        self._generation = generation
        self._topics: dict[bytes, str] = {}
        self._take = take
        self._end = end
        self._rest = b""
        self._sock: socket.socket | None = None
        self.paused_at: float | None = None  # time.monotonic

    def start(self, sock: socket.socket) -> None:
        """Watch `sock`, unless paho has left it meanwhile: then its number may be someone else's."""
        if self._paho.socket() is sock:
            self._sock = sock
            self._loop.add_reader(sock.fileno(), self._readable)

    def pause(self, longest_s: float) -> None:
        """Read no more: what comes waits in the socket, then at the peer.

        After `longest_s` the connection is ended: with the next one the broker counts anew.
        """
        if self.paused_at is None and self._sock is not None and self._sock.fileno() >= 0:
            self.paused_at = since = time.monotonic()
            self._loop.remove_reader(self._sock.fileno())
            self._loop.call_later(longest_s, self._give_up, since)

    def resume(self) -> None:
        if self.paused_at is not None:
            self.paused_at = None
            if self._sock is not None and self._sock.fileno() >= 0:
                self.start(self._sock)
                self._loop.call_soon(self._readable)  # TLS may hold what the socket does not

    def _give_up(self, since: float) -> None:
        if self.paused_at == since and self._sock is not None:
            self._end("too many messages wait for their commit: not read any more")
            self._paho._sock_close()

    def stop(self) -> None:
        """The socket is closed: let go of it."""
        self._sock = None

    def _readable(self) -> None:
        sock = self._sock
        if self._paho.socket() is not sock or sock is None or self.paused_at is not None:
            return
        try:
            data = sock.recv(READ_BYTES)
        except (BlockingIOError, InterruptedError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return
        except OSError as error:
            self._broken(f"connection lost: {error}")
            return
        if not data:
            self._broken("connection lost")
            return
        self._paho._last_bytes_received = time.monotonic()  # for paho's keep-alive
        self._feed(data)
        if isinstance(sock, ssl.SSLSocket) and sock.fileno() >= 0 and sock.pending():
            self._loop.call_soon(self._readable)  # decoded already: the socket will not tell

    def _feed(self, data: bytes) -> None:
        data = self._rest + data if self._rest else data
        try:
            packets, used = split(data, PACKET_BYTES)
            self._rest = data[used:]
            self._hand_on(packets)
        except BadData as error:
            self._broken(f"the broker sent {error}")

    def _hand_on(self, packets: list[Packet]) -> None:
        """In order: a PUBLISH that came before a DISCONNECT is taken before it."""
        arrived: list[Received] = []
        now_ns = self._clock.boottime_ns()
        for packet in packets:
            if isinstance(packet, Arrived):
                arrived.append(self._received(packet, now_ns))
                continue
            if arrived:
                self._take(arrived)
                arrived = []
            if not self._paho_takes(packet.head, packet.body):
                return
        if arrived:
            self._take(arrived)

    def _received(self, packet: Arrived, now_ns: int) -> Received:
        raw, payload, qos, retain, dup, mid = packet
        topic = self._topics.get(raw)
        if topic is None:
            if len(self._topics) >= KNOWN_TOPICS:
                self._topics.clear()
            topic = self._topics[raw] = _text(raw)
        return Received(topic, payload, retain, dup, self._generation, mid, qos, now_ns)

    def _paho_takes(self, head: int, body: bytes) -> bool:
        """As if paho had just read the packet; False: it has ended the connection."""
        self._paho._in_packet = {
            "command": head, "have_remaining": 1, "remaining_count": [], "remaining_mult": 1,
            "remaining_length": len(body), "packet": bytearray(body), "to_process": 0, "pos": 0,
        }  # fmt: skip
        try:
            code = self._paho._packet_handle()
        except (MalformedPacket, ValueError, IndexError) as error:
            self._broken(f"the broker sent a malformed packet: {error}")
            return False
        if code > 0:
            self._paho._loop_rc_handle(code)
            return False
        return self._paho.socket() is self._sock

    def _broken(self, why: str) -> None:
        self._end(why)
        self._paho._loop_rc_handle(MQTTErrorCode.MQTT_ERR_CONN_LOST)


def _text(raw: bytes) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError as error:  # MQTT 5 1.5.4: a malformed packet
        raise BadData(f"a topic that is no UTF-8: {error}") from error

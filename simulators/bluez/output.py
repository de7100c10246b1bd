"""Writes to the bus no faster than it is read.

dbus-fast 5.2 ends its own connection with BlockingIOError when the socket is full, which 200 new
objects in one go are enough for. So a message is handed over only while the socket is writable.
"""

import asyncio
import os
import select
from collections import deque
from functools import partial

from dbus_fast import Message
from dbus_fast.aio import MessageBus

LIMIT = 100_000  # messages that wait; some 30 MB


class Output:
    """The way out of one connection; `close` it before the connection."""

    def __init__(self, bus: MessageBus) -> None:
        self.sent = self.dropped = 0
        self._bus = bus
        self._waiting: deque[Message] = deque()
        # A descriptor of our own: dbus-fast watches the original one for the same event.
        if bus._sock is None:  # private, but the only way to it
            raise ConnectionError("not connected to the bus")
        self._socket = os.dup(bus._sock.fileno())
        self._poll = select.poll()
        self._poll.register(self._socket, select.POLLOUT)
        self._open = True

    def send(self, message: Message) -> None:
        """Send now or when the reader has caught up, in order; beyond LIMIT it is dropped and counted.

        File descriptors in it are closed once it is written.
        """
        if not self._open or len(self._waiting) >= LIMIT:
            self.dropped += 1
        elif self._waiting or not self._writable():
            self._waiting.append(message)
            if len(self._waiting) == 1:
                asyncio.get_running_loop().add_writer(self._socket, self._drain)
        else:
            self._hand_over(message)

    def close(self) -> None:
        """What still waits is lost, as in a crash."""
        if self._open:
            self._open = False
            asyncio.get_running_loop().remove_writer(self._socket)
            os.close(self._socket)

    def _writable(self) -> bool:
        return bool(self._poll.poll(0))

    def _hand_over(self, message: Message) -> None:
        self.sent += 1
        written = self._bus.send(message)
        for descriptor in message.unix_fds:
            written.add_done_callback(partial(_close, descriptor))

    def _drain(self) -> None:
        while self._waiting and self._writable():
            self._hand_over(self._waiting.popleft())
        if not self._waiting:
            asyncio.get_running_loop().remove_writer(self._socket)


def _close(descriptor: int, _written: asyncio.Future[None]) -> None:
    os.close(descriptor)

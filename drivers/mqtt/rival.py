"""Somebody else who connects to the broker under our identifier: the newer client throws the older out.

Some brokers say so (`gateway.errors.TakenOver`). Mosquitto 2.0 only closes the connection: then it
is known by connections that are short though the broker is there all the time.
"""

import asyncio

from gateway.endpoint import MqttUrl
from gateway.errors import LinkDown, TakenOver

# Both come back within seconds, or within a minute when they have understood.
SHORT_S = 90.0
TIMES = 2
PROBE_S = 1.0


class Rival:
    """Belongs to one link; `judge` is asked when a connection has ended by itself."""

    def __init__(self, url: MqttUrl) -> None:
        self._url = url
        self._short = 0

    async def judge(self, error: LinkDown, lived_s: float) -> LinkDown:
        """The error to raise: `TakenOver` when it looks like it, else `error`."""
        if isinstance(error, TakenOver):
            return error
        there = lived_s < SHORT_S and await self._accepts()
        self._short = self._short + 1 if there else 0
        if self._short < TIMES:
            return error
        return TakenOver(f"{error}, {self._short} times soon after connecting, and it is there")

    async def _accepts(self) -> bool:
        """Asked at once: a broker that was stopped or killed does not listen yet."""
        try:
            async with asyncio.timeout(PROBE_S):
                _, writer = await asyncio.open_connection(self._url.host, self._url.port)
        except OSError:  # a time-out too
            return False
        writer.transport.abort()
        return True

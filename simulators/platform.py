"""A community platform for one gateway: takes its batches, keeps them, acknowledges, misbehaves.

Speaks the contract of configs/asyncapi.yaml: an item is on disk before its ack leaves. When it
(re)connects it repeats its acks, so that a gateway that waits knows that someone listens.
"""

import asyncio
import logging
import os
import threading
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from uuid import uuid4

import aiomqtt
import orjson

from simulators.cancelling import obey_cancellation
from simulators.ledger import Json, Ledger

log = logging.getLogger(__name__)

RECONNECT_S = 0.5
TOPICS = ("up/+", "state", "cmd/result", "config/reported")
COMMAND_LIFE_NS = 60_000_000_000
TIMEOUT_S = 2.0  # for each answer of the broker, a goodbye included


def _welcome(_item: Json) -> str | None:
    return None


class Platform:
    """Runs inside `async with`, or by `run`; the other methods change how it behaves from now on."""

    def __init__(self, host: str, port: int, gateway_id: str, *, log: Path) -> None:
        self.ledger: Ledger | None = None  # read from the log by `run`
        self.gateway: dict[str, Any] = {}  # the newest `state` of the gateway
        self.results: deque[dict[str, Any]] = deque(maxlen=1_000)  # answers to commands
        self.reported: dict[str, Any] = {}  # what the gateway says of configurations
        self.batches = 0
        self.malformed = 0
        self._host, self._port = host, port
        self._gateway_id = gateway_id
        self._topic = f"gw/{gateway_id}"
        self._log = log
        self._writing = threading.Lock()  # a session that was cut off may still be writing
        self._delay_s = 0.0
        self._reject: Callable[[Json], str | None] = _welcome
        self._present = asyncio.Event()
        self._present.set()
        self._acking = asyncio.Event()
        self._acking.set()
        self._held: list[dict[str, Any]] = []
        self._client: aiomqtt.Client | None = None
        self._session: asyncio.Task[None] | None = None
        self._news = asyncio.Event()
        self._tasks = asyncio.TaskGroup()
        self._running: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        await self._tasks.__aenter__()
        self._running = self._tasks.create_task(self.run(), name=f"platform:{self._gateway_id}:run")
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._running is not None:
            self._running.cancel()
        # An error of the body is not the group's: it would come out wrapped in an ExceptionGroup.
        if isinstance(error, asyncio.CancelledError):
            await self._tasks.__aexit__(kind, error, trace)
        else:
            await self._tasks.__aexit__(None, None, None)

    def slow(self, delay_s: float) -> None:
        """Think for so long before each batch is written; 0 ends it."""
        self._delay_s = delay_s

    def refuse(self, reject: Callable[[Json], str | None]) -> None:
        """Reject every item for which `reject` gives a reason."""
        self._reject = reject

    def hold_acks(self) -> None:
        """Keep what comes but say nothing, until `release_acks`."""
        self._acking.clear()

    async def release_acks(self) -> None:
        self._acking.set()
        held, self._held = self._held, []
        for ack in held:
            await self.acknowledge(ack)

    def vanish(self) -> None:
        """Disconnect and stay away until `come_back`."""
        self._present.clear()
        if self._session is not None:
            self._session.cancel()

    def come_back(self) -> None:
        self._present.set()

    async def acknowledge(self, ack: Json) -> None:
        """Send any ack, a wrong one too. Raises aiomqtt.MqttError when there is no connection."""
        if self._client is None:
            raise aiomqtt.MqttError("the platform is not connected")
        await self._client.publish(f"{self._topic}/ack", orjson.dumps(ack), qos=1)

    async def command(self, device: str, point: str, value: object, **more: object) -> str:
        """Send one command, good for 60 s unless `not_after` is given; returns its id. Raises
        aiomqtt.MqttError when there is no connection.
        """
        order = {"id": str(uuid4()), "device": device, "point": point, "value": value}
        order |= {"not_after": str(time.time_ns() + COMMAND_LIFE_NS), **more}
        await self.say("cmd", orjson.dumps(order))
        return str(order["id"])

    async def say(self, topic: str, payload: bytes, *, retain: bool = False) -> None:
        """Publish anything below the gateway's topic."""
        if self._client is None:
            raise aiomqtt.MqttError("the platform is not connected")
        await self._client.publish(f"{self._topic}/{topic}", payload, qos=1, retain=retain)

    async def until(self, condition: Callable[["Platform"], bool]) -> None:
        """Wait until `condition` holds; it is tried after each batch, state and connection."""
        while not condition(self):
            self._news.clear()
            await self._news.wait()

    @property
    def items(self) -> int:
        """Distinct accepted items so far, those of earlier runs included."""
        return self.ledger.items if self.ledger else 0

    @property
    def duplicates(self) -> int:
        return self.ledger.duplicates if self.ledger else 0

    @property
    def connected(self) -> bool:
        return self._client is not None

    async def run(self) -> None:
        """Stay connected until cancelled."""
        self.ledger = ledger = await asyncio.to_thread(Ledger, self._log)
        async with asyncio.TaskGroup() as tasks:
            while True:
                await self._present.wait()
                self._session = tasks.create_task(
                    self._stay(ledger), name=f"platform:{self._gateway_id}"
                )
                await asyncio.wait({self._session})
                await asyncio.sleep(RECONNECT_S if self._present.is_set() else 0)

    async def _stay(self, ledger: Ledger) -> None:
        client = aiomqtt.Client(
            self._host,
            self._port,
            identifier=f"platform-{self._gateway_id}",
            protocol=aiomqtt.ProtocolVersion.V5,
            timeout=TIMEOUT_S,
        )
        try:
            async with client:
                await client.subscribe([(f"{self._topic}/{topic}", 1) for topic in TOPICS])
                self._client = client
                self._news.set()
                for ack in ledger.acks():
                    await self._answer(ack)
                obey_cancellation()
                async for message in client.messages:
                    await self._take(ledger, message)
                    obey_cancellation()
        except aiomqtt.MqttError as error:
            log.debug("platform of %s: %s", self._gateway_id, error)
        finally:
            self._client = None

    async def _take(self, ledger: Ledger, message: aiomqtt.Message) -> None:
        try:
            content = orjson.loads(bytes(message.payload))
            if message.topic.value == f"{self._topic}/state":
                self.gateway = content
            elif message.topic.value == f"{self._topic}/cmd/result":
                self.results.append(content)
            elif message.topic.value == f"{self._topic}/config/reported":
                self.reported = content
            else:
                await self._keep(ledger, content)
        except (orjson.JSONDecodeError, KeyError, TypeError, ValueError) as error:
            self.malformed += 1
            log.warning("%s: not understood: %r", message.topic.value, error)
        self._news.set()

    async def _keep(self, ledger: Ledger, batch: Json) -> None:
        if self._delay_s:
            await asyncio.sleep(self._delay_s)
        answer = ledger.take(batch, self._reject)
        await asyncio.to_thread(self._append, answer.lines)
        self.batches += 1
        if answer.ack is not None:
            await self._answer(answer.ack)

    async def _answer(self, ack: dict[str, Any]) -> None:
        if self._acking.is_set():
            await self.acknowledge(ack)
        else:
            self._held.append(ack)

    def _append(self, lines: bytes) -> None:
        with self._writing, self._log.open("ab") as file:
            file.write(lines)
            file.flush()
            os.fsync(file.fileno())


def platform(host: str, port: int, gateway_id: str, *, log: Path) -> Platform:
    """For `async with`; `log` is made, or continued if it exists."""
    return Platform(host, port, gateway_id, log=log)

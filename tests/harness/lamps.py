"""Lamps that tell numbered messages over MQTT, QoS 1, until each is acknowledged to them."""

import asyncio

import aiomqtt
import orjson

from tests.harness.broker import HOST

LAMPS = 4
WINDOW = 500  # messages of one lamp on their way: the broker keeps them while the gateway is dead
ALARM_EVERY = 20  # messages of one lamp: then its alarm comes or goes
FULL = {"light.level": 60, "light.on": True, "elec.power.total": 36.2}
COUNT = "elec.energy.total"  # the number of the message


def name(lamp: int) -> str:
    return f"light-{lamp}"


def values(number: int) -> dict[str, object]:
    """What message `number` says."""
    failed = number // LAMPS // ALARM_EVERY % 2 == 1
    return {**FULL, COUNT: number, "alarm.lamp_failure": failed}


def changes(messages: int) -> int:
    """How often an alarm comes or goes, all lamps taken together."""
    return LAMPS * (messages // LAMPS // ALARM_EVERY - 1)


class Lamps:
    """`run` until cancelled. The messages below `goal` are told; `acked` are on the gateway's disk.

    `poison` is added to what a message of that number says.
    """

    def __init__(self, port: int) -> None:
        self.goal = 0
        self.acked: set[int] = set()
        self.poison: dict[int, dict[str, object]] = {}
        self._port = port
        self._again: set[int] = set()  # lamps that are to repeat
        self._changed = asyncio.Condition()

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            for lamp in range(LAMPS):
                group.create_task(self._lamp(lamp), name=name(lamp))

    async def release(self, goal: int) -> None:
        async with self._changed:
            self.goal = goal
            self._changed.notify_all()

    async def repeat(self) -> None:
        """Tell again what is not acknowledged: the gateway may have died with a message on its disk
        and its acknowledgement not sent.
        """
        async with self._changed:
            self._again.update(range(LAMPS))
            self._changed.notify_all()

    async def until_acked(self, count: int) -> None:
        async with self._changed:
            await self._changed.wait_for(lambda: len(self.acked) >= count)

    async def _lamp(self, lamp: int) -> None:
        topic, waiting = f"d/{name(lamp)}", set[int]()
        async with (
            aiomqtt.Client(HOST, self._port, protocol=aiomqtt.ProtocolVersion.V5) as client,
            asyncio.TaskGroup() as group,
        ):
            await client.subscribe(f"{topic}/ack", qos=1)
            group.create_task(self._listen(client, waiting), name=f"{name(lamp)}:acks")
            number = lamp
            while True:
                async with self._changed:
                    while lamp not in self._again and (
                        number >= self.goal or len(waiting) >= WINDOW
                    ):
                        await self._changed.wait()
                    due = sorted(waiting) if lamp in self._again else []
                    self._again.discard(lamp)
                    if number < self.goal and len(waiting) < WINDOW:
                        waiting.add(number)
                        due.append(number)
                        number += LAMPS
                for each in due:
                    await client.publish(f"{topic}/state", self._payload(each), qos=1)

    def _payload(self, number: int) -> bytes:
        told = {**values(number), **self.poison.get(number, {})}
        return orjson.dumps({"id": str(number), "values": told})

    async def _listen(self, client: aiomqtt.Client, waiting: set[int]) -> None:
        async for message in client.messages:
            assert isinstance(message.payload, bytes)
            number = int(orjson.loads(message.payload)["id"])
            async with self._changed:
                waiting.discard(number)
                self.acked.add(number)
                self._changed.notify_all()

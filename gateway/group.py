"""Commands to a group of devices: one message where their model has a topic for it, else one each."""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from uuid import NAMESPACE_OID, uuid5

from gateway.commands import Commands
from gateway.driver import Broadcaster, Device, Driver
from gateway.errors import LinkDown, Refused
from gateway.model import Command, CommandResult
from gateway.supervise import Contained


class Groups:
    """The groups that sections of devices name. Each member is written, confirmed and told by itself."""

    def __init__(
        self, devices: Mapping[str, Device], drivers: Mapping[str, Driver], commands: Commands
    ) -> None:
        self._commands = commands
        self.adopt(devices, drivers)

    def adopt(self, devices: Mapping[str, Device], drivers: Mapping[str, Driver]) -> None:
        self._links = {n: d for n, d in drivers.items() if isinstance(d, Broadcaster)}
        self._members: dict[str, list[Device]] = defaultdict(list)
        for device in devices.values():
            for name in device.section.groups:
                self._members[name].append(device)

    def __contains__(self, name: str) -> bool:
        return name in self._members

    async def execute(self, command: Command) -> list[CommandResult]:
        """Run `command`, whose device is a group, for each member; results in their order.

        The first attempt is one message for members that are alike and may all be written now. Who
        does not report the value after it is written alone, as always. Ids of the members' commands
        follow from the id of this one: a repeat of it is known for each of them.
        """
        members = [
            d for d in self._members[command.device] if command.point in d.profile.by_command
        ]
        if not members:
            raise ValueError(f"no device of group {command.device} takes {command.point}")
        orders = {d.id: _for_member(command, d.id) for d in members}
        shared = self._shared(command, members, orders)
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(
                    self._commands.execute(orders[d.id], first=shared.get(d.id)),
                    name=f"group:{d.id}",
                )
                for d in members
            ]
        return [task.result() for task in tasks]

    def _shared(
        self, command: Command, members: Sequence[Device], orders: Mapping[str, Command]
    ) -> dict[str, "Together"]:
        """By device, the message that it shares with others."""
        alike: dict[tuple[str, str, bytes], list[Device]] = defaultdict(list)
        for device in members:
            driver = self._links.get(device.section.link)
            target = None if driver is None else driver.group_target(device.id, command)
            if target is not None and device.profile.by_command[command.point].idempotent:
                alike[device.section.link, *target].append(device)
        found: dict[str, Together] = {}
        for (link, topic, payload), devices in alike.items():
            if len(devices) > 1 and all(self._commands.takes(orders[d.id]) for d in devices):
                ids = [d.id for d in devices]
                send = partial(self._links[link].write_group, ids, topic, payload)
                found |= dict.fromkeys(ids, Together(Contained(send).write))
        return found


class Together:
    """The first attempt of several commands is one message; whoever comes first sends it."""

    def __init__(self, send: Callable[[Command], Awaitable[CommandResult]]) -> None:
        self._send = send
        self._lock = asyncio.Lock()
        self._sent: CommandResult | LinkDown | Refused | None = None

    async def write(self, command: Command) -> CommandResult:
        """Raises LinkDown or Refused, for all of them."""
        async with self._lock:
            if self._sent is None:
                try:
                    self._sent = await self._send(command)
                except (LinkDown, Refused) as error:
                    self._sent = error
        if isinstance(self._sent, Exception):
            raise self._sent
        return self._sent._replace(command=command)


def _for_member(command: Command, device: str) -> Command:
    ident = uuid5(NAMESPACE_OID, f"{command.id}:{device}")
    return command._replace(id=str(ident), device=device)

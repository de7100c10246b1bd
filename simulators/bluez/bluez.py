"""A simulated BlueZ on a private bus, for unmodified clients, with its radio and its faults.

async with private_bus() as address, simulated(address) as bluez:
    smoke = Peripheral("54:48:E6:8F:80:A5")
    bluez.advertise(smoke, Advert({"fcd2": data}))
    await bluez.crash()
"""

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace

from simulators.bluez.adapter import Adapter, Hardware
from simulators.bluez.controller import Controller, Cure, Policy
from simulators.bluez.daemon import Daemon
from simulators.bluez.device import Device
from simulators.bluez.faults import Faults
from simulators.bluez.names import ROOT
from simulators.bluez.peripheral import Advert, Peripheral

HCI0 = "hci0"
ADDRESS = "00:11:22:33:44:00"  # of the first adapter


class Bluez:
    """The controls. Adapters and peripherals outlive bluetoothd, as hardware does."""

    def __init__(self, address: str, policy: Policy, tasks: asyncio.TaskGroup) -> None:
        self.faults = Faults()
        self.calls: Counter[str] = Counter()  # by member
        self._address, self._policy, self._tasks = address, policy, tasks
        self._hardware: dict[str, Hardware] = {}
        self._daemon: Daemon | None = None
        self._life: asyncio.Task[None] | None = None

    @property
    def running(self) -> bool:
        return self._daemon is not None

    @property
    def discovering(self) -> bool:
        """Some client scans actively."""
        return any(adapter.discovering for adapter in self._adapters())

    @property
    def monitored(self) -> bool:
        """An advertisement monitor is in force."""
        return any(adapter.monitors.active for adapter in self._adapters())

    @property
    def hidden(self) -> int:
        """Reports that duplicate filters of controllers kept back."""
        return sum(one.controller.hidden for one in self._hardware.values())

    def advertise(self, peripheral: Peripheral, advert: Advert, adapter: str | None = None) -> bool:
        """One report in the air, for `adapter` alone or for all; true if bluetoothd signals it."""
        heard = [
            one.hear(peripheral, advert)
            for one in self._adapters()
            if adapter in {None, one.hardware.name}
        ]
        return any(heard)

    def notify(self, peripheral: Peripheral, uuid: str, value: bytes) -> bool:
        """A characteristic has a new value; true if a client is told."""
        one = peripheral.characteristic(uuid)
        one.value = value
        if peripheral.mute:
            return False
        told = [device.gatt.notify(one, value) for device in self._devices(peripheral)]
        return any(told)

    def connected(self, peripheral: Peripheral) -> bool:
        return any(device.connected for device in self._devices(peripheral))

    def known(self, peripheral: Peripheral) -> bool:
        """Some adapter has a device object of it."""
        return any(device.exists for device in self._devices(peripheral))

    def drop(self, peripheral: Peripheral) -> None:
        """The link of a peripheral breaks, and both sides notice."""
        for device in self._devices(peripheral):
            device.drop(asyncio.get_running_loop().time())

    # Faults of the stack. Those of single answers: `faults`.

    async def start(self, *, experimental: bool = True) -> None:
        """Start bluetoothd, with every adapter that is plugged in; not `experimental`: no monitors."""
        started = asyncio.Event()
        policy = replace(self._policy, monitors=self._policy.monitors and experimental)
        self._daemon = Daemon(self._address, policy, self.faults, self.calls)
        life = self._daemon.run(list(self._hardware.values()), started)
        self._life = self._tasks.create_task(life, name="bluetoothd")
        await started.wait()

    async def crash(self, *, still_discovering: bool = False) -> None:
        """Kill bluetoothd: no farewell.

        `still_discovering`: the kernel goes on scanning, and the next bluetoothd answers
        StartDiscovery with InProgress until the power is cycled.
        """
        if self._life is None:
            return
        for adapter in self._adapters():
            adapter.hardware.controller.still_discovering |= (
                still_discovering and adapter.discovering
            )
        life, self._life, self._daemon = self._life, None, None
        life.cancel()
        await asyncio.wait([life])

    def set_powered(self, *, on: bool, adapter: str = HCI0) -> None:
        """Somebody else switches the adapter, as rfkill or bluetoothctl do."""
        self._adapter(adapter).set_powered(on=on)

    def stall(self, cure: Cure = Cure.DISCOVERY, adapter: str = HCI0) -> None:
        """The radio hears nothing any more, and nothing says so."""
        self._hardware[adapter].controller.stall(cure)

    def release_monitors(self, adapter: str = HCI0) -> None:
        """The kernel refuses monitors: they are given back, and the duplicate filter is on again."""
        self._adapter(adapter).monitors.release()

    def unplug(self, adapter: str = HCI0) -> None:
        del self._hardware[adapter]
        if self._daemon is not None:
            self._daemon.unplug(adapter)

    def plug(self, adapter: str = HCI0, address: str = ADDRESS) -> None:
        """A dongle, known by its `address`, appears under the name `adapter`."""
        now = asyncio.get_running_loop().time
        hardware = Hardware(adapter, address, Controller(self._policy.duplicates, now))
        self._hardware[adapter] = hardware
        if self._daemon is not None:
            self._daemon.plug(hardware)

    def _adapter(self, name: str) -> Adapter:
        if self._daemon is None:
            raise RuntimeError("bluetoothd does not run: call start() first")
        return self._daemon.adapters[f"{ROOT}/{name}"]

    def _adapters(self) -> list[Adapter]:
        return [] if self._daemon is None else list(self._daemon.adapters.values())

    def _devices(self, peripheral: Peripheral) -> list[Device]:
        everything = (device for adapter in self._adapters() for device in adapter.devices())
        return [device for device in everything if device.peripheral is peripheral]


@contextlib.asynccontextmanager
async def simulated(
    address: str, policy: Policy | None = None, adapters: Mapping[str, str] | None = None
) -> AsyncIterator[Bluez]:
    """A bluetoothd on the bus at `address` for the time of the block.

    `adapters`: name -> address; one called hci0 unless said otherwise.
    """
    try:
        async with asyncio.TaskGroup() as tasks:
            bluez = Bluez(address, policy or Policy(), tasks)
            for name, own in ({HCI0: ADDRESS} if adapters is None else adapters).items():
                bluez.plug(name, own)
            await bluez.start()
            try:
                yield bluez
            finally:
                await bluez.crash()
    except BaseExceptionGroup as group:
        error: BaseException = group
        while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
            error = error.exceptions[0]
        raise error from None  # what the block raised, as it raised it

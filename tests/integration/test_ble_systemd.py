"""The last step before people are called: systemd is asked to restart bluetooth.service."""

import os

import pytest
from dbus_fast.aio import MessageBus
from dbus_fast.annotations import DBusObjectPath, DBusStr
from dbus_fast.service import ServiceInterface, dbus_method

from drivers.ble import adapter
from drivers.ble.adapter import SYSTEMD, watching
from gateway.errors import LinkDown
from tests.harness.bluez import bluez, needs_dbus

pytestmark = needs_dbus


class Manager(ServiceInterface):
    """As systemd offers it on the system bus."""

    def __init__(self) -> None:
        super().__init__(f"{SYSTEMD}.Manager")
        self.asked: list[tuple[str, str]] = []

    @dbus_method(name="RestartUnit")
    def restart_unit(self, unit: DBusStr, mode: DBusStr) -> DBusObjectPath:
        self.asked.append((unit, mode))
        return "/org/freedesktop/systemd1/job/1"


async def test_systemd_is_asked_over_d_bus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(adapter, "SETTLE_S", 0.0)
    async with bluez(), watching(None) as one:
        with pytest.raises(LinkDown, match="RestartUnit"):
            await one.restart_bluetooth()  # nobody owns the name
        bus, manager = await MessageBus(bus_address=_address()).connect(), Manager()
        try:
            bus.export("/org/freedesktop/systemd1", manager)
            await bus.request_name(SYSTEMD)
            await one.restart_bluetooth()
        finally:
            bus.disconnect()
        assert manager.asked == [("bluetooth.service", "replace")]


def _address() -> str:

    return os.environ["DBUS_SYSTEM_BUS_ADDRESS"]

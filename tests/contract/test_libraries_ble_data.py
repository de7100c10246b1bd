"""drivers/ble/scan.py tells receptions from mere property changes by the identity of bleak's data."""

from bleak import BleakClient
from bleak.backends.device import BLEDevice
from bleak.backends.scanner import AdvertisementData

from simulators.bluez.controller import Duplicates, Policy
from simulators.bluez.peripheral import Advert, Peripheral
from tests.harness.bluez import BleakScanner, bluez, needs_dbus, until

pytestmark = needs_dbus


async def test_service_data_is_a_new_object_when_it_was_received_and_the_old_one_otherwise() -> (
    None
):
    """T44: the library calls for any property that changes, with the old data in it."""
    calls: list[object] = []
    devices: dict[str, BLEDevice] = {}

    def called(device: BLEDevice, data: AdvertisementData) -> None:
        devices[device.address] = device
        calls.append(data.platform_data[1].get("ServiceData"))

    one = Peripheral("54:48:E6:8F:80:A5")
    async with bluez(Policy(duplicates=Duplicates.NONE)) as running:
        scanner = BleakScanner(called, bluez={"filters": {"DuplicateData": True}})
        async with scanner:
            for _ in range(2):
                running.advertise(one, Advert({"fcd2": b"same"}))
            await until(lambda: len(calls) == 2)
            assert calls[0] is not calls[1], "received twice, though it says the same"
            async with BleakClient(devices[one.address]):
                pass
            await until(lambda: len(calls) > 2)
    assert all(call is calls[1] for call in calls[2:])

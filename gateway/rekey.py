"""`rekey` of the control socket: a device with a new key, or a new battery, may count from the start."""

from collections.abc import Callable, Mapping

from gateway.control import Handler
from gateway.document import suggest
from gateway.driver import Device, Sealed


def rekeying(
    devices: Mapping[str, Device], drivers: Mapping[str, object], forget: Callable[[str], None]
) -> Handler:
    """`forget` takes the device's counter out of the journal, so that no restart brings it back."""

    async def rekey(request: Mapping[str, object], _uid: int) -> None:
        name = str(request.get("device"))
        device = devices.get(name)
        if device is None:
            raise ValueError(f"unknown device '{name}': {suggest(name, devices)}")
        driver = drivers.get(device.section.link)
        if not isinstance(driver, Sealed):
            what = f"{name}: its messages carry no counter against replay"
            raise ValueError(what)  # noqa: TRY004 -- ValueError is how a handler refuses
        driver.rekey(name)
        forget(name)

    return rekey

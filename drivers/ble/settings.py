"""The keys of a BLE link and of a BLE device in the configuration."""

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from gateway.driver import DeviceSection, LinkSection
from gateway.settings import Duration, Secret, wrong
from gateway.words.text import fault

_ADDRESS = re.compile(r"[0-9A-F]{2}(:[0-9A-F]{2}){5}")
KEY_BYTES = 16
_KEY = re.compile(r"[0-9a-fA-F]{32}")


def _address(value: str) -> str:
    upper = value.upper()
    if _ADDRESS.fullmatch(upper):
        return upper
    raise wrong(*fault("setting.ble_address", value=value))


Address = Annotated[str, AfterValidator(_address)]


class BleLink(LinkSection):
    """One Bluetooth adapter: {driver: ble, adapter: "DC:A6:32:11:22:33"}.

    Without `adapter` the machine must have exactly one. It is named by its address: `hci0` is
    another one after a restart.
    """

    driver: Literal["ble"]
    adapter: Address | None = None
    adapter_power: Literal["keep_on", "respect"] = "keep_on"
    silence: Annotated[Duration, Field(ge=1.0)] = 90.0  # habluetooth restarts a scan after as long
    restart_bluetooth: bool = False


class BleDevice(DeviceSection):
    """One device that advertises, or that is connected (`dialect: gatt`)."""

    address: Address
    key: Secret | None = None
    require_encryption: bool | None = None
    act_on_plain: bool = False
    heartbeat: Annotated[Duration, Field(ge=1.0)] = 60.0
    grace: Annotated[Duration, Field(ge=0.0)] = 120.0

    @property
    def secret(self) -> bytes | None:
        """The bind key; None if there is none, or none of 32 hex digits."""
        text = self.key.get_secret_value() if self.key is not None else ""
        return bytes.fromhex(text) if _KEY.fullmatch(text) else None

    def sealed(self, *, life: bool) -> bool:
        """Plain frames are refused. `life`: the device has points of severity life."""
        if self.require_encryption is not None:
            return self.require_encryption
        return self.key is not None or life

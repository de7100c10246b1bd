"""What the MQTT driver remembers of one device."""

from dataclasses import dataclass

from drivers.mqtt.admit import Pace
from drivers.mqtt.lamp import LampWatch
from drivers.mqtt.settings import MqttDevice, level_of
from gateway.driver import Device
from gateway.health import DeviceHealth

NS_PER_MS = 1_000_000


@dataclass(slots=True)
class Peer:
    """What the driver remembers of one device."""

    device: Device
    section: MqttDevice
    health: DeviceHealth
    pace: Pace
    lamps: tuple[LampWatch, ...] = ()
    native: bool = True  # it waits for our acknowledgement
    last_time_ns: int = 0
    without_ids: bool = False
    heard_ns: int = 0  # CLOCK_BOOTTIME of the last message of its own, 0: none
    silent: bool | None = None  # for longer than it may be; None: nothing was heard yet
    _remarked: tuple[bool | None, ...] = ()

    def __post_init__(self) -> None:
        self.health.level = level_of(self.device)
        self.native = self.device.profile.dialect == "native"

    @property
    def topic_id(self) -> str:
        return self.section.topic_id

    def time_ns(self, now_ns: int) -> int:
        """`now_ns` to the millisecond, plus 1 ns for each earlier message of the same one.

        (device, time) identifies a sample upstream, and round times compress well.
        """
        time_ns = now_ns - now_ns % NS_PER_MS
        if self.last_time_ns - self.last_time_ns % NS_PER_MS == time_ns:
            time_ns = self.last_time_ns + 1
        self.last_time_ns = time_ns
        return time_ns

    def remark(self) -> None:
        """Without an id there is nothing that we could acknowledge to the device."""
        now = (self.health.online, self.silent, self.without_ids)
        if now == self._remarked:  # it is called for every message
            return
        self._remarked = now
        remarks = {
            "offline": self.health.online is False,
            "silent": self.silent is True,
            "no message ids: at least once": self.without_ids,
        }
        self.health.level = "L1" if self.without_ids else level_of(self.device)
        self.health.note = "; ".join(text for text, holds in remarks.items() if holds)

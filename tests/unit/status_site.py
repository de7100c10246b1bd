"""A gateway for the tests of status and of its pages: the parts that `status` asks, filled by hand."""

from collections.abc import Mapping

from gateway.driver import Device, DeviceSection
from gateway.health import DeviceHealth, LinkHealth, LinkState
from gateway.lag import Lag
from gateway.model import EMPTY, Quality, Sample, Severity, Value
from gateway.own import own_device
from gateway.profile import Profile
from gateway.snapshot import AuditPart, ConfigPart, NotificationsPart, StorePart
from gateway.spare import Spare
from gateway.state import State
from gateway.status import Alarm, Lane
from tests.harness.clock import FakeClock

METER = Profile.model_validate({
    "profile": "test-meter", "type": "meter", "facility": "utilities", "protocol": "test",
    "sources": ["tests"], "status": "bench",
    "points": [
        {"id": "elec.voltage.a", "unit": "V"}, {"id": "elec.power.total", "unit": "W"},
        {"id": "alarm.tamper", "severity": "safety"},
    ],
})  # fmt: skip
SENSOR = METER.model_copy(
    update={"points": [METER.points[0].model_copy(update={"stale_after": 300.0})]}
)


OWN = own_device()


class Link:
    def __init__(self, health: LinkHealth) -> None:
        self.health = health
        self.devices: dict[str, DeviceHealth] = {}


class Site:
    """Implements `gateway.status.Sources`; every meter is polled each 10 s."""

    gateway_id, gateway_name, loop_name = "gw-test-01", "玉华苑 1 号网关", "asyncio"

    def __init__(self) -> None:
        self.safe_mode = ""
        self.clock = FakeClock()
        self.clock.advance(1000)
        self.started_ns = self.clock.boottime_ns()
        self.lag = Lag()
        self.spare = Spare()
        self.devices: dict[str, Device] = {}
        self.own = OWN
        self.drivers: dict[str, Link] = {}
        self.state = State({})
        self.active: list[Alarm] = []
        self.upstreams: dict[str, tuple[LinkHealth, list[Lane]]] = {}
        self.notices: NotificationsPart = {
            "recipients": 0, "open": 0, "waiting": [], "counters": {},
        }  # fmt: skip
        self.storage: StorePart = {
            "state": "ok", "reason": "", "directory": "/var/lib/gateway", "epoch": 3, "queued": 0,
            "bytes_on_disk": 12_300_000, "free_bytes": 5_000_000_000, "commit_ms_p99": 4.2,
            "written": 902, "dropped": {}, "evicted": {}, "undelivered": 0, "reserve": True,
            "telemetry_bytes": 9_000_000, "telemetry_quota": 2_000_000_000, "alarm_bytes": 40_000,
            "alarm_quota": 64_000_000,
        }  # fmt: skip

    def link(self, name: str, state: LinkState = LinkState.UP, reason: str = "") -> Link:
        self.drivers[name] = Link(LinkHealth(state, self.clock.boottime_ns(), reason))
        return self.drivers[name]

    def device(
        self, name: str, link: str = "meters", profile: Profile = METER, title: str = ""
    ) -> Device:
        if link not in self.drivers:
            self.link(link)
        section = DeviceSection(profile=profile.profile, link=link, name=title)
        self.devices[name] = Device(name, profile, section)
        return self.devices[name]

    def upstream(
        self, name: str, state: LinkState = LinkState.UP, reason: str = "", *lanes: Lane
    ) -> None:
        self.upstreams[name] = (LinkHealth(state, self.clock.boottime_ns(), reason), list(lanes))

    def show(
        self, device: str, values: Mapping[str, Value], quality: Mapping[str, Quality] = EMPTY
    ) -> None:
        self.state.update(
            Sample(device, self.clock.time_ns(), self.clock.boottime_ns(), 1, True, values, quality)
        )

    def alarm(self, device: str, title: str = "Voltage high") -> None:
        since_ns = self.clock.boottime_ns()
        self.active.append(
            Alarm(f"over[{device}]", "over", device, Severity.SAFETY, title, since_ns)
        )

    def notice(self, recipient: str, text: str, since_s: float, reason: str) -> None:
        self.notices["recipients"] = 2
        self.notices["open"] += 1
        self.notices["waiting"].append(
            {"id": f"n-{self.notices['open']}", "recipient": recipient, "severity": "safety", "text": text,
             "since_s": since_s, "attempts": 3, "reason": reason}
        )  # fmt: skip

    def driver_name(self, link: str) -> str:
        return "ble" if link.startswith("ble") else "test"

    def alarms(self) -> list[Alarm]:
        return self.active

    def sinks(self) -> Mapping[str, tuple[LinkHealth, list[Lane]]]:
        return self.upstreams

    def store(self) -> StorePart:
        return self.storage

    def counters(self) -> dict[str, int]:
        return {"samples": 900, "duplicates": 1}

    def command_counters(self) -> dict[str, int]:
        return {"confirmed": 2}

    def config_part(self) -> ConfigPart:
        return {"sha256": "c0ffee", "note": "", "retiring": []}

    def notifications(self) -> NotificationsPart:
        return self.notices

    def audit_part(self) -> AuditPart:
        return {"failing": "", "n": 3, "hash": "0" * 64, "lost": 0}


def healthy() -> Site:
    """Two meters on one link, a platform, everything well."""
    site = Site()
    for name in ("meter-1", "meter-2"):
        site.device(name)
        site.show(name, {"elec.voltage.a": 230.1, "elec.power.total": 410.0})
    site.upstream(
        "platform", LinkState.UP, "", Lane(0, 0, None, 0.0, 7, 0), Lane(2, 12, None, 3.5, 900, 0)
    )
    return site

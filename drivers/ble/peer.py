"""What is known of one device that advertises, and what one more frame of it means. No I/O.

docs/ble.md, "Who is believed", is the policy that stands here.
"""

from collections import Counter
from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

from drivers.ble import beacons, bthome, mibeacon
from drivers.ble.frame import (
    APPLE,
    BTHOME_UUID,
    EDDYSTONE_UUID,
    MIBEACON_UUID,
    Advert,
    Frame,
    Refusal,
)
from drivers.ble.guard import Guard, Verdict
from drivers.ble.hearing import Hearing
from drivers.ble.place import ONLINE, SILENT_POINT, Places, is_life, terms_of
from drivers.ble.recent import Recent
from drivers.ble.settings import BleDevice
from gateway.driver import Device
from gateway.health import DeviceHealth
from gateway.model import EMPTY, SILENT, Quality, Severity, Value

NS = 1_000_000_000
NO_VALUES: Mapping[str, Value] = MappingProxyType({})
WRONG_KEY = 3  # frames in a row that the key does not open; a single one may be damaged
REPEAT_NS = {  # of one suspicion of one device
    "downgrade": 3600 * NS,
    "replay_suspected": 600 * NS,
    "wrong_key": 3600 * NS,
}
REKEY = "needs_rekey: its counter went back. After a battery change: gateway devices rekey {}"
NOT_OPENED = "the key does not fit: {} frames in a row could not be opened"


class Suspicion(NamedTuple):
    """Attributes of an event; `points` are those that the frame spoke of."""

    reason: str
    severity: Severity
    points: tuple[str, ...] = ()


class Taken(NamedTuple):
    """What one advert led to. `rests` is to be published after `values`: events are over at once."""

    values: Mapping[str, Value] = NO_VALUES
    quality: Mapping[str, Quality] = EMPTY
    rests: Mapping[str, Value] = NO_VALUES
    counter: int | None = None
    suspicion: Suspicion | None = None


NOTHING = Taken()


class Peer:
    """Times are CLOCK_BOOTTIME ns. Raises AtError for a profile that `check_profile` refuses."""

    def __init__(self, device: Device, section: BleDevice, health: DeviceHealth) -> None:
        self.device, self.section, self.health = device, section, health
        self.id, profile = device.id, device.profile
        terms = terms_of(profile)
        self.interval_s = terms.interval
        self.alarms = any(one >= Severity.SAFETY for one in profile.alarms.values())
        self._product = terms.product
        self._key = section.secret
        self._sealed = section.sealed(life=is_life(profile))
        self._told = [name for name in (SILENT_POINT, ONLINE) if name in profile.by_id]
        self._unknown = [
            point.id
            for point in profile.points
            if point.at is not None and point.kind != "event" and not point.latched
        ]
        self._places = Places(profile)
        self.guard = Guard()
        self.hearing = Hearing(terms.interval)
        health.hearing = self.hearing.told
        self._recent = Recent()
        self._suspected_ns: dict[str, int] = {}
        self._unopened = 0
        self._triggered = False
        self._since_ns = 0  # supervised since then, or heard last
        self.missing: bool | None = None  # None: nobody was told yet
        self.last_time_ns = 0
        self.copies = 0  # receptions that say nothing new: no fault

    @property
    def seals(self) -> bool:
        return self._key is not None

    def begin(self, now_ns: int, last: int | None) -> None:
        """The adapter hears from now on; `last` is the stored counter."""
        self.guard.restore(last)
        self._since_ns = max(self._since_ns, now_ns)

    def forget(self) -> None:
        """The operator says that its counter began anew."""
        self.guard.forget()
        self.health.note = ""

    @property
    def supervise_s(self) -> float | None:
        """Missing after so long. A device that only sends when something happens has no such time,
        unless the configuration gives one.
        """
        if self._triggered and self.section.supervise is None:
            return None
        return self.device.supervise

    def due_ns(self) -> int | None:
        """When it is missing if it is not heard before; None: it is not supervised, or missing."""
        if self.missing or self.supervise_s is None:
            return None
        return self._since_ns + round(self.supervise_s * NS)

    def lost(self) -> Taken:
        """It was not heard in time: what is to be published."""
        self.missing = True
        self.health.errors["silent"] += 1
        return Taken(self._presence(), dict.fromkeys(self._unknown, SILENT))

    def take(self, advert: Advert) -> Taken:
        """One reception, of whatever it carries."""
        self.hearing.advert(advert.received_ns, advert.rssi)
        frame = self._parse(advert)
        if frame is None:
            return NOTHING
        self._triggered = frame.triggered
        if not frame.usable:
            return self._unreadable(frame, advert.received_ns)
        if frame.refused is not None:
            self.health.errors[frame.refused.value] += 1
        if frame.encrypted and frame.counter is not None:
            return self._opened(frame, frame.counter, advert.received_ns)
        if self._sealed:
            return self._plain_refused(frame, advert.received_ns)
        return self._plain(frame, advert.received_ns)

    def _parse(self, advert: Advert) -> Frame | None:
        if (data := advert.service.get(BTHOME_UUID)) is not None:
            return bthome.parse(advert.address, data, self._key)
        if (data := advert.service.get(MIBEACON_UUID)) is not None:
            return mibeacon.parse(advert.address, data, self._key)
        if (data := advert.service.get(EDDYSTONE_UUID)) is not None:
            return beacons.parse_eddystone(data)
        if (data := advert.company.get(APPLE)) is not None:
            return beacons.parse_ibeacon(data)
        return None

    def _unreadable(self, frame: Frame, now_ns: int) -> Taken:
        reason = frame.refused or Refusal.FOREIGN
        self.health.errors[str(reason)] += 1
        if reason is Refusal.NO_KEY:
            self.health.note = "it encrypts, and the configuration has no key"
        if reason is not Refusal.MIC:
            return NOTHING
        self._unopened += 1
        if self._unopened < WRONG_KEY:
            return NOTHING
        self.health.note = NOT_OPENED.format(WRONG_KEY)
        return self._suspect("wrong_key", now_ns)

    def _opened(self, frame: Frame, counter: int, now_ns: int) -> Taken:
        """Only now the counter may be believed."""
        if self._product is not None and frame.product not in {None, self._product}:
            self.health.errors["other_product"] += 1
            return NOTHING
        verdict = self.guard.judge(counter, frame.payload, silent=self._silent(now_ns))
        if verdict is Verdict.COPY:
            self.copies += 1
            return NOTHING
        if verdict is Verdict.OLD:
            self.health.errors["old_counter"] += 1
            self.health.note = REKEY.format(self.id)
            return self._suspect("replay_suspected", now_ns, tuple(self._places.names(frame)))
        self._unopened = 0
        self.health.note = ""
        self.hearing.frame(counter, 2**32)
        taken = self._read(frame, now_ns)._replace(counter=counter)
        if verdict is Verdict.RESTARTED:
            told = Suspicion("counter_restarted", Severity.OPERATIONAL)
            return taken._replace(suspicion=told)
        return taken

    def _plain_refused(self, frame: Frame, now_ns: int) -> Taken:
        if not frame.objects:
            return NOTHING  # it only says that it is there
        self.health.errors["plain"] += 1
        return self._suspect("downgrade", now_ns, tuple(self._places.names(frame)))

    def _plain(self, frame: Frame, now_ns: int) -> Taken:
        if frame.packet is not None and not self._recent.known(frame.packet):
            self.hearing.frame(frame.packet, 256)
        self.health.note = ""
        return self._read(frame, now_ns)

    def _read(self, frame: Frame, now_ns: int) -> Taken:
        """What a frame that is believed says; nothing if it was said a moment ago."""
        again = self._recent.again(frame.packet, frame.payload, now_ns)
        self._since_ns = now_ns
        if again.drop and not self.missing and not frame.encrypted:
            self.copies += 1
            return NOTHING
        found = self._places.read(frame)
        if again.event:
            for name in found.pulses:
                del found.values[name]
            found.pulses.clear()
        self.health.good += 1
        self.health.last_good_ns = now_ns
        self.health.errors.update(Counter(one.reason for one in found.quality.values()))
        if self.missing is not False:
            self.missing = False
            found.values.update(self._presence())
        return Taken(found.values, found.quality or EMPTY, found.pulses)

    def _presence(self) -> dict[str, Value]:
        """The points that tell whether the device is there."""
        states = {SILENT_POINT: bool(self.missing), ONLINE: not self.missing}
        return {name: states[name] for name in self._told}

    def _silent(self, now_ns: int) -> bool:
        """It was away for longer than it should be: a battery may have been changed."""
        supervise_s = self.supervise_s
        return supervise_s is not None and now_ns - self._since_ns > supervise_s * NS

    def _suspect(self, reason: str, now_ns: int, points: tuple[str, ...] = ()) -> Taken:
        last_ns = self._suspected_ns.get(reason)
        if last_ns is not None and now_ns - last_ns < REPEAT_NS[reason]:
            return NOTHING
        self._suspected_ns[reason] = now_ns
        return Taken(suspicion=Suspicion(reason, Severity.SAFETY, points))

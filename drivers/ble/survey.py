"""Who is in the air: what each sender showed so far, and which profile reads it. Pure, bounded."""

from collections import Counter, OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from drivers.ble import beacons, bthome, characteristic, mibeacon
from drivers.ble.frame import (
    APPLE,
    BTHOME_UUID,
    EDDYSTONE_UUID,
    MIBEACON_UUID,
    Advert,
    Frame,
    Object,
    Refusal,
    Wire,
)
from drivers.ble.place import DIALECTS, Places, place_of, terms_of
from gateway.model import Value
from gateway.profile import Profile

MOST = 500  # senders; a shopping street in the evening has as many
MAX_NAME = 64  # characters; an advert holds 31 bytes
_BATTERY = characteristic.uuid_of("180f")  # nearly everybody has it: no sign of a model
_CERTAIN = 100  # signs; no model shows as many points

Key = tuple[Wire, int | str, int]  # where an object is: format, id, which of several


class Heard(NamedTuple):
    """One reception. `name` and `services` (128-bit UUIDs) are "" and () where the advert has none."""

    advert: Advert
    name: str = ""
    services: Sequence[str] = ()


@dataclass(slots=True)
class Sender:
    """One address, all receptions so far. `objects` are the newest of each place."""

    address: str
    name: str = ""
    count: int = 0
    rssi: int = 0
    first_ns: int = 0
    last_ns: int = 0
    services: frozenset[str] = frozenset()
    frames: dict[Wire, Frame] = field(default_factory=dict)
    objects: dict[Key, Object] = field(default_factory=dict)

    @property
    def locked(self) -> bool:
        """It encrypts, and we have no key, or a wrong one."""
        return any(f.refused in {Refusal.NO_KEY, Refusal.MIC} for f in self.frames.values())

    def take(self, heard: Heard, key: bytes | None) -> None:
        advert = heard.advert
        self.count += 1
        self.rssi, self.last_ns = advert.rssi, advert.received_ns
        self.first_ns = self.first_ns or advert.received_ns
        self.name = "".join(c for c in heard.name if c.isprintable())[:MAX_NAME] or self.name
        self.services |= frozenset(heard.services)
        for frame in frames(advert, key):
            self.frames[frame.wire] = frame
            if frame.usable:
                self.objects |= {(frame.wire, o.id, o.nth): o for o in frame.objects}


class Survey:
    """`keys`: of the devices that the configuration knows, by address."""

    def __init__(self, keys: Mapping[str, bytes]) -> None:
        self.forgotten = 0  # receptions of senders that were crowded out
        self._keys = keys
        self._senders: OrderedDict[str, Sender] = OrderedDict()

    @property
    def senders(self) -> list[Sender]:
        """The strongest first."""
        return sorted(self._senders.values(), key=lambda s: (-s.rssi, s.address))

    def take(self, heard: Heard) -> None:
        address = heard.advert.address
        sender = self._senders.setdefault(address, Sender(address))
        self._senders.move_to_end(address)
        sender.take(heard, self._keys.get(address))
        if len(self._senders) > MOST:
            self.forgotten += self._senders.popitem(last=False)[1].count


def frames(advert: Advert, key: bytes | None) -> Iterator[Frame]:
    """Every frame of the advert that is in a format that we read."""
    if (data := advert.service.get(BTHOME_UUID)) is not None:
        yield bthome.parse(advert.address, data, key)
    if (data := advert.service.get(MIBEACON_UUID)) is not None:
        yield mibeacon.parse(advert.address, data, key)
    if (data := advert.service.get(EDDYSTONE_UUID)) is not None:
        yield beacons.parse_eddystone(data)
    if (data := advert.company.get(APPLE)) is not None:
        frame = beacons.parse_ibeacon(data)
        if frame.usable:  # phones of that maker fill the air with frames of other kinds
            yield frame


class Fit(NamedTuple):
    """A profile that reads a sender: `values` is what it would show now."""

    profile: Profile
    values: Mapping[str, Value]


class Profiles:
    """The BLE profiles of a site, to be compared with what is in the air."""

    def __init__(self, profiles: Sequence[Profile]) -> None:
        adverts = [profile for profile in profiles if profile.dialect in DIALECTS]
        self._keys = [(profile, _keys(profile)) for profile in adverts]
        self._connected = [p for p in profiles if p.dialect == characteristic.DIALECT]
        shown = Counter(key for _, keys in self._keys for key in keys)
        # What most models show, as a battery, is no sign of any.
        self._common = {key for key, count in shown.items() if count > max(1, len(adverts) / 2)}

    def fit(self, sender: Sender) -> Fit | None:
        """The profile that reads most of it, of equals the one with the fewest points that never came.

        None: no profile reads it, or it is locked and nothing else tells its model.
        """
        found = [(self._rank(sender, keys, profile), profile) for profile, keys in self._keys]
        found += [(_connected_rank(sender, profile), profile) for profile in self._connected]
        best = max(found, key=lambda one: (one[0], one[1].profile), default=None)
        if best is None or best[0] <= (0, 0):
            return None
        return Fit(best[1], _values(sender, best[1]))

    def _rank(self, sender: Sender, keys: frozenset[Key], profile: Profile) -> tuple[int, int]:
        """(signs that it is this model, minus the points that were not shown)."""
        product = terms_of(profile).product
        if product is not None:
            ours = any(frame.product == product for frame in sender.frames.values())
            return (_CERTAIN, 0) if ours else (0, 0)
        shown = keys & sender.objects.keys()
        return len(shown - self._common), len(shown) - len(keys)


def _connected_rank(sender: Sender, profile: Profile) -> tuple[int, int]:
    wanted = {place.service for place in characteristic.places(profile).values()}
    shown = (sender.services & wanted) - {_BATTERY}
    return len(shown), len(shown) - len(wanted)


def _keys(profile: Profile) -> frozenset[Key]:
    places = (place_of(p.at, profile.dialect) for p in profile.points if p.at is not None)
    return frozenset((place.wire, place.id, place.nth) for place in places)


def _values(sender: Sender, profile: Profile) -> dict[str, Value]:
    values: dict[str, Value] = {}
    if profile.dialect != characteristic.DIALECT:
        places = Places(profile)
        for wire in sender.frames:
            objects = tuple(one for key, one in sender.objects.items() if key[0] is wire)
            values |= places.read(Frame(wire, objects)).values
    return values

"""Failed lamps: commanded on, and no power is drawn for a while. Pure."""

from collections.abc import Mapping

from drivers.mqtt.address import Lamp, parse_place
from gateway.model import Value
from gateway.profile import Profile

NS_PER_S = 1_000_000_000


class LampWatch:
    """Works out one alarm point of one device from its messages.

    The lamp should burn when the device says that it does, or when a command asked for it and the
    device has not said since that it did: a broken lamp often reports that it is off. The alarm
    begins `hold` after the first report of too little power; many devices report changes only, so
    another one need not come. It ends when power is drawn; switching a failed lamp off does not mend
    it.
    """

    def __init__(self, point: str, rule: Lamp) -> None:
        self.point = point
        self._rule = rule
        self._lit = self._asked = False
        self._since_ns: int | None = None
        self._failed: bool | None = None  # None: not known yet

    def commanded(self, point: str, value: Value) -> None:
        """A command was published."""
        if point == self._rule.lit:
            self._asked = bool(value)

    def take(self, values: Mapping[str, Value], now_ns: int) -> bool | None:
        """The state of the alarm after a live message; None while nobody can say."""
        lit, power = values.get(self._rule.lit), values.get(self._rule.power)
        if lit is not None:
            self._lit = bool(lit)
            self._asked = self._asked and not self._lit
        if not (self._lit or self._asked):
            self._since_ns = None
        elif self._since_ns is None and _below(power, self._rule.below):
            self._since_ns = now_ns
        if isinstance(power, int | float) and power > self._rule.below:
            self._since_ns, self._failed = None, False
        self.due(now_ns)
        return self._failed

    def due(self, now_ns: int) -> bool:
        """The alarm begins now; asked with every message, and while none comes."""
        since_ns, before = self._since_ns, self._failed
        if since_ns is not None and now_ns - since_ns >= self._rule.hold * NS_PER_S:
            self._failed = True
        return self._failed is True and before is not True


def _below(power: Value | None, limit: float) -> bool:
    return isinstance(power, int | float) and power <= limit


def lamp_watches(profile: Profile) -> tuple[LampWatch, ...]:
    """One for each point of the profile that is worked out so."""
    places = ((p.id, parse_place(p.at)) for p in profile.points if isinstance(p.at, dict))
    return tuple(LampWatch(name, place) for name, place in places if isinstance(place, Lamp))

"""Refused messages that somebody should know of: an event for the first, then one a minute."""

from collections import Counter

from drivers.mqtt.admit import Bucket
from gateway.clock import Clock
from gateway.model import Event, EventKind, Severity, uuid7

TELL_NS = 60_000_000_000  # a flood of forged messages must not fill the journal
# Of all devices of a link together: one a second, 60 at once. What is not told now is told later.
ALL_RATE, ALL_BURST = 1.0, 60.0
# Reasons that tell of a device that is not what it should be. Payloads that cannot be read are
# counted only: they are faults of a device, and no attempt at anything.
AUDITED = frozenset({"identity_mismatch", "no_identity", "too_fast", "retained"})


class Refusals:
    """Remembers by device and reason when it told last, and how many came since.

    As many entries as there are devices and reasons of `AUDITED`, whatever comes in.
    """

    def __init__(self, link: str, clock: Clock) -> None:
        self._link = link
        self._clock = clock
        self._told_ns: dict[tuple[str, str], int] = {}
        self._all = Bucket(ALL_RATE, ALL_BURST)
        self._since: Counter[tuple[str, str]] = Counter()

    def event(self, device: str, topic: str, reason: str) -> Event | None:
        """What the journal should have of this refusal; None if it was told of just now."""
        if reason not in AUDITED:
            return None
        key = device, reason
        self._since[key] += 1
        now_ns = self._clock.boottime_ns()
        told_ns = self._told_ns.get(key)
        if (told_ns is not None and now_ns - told_ns < TELL_NS) or not self._all.take(now_ns):
            return None
        self._told_ns[key] = now_ns
        count = self._since.pop(key)
        attributes = {"reason": reason, "link": self._link, "topic": topic, "count": count}
        return own_event(self._clock, EventKind.MESSAGE_REFUSED, Severity.OPERATIONAL, device, attributes)  # fmt: skip


def own_event(
    clock: Clock, kind: EventKind, severity: Severity, device: str, attributes: dict[str, object]
) -> Event:
    """An event that the driver itself makes, now."""
    now_ns = clock.time_ns()
    return Event(
        uuid7(now_ns), kind, severity, device, now_ns, clock.boottime_ns(), clock.boot, clock.ok,
        attributes,
    )  # fmt: skip

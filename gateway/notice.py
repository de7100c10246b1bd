"""One notification on its way to a recipient, made from the event that keeps it over restarts."""

import asyncio
from dataclasses import dataclass, field
from enum import StrEnum
from hashlib import blake2b
from uuid import UUID

from gateway.clock import Clock
from gateway.model import Event


class Ending(StrEnum):
    DELIVERED = "delivered"  # the broker, or the platform, has it
    EXPIRED = "expired"  # not within the recipient's `expires`
    DROPPED = "dropped"  # too many were open
    GONE = "gone"  # its recipient is no longer configured


@dataclass(slots=True, eq=False)
class Notice:
    """`event` is the `notification` that says what it is about; `since_ns` is CLOCK_BOOTTIME of this boot.

    `reason` is why the last attempt failed. `ending` is None while it is open; then `done` is set.
    """

    event: Event
    since_ns: int
    attempts: int = 0
    reason: str = ""
    ending: Ending | None = None
    done: asyncio.Event = field(default_factory=asyncio.Event)
    task: "asyncio.Task[None] | None" = None

    @property
    def id(self) -> UUID:
        """The same over restarts."""
        return self.event.event_id

    @property
    def recipient(self) -> str:
        return str(self.event.attributes.get("recipient"))

    @property
    def text(self) -> str:
        return str(self.event.attributes.get("text"))

    @property
    def by(self) -> str:
        return str(self.event.attributes.get("by"))

    @property
    def key(self) -> str:
        return str(self.event.attributes.get("key", ""))

    @property
    def slot(self) -> int | None:
        """Under which the journal keeps it; None for one that found no room."""
        slot = self.event.attributes.get("slot")
        return slot if isinstance(slot, int) else None


def key_of(recipient: str, text: str, cause: UUID | None, occasion: str = "") -> str:
    """What makes two notifications the same one; "" if nothing does: a person may say things twice."""
    if cause is None:
        return ""
    return blake2b(f"{recipient}\0{text}\0{cause}\0{occasion}".encode(), digest_size=16).hexdigest()


def since_ns(event: Event, clock: Clock) -> int:
    """When a notification of an earlier life was sent, in CLOCK_BOOTTIME of this boot.

    Of an earlier boot only the wall clock tells; if it is not known to be right, it counts as new.
    """
    if event.boot == clock.boot:
        return event.received_ns
    known = clock.ok and event.clock_ok
    age_ns = max(0, clock.time_ns() - event.time_ns) if known else 0
    return clock.boottime_ns() - age_ns

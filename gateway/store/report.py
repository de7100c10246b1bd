"""What the writer thread tells the event loop."""

from asyncio import Future
from collections.abc import Sequence
from typing import NamedTuple

from gateway.errors import StoreFailed, StoreFull
from gateway.model import Event
from gateway.store.files import OpenFiles
from gateway.store.journal import Usage, Written
from gateway.store.retention import Evicted, Holding


class Commit(NamedTuple):
    """What became durable, told to the event loop."""

    written: Sequence[Written]
    events: int
    samples: int
    bytes: int  # of memory that the samples took
    intents: Sequence["Future[None]"]
    duration_ms: float
    segment: int | None  # the newest one


class Fault(NamedTuple):
    """A commit failed; `intents` are commands whose intent is not on disk and will not be."""

    error: StoreFailed | StoreFull
    intents: Sequence["Future[None]"]


class Shed(NamedTuple):
    """Events that were given up, because storage fails and too many wait."""

    events: Sequence[Event]


class Reopened(NamedTuple):
    """The files were opened anew: what is known about them comes from them."""

    files: OpenFiles


class Rescued(NamedTuple):
    """A damaged core.db is taken over: `events` of it, while `damaged` rows cannot be read."""

    events: int
    damaged: int


class Works(NamedTuple):
    """Everything that waited is on disk again."""


class Full(NamedTuple):
    """Samples are not stored for want of room: who waits for one is told."""

    error: StoreFull


Report = Commit | Fault | Full | Shed | Reopened | Rescued | Works | Usage | Evicted | Holding

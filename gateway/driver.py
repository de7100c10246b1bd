"""The contract between the gateway and a protocol driver. docs/drivers.md shows how to write one."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import entry_points
from typing import Annotated, Literal, NamedTuple, Protocol, runtime_checkable

from pydantic import BeforeValidator, Field, PlainValidator

from gateway.clock import Clock
from gateway.health import DeviceHealth, LinkHealth
from gateway.model import Command, CommandResult, Item
from gateway.profile import Profile
from gateway.settings import Duration, Id, Section, Text, wrong
from gateway.site_limit import SiteLimit, read_limit
from gateway.snapshot import StrangerPart
from gateway.strategy import Strategy
from gateway.words.text import fault

GROUP = "gateway.drivers"


class Publisher(Protocol):
    """What a driver may do with the bus."""

    async def publish(self, item: Item, *, held: bool = False) -> Item:
        """Hand one item to state, point alarms, rules and the store; never waits.

        Returns the item with its input number; for a repeat of a `(device, source_id)` that was
        seen before, the number of the first one, and nothing else happens. `held` says that the
        source keeps the item until it is acknowledged: such an item is never dropped.
        """

    async def commit(self, item: Item) -> None:
        """Wait until what `publish` returned is on disk; only then acknowledge it to its source.

        Raises StoreFull or StoreFailed while it cannot be: do not acknowledge. The item stays with
        the store: call again, or leave; a repeat with the same `source_id` is no second item.
        """

    async def room(self) -> None:
        """Wait until the store takes telemetry: an acknowledging source calls it before it reads on."""

    def remembers(self, device: str) -> bool:
        """The journal has a message of this device that had an id, also from before a restart."""

    def last_counter(self, device: str) -> int | None:
        """`Sample.counter` of the last sample of a device that was published with one, also by an
        earlier process; None: there was none, or it was forgotten.
        """


class Poll(Section):
    """Poll periods of the two classes that a profile's points name."""

    fast: Duration = 10.0
    slow: Duration = 60.0


def _poll(value: object) -> object:
    return value if isinstance(value, dict | Poll) else {"fast": value, "slow": value}


def _strategy(value: object) -> object:
    if value is None:
        raise wrong(*fault("setting.strategy"))
    return None if value == "all" else value


def _label(value: object) -> str | dict[str, str]:
    if isinstance(value, str):
        return value
    if isinstance(value, dict) and all(isinstance(text, str) for text in value.values()):
        return dict(value)
    raise wrong(*fault("setting.label", value=repr(value)))


# What an element of an array is, for people.
Label = Annotated[str | dict[str, str], PlainValidator(_label)]


class LinkSection(Section):
    """What every link has; a driver's own model adds its keys."""

    driver: str


class DeviceSection(Section):
    """What every device has; a driver's own model adds its keys."""

    profile: str
    link: Id
    name: Text = ""
    enabled: bool = True
    poll: Annotated[Poll, BeforeValidator(_poll)] = Poll()
    tags: Annotated[dict[str, str], Field(max_length=16)] = {}
    # By point, or by a pattern with `*`; None (written `all`): every value, whatever the profile says.
    report: dict[str, Annotated[Strategy | None, BeforeValidator(_strategy)]] = {}
    limits: dict[str, Annotated[SiteLimit, PlainValidator(read_limit)]] = {}
    labels: dict[str, dict[str, Label]] = {}  # by array and number of the element
    decisions: dict[str, str] = {}  # by contested point: which of its readings is right here
    supervise: Duration | None = None  # instead of the profile's
    groups: Annotated[list[Id], Field(max_length=16)] = []  # commands to one of them go to it too


# Common device keys that later versions bring.
NOT_YET = frozenset({"delivery"})


class Device(NamedTuple):
    """A configured device: its id, its model, its section of the configuration."""

    id: str
    profile: Profile
    section: DeviceSection

    @property
    def supervise(self) -> float | None:
        """Seconds of silence after which the device is missing; None: nobody watches."""
        own = self.section.supervise
        return self.profile.supervise if own is None else own


def stale_after_s(device: Device) -> float:
    """How long a device may be silent: as it is supervised, else three fast periods, or longer
    where its points say so.
    """
    if device.supervise is not None:
        return device.supervise
    return max([3 * device.section.poll.fast, *(p.stale_after or 0 for p in device.profile.points)])


class Driver(Protocol):
    """One protocol on one link. Opens nothing before `run`.

    `run` works until it is cancelled and never returns; it raises LinkDown or Refused when the
    peer fails and has closed everything it opened by then. Drivers never reconnect: the
    supervisor starts `run` again.
    """

    @property
    def health(self) -> LinkHealth: ...
    @property
    def devices(self) -> Mapping[str, DeviceHealth]: ...

    async def run(self, bus: Publisher) -> None: ...

    async def write(self, command: Command) -> CommandResult:
        """Write once and return WRITTEN; raises LinkDown or Refused. Confirming is not its task."""


@runtime_checkable
class Broadcaster(Protocol):
    """A driver that can tell many devices with one message."""

    def group_target(self, device: str, command: Command) -> tuple[str, bytes] | None:
        """(topic, payload) that tell the group `command.device` at once, in the words of its member
        `device`; None: there is no such topic.
        """

    async def write_group(
        self, devices: Sequence[str], topic: str, payload: bytes, command: Command
    ) -> CommandResult:
        """As `write`, for all `devices` at once."""


@runtime_checkable
class Announcer(Protocol):
    """A driver that can tell something to those who are no devices: sounders, displays."""

    async def announce(self, topic: str, payload: bytes, *, expiry_s: int) -> None:
        """Returns when the peer has taken it for somebody; too late for them after `expiry_s`.

        Raises LinkDown, Refused or TimeoutError: it may have been taken or not.
        """


@runtime_checkable
class Listener(Protocol):
    """A driver that hears devices that nobody configured, e.g. behind a broker."""

    def strangers(self) -> list[StrangerPart]:
        """Who they are, the latest first; a bounded number."""


@runtime_checkable
class Sealed(Protocol):
    """A driver whose devices seal messages with a counter that only rises."""

    def rekey(self, device: str) -> None:
        """The next message counts as the first one, whatever its counter.

        Raises ValueError with the reason for a device that seals nothing.
        """


class Finding(NamedTuple):
    """What a driver's own check found wrong, at `path` below the link or device that it names.

    A `note` is told and stops nothing.
    """

    section: Literal["links", "devices"]
    name: str
    path: tuple[str | int, ...]
    what: str
    fix: str
    note: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class DriverSpec:
    """What the entry point of a driver gives; importing it must not import the protocol library.

    `check_profile` parses every `at` of a profile and runs its vectors: it returns
    (path, what, fix) for each fault. `check` looks at one link with all its devices. `owned`
    names what only one link may use (a serial port, a host and port) and the key that says so.
    `counter_ranges` tells between which numbers (unit of the point) the registers of counters run.
    `announces`: its driver is an `Announcer`.
    `forgeable` tells why a stranger could send what this device sends, None if nobody can.
    `marks` are what two devices must not share to be two independent witnesses, by name: address, key.
    """

    name: str
    protocols: frozenset[str]
    link: type[LinkSection]
    device: type[DeviceSection]
    build: Callable[[str, LinkSection, Sequence[Device], Clock], Driver]
    check: Callable[[str, LinkSection, Sequence[Device]], Iterable[Finding]]
    check_profile: Callable[[Profile], Iterable[tuple[tuple[str | int, ...], str, str]]]
    not_yet: frozenset[str] = field(default=frozenset())
    owned: Callable[[LinkSection], tuple[str, str] | None] | None = None
    counter_ranges: Callable[[Profile], Mapping[str, tuple[float, float]]] | None = None
    forgeable: Callable[[Device], str | None] | None = None
    marks: Callable[[Device], Mapping[str, str]] | None = None
    announces: bool = False


def installed() -> dict[str, Callable[[], DriverSpec]]:
    """Loaders of the installed drivers, by name; nothing is imported before a loader is called."""
    return {point.name: point.load for point in entry_points(group=GROUP)}

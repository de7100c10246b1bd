"""Advertisement monitors: patterns that applications leave with bluetoothd."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from dbus_fast import Message, MessageFlag, Variant

from simulators.bluez.names import MONITOR, OBJECTS, bluez_error
from simulators.bluez.objects import Interfaces
from simulators.bluez.output import Output
from simulators.bluez.peripheral import Advert

Pattern = tuple[int, int, bytes]  # start, type of the AD structure, content


@dataclass(slots=True)
class Application:
    """A root path that was registered, and the monitors found below it."""

    sender: str
    root: str
    monitors: dict[str, Sequence[Pattern]] = field(default_factory=dict)

    @property
    def match_rule(self) -> str:
        return (
            f"type='signal',sender='{self.sender}',interface='{OBJECTS}',"
            f"member='InterfacesAdded',path_namespace='{self.root}'"
        )


class Monitors:
    """The monitors of one adapter. While one is active the kernel scans without duplicate filter."""

    def __init__(self, output: Output) -> None:
        self._output = output
        self._applications: dict[tuple[str, str], Application] = {}

    @property
    def active(self) -> bool:
        return any(one.monitors for one in self._applications.values())

    def register(self, sender: str, root: str) -> Application:
        """Its monitors are not known yet: applications export them after registering."""
        if (sender, root) in self._applications:
            raise bluez_error("AlreadyExists", "Already Exists")
        application = Application(sender, root)
        self._applications[sender, root] = application
        return application

    def unregister(self, sender: str, root: str) -> Application:
        try:
            return self._applications.pop((sender, root))
        except KeyError:
            raise bluez_error("DoesNotExist", "Does Not Exist") from None

    def found(self, sender: str, path: str, interfaces: Interfaces) -> None:
        """An application shows an object; a monitor among its interfaces becomes active."""
        if MONITOR not in interfaces:
            return
        for application in self._applications.values():
            below = path == application.root or path.startswith(f"{application.root}/")
            if application.sender == sender and below and path not in application.monitors:
                application.monitors[path] = _patterns(interfaces[MONITOR]["Patterns"])
                self._tell(sender, path, "Activate")

    def release(self) -> None:
        """Give every monitor back, as bluetoothd does when the kernel refuses it."""
        for application in self._applications.values():
            for path in application.monitors:
                self._tell(application.sender, path, "Release")
            application.monitors.clear()

    def client_gone(self, sender: str) -> None:
        for key in [key for key in self._applications if key[0] == sender]:
            del self._applications[key]

    def match(self, advert: Advert) -> bool:
        return any(
            kind == wanted and data[start : start + len(content)] == content
            for start, wanted, content in self._patterns()
            for kind, data in advert.structures()
        )

    def _patterns(self) -> Iterator[Pattern]:
        for application in self._applications.values():
            for patterns in application.monitors.values():
                yield from patterns

    def _tell(self, sender: str, path: str, member: str) -> None:
        self._output.send(
            Message(
                destination=sender, path=path, interface=MONITOR, member=member,
                flags=MessageFlag.NO_REPLY_EXPECTED,
            )
        )  # fmt: skip


def _patterns(value: Variant) -> list[Pattern]:
    return [(start, kind, bytes(content)) for start, kind, content in value.value]

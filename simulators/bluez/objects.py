"""The objects of a D-Bus service and the signals about them."""

from collections.abc import Iterable, Mapping
from typing import Any

from dbus_fast import Message, MessageFlag, MessageType, Variant

from simulators.bluez.names import OBJECTS, PROPERTIES
from simulators.bluez.output import Output

Properties = dict[str, Variant]
Interfaces = dict[str, Properties]

YES = Variant("b", True)  # noqa: FBT003 -- a D-Bus boolean
NO = Variant("b", False)  # noqa: FBT003 -- as above


class Objects:
    """path -> interface -> property, as ObjectManager shows them at `/`."""

    def __init__(self, output: Output) -> None:
        self._output = output
        self._tree: dict[str, Interfaces] = {}

    def __contains__(self, path: str) -> bool:
        return path in self._tree

    def interfaces(self, path: str) -> Interfaces:
        """Empty if there is no such object."""
        return self._tree.get(path, {})

    def managed(self) -> dict[str, Interfaces]:
        return self._tree

    def add(self, path: str, interfaces: Interfaces) -> None:
        self._tree[path] = interfaces
        self._signal("/", OBJECTS, "InterfacesAdded", "oa{sa{sv}}", [path, interfaces])

    def remove(self, path: str) -> None:
        interfaces = self._tree.pop(path, None)
        if interfaces is not None:
            self._signal("/", OBJECTS, "InterfacesRemoved", "oas", [path, list(interfaces)])

    def remove_below(self, path: str) -> None:
        """Everything under `path`, children first, but not `path` itself."""
        for below in sorted((p for p in self._tree if p.startswith(f"{path}/")), reverse=True):
            self.remove(below)

    def change(
        self, path: str, interface: str, changed: Mapping[str, Variant], gone: Iterable[str] = ()
    ) -> None:
        """Set properties and say so; `gone` ones have no value any more."""
        properties = self._tree[path][interface]
        properties.update(changed)
        for name in gone:
            properties.pop(name, None)
        body = [interface, dict(changed), list(gone)]
        self._signal(path, PROPERTIES, "PropertiesChanged", "sa{sv}as", body)

    def _signal(
        self, path: str, interface: str, member: str, signature: str, body: list[Any]
    ) -> None:
        self._output.send(
            Message(
                message_type=MessageType.SIGNAL, path=path, interface=interface, member=member,
                signature=signature, body=body, flags=MessageFlag.NO_REPLY_EXPECTED,
            )
        )  # fmt: skip

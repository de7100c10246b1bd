"""Who may write what. Deny by default, for rules and the local CLI too."""

from typing import Annotated, Literal

from pydantic import BeforeValidator, Discriminator, Tag

from gateway.driver import Device
from gateway.settings import Id, Section, wrong
from gateway.words.text import fault


def _ids(value: object) -> object:
    return [value] if isinstance(value, str) else value


class Selector(Section):
    """Which devices: all given keys must hold."""

    type: str | None = None
    profile: str | None = None
    id: Annotated[list[Id] | None, BeforeValidator(_ids)] = None
    tags: dict[str, str] = {}

    def takes(self, device: Device) -> bool:
        return (
            (self.type is None or device.profile.type == self.type)
            and (self.profile is None or device.profile.profile == self.profile)
            and (self.id is None or device.id in self.id)
            and all(device.section.tags.get(k) == v for k, v in self.tags.items())
        )


def _kind(value: object) -> str:
    if value == "*" or not isinstance(value, dict | list | Selector):
        return "all"
    return "ids" if isinstance(value, list) else "selector"


def _points(value: object) -> object:
    if value == "*":
        return []
    if not isinstance(value, list) or not value:
        raise wrong(*fault("setting.points", value=repr(value)))
    return value


class Allow(Section):
    """One line of the allow list: this origin may write these points of these devices."""

    origin: str
    devices: Annotated[
        Annotated[Literal["*"], Tag("all")]
        | Annotated[Selector, Tag("selector")]
        | Annotated[list[Id], Tag("ids")],
        Discriminator(_kind),
    ]
    points: Annotated[list[str], BeforeValidator(_points)]  # empty = all

    def ids(self) -> list[str]:
        """The device ids that it names literally."""
        if isinstance(self.devices, list):
            return self.devices
        return (self.devices.id or []) if isinstance(self.devices, Selector) else []

    def covers(self, origin: str, device: Device, point: str) -> bool:
        if origin != self.origin or (self.points and point not in self.points):
            return False
        if isinstance(self.devices, Selector):
            return self.devices.takes(device)
        return self.devices == "*" or device.id in self.devices


class CommandsSection(Section):
    """Deny by default: what no line allows is refused, for rules and the local CLI too."""

    allow: list[Allow] = []

    def allows(self, origin: str, device: Device, point: str) -> bool:
        return any(line.covers(origin, device, point) for line in self.allow)

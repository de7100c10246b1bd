"""What a profile says about topics and payloads: `topics:`, `at:` of points and of commands. Pure."""

from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field, ValidationError

from drivers.mqtt import layout, path, template
from gateway.document import suggest
from gateway.model import Value
from gateway.point import Number, PointName
from gateway.settings import Duration, Section, describe, wrong
from gateway.words.text import fault

Fault = tuple[tuple[str | int, ...], str, str]  # (path, what, fix)
MAIN = "main"  # the topic of points that name none


def _path(value: str) -> str:
    try:
        path.parse(value)
    except ValueError as error:
        raise wrong(*fault("map.path", why=error)) from None
    return value


def _topic(value: str) -> str:
    why = template.topic_fault(value)
    if why is not None:
        raise wrong(*fault("map.topic", value=value, why=why))
    return value


def _listed(value: object) -> object:
    return [value] if isinstance(value, str) else value


def _short(key: str, value: object) -> object:
    """A text is short for a mapping with one key."""
    return {key: value} if isinstance(value, str) else value


JsonPath = Annotated[str, AfterValidator(_path)]
TopicName = Annotated[str, AfterValidator(_topic)]


class Topic(Section):
    """One topic that a device publishes on.

    `kind`: `state` may be retained and is then UNCERTAIN, a retained `event` is refused, `online`
    is presence. `bytes` is where in the JSON a base64 text is. `id` is the same on every repeat of a
    message; what stands at `identity` must be the device's `topic_id`. Of messages in which a path of
    `only` has another value, nothing is read.
    """

    topic: TopicName
    payload: Literal["json", "text", "bytes"] = "json"
    kind: Literal["state", "event", "online"] = "state"
    base64: Annotated[JsonPath | None, Field(alias="bytes")] = None
    id: JsonPath | None = None
    identity: JsonPath | None = None
    only: dict[JsonPath, Value] = {}

    @property
    def binary(self) -> bool:
        """Its points are fields of bytes."""
        return self.payload == "bytes" or self.base64 is not None


class Place(Section):
    """Where a point is: on which topics, and there at a JSON path or in which bytes.

    `map` is from what is written there to the value. Where all paths of `zero` have these values
    the point is 0, whatever it says: a lamp that is off tells the level to which it will return.
    """

    topic: Annotated[list[str], BeforeValidator(_listed), Field(min_length=1)] = [MAIN]
    path: JsonPath | None = None
    byte: Annotated[int, Field(ge=0, lt=layout.MAX_BYTES)] | None = None
    type: layout.TypeName = "u8"
    endian: layout.Endian = "big"
    bit: Annotated[int, Field(ge=0, le=63)] | None = None
    map: dict[str, Value] = {}
    zero: dict[JsonPath, Value] = {}

    @property
    def field(self) -> layout.Field | None:
        if self.byte is None:
            return None
        return layout.Field(self.byte, self.type, self.endian, self.bit)


class Lamp(Section):
    """A failed lamp: the point `lit` says that it burns, or a command asked for it, and for the time
    `hold` the point `power` is not above `below` (unit of that point).
    """

    lit: PointName
    power: PointName
    below: Number
    hold: Duration


class Target(Section):
    """What a command publishes, and where.

    In `payload` and `bytes`: `{value}` in the unit of the point, `{raw}` as the device counts it (a
    whole number), `{id}` of the command. `bytes` is hex, with `{raw}` of this `type`; its base64 text
    is `{base64}` in the payload. `map` is from values to texts. `group` is the topic of many devices.
    """

    topic: TopicName
    payload: Annotated[str, Field(max_length=2000)] = "{value}"
    map: dict[str, str] = {}
    bytes: str | None = None
    type: layout.TypeName = "u8"
    endian: layout.Endian = "big"
    group: TopicName | None = None


def parse_topic(value: object) -> Topic:
    """Raises ValidationError."""
    return Topic.model_validate(_short("topic", value))


def parse_place(at: object) -> Place | Lamp:
    """Raises ValidationError."""
    if isinstance(at, dict) and "lit" in at:
        return Lamp.model_validate(at)
    return Place.model_validate({} if at is None else _short("path", at))


def parse_target(at: object) -> Target:
    """Raises ValidationError."""
    return Target.model_validate(_short("topic", at))


def faults(error: ValidationError, at: tuple[str | int, ...], value: object) -> list[Fault]:
    """What is wrong with the value at `at`, as faults."""
    found: list[Fault] = []
    for entry in error.errors(include_url=False):
        key = entry["loc"][0] if entry["loc"] else None
        where = (*at, key) if isinstance(value, dict) and key in value and key is not None else at
        if entry["type"] == "extra_forbidden":
            fix = suggest(str(key), _keys(error.title))
            found.append((where, *fault("map.key", key=key, fix=fix)))
        elif entry["type"] == "missing":
            found.append((where, *fault("map.missing", key=key)))
        else:
            found.append((where, *describe(dict(entry))))
    return found


def _keys(model: str) -> list[str]:
    found = next(m for m in (Topic, Place, Lamp, Target) if m.__name__ == model)
    return [field.alias or name for name, field in found.model_fields.items()]

"""The `recipients:` section of the configuration: whom notifications may reach, and how."""

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

import orjson
from pydantic import AfterValidator, model_validator

from gateway.document import suggest
from gateway.settings import Duration, Id, Section, wrong
from gateway.words.text import fault

# What a payload template may name; `id` is the same on every repeat of one notification.
PARTS = frozenset({"id", "gateway", "recipient", "severity", "text"})
MAX_TOPIC = 1024  # bytes; MQTT allows 65,535, brokers less
SHORTEST_S, LONGEST_S = 1.0, 7 * 86_400.0
_PART = re.compile(r"\{([a-z][a-z0-9_]*)\}")


def _topic(value: str) -> str:
    """A topic to publish to (MQTT 5.0, 4.7) that no device of the native dialect owns."""
    if not value or len(value.encode()) > MAX_TOPIC:
        raise wrong(*fault("setting.topic_length", most=MAX_TOPIC))
    if any(c in value for c in "+#\0"):
        raise wrong(*fault("setting.wildcards", topic=value))
    if value.startswith(("$", "d/")):
        id_ = "setting.topic_broker" if value.startswith("$") else "setting.topic_devices"
        raise wrong(*fault(id_, topic=value))
    return value


def _payload(value: str | dict[str, Any]) -> str | dict[str, Any]:
    if isinstance(value, str) and _PART.sub("x", value).lstrip()[:1] in {"{", "["}:
        raise wrong(*fault("setting.json"))
    _look(value)
    return value


def _look(value: object) -> None:
    """Every part that is to be filled in is known; nothing is there that JSON does not have."""
    if isinstance(value, dict | list):
        for one in value.values() if isinstance(value, dict) else value:
            _look(one)
    elif isinstance(value, str):
        for name in _PART.findall(value):
            if name not in PARTS:
                raise wrong(*fault("setting.part", name=name, fix=suggest(name, PARTS)))
    elif value is not None and not isinstance(value, bool | int | float):
        raise wrong(*fault("value.secret"))


def _expires(value: float) -> float:
    if not SHORTEST_S <= value <= LONGEST_S:
        raise wrong(*fault("setting.seconds", value=value, low="1s", high="7d"))
    return value


class RecipientSection(Section):
    """One recipient: a topic at the broker of an MQTT link, or a platform.

    `payload` is what is published: a text, or a mapping that becomes JSON, in which names of `PARTS`
    in braces are filled in; none: a JSON object with everything. `expires`: how long delivery is
    tried; None: an hour by `mqtt`, a day by `upstream`.
    """

    via: Literal["mqtt", "upstream"]
    link: Id | None = None
    topic: Annotated[str, AfterValidator(_topic)] | None = None
    payload: Annotated[str | dict[str, Any], AfterValidator(_payload)] | None = None
    to: Id | None = None
    expires: Annotated[Duration, AfterValidator(_expires)] | None = None

    @model_validator(mode="after")
    def _fitting(self) -> Self:
        mine, others = {"link", "topic"}, {"to"}
        if self.via == "upstream":
            mine, others = others, {*mine, "payload"}
        for key in sorted(others & self.model_fields_set):
            raise wrong(*fault("setting.via_has_not", via=self.via, key=key))
        for key in sorted(key for key in mine if getattr(self, key) is None):
            raise wrong(*fault("setting.via_needs", via=self.via, key=key))
        return self

    @property
    def expires_s(self) -> float:
        if self.expires is not None:
            return self.expires
        return 3_600.0 if self.via == "mqtt" else 86_400.0


def fill(payload: str | Mapping[str, object], parts: Mapping[str, str]) -> bytes:
    """The bytes to publish; other braces stay as they are."""
    filled = _filled(payload, parts)
    return filled.encode() if isinstance(filled, str) else orjson.dumps(filled)


def _filled(value: object, parts: Mapping[str, str]) -> object:
    if isinstance(value, str):
        return _PART.sub(lambda found: parts.get(found[1], found[0]), value)
    if isinstance(value, Mapping):
        return {key: _filled(one, parts) for key, one in value.items()}
    return [_filled(one, parts) for one in value] if isinstance(value, list) else value

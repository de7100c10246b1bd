"""What a command publishes. Pure."""

import base64
from collections.abc import Mapping
from typing import NamedTuple

import orjson

from drivers.mqtt import layout, native
from drivers.mqtt.address import Target, parse_target
from drivers.mqtt.convert import unscaled, written
from drivers.mqtt.template import fill, is_json
from gateway.model import Command
from gateway.profile import CommandSpec, Profile


class Outgoing(NamedTuple):
    """A message to publish with QoS 1."""

    topic: str
    payload: bytes


def native_command(topic_id: str, command: Command) -> Outgoing:
    return Outgoing(f"d/{topic_id}/cmd", native.encode_command(command))


def mapped_command(profile: Profile, captures: Mapping[str, str], command: Command) -> Outgoing:
    """As the profile's command says. Raises ValueError if the value does not fit there."""
    spec = profile.by_command[command.point]
    target = parse_target(spec.at)
    return Outgoing(
        fill(target.topic, captures), _payload(profile, spec, target, captures, command)
    )


def group_command(
    profile: Profile, captures: Mapping[str, str], command: Command
) -> Outgoing | None:
    """The same for the group `command.device` at once; None if the model has no such topic."""
    spec = profile.by_command[command.point]
    target = None if spec.at is None else parse_target(spec.at)
    if target is None or target.group is None:
        return None
    places = {**captures, "group": command.device}
    return Outgoing(fill(target.group, places), _payload(profile, spec, target, places, command))


def _payload(
    profile: Profile,
    spec: CommandSpec,
    target: Target,
    captures: Mapping[str, str],
    command: Command,
) -> bytes:
    value = target.map.get(written(command.value), command.value)
    shown = orjson.dumps(value).decode() if is_json(target.payload) else written(value)
    places = {**captures, "id": orjson.dumps(command.id).decode()[1:-1], "value": shown}
    if isinstance(command.value, int | float) and not isinstance(command.value, bool):
        raw = unscaled(profile.by_id[spec.point], command.value)
        places["raw"] = str(raw)
        if target.bytes is not None:
            places["base64"] = _base64(target, target.bytes, raw)
    return fill(target.payload, places).encode()


def _base64(target: Target, template: str, raw: int) -> str:
    number = layout.write(layout.Field(0, target.type, target.endian), raw).hex()
    return base64.b64encode(bytes.fromhex(fill(template, {"raw": number}))).decode()

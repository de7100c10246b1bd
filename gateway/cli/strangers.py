"""Who speaks without being configured: the profile that fits, and the lines that make a device of it."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import orjson

from drivers.mqtt.guess import guess, guess_topic
from drivers.mqtt.settings import TOPIC_ID
from gateway.document import load, mapping_at
from gateway.profile import readable
from gateway.snapshot import StrangerPart


class Stranger(NamedTuple):
    """Somebody unknown, the profile that fits, and the lines that make a device of it."""

    part: StrangerPart
    profile: str | None
    snippet: str | None  # None: no profile fits, or its name cannot be a topic id


def introduced(parts: Sequence[StrangerPart], config: Path) -> Iterator[Stranger]:
    """With a guess each, from the profiles that this configuration can use."""
    value = mapping_at(load(config).value)
    listed = value.get("profiles")
    folders = [config.parent / str(x) for x in listed] if isinstance(listed, list) else []
    profiles, _broken = readable(folders, "mqtt")  # a faulty file is for `gateway check` to tell of
    taken = set(mapping_at(value.get("devices")))
    for part in parts:
        other = guess_topic(part["topic"], part["name"], part["keys"], profiles)
        profile = other.profile if other is not None else guess(part["keys"], profiles)
        if profile is None or not TOPIC_ID.fullmatch(part["name"]):
            yield Stranger(part, profile.profile if profile else None, None)
            continue
        name = _free_id(part["name"], taken)
        taken.add(name)
        keys = f'profile: {profile.profile}, link: {part["link"]}, topic_id: "{part["name"]}"'
        if other is not None and other.captures:
            keys += f", captures: {orjson.dumps(other.captures).decode()}"  # JSON is YAML
        yield Stranger(part, profile.profile, f"{name}: {{{keys}}}")


def _free_id(name: str, taken: set[str]) -> str:
    """A device id like `name` that nobody has."""
    base = re.sub(r"[^a-z0-9-]", "-", name.lower()).strip("-")[:56] or "device"
    return next(
        x for x in (base, *(f"{base}-{n}" for n in range(2, len(taken) + 3))) if x not in taken
    )

"""Which profile fits somebody who speaks and is not configured yet. Pure."""

import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from pydantic import ValidationError

from drivers.mqtt.mapped import Decoder, decoders
from drivers.mqtt.template import TOPIC_ID
from gateway.profile import Profile

VALUES = "values."  # as in `Strangers`: a key below `values` of the native dialect
ENOUGH = 0.5  # of the points that it names; below, a profile is no guess but a coincidence
ALIKE = 2  # levels of the topic and keys of the payload that must be as in the profile
_PART = re.compile(r"\\\{([a-z][a-z0-9_]*)\\\}")  # in an escaped text


class Guess(NamedTuple):
    """A profile with `topics`, and the parts of its topics that are not as usual."""

    profile: Profile
    captures: dict[str, str]


def guess(keys: Sequence[str], profiles: Iterable[Profile]) -> Profile | None:
    """The MQTT profile that knows most of what a payload names; None if none knows half of it."""
    named = {key.removeprefix(VALUES) for key in keys if key.startswith(VALUES)}
    best, most = None, 0.0
    for profile in profiles:
        if profile.dialect != "native" or not named:
            continue
        known = len(named & profile.by_id.keys()) / len(named)
        if known >= ENOUGH and known > most:
            best, most = profile, known
    return best


def guess_topic(
    topic: str, name: str, keys: Sequence[str], profiles: Iterable[Profile]
) -> Guess | None:
    """The profile whose topics and paths are most like what `name` publishes; None if none is."""
    best, most = None, ALIKE - 1
    for profile in profiles:
        for decoder in _decoders(profile):
            found = _captures(decoder.topic.topic, topic)
            if found is None or found.pop(TOPIC_ID) != name:
                continue
            usual = {key for key, value in found.items() if profile.captures.get(key) == value}
            levels = decoder.topic.topic.split("/")
            alike = sum("{" not in level for level in levels) + len(usual) + _known(decoder, keys)
            if alike > most:
                other = {key: value for key, value in found.items() if key not in usual}
                best, most = Guess(profile, other), alike
    return best


def _decoders(profile: Profile) -> Iterable[Decoder]:
    try:
        return decoders(profile).values()
    except ValidationError:  # a faulty profile is for `gateway check` to tell of
        return ()


def _captures(template: str, topic: str) -> dict[str, str] | None:
    """What stands in the parts of `template`; None if the topic is another one."""
    pattern = _PART.sub(
        lambda part: f"(?P<{part[1]}>{'[^/]+' if part[1] == TOPIC_ID else '.+?'})",
        re.escape(template),
    )
    found = re.fullmatch(pattern, topic)
    return None if found is None else found.groupdict()


def _known(decoder: Decoder, keys: Sequence[str]) -> int:
    paths = {".".join(str(step) for step in entry.path) for entry in decoder.entries}
    return len(paths.intersection(keys))

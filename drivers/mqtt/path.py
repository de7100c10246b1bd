"""Where in a JSON message a value is: `ENERGY.Power`, `Status.Power[0]`, `[n=5].vb`. Pure."""

import re
from typing import NamedTuple

from gateway.words.text import text as text_

MISSING = object()  # the message has nothing there
_STEP = re.compile(r"\.?([^.\[\]]+)|\[([0-9]{1,3})\]|\[([^.\[\]=]+)=([^\[\]]+)\]")


class Match(NamedTuple):
    """The element of a list whose `key` is `text` (SenML, RFC 8428, names its records so)."""

    key: str
    text: str


Path = tuple[str | int | Match, ...]


def parse(text: str) -> Path:
    """Raises ValueError, which says where it is no path."""
    steps: list[str | int | Match] = []
    at = 0
    while at < len(text):
        found = _STEP.match(text, at)
        if found is None or (text[at] == ".") is not (bool(found[1]) and at > 0):
            raise ValueError(text_("path.wrong", path=text, rest=text[at:]))
        name, index, key, wanted = found.groups()
        steps.append(name or (Match(key, wanted) if key else int(index)))
        at = found.end()
    if not steps:
        raise ValueError(text_("path.empty"))
    return tuple(steps)


def find(message: object, path: Path) -> object:
    """What is there; MISSING if nothing is, whatever the message looks like."""
    for step in path:
        if isinstance(step, str):
            if not isinstance(message, dict):
                return MISSING
            message = message.get(step, MISSING)
        elif not isinstance(message, list):
            return MISSING
        elif isinstance(step, int):
            message = message[step] if step < len(message) else MISSING
        else:
            message = _element(message, step)
    return message


def _element(records: list[object], wanted: Match) -> object:
    for record in records:
        if isinstance(record, dict) and record.get(wanted.key) == wanted.text:
            return record
    return MISSING

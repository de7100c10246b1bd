"""Topics and payloads with parts to fill in: `tele/{topic_id}/STATE`, `{"level": {raw}}`. Pure."""

import re
from collections.abc import Mapping

from gateway.words.text import text as text_

_PART = re.compile(r"\{([a-z][a-z0-9_]*)\}")
TOPIC_ID = "topic_id"  # of the device's section
MAX_CAPTURE = 128  # bytes; MQTT allows 65,535 for a whole topic, brokers less


def parts(template: str) -> list[str]:
    """The names that are to be filled in."""
    return _PART.findall(template)


def fill(template: str, values: Mapping[str, str]) -> str:
    """Other braces stay as they are; a name without a value too."""
    return _PART.sub(lambda found: values.get(found[1], found[0]), template)


def is_json(template: str) -> bool:
    """What is filled in stands in a JSON text."""
    return _PART.sub("x", template).lstrip()[:1] in {"{", "["}


def topic_fault(template: str) -> str | None:
    """Why it is no topic to publish to or to hear, None if it is one (MQTT 5.0, 4.7)."""
    bare = _PART.sub("x", template)
    if not bare or len(bare.encode()) > 1024:
        return text_("topic.empty" if not bare else "topic.long")
    if any(c in bare for c in "+#") or "\0" in bare:
        return text_("topic.wildcards")
    if bare.startswith("$"):
        return text_("topic.broker")
    return text_("topic.braces") if "{" in bare or "}" in bare else None


def capture_fault(text: str) -> str | None:
    """Why `text` cannot stand in a topic and in a JSON text, None if it can."""
    if not text or len(text.encode()) > MAX_CAPTURE:
        return text_("topic.capture_size", most=MAX_CAPTURE)
    if any(c in '+#$"\\{}' or c < " " for c in text):
        return text_("topic.capture")
    return None

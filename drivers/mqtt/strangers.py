"""Who speaks without being configured: remembered up to a number, with the shape of what they say."""

from collections import OrderedDict
from dataclasses import dataclass

import orjson

from drivers.mqtt.admit import Bucket
from gateway.snapshot import StrangerPart

MAX_STRANGERS = 256  # a stranger more, and the one that was silent longest is forgotten
MAX_PAYLOAD = 4_096  # bytes; longer ones have no shape
MAX_KEYS = 32
MAX_TEXT = 64  # characters of a key
MAX_SHOWN = 128  # characters of a name and of a topic
# Payloads looked into: 20 a second, 100 at once. Who floods us with names costs no more than this.
LOOKS_RATE, LOOKS_BURST = 20.0, 100.0


@dataclass(slots=True)
class _Stranger:
    topic: str
    first_ns: int
    last_ns: int = 0
    count: int = 0
    keys: tuple[str, ...] = ()


class Strangers:
    """What was heard of names that no device has. `forgotten` counts those that had to go."""

    def __init__(self) -> None:
        self.forgotten = 0
        self._known: OrderedDict[str, _Stranger] = OrderedDict()
        self._looks = Bucket(LOOKS_RATE, LOOKS_BURST)

    def __len__(self) -> int:
        return len(self._known)

    def heard(self, name: str, topic: str, payload: bytes, now_ns: int) -> bool:
        """Remember a message; True if `name` is new."""
        known = self._known.get(name)
        if known is None:
            if len(self._known) >= MAX_STRANGERS:
                self._known.popitem(last=False)
                self.forgotten += 1
            self._known[name] = one = _Stranger(topic, now_ns)
        else:
            one = known
            self._known.move_to_end(name)
        one.topic, one.last_ns = topic, now_ns
        one.count += 1
        if not one.keys and self._looks.take(now_ns):
            one.keys = shape(payload)
        return known is None

    def parts(self, link: str, now_ns: int) -> list[StrangerPart]:
        """All of them, the latest first; in names and topics only what a terminal can show."""
        return [
            {"link": link, "name": _shown(name), "topic": _shown(one.topic), "count": one.count,
             "first_s": (now_ns - one.first_ns) / 1e9, "last_s": (now_ns - one.last_ns) / 1e9,
             "keys": list(one.keys)}
            for name, one in reversed(self._known.items())
        ]  # fmt: skip


def _shown(text: str) -> str:
    """No control characters: they would speak to the terminal of who looks at it."""
    return "".join(c if c.isprintable() else "?" for c in text[:MAX_SHOWN])


def shape(payload: bytes) -> tuple[str, ...]:
    """The keys of a JSON object, two levels of them (`values.light.level`), without the values."""
    if len(payload) > MAX_PAYLOAD:
        return ()
    try:
        message = orjson.loads(payload)
    except orjson.JSONDecodeError:
        return ()
    if not isinstance(message, dict):
        return ()
    paths: list[str] = []
    for key, value in message.items():
        below = [f"{key}.{name}" for name in value] if isinstance(value, dict) else [key]
        paths += [path for path in below if path.isprintable() and len(path) <= MAX_TEXT]
    return tuple(paths[:MAX_KEYS])

"""Forged, replayed and odd messages: what a device with a login, or nobody at all, may try.

Every case carries a level of its own between 10 and 12 %, and an alarm. The real lamp shows 50 %
and has no alarm: what of a case is in the journal or reaches the lamp was accepted.
"""

import itertools
import time
from collections.abc import Iterator
from typing import NamedTuple

import orjson

GATEWAY, VICTIM, ATTACKER = "gw-test-01", "b", "a"
BIG = 5_000_000
_LEVELS = itertools.count(1)
_OWN = f"d/{VICTIM}"
# Not of this device's, however much they look like it (MQTT 5.0, 4.7: topics are compared as they are).
_ODD = (
    "d/b", "d/b/", "d/b/event/", "/d/b/event", "d//event", "d/b/event/x", "D/b/event", "d/B/event",
    "d/b/EVENT", "d/b/events", "d/b /event", "d/ b/event", "d/b%2Fevent", "d/b/event\n", "d/b\u200b/event",
    "d/\u0431/event", "d/b/\u0435vent", "e/b/event", "d/b/state/event", "d/../b/event", "b/event", "event",
    "d/*/event", "d/+/event", "d/#", "#", "$SYS/broker/uptime", "$SYS/d/b/event", "$share/x/d/b/event",
    "/".join(["d"] * 64), "d/b/event" + "/x" * 200, "d/" + "b" * 60_000 + "/event", "\x01", "d/b/event\x1b[2J",
)  # fmt: skip


class Case(NamedTuple):
    what: str
    topic: str
    payload: bytes
    qos: int = 1
    retain: bool = False


def forged(**more: object) -> bytes:
    """An alarm of the victim, with a level by which it is known again."""
    level = 10 + next(_LEVELS) / 1000
    values = {"light.level": level, "alarm.lamp_failure": True}
    return orjson.dumps({"id": f"forged-{level}", "values": values, **more})


def is_forged(values: dict[str, object]) -> bool:
    level = values.get("light.level")
    return values.get("alarm.lamp_failure") is True or (
        isinstance(level, float) and 10 < level < 12
    )


def as_another() -> Iterator[Case]:
    """Well-made messages on the victim's topics. Only the broker can tell who publishes."""
    for kind in ("state", "event", "online", "cmd", "ack"):
        payload = b"0" if kind == "online" else b'{"id":"real-1"}' if kind == "ack" else None
        for qos, retain in itertools.product((0, 1, 2), (False, True)):
            what = f"{kind} QoS {qos}{' retained' if retain else ''}"
            yield Case(what, f"{_OWN}/{kind}", payload or forged(), qos, retain)


def platform() -> Iterator[Case]:
    """On the topics between gateway and platform."""
    ack = orjson.dumps({"epoch": 1, "lane": 0, "seq": 1, "rejects": []})
    command = {"id": "c-1", "device": "light-b", "point": "light.level", "value": 11.5}
    for name, payload in (
        ("ack", ack), ("cmd", orjson.dumps(command)), ("cmd/result", b"{}"), ("state", b"{}"),
        ("config/desired", b"{}"), ("up/0", b"{}"),
    ):  # fmt: skip
        for qos in (0, 1, 2):
            yield Case(f"platform {name} QoS {qos}", f"gw/{GATEWAY}/{name}", payload, qos)


def orders() -> Iterator[Case]:
    """Commands on the platform's topic. It may dim lamp A and nothing else."""
    soon, past = str(time.time_ns() + 60 * 10**9), str(time.time_ns() - 10**9)
    good = {"device": "light-a", "point": "light.level", "value": 11.5, "not_after": soon}
    changes: dict[str, dict[str, object]] = {
        "for lamp B": {"device": "light-b"}, "says it is the CLI": {"device": "light-b", "origin": "cli"},
        "says it is a rule": {"device": "light-b", "origin": "rules"}, "expired": {"not_after": past},
        "no time": {"not_after": None}, "time is a number": {"not_after": time.time_ns() + 10**10},
        "too far ahead": {"not_after": "9223372036854775807"}, "nobody": {"device": "light-z"},
        "everybody": {"device": "*"}, "list of devices": {"device": ["light-a"]},
        "another point": {"point": "light.on"}, "no point": {"point": "light.levels"},
        "out of range": {"value": 101}, "below": {"value": -1}, "text": {"value": "100"}, "list": {"value": [1]},
        "null": {"value": None}, "object": {"value": {"a": 1}}, "truth": {"value": True}, "no id": {"id": None},
        "long id": {"id": "x" * 65}, "id with a newline": {"id": "a\nb"}, "another state": {"if": {"point": "light.level", "equals": 99}},
        "odd condition": {"if": "true"},
    }  # fmt: skip
    topic = f"gw/{GATEWAY}/cmd"
    for number, (what, change) in enumerate(changes.items()):
        yield Case(f"order: {what}", topic, orjson.dumps({"id": f"o-{number}", **good, **change}))
    whole = orjson.dumps({"id": "o-big", **good})
    for what, payload in {
        "5 KB": whole.ljust(5_000), "not a number": whole.replace(b"11.5", b"NaN"), "twice": whole * 2,
        "list": b"[" + whole + b"]", "half": whole[:-3], "empty": b"", "bytes": bytes(range(256)),
    }.items():  # fmt: skip
        yield Case(f"order: {what}", topic, payload)


def kept_order() -> Case:
    """One that the broker keeps for whoever comes."""
    order = {"id": "o-kept", "device": "light-a", "point": "light.level", "value": 11.5}
    payload = orjson.dumps({**order, "not_after": str(time.time_ns() + 600 * 10**9)})
    return Case("order kept by the broker", f"gw/{GATEWAY}/cmd", payload, 1, retain=True)


def odd_topics() -> Iterator[Case]:
    for topic in _ODD:
        yield Case(f"topic {topic[:30]!r} of {len(topic)}", topic, forged())


def replays(ident: str) -> Iterator[Case]:
    """The id of a message that the victim has sent, with other values."""
    for kind, qos in itertools.product(("state", "event"), (0, 1, 2)):
        yield Case(f"replay on {kind} QoS {qos}", f"{_OWN}/{kind}", forged(id=ident), qos)


def names_another() -> Iterator[Case]:
    """Payloads that say who sends them, and it is not the victim."""
    for kind, qos, retain in itertools.product(("state", "event"), (0, 1, 2), (False, True)):
        what = f"{kind} says it is {ATTACKER}, QoS {qos}{' retained' if retain else ''}"
        yield Case(what, f"{_OWN}/{kind}", forged(device=ATTACKER), qos, retain)
    for sender in (
        "B",
        "b ",
        " b",
        "",
        "\u0431",
        "b\u200b",
        "light-b",
        "x" * 65,
        7,
        True,
        ["b"],
        {"b": 1},
    ):
        payload = forged(device=sender)
        yield Case(f"says it is {str(sender)[:10]!r}", f"{_OWN}/event", payload)


def broken() -> Iterator[Case]:
    """Payloads that nobody can read, or whose values cannot be."""
    whole = forged()
    payloads = {
        "empty": b"", "NUL": b"\0", "NUL behind": whole + b"\0", "byte order mark": b"\xef\xbb\xbf" + whole,
        "UTF-16": whole.decode().encode("utf-16"), "half": whole[:-2], "twice": whole * 2, "list": b"[" + whole + b"]",
        "text": orjson.dumps(whole.decode()), "deep": b'{"values":' * 2_000, "no id text": forged(id=7),
        "long id": forged(id="x" * 65), "id object": forged(id={}), "values list": forged(values=[1]),
        "values empty": forged(values={}), "not a number": whole.replace(b"true", b"NaN"),
        "no known point": forged(values={"light.levels": 1}), "too many": forged(values={f"p{n}": 1 for n in range(300)}),
        "64 KiB and one": b'{"values":{"light.level":11.9}}'.ljust(65_537), "5 MB": whole.ljust(BIG),
        "alarm is a text": forged(values={"alarm.lamp_failure": "true"}), "alarm is a number": forged(values={"alarm.lamp_failure": 1}),
    }  # fmt: skip
    for name, payload in payloads.items():
        yield Case(f"payload: {name}", f"{_OWN}/event", payload)


def retained(qos: int) -> Case:
    return Case(f"kept event QoS {qos}", f"{_OWN}/event", forged(), qos, retain=True)

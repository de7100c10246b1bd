"""The points of a profile as a table: where each is, as what it is read, in which unit, how often."""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from gateway.profile import Point, Profile


class Row(NamedTuple):
    """`address` and `type` in the words of the protocol; `poll` is the class or the period in s."""

    point: str
    address: str
    type: str
    unit: str
    kind: str
    poll: str


def rows(profile: Profile) -> list[Row]:
    """In the order of the profile: an array is one row, a point of several variants one for each."""
    found = [_row(profile, point, "") for point in profile.own_points]
    for array in profile.arrays:
        row = _row(profile, array, "")
        last = array.n_from + array.count - 1
        name = array.id.replace("{n}", f"{array.n_from}..{last}")
        found.append(row._replace(point=name, address=f"{row.address} and on"))
    for variant in profile.variants:
        found += [_row(profile, point, f" ({variant.name})") for point in variant.points]
    return found


def _row(profile: Profile, point: Point, suffix: str) -> Row:
    at = _merged(profile, point)
    keys = ("type",) if at.get("type") == "bool" else ("type", "order", "words", "bit")
    type_ = " ".join(_words(at, keys))
    poll = point.poll if isinstance(point.poll, str) else f"{point.poll:g} s"
    unit = "" if point.unit == "1" else point.unit
    kind = "enum" if point.enum else "bits" if point.bits else point.kind
    return Row(point.id + suffix, _address(at), type_, unit, kind, poll)


def _merged(profile: Profile, point: Point) -> Mapping[str, object]:
    if point.at is None:
        return {}
    defaults = profile.defaults.get("at")
    short = "path" if profile.topics else "addr"
    at = point.at if isinstance(point.at, dict) else {short: point.at}
    return {**(defaults if isinstance(defaults, dict) else {}), **at}


def _address(at: Mapping[str, object]) -> str:
    if at.keys() & {"path", "topic", "byte", "lit"}:
        return _place(at)
    addr = at.get("addr")
    shown = f"{addr:#06x}" if isinstance(addr, int) else "" if addr is None else str(addr)
    return f"{at.get('table', '')} {shown}".strip()


def _words(at: Mapping[str, object], keys: tuple[str, ...]) -> Iterator[str]:
    for key in keys:
        if key in at:
            yield str(at[key]) if key in {"type", "order"} else f"{key} {at[key]}"


def _place(at: Mapping[str, object]) -> str:
    """Of MQTT: topic and path or byte; or what the point is worked out from."""
    if "lit" in at:
        return f"from {at['lit']}, {at.get('power')}"
    topic = at.get("topic", "main")
    names = "+".join(map(str, topic)) if isinstance(topic, list) else str(topic)
    where = f"byte {at['byte']}" if "byte" in at else str(at.get("path", ""))
    return f"{names} {where}".strip()

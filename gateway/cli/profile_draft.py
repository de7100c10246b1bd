"""A profile that is being made from somebody else's register table: values, then YAML text.

What a source does not say, or what must not be believed unread, is marked `# CHECK:` in the text.
"""

import json
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal

from gateway.units import SPELLINGS, UNITS, code_of

MARK = "# CHECK:"
# As register tables write them, beside what people write in rules.
_WORDS = {
    "volt": "V", "volts": "V", "amp": "A", "amps": "A", "ampere": "A", "watt": "W", "watts": "W",
    "degrees": "deg", "degree": "deg", "seconds": "s", "sec": "s", "minutes": "min", "hours": "h",
    "celsius": "Cel", "c": "Cel", "hertz": "Hz", "pf": "1", "cos": "1",
}  # fmt: skip
_COUNTED = frozenset({"energy", "reactive energy", "volume"})
# Names that a file can have on every system, and that `Document` reads as a text.
_PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9_./-]*")
_NOT_PLAIN = frozenset({"true", "false", "null", "yes", "no", "on", "off"})


class SourceError(ValueError):
    """The source cannot be read; the text names the place and the fix."""


@dataclass(slots=True, kw_only=True)
class DraftPoint:
    """`address` goes under `at`. `doubts` are for a person to settle."""

    name: str
    address: dict[str, str | int]
    unit: str = ""
    scale: str = "1"
    offset: str = "0"
    sentinels: list[int] = field(default_factory=list)
    enum: dict[str, str] = field(default_factory=dict)
    doubts: list[str] = field(default_factory=list)


@dataclass(slots=True, kw_only=True)
class Draft:
    """`left_out` are entries of the source that no point was made of, with the reason."""

    model: str
    vendor: str = ""
    source: str
    max_regs: int = 0
    points: list[DraftPoint] = field(default_factory=list)
    identity: list[tuple[dict[str, str | int], list[int]]] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)


def slug(text: str) -> str:
    """A profile name: a-z, 0-9 and '-'."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:63] or "imported"


def unit_code(text: str) -> str | None:
    """The UCUM code for what a table says; None if it is no unit that we know."""
    text = text.strip()
    if not text or text in {"-", "None", "none"}:
        return "1"
    if code := code_of(text) or _WORDS.get(text.lower()):
        return code
    known = [word for word in (*UNITS, *SPELLINGS) if word.lower() == text.lower()]
    codes = {code_of(word) for word in known if not _mega(word, text)}
    return codes.pop() if len(codes) == 1 else None


def _mega(one: str, other: str) -> bool:
    """They begin with m and M: milli and mega, or by carelessness."""
    return {one[0], other[0]} == {"m", "M"}


def decimal_text(value: object) -> str:
    """`0.1` for 0.1, and never an exponent. Raises ValueError."""
    number = Decimal(str(value).strip())
    if not number.is_finite():
        raise ValueError(f"{value!r} is no number")
    return format(number.normalize(), "f")


def write(draft: Draft, name: str) -> str:
    """The YAML text of profile `name`."""
    names = _names(draft.points)
    defaults = _defaults(draft.points)
    lines = [*_head(draft, name), *_limits(draft), f"defaults: {{at: {_flow(defaults)}}}"]
    if draft.identity:
        lines.append("identity:")
        for at, numbers in draft.identity:
            lines.append(f"  - {{at: {_flow(at)}, equals: {_flow(numbers)}}}")
    lines += [f"{MARK} give the points dotted names as docs/profiles.md has, e.g. elec.voltage.a"]
    lines += ["points:"]
    for point_id, point in zip(names, draft.points, strict=True):
        lines += [f"  {MARK} {doubt}" for doubt in point.doubts]
        lines.append(f"  - {_point(point_id, point, defaults)}")
    lines += [f"# left out: {what}" for what in draft.left_out]
    lines += [
        f"{MARK} at least one exchange with the device, its RTU frames in hex, and what it showed then:",
        "# vectors:",
        '#   - {name: voltage, request: "01 04 00 00 00 02 71 CB", response: "...", values: {elec.voltage.a: 230.2}}',
    ]
    return "\n".join(lines) + "\n"


def doubts(text: str) -> int:
    """How many places a person must look at."""
    return text.count(MARK)


def _head(draft: Draft, name: str) -> list[str]:
    return [
        f"profile: {name}", "schema: 1", "revision: 1",
        *([f"vendor: {_scalar(draft.vendor)}"] if draft.vendor else []),
        f"model: {_scalar(draft.model)}",
        f"{MARK} type (meter, light, level, ...) and facility",
        "type: meter", "facility: utilities", "protocol: modbus",
        f"{MARK} a document of the maker is a better source", f"sources: [{_scalar(draft.source)}]",
        "status: code",
    ]  # fmt: skip


def _limits(draft: Draft) -> list[str]:
    size = min(125, max(draft.max_regs, *(_width(p.address) for p in draft.points), 1))
    return [
        f"{MARK} how many registers the device gives at once, and over which gaps it can be read",
        f"limits: {{max_regs: {size}, max_gap: 0, pause: 20ms, timeout: 500ms}}",
    ]


def _width(address: dict[str, str | int]) -> int:
    words = address.get("words")
    digits = re.sub(r"\D", "", str(address.get("type", "")))
    return int(words) if words else max(1, int(digits or 16) // 16)


def _names(points: Iterable[DraftPoint]) -> list[str]:
    """Point ids: unique, and allowed."""
    found: list[str] = []
    taken: Counter[str] = Counter()
    for point in points:
        parts = [re.sub(r"[^a-z0-9]+", "_", part.lower()).strip("_") for part in point.name.split(".")]  # fmt: skip
        parts = [part if part[0].isalpha() else f"p{part}" for part in parts if part]
        name = ".".join(parts) or "point"
        taken[name] += 1
        while (unique := name if taken[name] == 1 else f"{name}_{taken[name]}") in found:
            taken[name] += 1
        found.append(unique)
    return found


def _defaults(points: Sequence[DraftPoint]) -> dict[str, str | int]:
    """What most points have in common."""
    kinds = Counter(
        tuple((key, point.address[key]) for key in ("table", "type", "order") if key in point.address)
        for point in points
    )  # fmt: skip
    return dict(kinds.most_common(1)[0][0]) if kinds else {}


def _point(name: str, point: DraftPoint, defaults: dict[str, str | int]) -> str:
    unit = unit_code(point.unit) or "1"
    kind = ""
    if point.enum or point.address.get("type") in {"bool", "string"}:
        kind = "state"
    elif UNITS[unit].dimension in _COUNTED:
        kind = "counter"
    at = {key: value for key, value in point.address.items() if defaults.get(key) != value}
    parts: dict[str, object] = {"id": name}
    if unit != "1" or not kind:
        parts["unit"] = _Quoted(unit) if unit == "1" else unit
    if kind:
        parts["kind"] = kind
    parts["poll"] = "slow" if kind == "counter" else "fast"
    parts["at"] = at["addr"] if list(at) == ["addr"] else at
    if point.scale != "1":
        parts["scale"] = _Quoted(point.scale)
    if point.offset != "0":
        parts["offset"] = _Quoted(point.offset)
    if point.sentinels:
        parts["sentinels"] = point.sentinels
    if point.enum:
        parts["enum"] = point.enum
    return _flow(parts)


class _Quoted(str):
    """Stays a text in YAML although it looks like a number."""

    __slots__ = ()


def _flow(value: object) -> str:
    """A value in YAML's flow style, on one line."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_scalar(str(k))}: {_hex(k, v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_flow, value)) + "]"
    return _scalar(value)


def _hex(key: object, value: object) -> str:
    if isinstance(value, int) and key in {"addr", "at"}:
        return f"0x{value:04X}"
    return _flow(value)


def _scalar(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    text = str(value)
    plain = _PLAIN.fullmatch(text) and text.lower() not in _NOT_PLAIN
    if plain and not isinstance(value, _Quoted):
        return text
    return text if text.isdecimal() and not isinstance(value, _Quoted) else json.dumps(text, ensure_ascii=False)  # fmt: skip

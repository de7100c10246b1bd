"""Reads register maps in the MBMap form (JSON): `registers`, each with its area, address and type.

What stands at the top (`address_base`, `byte_order`, `word_order`) holds for every register that says
nothing else. docs/profiles.md lists the keys that are taken over; of others it is told that they are not.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson

from gateway.cli.profile_draft import Draft, DraftPoint, SourceError, decimal_text, unit_code

AREAS = {
    "coil": "coil", "coils": "coil", "discrete": "discrete", "discrete_input": "discrete",
    "discrete_inputs": "discrete", "holding": "holding", "holding_register": "holding",
    "holding_registers": "holding", "input": "input", "input_register": "input",
    "input_registers": "input",
}  # fmt: skip
TYPES = {
    "bool": "bool", "uint16": "u16", "int16": "i16", "uint32": "u32", "int32": "i32", "uint64": "u64",
    "float32": "f32", "float64": "f64", "bcd": "bcd", "string": "string",
}  # fmt: skip
# (byte order, word order) to ours
ORDERS = {
    ("big", "big"): "ABCD", ("big", "little"): "CDAB", ("little", "big"): "BADC",
    ("little", "little"): "DCBA",
}  # fmt: skip
_SHORT = {"be": "big", "le": "little", "msb": "big", "lsb": "little"}
KEYS = frozenset({
    "name", "area", "address", "type", "byte_order", "word_order", "scale", "offset", "unit",
    "sentinels", "values", "length", "access", "description",
})  # fmt: skip


class _Where:
    """A place in the file, for messages; `defaults` are the keys of the top."""

    def __init__(self, place: str, entry: object, defaults: Mapping[str, Any]) -> None:
        self.place = place
        if not isinstance(entry, dict):
            raise self.wrong("not an object", "write {name, area, address, type}")
        self.entry: dict[str, Any] = entry
        self.defaults = defaults

    def get(self, key: str, otherwise: object = None) -> Any:
        return self.entry.get(key, self.defaults.get(key, otherwise))

    def one_of(self, key: str, known: Mapping[str, str], otherwise: object = None) -> str:
        written = self.get(key, otherwise)
        found = known.get(str(written).lower())
        if found is None:
            raise self.wrong(f"{key} {written!r} is not known", f"write one of {', '.join(known)}")
        return found

    def whole(self, key: str) -> int:
        written = self.get(key)
        try:
            return int(written, 0) if isinstance(written, str) else int(written)
        except (TypeError, ValueError):
            raise self.wrong(f"{key} {written!r} is no whole number", "write digits") from None

    def wrong(self, what: str, fix: str) -> SourceError:
        return SourceError(f"{self.place}: {what}: {fix}")


def read(path: Path) -> Draft:
    """Raises SourceError, OSError."""
    try:
        document = orjson.loads(path.read_bytes())
    except orjson.JSONDecodeError as error:
        raise SourceError(f"{path}:{error.lineno}:{error.colno}: not JSON: {error.msg}") from None
    top = _Where(str(path), document, {})
    registers = top.get("registers")
    if not isinstance(registers, list) or not registers:
        raise top.wrong("no registers", "give a map with a list `registers`")
    draft = Draft(
        model=str(top.get("model") or path.stem), vendor=str(top.get("manufacturer") or top.get("vendor") or ""),
        source=f"MBMap {path.name}",
    )  # fmt: skip
    for index, entry in enumerate(registers):
        _register(_Where(f"{path}: registers[{index}]", entry, top.entry), draft)
    for index, entry in enumerate(top.get("identity") or []):
        _probe(_Where(f"{path}: identity[{index}]", entry, top.entry), draft)
    if not draft.points:
        raise top.wrong("no register that can be read", "see what was left out")
    return draft


def _register(where: _Where, draft: Draft) -> None:
    name = str(where.entry.get("name") or where.entry.get("address"))
    type_ = str(where.get("type", "uint16")).lower()
    if "r" not in str(where.entry.get("access", "r")).lower():
        draft.left_out.append(f"{name}: only written; see `commands:`")
    elif type_ not in TYPES:
        draft.left_out.append(f"{name}: type {type_} has no counterpart")
    else:
        unknown = sorted(where.entry.keys() - KEYS)
        doubts = [f"not taken over: {', '.join(unknown)}"] if unknown else []
        unit = str(where.entry.get("unit") or "")
        if unit_code(unit) is None:
            doubts.append(f"unit '{unit}' is not known")
        if "w" in str(where.entry.get("access", "r")).lower():
            doubts.append("can be written: if that is wanted, add a command")
        draft.points.append(
            DraftPoint(
                name=name, address=_at(where), unit=unit, scale=_decimal(where, "scale", "1"),
                offset=_decimal(where, "offset", "0"), sentinels=_sentinels(where),
                enum=_values(where), doubts=doubts,
            )
        )  # fmt: skip


def _at(where: _Where) -> dict[str, str | int]:
    address = where.whole("address") - int(where.get("address_base", 0))
    if not 0 <= address <= 0xFFFF:
        raise where.wrong(f"address {address} on the wire", "check address and address_base")
    table = where.one_of("area", AREAS, "holding")
    type_ = TYPES[str(where.get("type", "uint16")).lower()]
    if table in {"coil", "discrete"}:
        return {"table": table, "addr": address, "type": "bool"}
    at: dict[str, str | int] = {"table": table, "addr": address, "type": type_}
    if type_ in {"string", "bcd"}:
        at["words"] = int(where.entry.get("length", 1))
    orders = {**{word: word for word in ("big", "little")}, **_SHORT}
    both = (where.one_of("byte_order", orders, "big"), where.one_of("word_order", orders, "big"))
    return {**at, "order": ORDERS[both]}


def _decimal(where: _Where, key: str, otherwise: str) -> str:
    written = where.entry.get(key)
    try:
        return otherwise if written is None else decimal_text(written)
    except (ArithmeticError, ValueError):
        raise where.wrong(f"{key} {written!r} is no number", "write e.g. 0.1") from None


def _sentinels(where: _Where) -> list[int]:
    written = where.entry.get("sentinels") or []
    try:
        return [int(one, 0) if isinstance(one, str) else int(one) for one in written]
    except (TypeError, ValueError):
        raise where.wrong(f"sentinels {written!r}", "write a list of raw numbers") from None


def _values(where: _Where) -> dict[str, str]:
    written = where.entry.get("values") or {}
    if not isinstance(written, dict):
        raise where.wrong("values is not an object", "write {raw number: text}")
    return {str(raw): str(text) for raw, text in written.items()}


def _probe(where: _Where, draft: Draft) -> None:
    """A register with a known content, which tells this model from others."""
    expected = where.entry.get("value")
    written = expected if isinstance(expected, list) else [expected]
    numbers = [number for number in written if isinstance(number, int)]
    if not numbers or len(numbers) < len(written):
        draft.left_out.append(f"identity at {where.entry.get('address')}: no whole number to compare with")  # fmt: skip
        return
    if str(where.get("type", "uint16")).lower() not in TYPES:
        raise where.wrong(f"type {where.get('type')!r}", f"write one of {', '.join(TYPES)}")
    draft.identity.append((_at(where), numbers))

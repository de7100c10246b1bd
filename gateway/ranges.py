"""Many devices from one entry: `meter-3-{room}` with `for: {room: ["101..118", "201..218"]}`. Pure.

Each combination of the values of `for` makes one device; `{room}` stands for the value in its id
and in every text of the entry, `{n}` for the number of the device, from 1, `{n+100}` for 100 more.
`{{` and `}}` are braces.
"""

import re
from collections.abc import Iterator, Mapping
from itertools import product

from gateway.document import Document, Path_, Plain, mapping_at, plain_scalar, suggest
from gateway.errors import Problem
from gateway.words.text import fault

KEY = "for"
MOST = 10_000  # devices of one entry: five times what a gateway is built for
TEXTS = frozenset({"tags", "labels", "decisions", "name"})

_PLACE = re.compile(r"\{\{|\}\}|\{([a-z_][a-z0-9_]*)(?:([+-])([0-9]{1,9}))?\}")
_RANGE = re.compile(r"([0-9]{1,9})\.\.([0-9]{1,9})|([A-Za-z])\.\.([A-Za-z])")


class _WrongError(Exception):
    """(path below the entry, what, fix); stays inside this module."""


def expand(document: Document, problems: list[Problem]) -> None:
    """Puts the devices in the place of the entries that have `for`, and their positions with them."""
    devices = mapping_at(document.value).get("devices")
    if not isinstance(devices, dict):
        return
    found: dict[str, Plain] = {}
    for name, entry in devices.items():
        if not (isinstance(entry, dict) and KEY in entry) and "{" not in name:
            if name in found:
                _twice(document, ("devices", name), name, problems)
            found.setdefault(name, entry)
            continue
        try:
            for one, device in _devices(document, name, entry):
                if one in found or (one in devices and one != name):
                    raise _WrongError((), *fault("many.there", id=one))
                found[one] = device
        except _WrongError as error:
            path, what, fix = error.args
            problems.append(document.problem(("devices", name, *path), what, fix))
    devices.clear()
    devices.update(found)


def _twice(document: Document, path: Path_, name: str, problems: list[Problem]) -> None:
    problems.append(document.problem(path, *fault("many.made", id=name), key=True))


def _devices(document: Document, name: str, entry: Plain) -> Iterator[tuple[str, Plain]]:
    if not isinstance(entry, dict) or KEY not in entry:
        raise _WrongError((), *fault("many.no_for", key=KEY))
    template = {key: value for key, value in entry.items() if key != KEY}
    variables = _variables(entry[KEY])
    used = {match[1] for match in _PLACE.finditer(name)}
    for variable in [*variables, "n"]:
        if variable in used:
            break
    else:
        raise _WrongError((), *fault("many.same_id", name=next(iter(variables))))
    count = 1
    for values in variables.values():
        count *= len(values)
    if count > MOST:
        raise _WrongError((KEY,), *fault("many.count", count=count, most=MOST))
    source = _Source(document, ("devices", name))
    for number, chosen in enumerate(product(*variables.values()), 1):
        names = {**dict(zip(variables, chosen, strict=True)), "n": str(number)}
        one = str(_filled(name, names, ()))
        source.copy(("devices", one), names)
        yield one, _filled_in(document, ("devices", one), template, names, ())


def _variables(value: Plain) -> dict[str, list[str]]:
    if not isinstance(value, dict) or not value:
        raise _WrongError((KEY,), *fault("many.mapping"))
    found = {}
    for name, given in value.items():
        if not re.fullmatch(r"[a-z_][a-z0-9_]*", name) or name == "n":
            raise _WrongError((KEY, name), *fault("many.name", name=name))
        entries = given if isinstance(given, list) else [given]
        values = [text for i, one in enumerate(entries) for text in _values((KEY, name, i), one)]
        if not values:
            raise _WrongError((KEY, name), *fault("many.no_values"))
        if len(set(values)) < len(values):
            twice = next(text for text in values if values.count(text) > 1)
            raise _WrongError((KEY, name), *fault("many.twice", value=twice))
        found[name] = values
    return found


def _values(path: Path_, one: Plain) -> list[str]:
    """`101..118`, `01..12` (with zeros), `a..f`, or one value."""
    if isinstance(one, bool) or not isinstance(one, str | int):
        raise _WrongError(path, *fault("many.value", value=repr(one)))
    match = _RANGE.fullmatch(str(one))
    if match is None:
        if ".." in str(one):
            raise _WrongError(path, *fault("many.range", value=one))
        return [str(one)]
    if match[1] is None:
        low, high = ord(match[3]), ord(match[4])
        texts = [chr(code) for code in range(low, high + 1)]
        right = match[3].isupper() == match[4].isupper()
    else:
        low, high = int(match[1]), int(match[2])
        right = high - low <= MOST
        width = len(match[1]) if match[1].startswith("0") else 0
        texts = [f"{number:0{width}d}" for number in range(low, high + 1)] if right else []
    if not right or high < low:
        raise _WrongError(path, *fault("many.order", value=one, most=MOST))
    return texts


class _Source:
    """Where the parts of an entry stand: also where those of the devices that it makes stand."""

    def __init__(self, document: Document, path: Path_) -> None:
        self._document = document
        self._file = document.file_of(path)
        length = len(path)
        tables = (document.places, document.keys)
        self._places = [
            (table, [(at[length:], place) for at, place in table.items() if at[:length] == path])
            for table in tables
        ]

    def copy(self, path: Path_, names: Mapping[str, str]) -> None:
        for table, entries in self._places:
            for rest, place in entries:
                table[(*path, *rest)] = place
        if self._file != self._document.name:
            self._document.files[path] = self._file


def _filled_in(
    document: Document, path: Path_, value: Plain, names: Mapping[str, str], below: Path_
) -> Plain:
    if isinstance(value, dict):
        return {
            key: _filled_in(document, path, part, names, (*below, key))
            for key, part in value.items()
        }
    if isinstance(value, list):
        return [
            _filled_in(document, path, part, names, (*below, i)) for i, part in enumerate(value)
        ]
    if not isinstance(value, str) or ("{" not in value and "}" not in value):
        return value
    text = _filled(value, names, below)
    if text == value or below[0] in TEXTS:
        return text
    plain = plain_scalar(text)
    if not isinstance(plain, str):
        document.texts[(*path, *below)] = text
    return plain


def _filled(text: str, names: Mapping[str, str], below: Path_) -> str:
    def put(match: re.Match[str]) -> str:
        if match[1] is None:
            return match[0][0]
        if match[1] not in names:
            fix = suggest(match[1], names)
            raise _WrongError(below, *fault("many.unknown", place=match[0], fix=fix))
        value = names[match[1]]
        if match[2] is None:
            return value
        if not value.isdecimal():
            raise _WrongError(below, *fault("many.no_number", place=match[0], value=value))
        return str(int(value) + int(match[2] + match[3]))

    return _PLACE.sub(put, text)

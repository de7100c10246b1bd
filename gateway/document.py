"""YAML files with positions: YAML 1.2 core schema, nothing clever, every place remembered.

PyYAML gives only the events. The rest is ours, because the ready loaders take `no` for False,
`22:00` for 1320 and `0501` for 321, accept duplicate keys, and expand a 300-byte alias bomb to
megabytes (docs/libraries.md, T92).
"""

import difflib
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import yaml

from gateway.errors import ConfigError, Problem
from gateway.words.text import Said, fault
from gateway.words.text import text as text_

MAX_BYTES = 1 << 20  # 2,000 devices take about 400 KB
MAX_DEPTH = 20  # the deepest legal file has 9 levels

Scalar = str | int | float | bool | None
Plain = Scalar | list["Plain"] | dict[str, "Plain"]
Path_ = tuple[str | int, ...]

_LOADER: type[yaml.SafeLoader] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

# YAML 1.2.2, 10.3.2, but for decimal numbers with a leading zero: `0501` is a house number.
_INT = re.compile(r"[-+]?(?:0|[1-9][0-9]*)$")
_OCT = re.compile(r"0o[0-7]+$")
_HEX = re.compile(r"0x[0-9a-fA-F]+$")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|(?:0|[1-9][0-9]*)(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?$")
_WORDS: dict[str, Scalar] = {
    "": None, "~": None, "null": None, "Null": None, "NULL": None,
    "true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False,
}  # fmt: skip


class Within(NamedTuple):
    """Characters `start` to `end` (exclusive) of a text."""

    text: str
    start: int
    end: int


@dataclass(slots=True)
class Document:
    """A parsed file: plain values, and where each of them and each key stands.

    Parts may come from other files (`gateway.assemble`): `files` names those by path, `texts` holds
    what stands there of values whose type only their use tells.
    """

    name: str
    value: Plain = None
    places: dict[Path_, tuple[int, int]] = field(default_factory=dict)
    keys: dict[Path_, tuple[int, int]] = field(default_factory=dict)
    quoted: set[Path_] = field(default_factory=set)  # values that stand in quotes
    blocks: set[Path_] = field(
        default_factory=set
    )  # texts of `|` and `>`, which begin a line below
    files: dict[Path_, str] = field(default_factory=dict)
    texts: dict[Path_, str] = field(default_factory=dict)

    def file_of(self, path: Iterable[str | int]) -> str:
        """The file in which the value at `path` stands."""
        at = tuple(path) if self.files else ()
        while at and at not in self.files:
            at = at[:-1]
        return self.files[at] if at else self.name

    def folder_of(self, path: Iterable[str | int]) -> Path:
        """From where relative names at `path` are seen."""
        return Path(self.file_of(path)).parent

    def place(self, path: Iterable[str | int]) -> tuple[int, int]:
        """Line and column of the value at `path`, or of its nearest parent that exists."""
        at = tuple(path)
        while at and at not in self.places:
            at = at[:-1]
        return self.places.get(at, (1, 1))

    def problem(
        self, path: Iterable[str | int], what: str, fix: str, *, key: bool = False,
        within: "Within | None" = None,
    ) -> Problem:  # fmt: skip
        """A problem at the value, with `key` at the key itself, or at a part of a text."""
        at = tuple(path)
        line, column = self.keys.get(at, (1, 1)) if key else self.place(at)
        excerpt = ""
        if within is not None:
            text, start, end = within
            excerpt = f"{text}\n{' ' * _cells(text[:start])}{'^' * max(1, _cells(text[start:end]))}"
            if at in self.places and at not in self.blocks and "\n" not in text:
                column += start + (at in self.quoted)
        return Problem(self.file_of(at), line, column, dotted(at), what, fix, excerpt)


def _cells(text: str) -> int:
    """Cells of a terminal that `text` takes: Chinese characters take two, combining ones none
    (Unicode TR 11).
    """
    wide = sum(unicodedata.east_asian_width(char) in "WF" for char in text)
    return len(text) + wide - sum(unicodedata.combining(char) > 0 for char in text)


def dotted(path: Iterable[str | int]) -> str:
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def suggest(word: str, known: Iterable[str]) -> Said:
    """The fix for an unknown name: the nearest known one, else all of them."""
    names = sorted(known)
    near = difflib.get_close_matches(word, names, n=1, cutoff=0.6)
    if near:
        return text_("suggest.near", near=near[0])
    return text_("suggest.all", names=names) if names else text_("suggest.none")


def load(path: Path, name: str = "") -> Document:
    """Read and parse one file, called `name` in messages. Raises ConfigError that names every
    problem found.
    """
    name = name or str(path)
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_BYTES + 1)
    except OSError as error:
        why = error.strerror or str(error)
        raise ConfigError([Problem(name, 0, 0, "", *fault("file.unreadable", why=why))]) from error
    return parse(raw, name)


def parse(raw: bytes, name: str) -> Document:
    """Parse the bytes of one YAML file that is called `name` in messages. Raises ConfigError."""
    text = _decode(raw, name)
    builder = _Builder(name)
    try:
        builder.build(yaml.parse(text, Loader=_LOADER))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        if mark and error.context_mark and not text[mark.index :].strip():
            mark = error.context_mark  # what is open, not where the file ends
        line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        syntax = fault(
            "file.syntax", why=error.problem or error.context, fix=_syntax_fix(text, line)
        )
        builder.problems.append(Problem(name, line, column, "", *syntax))
    if builder.problems:
        raise ConfigError(builder.problems)
    return builder.document


def _decode(raw: bytes, name: str) -> str:
    if len(raw) > MAX_BYTES:
        raise ConfigError([Problem(name, 0, 0, "", *fault("file.large", most=MAX_BYTES))])
    if raw.startswith((b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")):
        raise ConfigError([Problem(name, 1, 1, "", *fault("file.bom"))])
    try:
        text = raw.decode()
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        column = error.start - raw.rfind(b"\n", 0, error.start)
        problem = Problem(name, line, column, "", *fault("file.encoding"))
        raise ConfigError([problem]) from error
    control = re.search(
        r"[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]", text
    )
    if control:  # YAML 1.2.2, 5.1: not printable
        line = text.count("\n", 0, control.start()) + 1
        column = control.start() - text.rfind("\n", 0, control.start())
        odd = fault("file.character", code=f"{ord(control.group()):04X}")
        raise ConfigError([Problem(name, line, column, "", *odd)])
    return text


def _syntax_fix(text: str, line: int) -> Said:
    lines = text.splitlines()
    here = lines[line - 1] if 0 < line <= len(lines) else ""
    if "\t" in here[: len(here) - len(here.lstrip())]:
        return text_("file.tabs")
    return text_("file.punctuation")


class _Builder:
    """Turns parser events into plain values; keeps going after a problem, to report them all."""

    def __init__(self, name: str) -> None:
        self.document = Document(name)
        self.problems: list[Problem] = []

    def build(self, events: Iterable[yaml.Event]) -> None:
        stream = iter(events)
        documents = 0
        for event in stream:
            if isinstance(event, yaml.DocumentStartEvent):
                documents += 1
                if documents > 1:
                    self._problem(event, (), *fault("file.second"))
                    return
            elif isinstance(event, yaml.NodeEvent):
                self.document.value = self._node(event, stream, ())

    def _problem(self, event: yaml.Event, path: Path_, what: str, fix: str) -> None:
        self.problems.append(Problem(self.document.name, *_place(event), dotted(path), what, fix))

    def _node(self, event: yaml.Event, stream: Iterator[yaml.Event], path: Path_) -> Plain:
        self.document.places.setdefault(path, _place(event))
        if isinstance(event, yaml.AliasEvent):
            self._problem(event, path, *fault("file.alias", name=event.anchor))
            return None
        if len(path) > MAX_DEPTH:
            place = _place(event)
            deep = fault("file.deep", most=MAX_DEPTH)
            problem = Problem(self.document.name, *place, dotted(path[:4]), *deep)
            raise ConfigError([*self.problems, problem])
        anchor = getattr(event, "anchor", None)
        if anchor:
            self._problem(event, path, *fault("file.anchor", name=anchor))
        tag = getattr(event, "tag", None)
        if tag:
            self._problem(event, path, *fault("file.tag", tag=tag))
        if isinstance(event, yaml.ScalarEvent):
            if event.style:
                (self.document.blocks if event.style in "|>" else self.document.quoted).add(path)
            return event.value if event.style else plain_scalar(event.value)
        if isinstance(event, yaml.SequenceStartEvent):
            return self._sequence(stream, path)
        return self._mapping(stream, path)

    def _sequence(self, stream: Iterator[yaml.Event], path: Path_) -> list[Plain]:
        items: list[Plain] = []
        for event in stream:
            if isinstance(event, yaml.SequenceEndEvent):
                break
            items.append(self._node(event, stream, (*path, len(items))))
        return items

    def _mapping(self, stream: Iterator[yaml.Event], path: Path_) -> dict[str, Plain]:
        mapping: dict[str, Plain] = {}
        for event in stream:
            if isinstance(event, yaml.MappingEndEvent):
                break
            key = self._key(event, stream, path)
            here = (*path, key)
            if key in mapping:
                first = self.document.keys[here][0]
                self._problem(event, here, *fault("file.duplicate", line=first))
            self.document.keys.setdefault(here, _place(event))
            value = self._node(next(stream), stream, here)
            mapping.setdefault(key, value)
        return mapping

    def _key(self, event: yaml.Event, stream: Iterator[yaml.Event], path: Path_) -> str:
        if isinstance(event, yaml.ScalarEvent) and not event.anchor and not event.tag:
            if event.value == "<<" and not event.style:
                self._problem(event, path, *fault("file.merge"))
            return str(event.value)
        self._problem(event, path, *fault("file.key"))
        self._node(event, stream, (*path, "?"))
        return "?"


def _place(event: yaml.Event) -> tuple[int, int]:
    mark = event.start_mark
    return (mark.line + 1, mark.column + 1) if mark else (1, 1)


def plain_scalar(text: str) -> Scalar:
    """What an unquoted scalar means."""
    if text in _WORDS:
        return _WORDS[text]
    if _INT.match(text):
        return int(text) if len(text) <= 20 else text
    if _HEX.match(text) and len(text) <= 18:
        return int(text, 16)
    if _OCT.match(text) and len(text) <= 24:
        return int(text, 8)
    return float(text) if _FLOAT.match(text) else text


def mapping_at(value: Plain) -> Mapping[str, Plain]:
    """`value` if it is a mapping, else an empty one (the type error is reported elsewhere)."""
    return value if isinstance(value, dict) else {}

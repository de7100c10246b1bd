"""One configuration from its files: the main one, what it includes, and tables of devices.

Every value keeps its place: errors name the file, and relative names are seen from there.
"""

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from gateway.document import Document, Path_, Plain, load, mapping_at
from gateway.errors import ConfigError, Problem
from gateway.ranges import expand
from gateway.table import read_table
from gateway.words.text import fault

# Sections that files may share: mappings by id, and lists. Everything else stands in the main file.
BY_ID = ("links", "devices", "upstream", "recipients")
PATHS = ("profiles", "rules")
INCLUDE, TABLES = "include", "devices_from"
SHARED = (*BY_ID, *PATHS, "commands", INCLUDE, TABLES, "version")
MOST_FILES = 100


@dataclass(slots=True)
class Assembled:
    """`document` is the whole; `files` are those it was read from, the main one first."""

    document: Document
    files: list[Path]
    problems: list[Problem] = field(default_factory=list)


def assemble(path: Path, name: str = "") -> Assembled:
    """Read a configuration that consists of one file or many; `name` is what the main one is called.

    Raises ConfigError if the main file cannot be read; what is wrong in others is in `problems`.
    """
    main = load(path, name or str(path))
    whole = Assembled(main, [Path(main.name)])
    if isinstance(main.value, dict):
        _Assembler(whole).run()
    return whole


class _Assembler:
    def __init__(self, whole: Assembled) -> None:
        self._whole = whole
        self._main = whole.document
        assert isinstance(self._main.value, dict)  # noqa: S101 -- `assemble` has looked
        self._value = self._main.value
        self._open = [_real(Path(self._main.name))]

    def run(self) -> None:
        main, value = self._main, self._value
        listed = {key: value.pop(key) for key in (INCLUDE, TABLES) if key in value}
        for document, path, file in self._named(main, listed.get(INCLUDE), INCLUDE, folders=True):
            self._include(document, path, file)
        for document, path, file in self._named(main, listed.get(TABLES), TABLES, folders=False):
            self._table(document, path, file)
        expand(main, self._whole.problems)

    def _named(
        self, document: Document, listed: Plain, key: str, *, folders: bool
    ) -> Iterator[tuple[Document, Path_, Path]]:
        """The files that a list names, those of a folder in the order of their names."""
        if listed is None:
            return
        if not isinstance(listed, list):
            self._problem(document, (key,), *fault("include.no_list", key=key))
            return
        for index, entry in enumerate(listed):
            path = (key, index)
            file = Path(document.name).parent / entry if isinstance(entry, str) else None
            if file is None:
                self._problem(document, path, *fault("include.no_name", value=repr(entry)))
            elif folders and file.is_dir():
                yield from ((document, path, one) for one in sorted(file.glob("*.yaml")))
            else:
                yield document, path, file

    def _problem(self, document: Document, path: Path_, what: str, fix: str) -> None:
        self._whole.problems.append(document.problem(path, what, fix))

    def _include(self, by: Document, path: Path_, file: Path) -> None:
        real = _real(file)
        if real in self._open:
            self._problem(by, path, *fault("include.itself", file=str(file)))
            return
        if not self._may_read(by, path, file):
            return
        try:
            part = load(file)
        except ConfigError as error:
            self._whole.problems += error.problems
            return
        if not isinstance(part.value, dict):
            self._problem(part, (), *fault("include.no_mapping"))
            return
        self._open.append(real)
        value = part.value
        listed = {key: value.pop(key) for key in (INCLUDE, TABLES) if key in value}
        self._take(part)
        for document, at, one in self._named(part, listed.get(INCLUDE), INCLUDE, folders=True):
            self._include(document, at, one)
        for document, at, one in self._named(part, listed.get(TABLES), TABLES, folders=False):
            self._table(document, at, one)
        self._open.pop()

    def _table(self, by: Document, path: Path_, file: Path) -> None:
        if self._may_read(by, path, file):
            try:
                self._take(read_table(file))
            except ConfigError as error:
                self._whole.problems += error.problems

    def _may_read(self, by: Document, path: Path_, file: Path) -> bool:
        if not file.is_file():
            self._problem(by, path, *fault("config.no_file", path=str(file)))
            return False
        if len(self._whole.files) >= MOST_FILES:
            self._problem(by, path, *fault("include.many", most=MOST_FILES))
            return False
        self._whole.files.append(file)
        return True

    def _take(self, part: Document) -> None:
        """What the part says, with its places; two answers to one question are a problem."""
        moved: dict[Path_, Path_] = {}  # beginnings of paths, there and here
        for key, value in mapping_at(part.value).items():
            if key not in SHARED:
                self._refuse(part, key)
            elif key in BY_ID and isinstance(value, dict):
                here = self._value.setdefault(key, {})
                if isinstance(here, dict):
                    moved |= self._entries(part, key, value, here)
            elif key == "commands" and isinstance(value, dict) and set(value) <= {"allow"}:
                commands = self._value.setdefault("commands", {})
                if isinstance(commands, dict):
                    moved |= self._items(part, ("commands", "allow"), value.get("allow"), commands)
            elif key in PATHS:
                moved |= self._items(part, (key,), self._seen_from_main(part, value), self._value)
            elif key != "version" or value != self._value.get("version"):
                id_ = "include.version" if key == "version" else "include.misfit"
                self._problem(part, (key,), *fault(id_, key=key))
        self._places(part, moved)

    def _refuse(self, part: Document, key: str) -> None:
        moved = fault("include.not_here", key=key, main=self._main.name)
        self._whole.problems.append(part.problem((key,), *moved, key=True))

    def _entries(
        self, part: Document, key: str, value: dict[str, Plain], here: dict[str, Plain]
    ) -> dict[Path_, Path_]:
        moved: dict[Path_, Path_] = {}
        for name, entry in value.items():
            path = (key, name)
            if name in here:
                line = self._main.keys.get(path, (1, 1))[0]
                twice = fault("include.duplicate", place=f"{self._main.file_of(path)}:{line}")
                problem = part.problem(path, *twice, key=True)
                self._whole.problems.append(problem)
            else:
                here[name] = entry
                moved[path] = path
        return moved

    def _items(
        self, part: Document, path: Path_, value: Plain, here: dict[str, Plain]
    ) -> dict[Path_, Path_]:
        key = str(path[-1])
        items = here.setdefault(key, [])
        if not isinstance(value, list) or not isinstance(items, list):
            self._problem(part, path, *fault("include.no_items"))
            return {}
        start = len(items)
        items += value
        return {(*path, i): (*path, start + i) for i in range(len(value))}

    def _seen_from_main(self, part: Document, value: Plain) -> Plain:
        if not isinstance(value, list):
            return value
        here, there = Path(self._main.name).parent, Path(part.name).parent
        return [
            os.path.relpath(there / one, here) if isinstance(one, str) else one for one in value
        ]

    def _places(self, part: Document, moved: dict[Path_, Path_]) -> None:
        main = self._main
        main.files.update(dict.fromkeys(moved.values(), part.name))

        def here(at: Path_) -> Path_ | None:
            for length in (2, 3):
                if at[:length] in moved:
                    return moved[at[:length]] + at[length:]
            return None

        for source, target in ((part.places, main.places), (part.keys, main.keys)):
            target.update({to: place for at, place in source.items() if (to := here(at))})
        main.texts.update({to: text for at, text in part.texts.items() if (to := here(at))})
        for marks, ours in ((part.quoted, main.quoted), (part.blocks, main.blocks)):
            ours.update(to for at in marks if (to := here(at)))


def rule_files(paths: Iterable[Path]) -> list[Path]:
    """The rule files of a configuration: `*.test.yaml` hold test cases, not rules."""
    files: list[Path] = []
    for path in paths:
        found = sorted(path.glob("*.yaml")) if path.is_dir() else [path]
        files += [file for file in found if not file.name.endswith(".test.yaml")]
    return files


def _real(path: Path) -> str:
    return os.path.realpath(path)

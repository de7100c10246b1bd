"""`gateway profile new`, `check`, `import`: making device models without code."""

import argparse
import re
import sys
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path

import orjson

from gateway.cli import profile_draft, profile_mbmap, profile_modpoll
from gateway.cli.main import CONFIG, USAGE
from gateway.cli.profile_table import Row, rows
from gateway.cli.say import counted, in_language, language, number, say
from gateway.document import Document, suggest
from gateway.driver import installed
from gateway.errors import ConfigError, Problem
from gateway.own import PROTOCOL
from gateway.profile import Profile, find, load_profile, names
from gateway.words.text import fault, text
from rules.alarms import check_alarms

_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
_PROFILE_LINE = re.compile(r"^profile:.*$", re.MULTILINE)
_REVISION_LINE = re.compile(r"^revision:.*$", re.MULTILINE)


def new(options: argparse.Namespace) -> int:
    """Write NAME.yaml here; never overwrites."""
    if not _NAME.fullmatch(options.name):
        return _refuse(f"'{options.name}' is no name: use 1 to 63 of a-z, 0-9 and '-'")
    text = _source(options.source)
    if text is None:
        return _refuse(f"unknown profile '{options.source}': {suggest(options.source, names([]))}")
    text = _PROFILE_LINE.sub(f"profile: {options.name}", text, count=1)
    text = _REVISION_LINE.sub("revision: 1", text, count=1)
    if options.source is not None:
        text = f"# Made from {options.source}: change sources and status, and whatever differs.\n{text}"  # fmt: skip
    path = Path(f"{options.name}.yaml")
    return _write(path, text, f"wrote {path}\nnext: edit it, then: gateway profile check {path}")


def _source(name: str | None) -> str | None:
    """The text to start from; None if there is no such profile."""
    if name is None:
        return files("configs").joinpath("profile.yaml").read_text(encoding="utf-8")
    path = Path(name) if name.endswith(".yaml") else find(name, [])
    return path.read_text(encoding="utf-8") if path is not None and path.is_file() else None


def check(options: argparse.Namespace) -> int:
    """Exit code 78 if any of the files has a problem."""
    found = [_Checked(Path(name)) for name in options.files]
    if options.json:
        print(orjson.dumps([one.as_json() for one in found], option=orjson.OPT_INDENT_2).decode())
    else:
        for one in found:
            _show(one)
    return CONFIG if any(one.problems for one in found) else 0


class _Checked:
    """A profile file and everything that was found in it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.profile: Profile | None = None
        self.problems: Sequence[Problem] = []
        self.notes: Sequence[Problem] = []
        try:
            self.profile, document = load_profile(path)
        except ConfigError as error:
            self.problems = error.problems
            return
        problems, self.notes = check_alarms(self.profile, document)
        self.problems = ConfigError([*problems, *_check_map(self.profile, document)]).problems

    @property
    def rows(self) -> list[Row]:
        return [] if self.profile is None else rows(self.profile)

    def as_json(self) -> dict[str, object]:
        vectors = [] if self.profile is None else [one.name for one in self.profile.vectors]
        return {
            "file": str(self.path), "problems": [in_language(one) for one in self.problems],
            "warnings": [in_language(one) for one in self.notes],
            "points": [row._asdict() for row in self.rows], "vectors": vectors,
        }  # fmt: skip


def _check_map(profile: Profile, document: Document) -> list[Problem]:
    """What the drivers of its protocol say: addresses, overlaps, vectors."""
    if profile.protocol == PROTOCOL:  # of the gateway itself
        return []
    specs = [load() for load in installed().values()]
    fitting = [spec for spec in specs if profile.protocol in spec.protocols]
    if not fitting:
        fix = suggest(profile.protocol, {name for spec in specs for name in spec.protocols})
        unknown = fault("profile.protocol", name=profile.protocol, fix=fix)
        return [document.problem(("protocol",), *unknown)]
    return [document.problem(*fault) for spec in fitting for fault in spec.check_profile(profile)]


def _show(one: _Checked) -> None:
    if one.rows:
        from rich.console import Console  # noqa: PLC0415 -- 60 ms that `--json` does not need

        from gateway.cli.profile_page import page  # noqa: PLC0415 -- as above

        Console().print(page(str(one.path), one.rows))
    for problem in one.problems:
        print(problem.said(language()))
    for note in one.notes:
        print(f"{say(text('check.warning'))}{note.said(language())}")
    if one.profile is None or one.problems:
        print(f"{one.path}: {say(number(len(one.problems), 'problem'))}")
    else:
        parts = [
            number(len(one.profile.points), "point"), number(len(one.profile.alarm_rules), "alarm"),
            number(len(one.profile.vectors), "vector"),
        ]  # fmt: skip
        print(say(text("check.ok", file=one.path, counts=parts)))


def import_(options: argparse.Namespace) -> int:
    """Convert; the profile says itself what a person must check."""
    try:
        draft = _draft(options)
    except (profile_draft.SourceError, OSError) as error:
        print(error, file=sys.stderr)
        return CONFIG
    if options.output is None:
        sys.stdout.write(profile_draft.write(draft, profile_draft.slug(draft.model)))
        return 0
    path = Path(options.output)
    if path.suffix != ".yaml" or not _NAME.fullmatch(path.stem):
        fix = f"write e.g. {profile_draft.slug(draft.model)}.yaml"
        return _refuse(f"'{path.name}' is no file name of a profile: {fix}")
    written = profile_draft.write(draft, path.stem)
    done = [f"wrote {path}: {counted(len(draft.points), 'point')}"]
    done += [f"left out: {what}" for what in draft.left_out]
    doubts = counted(profile_draft.doubts(written), "place")
    done.append(f"{doubts} to check, each marked `{profile_draft.MARK}`")
    done.append(f"next: edit it, then: gateway profile check {path}")
    return _write(path, written, "\n".join(done))


def _draft(options: argparse.Namespace) -> profile_draft.Draft:
    if options.mbmap is not None:
        return profile_mbmap.read(Path(options.mbmap))
    return profile_modpoll.read(Path(options.modpoll), options.device)


def _write(path: Path, text: str, done: str) -> int:
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        return _refuse(f"{path} exists; nothing was written")
    except OSError as error:
        return _refuse(f"{path}: {error.strerror}: give a place that can be written")
    print(done)
    return 0


def _refuse(why: str) -> int:
    print(why, file=sys.stderr)
    return USAGE

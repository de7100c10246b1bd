"""`gateway init` and `gateway check`: commands that only look at files."""

import argparse
import sys
from importlib.resources import files
from pathlib import Path

import orjson

from gateway.cli.main import CONFIG, USAGE
from gateway.cli.say import say, told
from gateway.cli.schema import KINDS, schema_text
from gateway.config import load_new_config
from gateway.errors import ConfigError, Problem
from gateway.words.text import Said, text


def init(options: argparse.Namespace) -> int:
    """Write `gateway.yaml`, empty folders for the site's own profiles and rules, schemas for editors."""
    directory = Path(options.directory)
    target = directory / "gateway.yaml"
    if target.exists():
        print(f"{target} exists; nothing was written", file=sys.stderr)
        return USAGE
    starter = files("configs").joinpath("starter.yaml").read_text(encoding="utf-8")
    try:
        for folder in ("profiles", "rules", "schema"):
            (directory / folder).mkdir(parents=True, exist_ok=True)
        for kind in KINDS:
            (directory / "schema" / f"{kind}.json").write_text(schema_text(kind), encoding="utf-8")
        target.write_text(starter, encoding="utf-8")
    except OSError as error:
        print(f"{directory}: {error.strerror}: give a folder that can be written", file=sys.stderr)
        return USAGE
    print(f"wrote {target}\nnext: edit it, then: gateway check {target}")
    return 0


def check(options: argparse.Namespace) -> int:
    try:
        config = load_new_config(Path(options.file), Path(options.at) if options.at else None)
    except ConfigError as error:
        show(error.problems, [], as_json=options.json)
        return CONFIG
    show([], config.notes, as_json=options.json)
    if not options.json:
        counts = [
            _number(len(config.devices), "device"), _number(len(config.links), "link"),
            _number(len(config.rules.rules), "rule"), _number(len(config.upstream), "upstream"),
        ]  # fmt: skip
        print(say(text("check.ok", file=options.file, counts=counts)))
    return 0


def counted(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def _number(count: int, noun: str) -> Said:
    return text(f"count.{noun}", count=count, plural="" if count == 1 else "s")


def show(
    problems: list[Problem], notes: tuple[Problem, ...] | list[Problem], *, as_json: bool
) -> None:
    if as_json:
        found = {
            "problems": [_in_language(p) for p in problems],
            "warnings": [_in_language(p) for p in notes],
        }
        print(orjson.dumps(found, option=orjson.OPT_INDENT_2).decode())
        return
    for problem in problems:
        print(told(problem))
    for note in notes:
        print(f"{say(text('check.warning'))}{told(note)}")
    if problems:
        print(say(text("check.refused", problems=_number(len(problems), "problem"))))


def _in_language(problem: Problem) -> dict[str, object]:
    """`id` is that of the catalogue, the same in each language; empty for a text beside it."""
    said = problem._replace(what=say(problem.what), fix=say(problem.fix))
    return {"id": problem.what.id if isinstance(problem.what, Said) else "", **said._asdict()}

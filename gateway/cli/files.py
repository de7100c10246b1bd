"""`gateway init` and `gateway check`: commands that only look at files."""

import argparse
import sys
from importlib.resources import files
from pathlib import Path

from gateway.cli.main import CONFIG, USAGE
from gateway.cli.say import number, say, show
from gateway.errors import ConfigError
from gateway.words.text import text


def init(options: argparse.Namespace) -> int:
    """Write `gateway.yaml`, empty folders for the site's own profiles and rules, schemas for editors."""
    from gateway.cli.schema import KINDS, schema_text  # noqa: PLC0415 -- `check` needs no schema

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
    from gateway.config import load_new_config  # noqa: PLC0415 -- 100 ms that `init` does not need

    try:
        config = load_new_config(Path(options.file), Path(options.at) if options.at else None)
    except ConfigError as error:
        show(error.problems, [], as_json=options.json)
        return CONFIG
    show([], config.notes, as_json=options.json)
    if not options.json:
        counts = [
            number(len(config.devices), "device"), number(len(config.links), "link"),
            number(len(config.rules.rules), "rule"), number(len(config.upstream), "upstream"),
        ]  # fmt: skip
        print(say(text("check.ok", file=options.file, counts=counts)))
    return 0

"""`gateway init`: a folder to start a configuration in."""

import argparse
import sys
from importlib.resources import files
from pathlib import Path

from gateway.cli.main import USAGE


def init(options: argparse.Namespace) -> int:
    """Write `gateway.yaml`, empty folders for the site's own profiles and rules, schemas for editors."""
    directory = Path(options.directory)
    target = directory / "gateway.yaml"
    if target.exists():
        print(f"{target} exists; nothing was written", file=sys.stderr)
        return USAGE
    from gateway.cli.schema import KINDS, schema_text  # noqa: PLC0415 -- not needed to refuse

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

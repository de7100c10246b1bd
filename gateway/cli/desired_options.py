"""The arguments of `gateway config`; cheap to import, for every start of the command line."""

import argparse
from collections.abc import Callable
from typing import Any


def add(
    commands: Any,
    command: Callable[..., argparse.ArgumentParser],
    config_option: Callable[[Any], None],
) -> None:
    """`gateway config WORK`."""
    text = "The configuration that a platform wishes."
    config = command(commands, "config", "desired:run", text, "gateway config desired")
    works = config.add_subparsers(metavar="WORK", required=True, dest="work")
    text = "Show, export or apply the configuration that a platform wishes."
    desired = command(works, "desired", "desired:run", text, "gateway config desired -o wish.yaml")
    text = "whose wish; needed if there are several"
    desired.add_argument("--from", dest="origin", metavar="UPSTREAM", help=text)
    desired.add_argument("-o", "--output", metavar="FILE", help="write it there")
    text = (
        "put it in the place of the configuration, after a check; the old one becomes FILE.before"
    )
    desired.add_argument("--apply", action="store_true", help=text)
    desired.add_argument("--json", action="store_true")
    config_option(desired)

"""The arguments of `gateway config` and `schema`; cheap to import, for every start of the command line."""

import argparse
from collections.abc import Callable
from typing import Any


def add(
    commands: Any,
    command: Callable[..., argparse.ArgumentParser],
    config_option: Callable[[Any], None],
) -> None:
    """`gateway config WORK` and `gateway schema`."""
    text = "Look at the configuration, compare it, take an older one back."
    config = command(commands, "config", "config:show", text, "gateway config show --resolved")
    works = config.add_subparsers(metavar="WORK", required=True, dest="work")
    _shown(works, command, config_option)
    _kept(works, command, config_option)
    _desired(works, command, config_option)
    text = "Print the JSON Schema of a file, for editors that complete and check."
    schema = command(commands, "schema", "schema:run", text, "gateway schema rules")
    text = "default: gateway"
    kinds = ("gateway", "profile", "rules", "cases")
    schema.add_argument(
        "kind",
        metavar="KIND",
        nargs="?",
        choices=kinds,
        default=kinds[0],
        help=f"{' | '.join(kinds)}; {text}",
    )


def _shown(
    works: Any,
    command: Callable[..., argparse.ArgumentParser],
    config_option: Callable[[Any], None],
) -> None:
    text = "Show the files of the configuration, or what comes of them."
    show = command(works, "show", "config:show", text, "gateway config show --resolved")
    text = (
        "one file: parts included, tables read, many devices written out; secrets stay references"
    )
    show.add_argument("--resolved", action="store_true", help=text)
    show.add_argument("--json", action="store_true", help="the resolved one as JSON")
    config_option(show)


def _kept(
    works: Any,
    command: Callable[..., argparse.ArgumentParser],
    config_option: Callable[[Any], None],
) -> None:
    one = "a file, or a number of `gateway config history`"
    text = "What differs, by device, link and rule: of two configurations, else since the newest that ran."
    diff = command(works, "diff", "config:diff", text, "gateway config diff 7")
    diff.add_argument("old", metavar="OLD", nargs="?", help=f"{one} (default: the newest that ran)")
    diff.add_argument("new", metavar="NEW", nargs="?", help=f"{one} (default: the configuration)")
    diff.add_argument("--json", action="store_true")
    config_option(diff)
    text = "The configurations that ran, with their numbers."
    history = command(works, "history", "config:history", text, "gateway config history")
    history.add_argument("--json", action="store_true")
    config_option(history)
    text = "Put the files of an older configuration back, after a check."
    rollback = command(works, "rollback", "config:rollback", text, "gateway config rollback 7")
    rollback.add_argument("number", metavar="N", type=int)
    config_option(rollback)


def _desired(
    works: Any,
    command: Callable[..., argparse.ArgumentParser],
    config_option: Callable[[Any], None],
) -> None:
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

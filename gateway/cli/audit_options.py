"""The arguments of `gateway audit`; cheap to import, for every start of the command line."""

import argparse
import re
from collections.abc import Callable
from typing import Any


def add(
    commands: Any,
    command: Callable[..., argparse.ArgumentParser],
    config_option: Callable[[Any], None],
) -> None:
    """`gateway audit WORK`."""
    text = "What was done, by whom, and whether the log of it is whole."
    audit = command(commands, "audit", "audit:run", text, "gateway audit list -n 20")
    works = audit.add_subparsers(metavar="WORK", required=True, dest="work")

    text = "Check every line against the one before; exit code 1 if anything was changed."
    verify = command(works, "verify", "audit:run", text, "gateway audit verify")
    text = "a line that was known before, as the platform got it: its number and its hash"
    verify.add_argument("--head", type=_head, metavar="N:HASH", help=text)
    text = "Show the newest lines, oldest of them first."
    lister = command(works, "list", "audit:run", text, "gateway audit list --who platform -n 20")
    text = "how many (default 100)"
    lister.add_argument("-n", "--lines", type=int, default=100, metavar="N", help=text)
    text = "only of this origin: cli, rules, gateway, the name of an upstream"
    lister.add_argument("--who", metavar="ORIGIN", help=text)
    for parser in (verify, lister):
        config_option(parser)
        parser.add_argument("--json", action="store_true")


def _head(text: str) -> tuple[int, str]:
    """The two of `gateway.audit_chain.Head`."""
    n, _, digest = text.partition(":")
    if not n.isdecimal() or not re.fullmatch(r"[0-9a-f]{64}", digest):
        raise argparse.ArgumentTypeError(f"{text} is not a number, a colon and 64 hex digits")
    return int(n), digest

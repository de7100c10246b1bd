"""The arguments of `gateway notify`; cheap to import, for every start of the command line."""

import argparse
from collections.abc import Callable
from typing import Any

SEVERITIES = ("operational", "safety", "life")


def add(
    commands: Any,
    command: Callable[..., argparse.ArgumentParser],
    config_option: Callable[[Any], None],
) -> None:
    """`gateway notify RECIPIENT TEXT`."""
    text = "Send a notification to a recipient and show how it ends."
    example = "gateway notify guard-room Test"
    notify = command(commands, "notify", "live:notify", text, example)
    config_option(notify)
    notify.add_argument("recipient", metavar="RECIPIENT", help="a name of `recipients`")
    notify.add_argument("text", metavar="TEXT")
    notify.add_argument("--severity", choices=SEVERITIES, default="operational")
    text = "how long to wait for its end, 0 to 60 (default 10); it goes on all the same"
    notify.add_argument("--wait", type=float, default=10.0, metavar="SECONDS", help=text)
    notify.add_argument("--json", action="store_true")

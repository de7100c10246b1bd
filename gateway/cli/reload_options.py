"""The arguments of `gateway reload`; cheap to import, for every start of the command line."""

import argparse
from collections.abc import Callable
from typing import Any


def add(
    commands: Any,
    command: Callable[..., argparse.ArgumentParser],
    config_option: Callable[[Any], None],
) -> None:
    """`gateway reload`."""
    text = "Let the running gateway read its configuration again; what did not change runs on."
    reload = command(commands, "reload", "reload:run", text, "gateway reload --wait")
    config_option(reload)
    text = "until links and upstreams are up again, or the configuration before was taken back"
    reload.add_argument("--wait", action="store_true", help=text)
    reload.add_argument("--json", action="store_true")

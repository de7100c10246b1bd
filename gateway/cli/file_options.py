"""What `gateway init` and `gateway check` take."""

from collections.abc import Callable
from typing import Any


def add(commands: Any, command: Callable[..., Any], _config_option: Callable[..., None]) -> None:
    text = "Write a commented starter configuration."
    init = command(commands, "init", "init:init", text, "gateway init site/")
    init.add_argument("directory", metavar="DIR")

    text = "Check a configuration with its profiles and rules."
    check = command(commands, "check", "check:check", text, "gateway check gateway.yaml")
    check.add_argument("file", metavar="FILE")
    check.add_argument("--json", action="store_true", help="problems as JSON")
    text = "as if it were this file: relative names are seen from there"
    check.add_argument("--at", metavar="FILE", help=text)

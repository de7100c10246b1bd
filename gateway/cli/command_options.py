"""What `gateway command` takes."""

from collections.abc import Callable
from typing import Any


def add(commands: Any, command: Callable[..., Any], config_option: Callable[..., None]) -> None:
    text = "Write one point and wait until the device confirms it."
    example = "gateway command light-1 light.level 60"
    one = command(commands, "command", "live:command", text, example)
    config_option(one)
    one.add_argument("device", metavar="DEVICE")
    one.add_argument("point", metavar="POINT")
    one.add_argument("value", metavar="VALUE")
    hold = "hold the point for so long (2h, at most 24h): weaker rules wait, then have it back"
    one.add_argument("--hold", metavar="TIME", help=hold)
    one.add_argument("--json", action="store_true")

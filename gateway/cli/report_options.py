"""The arguments of `gateway report`."""

import argparse
from collections.abc import Callable
from typing import Any


def add(commands: Any, command: Callable[..., Any], config_option: Callable[[Any], None]) -> None:
    text = "The operation report of the compound: how the last day or week was, with its figures."
    example = "gateway report --week --html report.html --lang zh"
    parser: argparse.ArgumentParser = command(commands, "report", "report:run", text, example)
    config_option(parser)
    span = parser.add_mutually_exclusive_group()
    day = "a day of the compound's local time, or the seven that end with it (default: today)"
    span.add_argument("--day", metavar="DATE", nargs="?", const="", help=f"YYYY-MM-DD: {day}")
    span.add_argument("--week", metavar="DATE", nargs="?", const="", help="as --day, of seven days")
    parser.add_argument(
        "--html", metavar="FILE", help="write a page, and beside it the same as .json"
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    language = "language of page and table (default: gateway.locale)"
    parser.add_argument("--lang", choices=("zh", "en"), help=language)

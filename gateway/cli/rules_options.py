"""What `gateway rules WORK` takes."""

from collections.abc import Callable
from typing import Any


def add(commands: Any, command: Callable[..., Any], config_option: Callable[..., None]) -> None:
    text = "Test, explain and draw rules."
    rules = command(commands, "rules", "rules:test", text, "gateway rules test configs/rules")
    works = rules.add_subparsers(metavar="WORK", required=True, dest="work")
    _test(works, command, config_option)


def _test(works: Any, command: Callable[..., Any], config_option: Callable[..., None]) -> None:
    text = "Run the cases of NAME.test.yaml against the rules of NAME.yaml, on a virtual clock."
    test = command(works, "test", "rules:test", text, "gateway rules test configs/rules")
    config_option(test)
    text = "fixtures, rule files, or folders (default: the rules of the configuration)"
    test.add_argument("paths", metavar="PATH", nargs="*", help=text)
    test.add_argument("--show", action="store_true", help="print all that happens in each case")

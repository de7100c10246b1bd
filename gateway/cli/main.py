"""The command line: `gateway COMMAND`. Every command has `--help` with an example.

Exit codes: 0 done or healthy, 1 degraded or not confirmed, 2 critical, 3 not running, 64 wrong
usage (EX_USAGE, sysexits.h), 73 already running, 74 state directory refused, 75 error of the
store, 78 configuration refused (EX_CONFIG).
"""

import argparse
import gc
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Any, NoReturn

from gateway.cli import (
    alarms_options,
    audit_options,
    command_options,
    config_options,
    device_options,
    doctor_options,
    file_options,
    history_options,
    notify_options,
    probe_options,
    profile_options,
    reload_options,
    report_options,
    rules_options,
    run_options,
    simulate_options,
    store_options,
    tail_options,
)
from gateway.cli.say import choose
from gateway.words.text import LANGUAGES

NOT_RUNNING, USAGE, ALREADY_RUNNING, STATE_REFUSED, CONFIG = 3, 64, 73, 74, 78


# Each adds its commands, in the order of `gateway --help`.
PARTS = (
    file_options, run_options, device_options, tail_options, doctor_options, command_options, alarms_options,
    store_options, history_options, audit_options, config_options, notify_options, reload_options,
    report_options, probe_options, profile_options, rules_options, simulate_options,
)  # fmt: skip


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.print_usage(sys.stderr)
        self.exit(USAGE, f"{self.prog}: {message}\n")


def _command(
    commands: "argparse._SubParsersAction[_Parser]", name: str, run: str, text: str, example: str
) -> _Parser:
    """`run` is `module:function`, imported only when the command is used: the CLI starts fast."""
    parser = commands.add_parser(
        name, help=text, description=text, epilog=f"Example: {example}",
        formatter_class=argparse.RawDescriptionHelpFormatter, conflict_handler="resolve",
    )  # fmt: skip
    parser.set_defaults(run=run)
    language = "language of messages (default: that of the locale, else en)"
    parser.add_argument("--lang", choices=LANGUAGES, default=argparse.SUPPRESS, help=language)
    return parser


class _Version(argparse.Action):
    """Looked up when it is asked for: 20 ms that no other command needs."""

    def __call__(self, parser: argparse.ArgumentParser, *_more: Any) -> NoReturn:
        from importlib.metadata import version  # noqa: PLC0415 -- see above

        print(version("community-gateway"))
        parser.exit()


def _config_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "-c", "--config", metavar="FILE",
        help="the gateway's configuration (default: ./gateway.yaml, else /etc/gateway/gateway.yaml)",
    )  # fmt: skip


def build_parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="gateway", description="Community Gateway: the box in the basement.")
    text = "show the version and end"
    parser.add_argument("--version", action=_Version, nargs=0, default=argparse.SUPPRESS, help=text)
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for part in PARTS:
        part.add(commands, _command, _config_option)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    options = build_parser().parse_args(arguments)
    choose(getattr(options, "lang", None))
    module, function = options.run.split(":")
    try:
        gc.disable()  # what is imported stays: looking through it for garbage takes a tenth of the time
        command = getattr(import_module(f"gateway.cli.{module}"), function)
        gc.enable()
        code = int(command(options))
        print(end="", flush=True)  # also when standard output is closed
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # The reader of our output has gone: what is still in the buffer goes nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    return code

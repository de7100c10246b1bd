"""The command line: `gateway COMMAND`. Every command has `--help` with an example.

Exit codes: 0 done or healthy, 1 degraded or not confirmed, 2 critical, 3 not running, 64 wrong
usage (EX_USAGE, sysexits.h), 73 already running, 74 state directory refused, 75 error of the
store, 78 configuration refused (EX_CONFIG).
"""

import argparse
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.metadata import version
from typing import NoReturn

from gateway.cli import (
    alarms_options,
    audit_options,
    config_options,
    device_options,
    doctor_options,
    history_options,
    notify_options,
    probe_options,
    profile_options,
    reload_options,
    report_options,
    rules_options,
    tail_options,
)
from gateway.cli.say import choose
from gateway.model import LANES
from gateway.words.text import LANGUAGES

NOT_RUNNING, USAGE, ALREADY_RUNNING, STATE_REFUSED, CONFIG = 3, 64, 73, 74, 78


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


def _store(commands: "argparse._SubParsersAction[_Parser]") -> None:
    """`gateway store WORK`."""
    text = "Look into the journal, whether the gateway runs or not."
    store = _command(commands, "store", "store:run", text, "gateway store info")
    works = store.add_subparsers(metavar="WORK", required=True, dest="work")

    def work(name: str, text: str, arguments: str, *, asks_config: bool = True) -> _Parser:
        example = f"gateway store {name} {arguments}".rstrip()
        parser = _command(works, name, "store:run", text, example)
        if asks_config:
            _config_option(parser)
        return parser

    info = work("info", "Sizes, lanes, places of the sinks, what is written each day.", "")
    info.add_argument("--json", action="store_true")
    verify = work("verify", "Check every record; exit code 1 if anything is unaccounted for.", "")
    verify.add_argument("--json", action="store_true")

    export = work("export", "Write out what is stored.", "--since 2h -o out.csv")
    export.add_argument(
        "--lane", type=int, choices=LANES, action="append", metavar="N",
        help="0 alarms, 1 events, 2 samples, 3 diagnostics; may be repeated (default: all)",
    )  # fmt: skip
    moment = "ISO 8601 (UTC unless it says otherwise), or 2h: so long ago"
    export.add_argument("--since", metavar="TIME", help=moment)
    export.add_argument("--until", metavar="TIME", help=f"up to, not with; {moment}")
    export.add_argument(
        "--format",
        choices=("jsonl", "csv"),
        help="default: csv for an output called *.csv, else jsonl",
    )
    export.add_argument("-o", "--output", metavar="FILE", help="default: standard output")

    example = "/var/lib/gateway/core.db.corrupt.1 -o saved.jsonl"
    text = "Read what can be read from a damaged database or a folder of them."
    salvage = work("salvage", text, example, asks_config=False)
    salvage.add_argument("path", metavar="PATH")
    salvage.add_argument("-o", "--output", metavar="FILE", required=True)

    text = "Forget a sink that is not configured any more; shows first what it has not got."
    retire = work("retire", text, "old-platform --yes")
    retire.add_argument("sink", metavar="SINK")
    retire.add_argument("--yes", action="store_true", help="do it")


def _config_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "-c", "--config", metavar="FILE",
        help="the gateway's configuration (default: ./gateway.yaml, else /etc/gateway/gateway.yaml)",
    )  # fmt: skip


def _files(commands: "argparse._SubParsersAction[_Parser]") -> None:
    """Commands that only look at files."""
    init = _command(
        commands,
        "init",
        "files:init",
        "Write a commented starter configuration.",
        "gateway init site/",
    )
    init.add_argument("directory", metavar="DIR")

    check = _command(
        commands,
        "check",
        "files:check",
        "Check a configuration with its profiles and rules.",
        "gateway check gateway.yaml",
    )
    check.add_argument("file", metavar="FILE")
    check.add_argument("--json", action="store_true", help="problems as JSON")
    text = "as if it were this file: relative names are seen from there"
    check.add_argument("--at", metavar="FILE", help=text)


def build_parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="gateway", description="Community Gateway: the box in the basement.")
    parser.add_argument("--version", action="version", version=version("community-gateway"))
    commands = parser.add_subparsers(metavar="COMMAND", required=True)

    _files(commands)

    run = _command(
        commands,
        "run",
        "daemon:run",
        "Run the gateway until SIGTERM or Ctrl-C.",
        "gateway run -c gateway.yaml",
    )
    _config_option(run)
    run.add_argument(
        "--loop",
        choices=("auto", "asyncio", "uvloop"),
        default="auto",
        help="event loop (auto: uvloop)",
    )

    status = _command(
        commands,
        "status",
        "live:status",
        "Show how the running gateway is.",
        "gateway status --watch",
    )
    _config_option(status)
    status.add_argument("--json", action="store_true", help="the whole snapshot as JSON")
    status.add_argument("--watch", action="store_true", help="redraw every second until Ctrl-C")

    device_options.add(commands, _command, _config_option)
    tail_options.add(commands, _command, _config_option)
    doctor_options.add(commands, _command, _config_option)

    command = _command(
        commands,
        "command",
        "live:command",
        "Write one point and wait until the device confirms it.",
        "gateway command light-1 light.level 60",
    )
    _config_option(command)
    command.add_argument("device", metavar="DEVICE")
    command.add_argument("point", metavar="POINT")
    command.add_argument("value", metavar="VALUE")
    hold = "hold the point for so long (2h, at most 24h): weaker rules wait, then have it back"
    command.add_argument("--hold", metavar="TIME", help=hold)
    command.add_argument("--json", action="store_true")

    alarms_options.add(commands, _command, _config_option)

    _store(commands)
    history_options.add(commands, _command, _config_option)

    audit_options.add(commands, _command, _config_option)
    config_options.add(commands, _command, _config_option)
    notify_options.add(commands, _command, _config_option)
    reload_options.add(commands, _command, _config_option)

    report_options.add(commands, _command, _config_option)

    text = "Look at what is connected: who answers, what it shows, how much the bus can carry."
    probe = _command(commands, "probe", "probe:modbus", text, "gateway probe modbus rs485-1 --scan")
    probe_options.add(probe, _command, _config_option)

    text = "Make and check device profiles."
    profile = _command(commands, "profile", "profile:check", text, "gateway profile check m1.yaml")
    profile_options.add(profile, _command)

    rules_options.add(commands, _command, _config_option)

    simulate = _command(
        commands,
        "simulate",
        "simulate:simulate",
        "Serve every loopback link and upstream of a configuration with simulated devices.",
        "gateway simulate gateway.yaml --seed 7",
    )
    simulate.add_argument("file", metavar="FILE")
    simulate.add_argument(
        "--platform-log", metavar="PATH", help="what the platform received, as JSON lines"
    )
    simulate.add_argument(
        "--device-log", metavar="PATH", help="what the devices showed, as JSON lines"
    )
    simulate.add_argument(
        "--seed", type=int, default=1, metavar="N", help="of the load curves (default 1)"
    )
    simulate.add_argument(
        "--faults", type=_percent, default=0.0, metavar="PERCENT",
        help="of the requests to meters that meet a fault: late, garbage, wrong unit ...",
    )  # fmt: skip
    simulate.add_argument(
        "--incidents", action="store_true", help="now and then a meter shows over-voltage"
    )
    return parser


def _percent(text: str) -> float:
    number = float(text)
    if not 0 <= number <= 100:
        raise argparse.ArgumentTypeError(f"{text} is not 0 to 100")
    return number


def main(arguments: Sequence[str] | None = None) -> int:
    options = build_parser().parse_args(arguments)
    choose(getattr(options, "lang", None))
    module, function = options.run.split(":")
    try:
        code = int(getattr(import_module(f"gateway.cli.{module}"), function)(options))
        print(end="", flush=True)  # also when standard output is closed
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # The reader of our output has gone: what is still in the buffer goes nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    return code

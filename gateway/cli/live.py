"""`gateway status`, `command`, `notify`: commands that ask the running daemon."""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import orjson

from gateway.amount import AmountError, duration
from gateway.ask import ask
from gateway.cli.main import CONFIG, NOT_RUNNING, USAGE
from gateway.cli.say import refuse
from gateway.document import plain_scalar
from gateway.errors import ConfigError
from gateway.health import Word
from gateway.snapshot import CommandAnswer, NotifyAnswer, Snapshot
from gateway.statedir import state_dir_of

STATUS_TIMEOUT_S = 5.0
COMMAND_TIMEOUT_S = 90.0  # three attempts with confirmation, and the wait for its turn


def config_path(options: argparse.Namespace) -> Path:
    if options.config:
        return Path(options.config)
    here = Path("gateway.yaml")
    return here if here.is_file() else Path("/etc/gateway/gateway.yaml")


class Daemon:
    """The running gateway of one configuration."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.config = config_path(options)
        self.state_dir = state_dir_of(self.config)

    def ask(self, timeout_s: float = STATUS_TIMEOUT_S, **request: object) -> Any:
        return ask(self.state_dir, request, timeout_s)

    def not_running(self, error: Exception) -> int:
        print(f"not running: {error}\nstart it with: gateway run -c {self.config}", file=sys.stderr)
        return NOT_RUNNING


def with_daemon(options: argparse.Namespace, work: Callable[[Daemon], int]) -> int:
    """Exit code of `work`, or of what keeps the daemon from answering."""
    try:
        daemon = Daemon(options)
    except ConfigError as error:
        refuse(error)
        return CONFIG
    try:
        return work(daemon)
    except BrokenPipeError:
        raise  # our own output, not the daemon
    except ConnectionError as error:
        return daemon.not_running(error)
    except TimeoutError:
        print("the gateway runs but does not answer: its event loop is blocked", file=sys.stderr)
        return Word.CRITICAL.code
    except ValueError as error:
        print(error, file=sys.stderr)
        return 1


def status(options: argparse.Namespace) -> int:
    """Exit code 0 healthy, 1 degraded, 2 critical, 3 not running (monitoring plugins' convention)."""
    return with_daemon(options, lambda daemon: _status(daemon, options))


def _status(daemon: Daemon, options: argparse.Namespace) -> int:
    if options.watch:
        from gateway.cli.watch import watch  # noqa: PLC0415 -- 60 ms that `--json` does not need
        from gateway.cli.watch_page import Overview  # noqa: PLC0415 -- as above

        overview = Overview()
        watch(daemon, overview)
        return Word(overview.snapshot["health"]["word"]).code
    snapshot = cast("Snapshot", daemon.ask(verb="status"))
    if options.json:
        print(orjson.dumps(snapshot, option=orjson.OPT_INDENT_2).decode())
    else:
        from rich.console import Console  # noqa: PLC0415 -- as above

        from gateway.cli.render import page  # noqa: PLC0415 -- as above

        console = Console()
        console.print(page(snapshot, height=None))
    return Word(snapshot["health"]["word"]).code


def command(options: argparse.Namespace) -> int:
    """Exit code 0 when the device confirmed the value, else 1; 64 if `--hold` is no time."""
    try:
        hold_s = None if options.hold is None else duration(options.hold)
    except AmountError:
        print(f"--hold '{options.hold}' is no time: write e.g. 30m or 2h", file=sys.stderr)
        return USAGE
    return with_daemon(options, lambda daemon: _command(daemon, options, hold_s))


def _command(daemon: Daemon, options: argparse.Namespace, hold_s: float | None) -> int:
    value = plain_scalar(options.value)
    answer = cast(
        "CommandAnswer",
        daemon.ask(
            COMMAND_TIMEOUT_S, verb="command", device=options.device, point=options.point, value=value,
            hold=hold_s,
        ),
    )  # fmt: skip
    if options.json:
        print(orjson.dumps(answer, option=orjson.OPT_INDENT_2).decode())
    else:
        for one in (*answer["members"], answer):
            why = f": {one['reason']}" if one["reason"] else ""
            shown = "" if one["value"] is None else f" (the device reports {one['value']})"
            name = one["device"] or options.device
            print(f"{name} {options.point} {options.value}: {one['outcome']}{why}{shown}")
    return 0 if answer["outcome"] == "confirmed" else 1


def notify(options: argparse.Namespace) -> int:
    """Exit code 0 when it is delivered, else 1: it goes on if it is `waiting`."""
    return with_daemon(options, lambda daemon: _notify(daemon, options))


def _notify(daemon: Daemon, options: argparse.Namespace) -> int:
    answer = cast(
        "NotifyAnswer",
        daemon.ask(
            options.wait + STATUS_TIMEOUT_S, verb="notify", recipient=options.recipient, text=options.text,
            severity=options.severity, wait_s=options.wait,
        ),
    )  # fmt: skip
    if options.json:
        print(orjson.dumps(answer, option=orjson.OPT_INDENT_2).decode())
    else:
        why = f": {answer['reason']}" if answer["reason"] else ""
        kept = "" if answer["stored"] else " (not on disk: storage fails)"
        print(f"{options.recipient}: {answer['outcome']}{why}{kept}")
    return 0 if answer["outcome"] == "delivered" else 1

"""`gateway alarms`, `ack`, `shelve`, `unshelve`, `reset`, `out-of-service`: what people do with alarms."""

import argparse
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

import orjson

from gateway.cli.live import STATUS_TIMEOUT_S, Daemon, with_daemon
from gateway.cli.main import USAGE
from gateway.cli.moment import span_s

if TYPE_CHECKING:
    from gateway.snapshot import AlarmPart


def alarms(options: argparse.Namespace) -> int:
    """Exit code 0 without an active alarm, else 1."""
    return with_daemon(options, lambda daemon: _alarms(daemon, options))


def _alarms(daemon: Daemon, options: argparse.Namespace) -> int:
    if options.json:
        found: Sequence[AlarmPart] = daemon.ask(verb="alarms")
        print(orjson.dumps(found, option=orjson.OPT_INDENT_2).decode())
    else:
        from rich.console import Console  # noqa: PLC0415 -- 60 ms that `--json` does not need

        from gateway.cli.alarms_page import Board  # noqa: PLC0415 -- as above
        from gateway.cli.watch import watch  # noqa: PLC0415 -- as above

        board = Board()
        if options.watch:
            watch(daemon, board)
        else:
            board.take(daemon.ask(verb=board.verb))
            Console().print(board.whole())
        found = board.alarms
    return 1 if any(one["letter"] in "BC" for one in found) else 0


def ack(options: argparse.Namespace) -> int:
    """Exit code 1 if it cannot be done; the message says why. So do all below."""
    return _do(options, "ack", "acknowledged")


def shelve(options: argparse.Namespace) -> int:
    return _for(options, "shelve", f"shelved for {options.span}", one_shot=options.one_shot)


def unshelve(options: argparse.Namespace) -> int:
    return _do(options, "unshelve", "unshelved")


def reset(options: argparse.Namespace) -> int:
    return _do(options, "reset", "reset", force=options.force, reason=options.reason)


def out_of_service(options: argparse.Namespace) -> int:
    if options.end:
        return _do(options, "in_service", "back in service")
    if options.span is None:
        print("write for how long, e.g. 2h, or --end", file=sys.stderr)
        return USAGE
    return _for(
        options, "out_of_service", f"out of service for {options.span}", reason=options.reason
    )


def _for(options: argparse.Namespace, verb: str, done: str, **more: object) -> int:
    try:
        for_s = span_s(options.span)
    except ValueError as error:
        print(error, file=sys.stderr)
        return USAGE
    return _do(options, verb, done, for_s=for_s, **more)


def _do(options: argparse.Namespace, verb: str, done: str, **more: object) -> int:
    def ask(daemon: Daemon) -> int:
        daemon.ask(STATUS_TIMEOUT_S, verb=verb, alarm=options.alarm, **more)
        print(f"{options.alarm}: {done}")
        return 0

    return with_daemon(options, ask)

"""`gateway log`: how much a part of the running gateway logs."""

import argparse
import sys
from typing import Any

from gateway.cli.live import STATUS_TIMEOUT_S, Daemon, with_daemon
from gateway.cli.main import USAGE
from gateway.cli.moment import span_s


def run(options: argparse.Namespace) -> int:
    request: dict[str, object] = {}
    if options.part is not None:
        if options.level is None:
            print("write a level too: debug, info, warning, error, or normal", file=sys.stderr)
            return USAGE
        try:
            request = {"name": options.part, "level": options.level, "for_s": span_s(options.span)}
        except ValueError as error:
            print(error, file=sys.stderr)
            return USAGE
    return with_daemon(options, lambda daemon: _log(daemon, request))


def _log(daemon: Daemon, request: dict[str, object]) -> int:
    found: list[dict[str, Any]] = daemon.ask(STATUS_TIMEOUT_S, verb="log", **request)
    for one in found:
        print(f"{one['name']}: {one['level']} for another {one['left_s']:.0f} s")
    if not found:
        print("every part logs as the configuration says")
    return 0

"""`gateway rules drill`: run a linkage on demand, and the reports of those that were run."""

import argparse
import sys

import orjson

from gateway.cli.live import Daemon, with_daemon
from gateway.cli.main import CONFIG
from gateway.cli.moment import span_s
from gateway.cli.say import refuse
from gateway.drill_report import good, kept, page
from gateway.errors import ConfigError

TIMEOUT_S = 120.0  # after the drill the gateway waits for its last answers for 75 s at most
USAGE = 64  # EX_USAGE, sysexits.h


def drill(options: argparse.Namespace) -> int:
    """Exit code 1 when a part failed or nothing can be drilled, 3 when the gateway does not run."""
    if options.list:
        return _list(options)
    if options.stop:
        return with_daemon(options, _stop)
    if options.rule is None:
        print("which one? gateway rules drill ID[KEY], or --list, or --stop", file=sys.stderr)
        return USAGE
    try:
        for_s = span_s(options.span)
    except ValueError as error:
        print(error, file=sys.stderr)
        return USAGE
    return with_daemon(options, lambda daemon: _drill(daemon, options, for_s))


def _drill(daemon: Daemon, options: argparse.Namespace, for_s: float) -> int:
    request = {"verb": "drill", "name": options.rule, "dry": options.dry, "for_s": for_s}
    report = daemon.ask(for_s + TIMEOUT_S, **request)
    if options.json:
        print(orjson.dumps(report, option=orjson.OPT_INDENT_2).decode())
    else:
        print("\n".join(page(report)))
    return 0 if report["ok"] or report["dry"] else 1


def _stop(daemon: Daemon) -> int:
    daemon.ask(verb="drill", stop=True)
    print("the drill ends")
    return 0


def _list(options: argparse.Namespace) -> int:
    try:
        reports = kept(Daemon(options).state_dir)
    except ConfigError as error:
        refuse(error)
        return CONFIG
    except (OSError, ValueError) as error:
        print(error, file=sys.stderr)
        return 1
    if options.rule is not None:
        wanted = options.rule
        reports = [
            one for one in reports if wanted in {one["instance"], one["instance"].split("[")[0]}
        ]
    if options.json:
        print(orjson.dumps(reports, option=orjson.OPT_INDENT_2).decode())
        return 0
    for one in reports:
        failed = sum(not good(step) for step in one["steps"])
        word = "passed" if one["ok"] else f"FAILED ({failed} of {len(one['steps'])})"
        print(f"{one['started']}  {one['instance']}  {word}  {one['id']}")
    if not reports:
        print("no drill yet")
    return 0

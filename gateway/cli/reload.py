"""`gateway reload`: the running gateway reads its configuration again."""

import argparse
import sys
from collections.abc import Mapping, Sequence
from typing import cast

import orjson

from gateway.cli.live import Daemon, with_daemon
from gateway.cli.main import CONFIG
from gateway.cli.say import show
from gateway.errors import Problem
from gateway.snapshot import ReloadAnswer

# Thousands of devices take seconds to check; links and upstreams up to 5 s each to end, all at once.
LOAD_S = 60.0
LONGEST_WATCH_S = 3600.0
SHOWN = 8  # names in a line
ROLLED_BACK = 1


def run(options: argparse.Namespace) -> int:
    """Exit code 78 if the configuration is refused, 1 if it was rolled back."""
    return with_daemon(options, lambda daemon: ask(daemon, wait=options.wait, as_json=options.json))


def ask(daemon: Daemon, *, wait: bool, as_json: bool = False) -> int:
    timeout_s = LOAD_S + (LONGEST_WATCH_S if wait else 0)
    answer = cast("ReloadAnswer", daemon.ask(timeout_s, verb="reload", wait=wait))
    if as_json:
        print(orjson.dumps(answer, option=orjson.OPT_INDENT_2).decode())
    else:
        _print(answer, waited=wait)
    return {"refused": CONFIG, "rolled_back": ROLLED_BACK}.get(answer["outcome"], 0)


def _print(answer: ReloadAnswer, *, waited: bool) -> None:
    if answer["outcome"] == "refused":
        show([Problem(**one) for one in answer["problems"]], [], as_json=False)
        print("the gateway goes on with the configuration before", file=sys.stderr)
        return
    for note in answer["notes"]:
        print(f"warning: {note}")
    why = f": {answer['reason']}" if answer["reason"] else ""
    print(f"{answer['outcome'].replace('_', ' ')}{why}")
    for kind, change in answer["changes"].items():
        _print_change(kind, change)
    after_s = answer["rollback_after_s"]
    if answer["outcome"] == "applied" and after_s and not waited:
        print(f"links and upstreams that were up have {after_s:g} s to be up again, else it is rolled back")  # fmt: skip


def _print_change(kind: str, change: object) -> None:
    if isinstance(change, Mapping):
        for how, names in change.items():
            print(f"  {kind} {how}: {_some(names)}")
    elif isinstance(change, list):
        print(f"  {kind}: {_some(change)}")


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more

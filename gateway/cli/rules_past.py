"""`gateway rules backtest`: what other rules would have done with what the journal holds."""

import argparse
import sqlite3
import sys
import time
from collections.abc import Iterator

from gateway.backtest import Backtest, Diff, Move, Raise, backtest, diff
from gateway.cli.live import config_path
from gateway.cli.main import CONFIG, STATE_REFUSED, USAGE
from gateway.cli.moment import moment_ns
from gateway.cli.progress import progress
from gateway.cli.say import counted, refuse
from gateway.config import load_config, view
from gateway.errors import ConfigError
from gateway.store.record import iso

SHOWN = 20  # lines of one kind and rule


def backtest_(options: argparse.Namespace) -> int:
    """Exit code 64 for a time that is none, 74 when the journal cannot be read, 78 when the
    configuration is refused.
    """
    now = time.time_ns()
    try:
        since, until = moment_ns(options.since, now), moment_ns(options.until, now)
        config = load_config(config_path(options))
    except ConfigError as error:
        refuse(error)
        return CONFIG
    except ValueError as error:
        print(error, file=sys.stderr)
        return USAGE
    devices = {name: view(device) for name, device in config.everything.items()}
    begun = time.monotonic()
    try:
        with progress("backtest") as advanced:
            found = backtest(config.state_dir, config.rules, devices, since, until, advanced)
    except (FileNotFoundError, sqlite3.Error) as error:
        print(f"the journal cannot be read: {error}", file=sys.stderr)
        return STATE_REFUSED
    took = time.monotonic() - begun
    print(
        f"{iso(since)[:19]}Z to {iso(until)[:19]}Z: {counted(found.samples, 'sample')} in {took:.1f} s"
    )
    print("\n".join(_diff_page(diff(found.stored, found.raised)) if options.diff else _page(found)))
    if found.damaged:
        print(f"{counted(found.damaged, 'damaged place')} could not be read", file=sys.stderr)
    if found.uncounted:
        print(
            f"{counted(found.uncounted, 'raise')} more are not listed: a rule flaps",
            file=sys.stderr,
        )
    return 0


def _page(found: Backtest) -> Iterator[str]:
    """Every rule that would have raised an alarm, and how often it did."""
    rules: dict[str, list[Raise]] = {}
    for one in found.raised:
        rules.setdefault(one.rule, []).append(one)
    if not rules:
        yield "no rule would have raised an alarm"
    for rule, raises in sorted(rules.items()):
        stored = sum(one.rule == rule for one in found.stored)
        yield f"{rule}: {counted(len(raises), 'alarm')} ({stored} in the journal)"
        yield from _few([f"  {_at(one.at)} {one.instance}" for one in raises])


def _diff_page(found: Diff) -> Iterator[str]:
    """Per rule: + added, - removed, ~ moved."""
    if not found.rules:
        yield "no alarm, neither then nor now"
    for rule in found.rules:
        added, removed = found.added.get(rule, []), found.removed.get(rule, [])
        moved = found.moved.get(rule, [])
        yield f"{rule}: {found.same[rule]} the same, {len(added)} added, {len(removed)} removed, {len(moved)} moved"
        yield from _few([f"  + {_at(one.at)} {one.instance}" for one in added])
        yield from _few([f"  - {_at(one.at)} {one.instance}" for one in removed])
        yield from _few([_moved(one) for one in moved])


def _moved(one: Move) -> str:
    return f"  ~ {_at(one.was)} {one.instance}: {(one.now - one.was) / 1e9:+.1f} s"


def _few(lines: list[str]) -> list[str]:
    return (
        lines if len(lines) <= SHOWN else [*lines[:SHOWN], f"  ... and {len(lines) - SHOWN} more"]
    )


def _at(ns: int) -> str:
    return f"{iso(ns)[:19]}Z"

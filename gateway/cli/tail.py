"""`gateway tail`: what happens, as it happens."""

import argparse
import sys
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

import orjson

from gateway.ask import listen
from gateway.cli.live import Daemon, with_daemon
from gateway.cli.say import say
from gateway.words.text import text

SILENT_S = 10.0  # the daemon says something every 2 s
SIGNS = {"life": "!!!", "safety": "!! ", "operational": "!  ", "telemetry": "   "}


def run(options: argparse.Namespace) -> int:
    """Until Ctrl-C, or `--lines` are shown. Exit code 0."""
    return with_daemon(options, lambda daemon: _tail(daemon, options))


def _tail(daemon: Daemon, options: argparse.Namespace) -> int:
    request = {
        "verb": "tail", "devices": options.device or [], "points": options.point or [],
        "facilities": options.facility or [], "severity": options.severity,
        "samples": not options.events, "events": not options.samples,
    }  # fmt: skip
    shown = 0
    for part in listen(daemon.state_dir, request, SILENT_S):
        for line in _lines(part, as_json=options.json):
            print(line, flush=True)
            shown += 1
            if options.lines and shown >= options.lines:
                return 0
    return 0


def _lines(part: Any, *, as_json: bool) -> Iterator[str]:
    if part["dropped"]:
        print(say(text("tail.dropped", count=part["dropped"])), file=sys.stderr)
    for item in part["items"]:
        yield orjson.dumps(item).decode() if as_json else _line(item)


def _line(item: Mapping[str, Any]) -> str:
    """Texts come from devices and people: what would steer the terminal is shown, not done."""
    clock = f"{datetime.fromtimestamp(item['time_ns'] / 1e9).astimezone():%H:%M:%S.%f}"[:-3]
    if "kind" in item:
        about = " ".join(f"{key}={_value(value)}" for key, value in item["attributes"].items())
        said = f"{clock} {SIGNS[item['severity']]} {item['device']} {item['kind']} {about}"
    else:
        values = [
            f"{p}={_value(v)}{f' {unit}' if unit else ''}"
            for p, (v, unit) in item["values"].items()
        ]
        bad = [f"{point}: {reason}" for point, reason in item["quality"].items()]
        said = f"{clock}     {item['device']} {'  '.join([*values, *bad])}"
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in said.rstrip())


def _value(value: object) -> str:
    return value if isinstance(value, str) else orjson.dumps(value).decode()

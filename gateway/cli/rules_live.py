"""`gateway rules explain`: how the rules of the running gateway are, and why."""

import argparse
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson

from gateway.cli.live import Daemon, with_daemon
from rules.explain import word


def explain(options: argparse.Namespace) -> int:
    """Exit code 1 for a name that no rule bears, 3 when the gateway does not run."""
    return with_daemon(options, lambda daemon: _explain(daemon, options))


def _explain(daemon: Daemon, options: argparse.Namespace) -> int:
    found = daemon.ask(verb="explain", name=options.rule, last=options.last)
    if options.json:
        print(orjson.dumps(found, option=orjson.OPT_INDENT_2).decode())
        return 0
    for index, one in enumerate(found):
        print(*([""] if index else []), *page(one), sep="\n")
    return 0


def page(one: Mapping[str, Any]) -> Iterator[str]:
    """What is told of one instance, line by line."""
    yield f"{one['instance']}: {one['title']}"
    yield f"  {_phase(one)}"
    for key in ("when", "until"):
        if one[key]:
            yield f"  {key}: {one[key]}"
            for part in one[f"{key}_parts"]:
                yield _part(part)
    if one["points"]:
        yield "  values:"
    for point in one["points"]:
        yield f"    {point['device']}.{point['point']} = {_value(point)}"
    for device, point, value in one["sets"]:
        yield f"  sets {device}.{point} = {word(value)}"
    for claim in one.get("claims", ()):
        yield f"  {claim['device']}.{claim['point']} {_follows(claim, one['instance'])}"
    for past in one.get("last", ()):
        yield from _account(past)


def _part(part: Mapping[str, Any]) -> str:
    """The truth, the column in the text of the condition, the part with its values."""
    column = str(part["column"] or "")
    return f"    {word(part['truth']):8}{column:>4} {'  ' * part['depth']}{part['text']}"


def _follows(claim: Mapping[str, Any], instance: str) -> str:
    if not claim["holder"]:
        return "is held by nobody"
    who = "this rule" if claim["holder"] == instance else claim["holder"]
    return f"follows {who} ({claim['priority']}): {word(claim['value'])}"


def _account(past: Mapping[str, Any]) -> Iterator[str]:
    """One transition: what was known, what followed."""
    what = f"{past['was']} -> {past['phase']}"
    if past["wait_ns"]:
        what += f" after {_seconds(past['waited_ns'])} of {_seconds(past['wait_ns'])}"
    source = f"input {past['n']}" if past["n"] else "no input"
    yield f"  {_when(past['ago_ns'])}: {what} ({source}, rule {past['hash']})"
    for part in past["parts"]:
        yield _part(part)
    for point in past["points"]:
        yield f"      {point['device']}.{point['point']} = {_value(point)}"
    if past["more"]:
        yield f"      and {past['more']} points more"
    for deed in past["deeds"]:
        yield f"      {deed}"
    for result in past["results"]:
        yield f"      {result['device']}.{result['point']}: {result['outcome']}"


def _when(ago_ns: int) -> str:
    """The local time of day, and how long ago."""
    then = datetime.now(UTC).astimezone() - timedelta(microseconds=ago_ns / 1e3)
    return f"{then:%m-%d %H:%M:%S}, {_seconds(ago_ns)} ago"


def _phase(one: Mapping[str, Any]) -> str:
    text = str(one["phase"])
    if one["wait_ns"]:
        text += f" {_seconds(one['waited_ns'])} of {_seconds(one['wait_ns'])}"
    if one["since_ns"] is not None:
        text += f", since {_seconds(one['since_ns'])}"
    if one["phase"] == "latched":
        text += ": its condition is over, it waits for a reset"
    if one["unknown_ns"] is not None:
        text += (
            f"; its condition is unknown since {_seconds(one['unknown_ns'])} ({one['on_unknown']})"
        )
    return "; ".join([text, *one["aside"]])


def _value(point: Mapping[str, Any]) -> str:
    unit = "" if point["unit"] == "1" else f" {point['unit']}"
    if point["age_ns"] is None:
        return "unknown, never seen"
    age = f"{_seconds(point['age_ns'])} ago"
    if point["value"] is None:
        said = (
            point["quality"]
            if point["why"] == "bad" and point["quality"] != "good"
            else point["why"]
        )
        since = point["unknown_ns"]
        return f"unknown since {_clock(since)} ({_seconds(since)}): {said}"
    doubt = "" if point["quality"] == "good" else f", {point['quality']}"
    return f"{word(point['value'])}{unit}, {age}{doubt}"


def _clock(ago_ns: int) -> str:
    return f"{datetime.now(UTC).astimezone() - timedelta(microseconds=ago_ns / 1e3):%H:%M}"


def _seconds(ns: int) -> str:
    seconds = ns / 1e9
    if seconds < 120:
        return f"{seconds:.3g} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"

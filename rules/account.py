"""An account of a transition that was kept: what was known then, what followed. Pure."""

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import NamedTuple

from gateway.model import Value
from rules.explain import HOURS, Part, parts, word
from rules.flow import State
from rules.outputs import (
    Changed,
    Claimed,
    Cleared,
    Commanded,
    Held,
    Limited,
    Logged,
    Notified,
    Occurred,
    Output,
    Raised,
    Released,
    Skipped,
)
from rules.trace import Known, Result, Test, Trace

_RARE: Mapping[type[Output], str] = MappingProxyType({
    Occurred: "its moment came",
    Held: "waits for data: its delay ended while the gateway was off",
    Limited: "begins too often: its steps do not begin for a while",
})  # fmt: skip
MOST_PARTS = 16  # in an event: its trace is for whoever reads the alarm, not for a replay
MOST_TEXT = 160  # characters of one part there


class Account(NamedTuple):
    """`ago_ns`: how long ago it was; `more` points are not listed."""

    ago_ns: int
    n: int
    hash: str
    was: str
    phase: str
    waited_ns: int
    wait_ns: int
    parts: tuple[tuple[str, Part], ...]
    points: tuple[Known, ...]
    more: int
    deeds: tuple[str, ...]
    results: tuple[Result, ...]


def accounts(state: State, instance: str, count: int, now: int) -> list[Account]:
    """Of the last transitions of an instance, the newest first."""
    traces = [] if state.traces is None else state.traces.of(instance)
    return [_account(trace, now) for trace in traces[:count]]


def reason(trace: Trace) -> dict[str, object]:
    """Why an alarm was raised, for its event: JSON values, at most some 5 KB.

    It travels with the event because the samples behind it may not be on disk yet, or never will.
    """
    found = [
        {"text": part.text[:MOST_TEXT], "truth": part.truth, "column": part.column}
        for _, part in _parts(trace) if part.column
    ]  # fmt: skip
    points = [
        {"device": one.device, "point": one.point, "value": one.value,
         "age_s": None if one.age_ns is None else round(one.age_ns / 1e9, 3)}
        for one in trace.points[:MOST_PARTS]
    ]  # fmt: skip
    return {
        "n": trace.n, "rule_hash": trace.hash, "was": trace.was, "waited_s": trace.waited_ns / 1e9,
        "parts": found[:MOST_PARTS], "points": points,
    }  # fmt: skip


def _account(trace: Trace, now: int) -> Account:
    return Account(
        now - trace.at, trace.n, trace.hash, trace.was, trace.phase, trace.waited_ns, trace.wait_ns,
        tuple(_parts(trace)), trace.points, trace.more, tuple(map(deed, trace.outputs)),
        tuple(trace.results),
    )  # fmt: skip


def _parts(trace: Trace) -> Iterator[tuple[str, Part]]:
    for test in trace.tests:
        for part in _of(test):
            yield test.key, part


def _of(test: Test) -> Iterator[Part]:
    if test.predicate is None:
        return iter([Part(0, HOURS, test.values[0])])
    return parts(test.predicate, test.values)


def deed(output: Output) -> str:  # noqa: C901, PLR0911 -- one case for each output
    """What the engine wanted, in words."""
    match output:
        case Raised():
            return f"alarm raised ({output.severity.name.lower()})"
        case Cleared():
            return f"alarm cleared: {output.reason}"
        case Changed():
            return f"alarm {output.change}"
        case Claimed():
            return f"sets {_place(output.device, output.point, output.value)}"
        case Released():
            return f"gives {output.device}.{output.point} back"
        case Commanded():
            return f"writes {_place(output.device, output.point, output.value)}"
        case Notified():
            return f"tells {output.recipient}: {output.text}"
        case Logged():
            return f"log: {output.text}"
        case Held() if output.over:
            return f"waits for data no longer: {output.over}"
        case Skipped():
            return f"does not begin: {output.why}"
    return _RARE.get(type(output), type(output).__name__)


def _place(device: str, point: str, value: Value) -> str:
    return f"{device}.{point} = {word(value)}"

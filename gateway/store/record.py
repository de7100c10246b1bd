"""Stored records as text for people and programs: JSON lines, and CSV with one row per value."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import orjson

from gateway.model import Event, Item, Sample, Value

COLUMNS = (
    "lane", "epoch", "seq", "time_ns", "time", "clock_ok", "device", "kind", "severity", "event_id",
    "cause", "point", "value", "quality", "attributes",
)  # fmt: skip
_1970 = datetime(1970, 1, 1, tzinfo=UTC)


class Record(NamedTuple):
    """A stored item and its place; `epoch` 0 where it is not known."""

    lane: int
    epoch: int
    seq: int
    item: Item


def iso(time_ns: int) -> str:
    """UTC, ISO 8601 with nine decimals; "" for a time that a calendar does not have."""
    try:
        second = _1970 + timedelta(seconds=time_ns // 1_000_000_000)
    except OverflowError:
        return ""
    return f"{second:%Y-%m-%dT%H:%M:%S}.{time_ns % 1_000_000_000:09d}Z"


def json_line(record: Record) -> bytes:
    """One JSON object with its line end. Times are decimal text of ns: a JSON number is not exact."""
    lane, epoch, seq, item = record
    out: dict[str, object] = {
        "lane": lane, "epoch": epoch, "seq": seq, "time_ns": str(item.time_ns), "time": iso(item.time_ns),
        "received_ns": str(item.received_ns), "boot": item.boot, "clock_ok": item.clock_ok,
        "device": item.device, "n": item.n,
    }  # fmt: skip
    if isinstance(item, Sample):
        out["values"] = dict(item.values)
        out["quality"] = {p: [q.level, q.reason] for p, q in item.quality.items()}
        out["source_id"] = None if item.source_id is None else item.source_id.decode("latin-1")
    else:
        out |= {
            "kind": item.kind, "severity": item.severity.name.lower(), "event_id": str(item.event_id),
            "cause": None if item.cause is None else str(item.cause), "attributes": dict(item.attributes),
        }  # fmt: skip
    return orjson.dumps(out, option=orjson.OPT_APPEND_NEWLINE)


def csv_rows(record: Record) -> Iterator[tuple[object, ...]]:
    """In the order of COLUMNS: one row for an event, one for each point of a sample."""
    lane, epoch, seq, item = record
    head = (lane, epoch, seq, item.time_ns, iso(item.time_ns), int(item.clock_ok), item.device)
    if isinstance(item, Event):
        cause = "" if item.cause is None else item.cause
        what = (item.kind, item.severity.name.lower(), item.event_id, cause)
        yield *head, *what, "", "", "", orjson.dumps(dict(item.attributes)).decode()
        return
    for point in dict.fromkeys((*item.values, *item.quality)):
        quality = item.quality.get(point)
        word = "good" if quality is None else f"{quality.level}: {quality.reason}"
        yield *head, "", "", "", "", point, _cell(item.values.get(point)), word, ""


def _cell(value: Value | None) -> Value:
    if value is None:
        return ""
    return str(value).lower() if isinstance(value, bool) else value

"""What must have arrived: compares what the devices logged with what the platform logged.

Shares no code with the gateway. A device log has one JSON line for each read that a meter served
and for each message that a lamp made; a platform log has one for each item that arrived.
"""

import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

Json = dict[str, Any]
GATEWAY = "gateway"  # the device that the gateway itself is
SLACK_NS = 1_500_000_000  # a poll of several requests, and a busy machine


def lines(path: Path) -> list[Json]:
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    return [json.loads(line) for line in text.splitlines()]


@dataclass(frozen=True, slots=True)
class Arrived:
    """The distinct items of a platform log, in order of arrival."""

    samples: Sequence[Json]
    events: Sequence[Json]
    duplicates: int

    @classmethod
    def read(cls, log: Path) -> "Arrived":
        """Deduplicates as the contract says: events by event_id, samples by (device, time)."""
        seen: set[object] = set()
        samples: list[Json] = []
        events: list[Json] = []
        duplicates = 0
        for line in lines(log):
            if "batch" in line:
                continue
            key = line.get("event_id") or (line["device"], line["time"])
            if key in seen:
                duplicates += 1
                continue
            seen.add(key)
            (events if "event_id" in line else samples).append(line)
        return cls(samples, events, duplicates)


def missing_reads(device_log: Path, arrived: Arrived, until_ns: int) -> list[Json]:
    """Reads that a meter served before `until_ns` and of which no sample tells."""
    by_value: dict[tuple[str, str, Any], list[int]] = defaultdict(list)
    for sample in arrived.samples:
        for point, value in sample["values"].items():
            by_value[sample["device"], point, value].append(int(sample["time"]))
    missing = []
    for entry in lines(device_log):
        served_ns = int(entry["time"])
        if "unit" not in entry or served_ns > until_ns:
            continue
        times = [
            {t for t in by_value[entry["device"], point, value] if abs(t - served_ns) < SLACK_NS}
            for point, value in entry["values"].items()
        ]
        if not set.intersection(*times):  # no one sample has all the values of this read
            missing.append(entry)
    return missing


def invented_values(device_log: Path, arrived: Arrived) -> list[Json]:
    """Samples with a value that the device never showed. What the gateway tells of itself no device shows."""
    shown = {
        (entry["device"], point, value)
        for entry in lines(device_log)
        for point, value in entry["values"].items()
    }
    return [
        sample
        for sample in arrived.samples
        if sample["device"] != GATEWAY
        and any((sample["device"], p, v) not in shown for p, v in sample["values"].items() if p != "device.online")
    ]  # fmt: skip


def changes_shown(device_log: Path, device: str, point: str, rest: object) -> list[object]:
    """The values that a point of a device went through, beginning after `rest`."""
    values = [
        e["values"][point]
        for e in lines(device_log)
        if e["device"] == device and point in e["values"]
    ]
    return [value for value, _ in groupby([rest, *values])][1:]


def changes_told(arrived: Arrived, device: str, point: str) -> list[object]:
    """The values of the point alarms of one point, in the order of the journal."""
    told = [
        e
        for e in arrived.events
        if e["kind"] == "point_alarm"
        and e["device"] == device
        and e["attributes"]["point"] == point
    ]
    return [e["attributes"]["value"] for e in sorted(told, key=lambda e: (e["epoch"], e["seq"]))]


def outside(
    entries: Iterable[Json], kills_ns: Sequence[int], before_ns: int, after_ns: int
) -> list[Json]:
    """Entries that no kill explains: not within [kill - before_ns, kill + after_ns]."""
    return [
        e
        for e in entries
        if not any(kill - before_ns <= int(e["time"]) <= kill + after_ns for kill in kills_ns)
    ]

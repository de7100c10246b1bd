"""What a community platform has received from one gateway: a log on disk and what follows from it.

The log has one JSON line per item, `{"lane", "epoch", ...item}`, with `"dup": true` for an item
that was there before and `"rejected": reason` for one that the platform does not want, and after
each batch a line `{"batch": {"lane", "epoch", "base", "received": [[first, last], ...]}}`.
"""

from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import orjson

Json = Mapping[str, Any]
Span = tuple[int, int]
Reject = Callable[[Json], str | None]


class Answer(NamedTuple):
    """The lines to write for a batch and the ack to send once they are on disk; None: nothing yet."""

    lines: bytes
    ack: dict[str, Any] | None


class Received:
    """The seqs of one epoch and lane that are here, from `base`, the first that ever existed."""

    def __init__(self, base: int) -> None:
        self.base = base
        self.spans: list[Span] = []

    def add(self, spans: Iterable[Span]) -> None:
        merged: list[Span] = []
        for first, last in sorted([*self.spans, *spans]):
            if merged and first <= merged[-1][1] + 1:
                merged[-1] = (merged[-1][0], max(last, merged[-1][1]))
            else:
                merged.append((first, last))
        self.spans = merged

    @property
    def contiguous(self) -> int | None:
        """The highest seq up to which nothing is missing, None if `base` is."""
        index = bisect_right(self.spans, (self.base, 2**63)) - 1
        if index < 0 or self.spans[index][1] < self.base:
            return None
        return self.spans[index][1]


class Ledger:
    """Deduplicates, tracks what is missing, and is made again from its log after a restart."""

    def __init__(self, log: Path) -> None:
        self.received: dict[tuple[int, int], Received] = {}  # by (epoch, lane)
        self.items = 0  # distinct ones that were accepted
        self.duplicates = 0
        self.rejected = 0
        self._keys: set[object] = set()
        _mend(log)
        for line in read(log):
            self._replay(line)

    def take(self, batch: Json, reject: Reject) -> Answer:
        """Counts everything in the batch as received. Raises KeyError or TypeError on a malformed one."""
        place = {"lane": batch["lane"], "epoch": batch["epoch"]}
        lines, rejects = [], []
        for item in batch["items"]:
            line = {**place, **item}
            if (reason := reject(item)) is not None:
                line["rejected"] = reason
                rejects.append({"seq": item["seq"], "reason": reason})
            elif _key(item) in self._keys:
                line["dup"] = True
            lines.append(line)
            self._count(line)
        spans = [*_spans(batch["items"]), *((a, b) for a, b, _reason in batch["gaps"])]
        # What the gateway holds an acknowledgement for will not come again: a platform that has
        # lost its memory begins behind it.
        if batch.get("acked", 0) >= batch["base"]:
            spans.append((batch["base"], batch["acked"]))
        lines.append({"batch": {**place, "base": batch["base"], "received": spans}})
        self._replay(lines[-1])
        ack = self.ack(batch["epoch"], batch["lane"])
        if ack is not None and rejects:
            ack["rejects"] = [r for r in rejects if r["seq"] <= ack["seq"]]
        return Answer(b"".join(orjson.dumps(line) + b"\n" for line in lines), ack)

    def ack(self, epoch: int, lane: int) -> dict[str, Any] | None:
        seq = self.received[epoch, lane].contiguous
        return None if seq is None else {"epoch": epoch, "lane": lane, "seq": seq}

    def acks(self) -> Iterator[dict[str, Any]]:
        """The ack of the newest epoch of each lane."""
        newest = {lane: epoch for epoch, lane in sorted(self.received)}
        for lane, epoch in newest.items():
            if (ack := self.ack(epoch, lane)) is not None:
                yield ack

    def _replay(self, line: Json) -> None:
        if "batch" not in line:
            self._count(line)
            return
        batch = line["batch"]
        place = batch["epoch"], batch["lane"]
        received = self.received.setdefault(place, Received(batch["base"]))
        received.add((first, last) for first, last in batch["received"])

    def _count(self, line: Json) -> None:
        if "rejected" in line:
            self.rejected += 1
        elif "dup" in line:
            self.duplicates += 1
        else:
            self.items += 1
            self._keys.add(_key(line))


def _mend(log: Path) -> None:
    """Cut off a last line without an end: the next one would be appended to it."""
    if not log.exists():
        return
    with log.open("rb+") as file:
        whole = sum(len(line) for line in file if line.endswith(b"\n"))
        file.truncate(whole)


def read(log: Path) -> Iterator[dict[str, Any]]:
    """All lines; one without its end is still being written, or was cut short by a crash."""
    if not log.exists():
        return
    with log.open("rb") as file:
        for line in file:
            if line.endswith(b"\n"):
                yield orjson.loads(line)


def arrivals(log: Path, lane: int | None = None) -> list[dict[str, Any]]:
    """The accepted items in the order of their first arrival, without repeats."""
    return [
        line
        for line in read(log)
        if "batch" not in line and "dup" not in line and "rejected" not in line
        if lane is None or line["lane"] == lane
    ]


def _key(item: Json) -> object:
    """Events are known by `event_id`, samples by device and time."""
    return item.get("event_id") or (item["device"], item["time"])


def _spans(items: Iterable[Json]) -> list[Span]:
    spans: list[Span] = []
    for item in items:
        seq = item["seq"]
        if spans and spans[-1][1] + 1 == seq:
            spans[-1] = (spans[-1][0], seq)
        else:
            spans.append((seq, seq))
    return spans

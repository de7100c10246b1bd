"""A slice of the journal as upstream batches (configs/asyncapi.yaml, schema `Batch`). Pure."""

from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import NamedTuple

import orjson

from gateway.model import NO_OFFSETS, Event, Item, Sample, bounds_ns, timed
from gateway.store.store import Slice

# Shipped and common brokers refuse packets above 65,536 bytes; topic and MQTT header need some.
MAX_PAYLOAD = 60_000
MAX_ITEMS = 500  # in one batch
NOTHING: Mapping[int, str] = MappingProxyType({})


class Unsendable(NamedTuple):
    """An item that no batch can carry: `reason` is `too_large` or `unencodable`."""

    seq: int
    reason: str
    body: bytes


class Batch(NamedTuple):
    """One upstream message that covers the seqs `first` to `last` of one epoch and lane.

    `items` is how many there are in it. Each seq of `unsendable` is listed as a gap in the payload.
    """

    epoch: int
    lane: int
    first: int
    last: int
    items: int
    payload: bytes
    unsendable: tuple[Unsendable, ...] = ()


def batches(
    part: Slice,
    *,
    gateway_id: str,
    acked: int,
    max_bytes: int = MAX_PAYLOAD,
    refused: Mapping[int, str] = NOTHING,
) -> Iterator[Batch]:
    """Splits `part` into batches of at most `max_bytes` and 500 items each; at least one batch.

    The seqs between two items belong to the later batch, so that together the batches cover
    `part.first` to `part.last` without a hole. `acked` is the highest seq of this epoch and lane
    that the platform has acknowledged; below `part.base` if none. `refused` says of seqs why the
    broker takes none of them: they are gaps.
    """
    first, size = part.first, _HEAD + len(gateway_id) + _GAP * len(part.gaps)
    room = max(max_bytes - size, 0)
    bodies: list[bytes] = []
    unsendable: list[Unsendable] = []
    used, previous = 0, part.first - 1

    def batch(last: int) -> Batch:
        return _batch(part, gateway_id, acked, (first, last), bodies, tuple(unsendable))

    for seq, item in part.items:
        body = encode(seq, item, durable=part.durable, offsets=part.offsets)
        if isinstance(body, bytes):
            if len(body) > MAX_PAYLOAD - size - _GAP:
                body = Unsendable(seq, "too_large", body)
            elif seq in refused:
                body = Unsendable(seq, refused[seq], body)
        need = _GAP if isinstance(body, Unsendable) else len(body) + 1
        if used and (used + need > room or len(bodies) + len(unsendable) == MAX_ITEMS):
            yield batch(previous)
            first, used, bodies, unsendable = previous + 1, 0, [], []
        used, previous = used + need, seq
        if isinstance(body, Unsendable):
            unsendable.append(body)
        else:
            bodies.append(body)
    yield batch(part.last)


# Upper bounds in bytes: everything around the items with 20-digit numbers, and one gap.
_HEAD, _GAP = 256, 72


def _batch(
    part: Slice,
    gateway_id: str,
    acked: int,
    span: tuple[int, int],
    bodies: Iterable[bytes],
    unsendable: tuple[Unsendable, ...],
) -> Batch:
    first, last = span
    gaps = [[a, b, reason] for a, b, reason in part.gaps if first <= a and b <= last]
    gaps += [[u.seq, u.seq, u.reason] for u in unsendable]
    head = {
        "v": 1, "gw": gateway_id, "epoch": part.epoch, "lane": part.lane, "base": part.base,
        "acked": max(acked, part.base - 1), "first": first, "last": last, "gaps": sorted(gaps),
    }  # fmt: skip
    items = tuple(bodies)
    # The items are encoded once, to know their size; they are joined, not encoded again.
    payload = b'%s,"items":[%s]}' % (orjson.dumps(head)[:-1], b",".join(items))
    return Batch(part.epoch, part.lane, first, last, len(items), payload, unsendable)


def encode(
    seq: int, item: Item, *, durable: bool = True, offsets: Mapping[int, int] = NO_OFFSETS
) -> bytes | Unsendable:
    """One item as JSON; `Unsendable` for a value that JSON cannot hold, e.g. an integer above 2^64."""
    item, worth = timed(item, offsets)
    view = _sample(seq, item) if isinstance(item, Sample) else _event(seq, item)
    if not durable:  # only in memory yet: it comes again when it is stored
        view["durable"] = False
    if worth:
        view["ts_quality"] = worth
    if worth == "unknown":
        view["ts_bounds"] = [None if at is None else str(at) for at in bounds_ns(item, offsets)]
    try:
        return orjson.dumps(view, default=_plain)
    except TypeError as error:
        return Unsendable(seq, "unencodable", f"{error}: {item!r}".encode(errors="replace"))


def _sample(seq: int, sample: Sample) -> dict[str, object]:
    view: dict[str, object] = {
        "seq": seq, "device": sample.device, "time": str(sample.time_ns),
        "clock_ok": sample.clock_ok, "values": sample.values,
    }  # fmt: skip
    if sample.quality:
        view["quality"] = sample.quality
    return view


def _event(seq: int, event: Event) -> dict[str, object]:
    return {
        "seq": seq, "event_id": event.event_id, "kind": event.kind,
        "severity": event.severity.name.lower(), "device": event.device,
        "time": str(event.time_ns), "clock_ok": event.clock_ok,
        "attributes": event.attributes, "cause": event.cause,
    }  # fmt: skip


def _plain(value: object) -> object:
    """What orjson does not take as it is: read-only mappings and named tuples (`Quality`)."""
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, tuple):
        return list(value)
    raise TypeError(f"{type(value).__name__} is no JSON value")

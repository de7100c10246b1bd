import itertools
import json
from types import MappingProxyType

import pytest

from gateway.model import Event, EventKind, Item, Level, Quality, Sample, Severity, uuid7
from gateway.sinks.encode import MAX_PAYLOAD, Batch, Unsendable, batches, encode
from gateway.store.store import Slice

TIME_NS = 1_772_391_600_123_456_789


def sample(text: str = "") -> Sample:
    return Sample("meter-1", TIME_NS, 5, 1, True, {"text": text, "elec.power.total": 1.5})


def event(attributes: object = None) -> Event:
    return Event(
        uuid7(), EventKind.POINT_ALARM, Severity.LIFE, "smoke-1", TIME_NS, 5, 1, False,
        MappingProxyType({"point": "alarm.smoke", "more": attributes}),
    )  # fmt: skip


def part(
    items: list[tuple[int, Item]], *, last: int = 0, gaps: tuple[tuple[int, int, str], ...] = ()
) -> Slice:
    first = min([seq for seq, _ in items] + [gap[0] for gap in gaps])
    last = last or max([seq for seq, _ in items] + [gap[1] for gap in gaps])
    return Slice(lane=2, epoch=7, base=1, first=first, last=last, gaps=gaps, items=tuple(items))


def encoded(slice_: Slice, acked: int = 0, max_bytes: int = MAX_PAYLOAD) -> list[Batch]:
    return list(batches(slice_, gateway_id="gw-1", acked=acked, max_bytes=max_bytes))


def covered(batch: Batch) -> list[int]:
    content = json.loads(batch.payload)
    seqs = [item["seq"] for item in content["items"]]
    for first, last, _reason in content["gaps"]:
        seqs += range(first, last + 1)
    return sorted(seqs)


def test_a_sample_travels_with_its_time_as_text_and_only_the_points_that_are_not_good() -> None:
    good = encode(3, sample())
    assert isinstance(good, bytes)
    assert json.loads(good) == {
        "seq": 3, "device": "meter-1", "time": "1772391600123456789", "clock_ok": True,
        "values": {"text": "", "elec.power.total": 1.5},
    }  # fmt: skip
    bad = encode(3, sample()._replace(quality={"light.level": Quality(Level.BAD, "timeout")}))
    assert isinstance(bad, bytes)
    assert json.loads(bad)["quality"] == {"light.level": ["bad", "timeout"]}


def test_an_event_travels_with_its_id_its_severity_in_words_and_its_cause() -> None:
    alarm = event({"nested": MappingProxyType({"a": (1, 2)})})
    body = encode(9, alarm._replace(cause=uuid7()))
    assert isinstance(body, bytes)
    content = json.loads(body)
    assert content["event_id"] == str(alarm.event_id)
    assert content["severity"] == "life"
    assert content["kind"] == "point_alarm"
    assert content["clock_ok"] is False
    assert content["attributes"]["more"] == {"nested": {"a": [1, 2]}}
    assert content["cause"] is not None


def test_a_slice_that_fits_is_one_batch() -> None:
    [batch] = encoded(part([(5, sample()), (6, sample())]), acked=4)
    content = json.loads(batch.payload)
    assert {k: content[k] for k in ("v", "gw", "epoch", "lane", "base", "acked", "first", "last")} == {
        "v": 1, "gw": "gw-1", "epoch": 7, "lane": 2, "base": 1, "acked": 4, "first": 5, "last": 6,
    }  # fmt: skip
    assert batch[:5] == (7, 2, 5, 6, 2)


def test_no_batch_has_more_than_500_items_however_small_they_are() -> None:
    small = sample()._replace(device="m", values={})
    parts = encoded(part([(seq, small) for seq in range(1, 1_201)]))
    assert [one.items for one in parts] == [500, 500, 200]
    assert [seq for one in parts for seq in covered(one)] == list(range(1, 1_201))


def test_no_packet_is_longer_than_the_limit_whatever_the_length_of_an_item() -> None:
    for length in range(MAX_PAYLOAD - 700, MAX_PAYLOAD):
        for batch in encoded(part([(1, sample("x" * length))])):
            assert len(batch.payload) <= MAX_PAYLOAD
            assert batch.items + len(batch.unsendable) == 1


def test_gaps_are_told_in_their_order() -> None:
    gaps = ((1, 1, "expired"), (5, 5, "expired"))
    items: list[tuple[int, Item]] = [(2, sample()), (3, sample()), (4, sample())]
    [batch] = batches(part(items, gaps=gaps), gateway_id="gw-1", acked=0, refused={3: "no"})
    told = json.loads(batch.payload)["gaps"]
    assert told == [[1, 1, "expired"], [3, 3, "no"], [5, 5, "expired"]]


def test_a_slice_without_items_is_a_batch_of_gaps() -> None:
    [batch] = encoded(part([], gaps=((1, 900, "evicted"),)))
    content = json.loads(batch.payload)
    assert content["gaps"] == [[1, 900, "evicted"]]
    assert content["items"] == []
    assert (batch.first, batch.last, batch.items) == (1, 900, 0)


def test_what_nobody_acknowledged_is_told_as_the_seq_before_the_base() -> None:
    [batch] = encoded(part([(5, sample())])._replace(base=5), acked=-1)
    assert json.loads(batch.payload)["acked"] == 4


@pytest.mark.parametrize("max_bytes", [1, 4_000, MAX_PAYLOAD])
def test_a_large_slice_becomes_batches_that_fit_and_leave_no_hole(max_bytes: int) -> None:
    seqs = [s for s in range(10, 400) if not 100 <= s <= 150 and s != 222]
    gaps = ((100, 150, "evicted"), (222, 222, "damaged"), (400, 420, "evicted"))
    found = encoded(part([(s, sample("x" * 400)) for s in seqs], gaps=gaps), max_bytes=max_bytes)
    assert len(found) > 1
    assert [found[0].first, found[-1].last] == [10, 420]
    for batch, following in itertools.pairwise(found):
        assert following.first == batch.last + 1
    for batch in found:
        assert covered(batch) == list(range(batch.first, batch.last + 1))
        assert len(batch.payload) <= max_bytes or batch.items == 1
    assert sum(batch.items for batch in found) == len(seqs)


def test_an_item_that_no_packet_can_carry_is_reported_as_a_gap_between_its_neighbours() -> None:
    slice_ = part([(1, sample()), (2, sample("x" * MAX_PAYLOAD)), (3, sample())])
    [batch] = encoded(slice_)
    assert json.loads(batch.payload)["gaps"] == [[2, 2, "too_large"]]
    assert covered(batch) == [1, 2, 3]
    assert [(u.seq, u.reason) for u in batch.unsendable] == [(2, "too_large")]
    assert len(batch.unsendable[0].body) > MAX_PAYLOAD


@pytest.mark.parametrize("value", [2**70, "\ud800", object()])
def test_a_value_that_json_cannot_hold_does_not_stop_the_lane(value: object) -> None:
    body = encode(2, event(value))
    assert isinstance(body, Unsendable)
    [batch] = encoded(part([(1, sample()), (2, event(value))]))
    assert json.loads(batch.payload)["gaps"] == [[2, 2, "unencodable"]]


def test_what_is_only_in_memory_says_so() -> None:
    event = Event(uuid7(1), EventKind.POINT_ALARM, Severity.LIFE, "d", 1, 1, 1, True)
    part = Slice(0, 2**40, 1, 1, 1, (), ((1, event),), durable=False)
    (batch,) = batches(part, gateway_id="gw", acked=0)
    assert json.loads(batch.payload)["items"][0]["durable"] is False
    (batch,) = batches(part._replace(durable=True), gateway_id="gw", acked=0)
    assert "durable" not in json.loads(batch.payload)["items"][0]


@pytest.mark.parametrize(
    ("offsets", "bounds"),
    [
        ({}, [None, None]),
        ({1: 1_000, 3: 9_000}, ["1077", "9000"]),
        ({0: 500, 1: 1_000}, ["1077", None]),
        ({3: 9_000, 4: 12_000}, [None, "9000"]),
    ],
)
def test_bounds_come_from_the_boots_around_that_knew_the_time(
    offsets: dict[int, int], bounds: list[str | None]
) -> None:
    """Nobody is born before the boot before, plus the machine time of its own."""
    told = json.loads(
        bytes_of(encode(1, event()._replace(boot=2, received_ns=77), offsets=offsets))
    )
    assert (told["ts_quality"], told["ts_bounds"]) == ("unknown", bounds)
    known = json.loads(bytes_of(encode(1, event()._replace(boot=2), offsets={**offsets, 2: 7})))
    assert known["ts_quality"] == "backfilled"
    assert "ts_bounds" not in known


def bytes_of(body: bytes | Unsendable) -> bytes:
    assert isinstance(body, bytes)
    return body

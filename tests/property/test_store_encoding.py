"""Whatever drivers and rules may hand over comes back as it was, and no flipped bit goes unseen."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.model import Event, EventKind, Level, Quality, Sample, Severity
from gateway.store.encode import Damaged, chunk_of, event_of, event_row, samples_of
from gateway.store.points import Registry
from gateway.store.schema import SEQ_BITS

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
names = st.sampled_from(["elec.power.total", "light.on", "模式", "p0", "p1"])
times = st.integers(0, 2**62)
floats = st.floats(allow_nan=False, allow_infinity=False)
values = st.one_of(st.booleans(), st.integers(-(2**63), 2**64 - 1), floats, texts)
qualities = st.builds(Quality, st.sampled_from(Level), texts)
samples = st.builds(
    Sample,
    device=st.sampled_from(["meter-1", "meter-2", "灯"]),
    time_ns=times,
    received_ns=times,
    boot=st.integers(0, 9),
    clock_ok=st.booleans(),
    values=st.dictionaries(names, values),
    quality=st.dictionaries(names, qualities, max_size=2),
    source_id=st.none() | st.binary(max_size=64),
    n=times,
    counter=st.none(),  # belongs to table `replay`
)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | floats | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)
events = st.builds(
    Event,
    event_id=st.uuids(),
    kind=st.sampled_from(EventKind),
    severity=st.sampled_from(Severity),
    device=texts,
    time_ns=times,
    received_ns=times,
    boot=st.integers(0, 9),
    clock_ok=st.booleans(),
    attributes=st.dictionaries(texts, json_values, max_size=4),
    cause=st.none() | st.uuids(),
    n=times,
)
seqs = st.integers(1, 2**SEQ_BITS - 2_000)


def typed(sample: Sample) -> tuple[Any, ...]:
    """1, 1.0 and True are equal in Python, but not the same value."""
    return (sample, [(name, type(v), repr(v)) for name, v in sample.values.items()])


@given(seqs, st.lists(samples, min_size=1, max_size=20))
@settings(max_examples=80, deadline=None)
def test_a_chunk_gives_back_its_samples(first: int, wanted: list[Sample]) -> None:
    registry = Registry([(3, "meter-1", "p0")], 4)
    chunk = chunk_of(first, wanted, registry)
    points = {pid: point for pid, _device, point in registry.rows(chunk.pids)}
    found = samples_of(chunk.row, points)
    assert [seq for seq, _ in found] == list(range(first, first + len(wanted)))
    assert [typed(sample) for _, sample in found] == [typed(sample) for sample in wanted]


@given(seqs, events)
@settings(max_examples=80, deadline=None)
def test_a_row_gives_back_its_event(seq: int, wanted: Event) -> None:
    assert event_of(event_row(seq, wanted)) == (seq, wanted)


@given(seqs, events, st.data())
@settings(max_examples=80, deadline=None)
def test_a_flipped_bit_of_an_event_is_seen(seq: int, event: Event, data: st.DataObject) -> None:
    row = list(event_row(seq, event))
    assert_seen_when_flipped(row, data, event_of)


@given(seqs, st.lists(samples, min_size=1, max_size=5), st.data())
@settings(max_examples=80, deadline=None)
def test_a_flipped_bit_of_a_chunk_is_seen(
    first: int, wanted: list[Sample], data: st.DataObject
) -> None:
    registry = Registry([], 1)
    chunk = chunk_of(first, wanted, registry)
    points = {pid: point for pid, _device, point in registry.rows(chunk.pids)}
    assert_seen_when_flipped(list(chunk.row), data, lambda row: samples_of(row, points))


def assert_seen_when_flipped(row: list[Any], data: st.DataObject, decode: Any) -> None:
    column = data.draw(st.sampled_from([i for i, cell in enumerate(row) if cell not in ("", None)]))
    cell = row[column]
    if isinstance(cell, int):
        row[column] = cell ^ 1 << data.draw(st.integers(0, 30))
    else:
        raw = bytearray(cell.encode() if isinstance(cell, str) else cell)
        raw[data.draw(st.integers(0, len(raw) - 1))] ^= 1 << data.draw(st.integers(0, 6))
        row[column] = raw.decode("utf-8", "replace") if isinstance(cell, str) else bytes(raw)
    try:
        decode(tuple(row))
    except Damaged:
        return
    raise AssertionError(f"column {column} changed and nobody noticed")

"""Rollups equal what a naive computation makes of all samples: any order, any restart, any reset."""

import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.model import Sample
from gateway.store.window import HOUR_S, WINDOW_S, Cell
from tests.harness.rollups import COUNTER, GAUGE, Rolled, assert_alike, naive, reading

numbers = st.integers(-50, 500).map(float) | st.booleans() | st.integers(0, 99)
values = st.dictionaries(
    st.sampled_from([COUNTER[1], GAUGE[1], "light.on"]), numbers, min_size=1
) | st.just({"light.mode": "auto"})
# Dense around window edges, sparse over three hours.
seconds = st.integers(0, 40).map(lambda k: k * 60.0) | st.integers(0, 3 * 3_600).map(float)
devices = st.sampled_from(["meter-1", "meter-1", "meter-2"])
chunks = st.lists(
    st.tuples(devices, seconds, values), min_size=1, max_size=6, unique_by=lambda s: s[:2]
)
moves = st.sampled_from(["settle", "settle", "steps", "crash", "stop", "none", "none"])


@given(st.lists(st.tuples(chunks, moves, st.integers(0, 9)), min_size=1, max_size=12))
@settings(max_examples=40, deadline=None)
def test_rollups_equal_a_naive_computation_whatever_comes_when(
    story: list[tuple[list[tuple[str, float, dict[str, float | bool | str]]], str, int]],
) -> None:
    stored: list[Sample] = []
    with tempfile.TemporaryDirectory() as folder:
        rolled = Rolled(Path(folder) / "s")
        for chunk, move, steps in story:
            samples = [reading(at, had, device=device) for device, at, had in chunk]
            stored += samples
            rolled.commit(samples)
            match move:
                case "settle":
                    rolled.settle()
                    assert_alike(rolled.rows(WINDOW_S), naive(stored, WINDOW_S))
                case "steps":
                    rolled.steps(steps)
                case "crash":
                    rolled.crash()
                case "stop":
                    rolled.stop()
                case _:
                    pass
        rolled.settle()
        assert_alike(rolled.rows(WINDOW_S), naive(stored, WINDOW_S))
        assert_alike(rolled.rows(HOUR_S), naive(stored, HOUR_S))
        rolled.close()


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(-9, 9).map(float)), min_size=1))
def test_a_cell_is_right_in_any_order_but_for_the_rise_and_says_so(
    pairs: list[tuple[int, float]],
) -> None:
    cell, sorted_cell = Cell(), Cell()
    for at, value in pairs:
        cell.add(at, value)
    for at, value in sorted(pairs, key=lambda pair: pair[0]):
        sorted_cell.add(at, value)
    assert cell.row(counter=False, before=None) == sorted_cell.row(counter=False, before=None)
    assert cell.first == sorted_cell.first
    assert sorted_cell.ordered
    if cell.ordered:
        assert cell.rise == sorted_cell.rise

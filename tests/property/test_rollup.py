"""Rollups equal what a naive computation makes of all samples: any order, any restart, any reset."""

import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gateway.model import Sample
from gateway.store import pending
from gateway.store.history import Historian, Query, Wide
from gateway.store.many import Many
from gateway.store.view import View
from gateway.store.window import HOUR_S, WINDOW_S, Cell, Row
from tests.harness.rollups import COUNTER, GAUGE, START, Rolled, Rows, assert_alike, naive, reading

NS = 10**9
END = START + 3 * HOUR_S + WINDOW_S
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


Story = list[tuple[list[tuple[str, float, dict[str, float | bool | str]]], str]]


@pytest.mark.timeout(120)
@given(st.lists(st.tuples(chunks, moves), min_size=1, max_size=6))
@example(
    [
        ([("meter-1", 0.0, {COUNTER[1]: 0.0})], "settle"),
        ([("meter-1", 60.0, {COUNTER[1]: 1.0}), ("meter-1", 3600.0, {COUNTER[1]: 1.0})], "steps"),
    ]
)  # the hour after one whose rollups lag behind
@settings(max_examples=20, deadline=None)
def test_history_equals_a_naive_computation_though_rollups_lag_behind(story: Story) -> None:
    """However far the rollups are; of one point, and of all in one reading."""
    stored: list[Sample] = []
    with tempfile.TemporaryDirectory() as folder:
        rolled = Rolled(Path(folder) / "s")
        for chunk, move in story:
            samples = [reading(at, had, device=device) for device, at, had in chunk]
            stored += samples
            rolled.commit(samples)
            match move:
                case "settle" | "crash" | "stop":
                    getattr(rolled, move)()
                case "steps":
                    rolled.steps(2)
                case _:
                    pass
            for step_s in (WINDOW_S, HOUR_S):
                wanted = naive(stored, step_s)
                assert_alike(all_at_once(rolled.directory, step_s), wanted)
                assert_alike(one_by_one(rolled.directory, step_s, wanted), wanted)
        rolled.close()


def forget_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pending, "next_windows", lambda *_: set())


def forget_the_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    for one in (Many, View):
        monkeypatch.setattr(one, "_find_pending", lambda *_: {})


@pytest.mark.parametrize("sabotage", [None, forget_the_next, forget_the_chunks])
def test_a_late_value_is_in_the_history_at_once_and_in_the_rise_of_the_next_window(
    sabotage: Callable[[pytest.MonkeyPatch], None] | None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The teeth of what comes before: with what only the rollups say it would be wrong."""
    if sabotage is not None:
        sabotage(monkeypatch)
    rolled = Rolled(tmp_path / "s")
    stored = [reading(10, {COUNTER[1]: 10.0}), reading(610, {COUNTER[1]: 20.0})]
    rolled.commit(stored)
    rolled.settle()
    stored.append(reading(310, {COUNTER[1]: 18.0}))
    rolled.commit(stored[2:])
    wanted = naive(stored, WINDOW_S)
    assert [row.sm for _, row in sorted(wanted.items())] == [0.0, 8.0, 2.0]
    right = sabotage is None
    assert (all_at_once(rolled.directory, WINDOW_S) == wanted) is right
    assert (one_by_one(rolled.directory, WINDOW_S, wanted) == wanted) is right
    rolled.close()


def all_at_once(directory: Path, step_s: int) -> Rows:
    wide = Wide(None, START * NS, END * NS, step_s, END * NS)
    _, every = Historian(directory).read_wide(wide)
    return {
        (t, s.device, s.point): Row(n, low, high, total, last)
        for s in every
        for t, n, low, high, total, last, _ in s.rows
    }


def one_by_one(directory: Path, step_s: int, wanted: Rows) -> Rows:
    historian, found = Historian(directory), {}
    for key in {key[1:] for key in wanted}:
        query = Query(*key, START * NS, END * NS, step_s, END * NS, coarse=True)
        for r in historian.read(query).rows:
            total = r.rise if r.mean is None else r.mean * r.n
            found[r.t_ns // NS, *key] = Row(r.n, r.min, r.max, total or 0.0, r.last)
    return found


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

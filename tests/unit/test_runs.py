"""Sets of numbers as runs, against Python's own sets."""

from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.store.runs import Runs

ranges = st.lists(st.tuples(st.integers(1, 60), st.integers(0, 12)).map(lambda r: (r[0], r[0] + r[1])))  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(ranges, st.integers(1, 60), st.integers(0, 30))
def test_runs_are_a_set_of_numbers(added: list[tuple[int, int]], first: int, more: int) -> None:
    last = first + more
    wanted = {n for low, high in added for n in range(low, high + 1)}
    runs = Runs(added)
    listed = list(runs)
    assert {n for low, high in listed for n in range(low, high + 1)} == wanted
    assert all(after[0] > before[1] + 1 for before, after in pairwise(listed))
    assert runs.last == max(wanted, default=0)
    window = set(range(first, last + 1))
    assert runs.count(first, last) == len(window & wanted)
    missing = {n for low, high in runs.missing(first, last) for n in range(low, high + 1)}
    assert missing == window - wanted


def test_a_range_that_ends_before_it_begins_is_empty() -> None:
    assert list(Runs([(5, 4)])) == []

"""Windows are kept up as samples come and go; a naive reading counts all samples anew each time."""

import random
from collections.abc import Sequence
from itertools import pairwise

import pytest

from gateway.model import Value
from rules import windows
from rules.windows import PANES, Climb, Extreme, Window, window
from tests.harness.mutant import mutant

NS = 60_000  # as long as the windows are here; a value is known for STALE_NS
STALE_NS = 7_000
FUNCTIONS = ("count", "sum", "avg", "min", "max", "delta", "rise", "rate", "rate_of_counter", "coverage")  # fmt: skip
LARGE = 10**14  # in millionths more than 64 bits
Heard = list[tuple[int, int]]  # at, value


def naive(function: str, heard: Heard, now: int) -> Value | None:
    kept = sorted((one for one in heard if one[0] > now - NS), key=lambda one: one[0])
    values = [value for _, value in kept]
    if function == "coverage":
        return _covered([at for at, _ in heard], now)
    if function == "count":
        return len(kept)
    if not kept:
        return None
    if function in {"sum", "avg"}:
        return sum(values) / (len(values) if function == "avg" else 1)
    if function in {"min", "max"}:
        return float(min(values) if function == "min" else max(values))
    return None if len(kept) < 2 else _change(function, kept, values)


def _change(function: str, kept: Heard, values: Sequence[int]) -> float | None:
    rises = function in {"rise", "rate_of_counter"}
    change = sum(max(0, b - a) for a, b in pairwise(values)) if rises else values[-1] - values[0]
    if function in {"delta", "rise"}:
        return float(change)
    ns = kept[-1][0] - kept[0][0]
    return change * 1e9 / ns if ns else None


def _covered(ats: Sequence[int], now: int) -> float:
    pane = NS // PANES
    last = now // pane
    panes = range(last - PANES, last)
    return sum(any(at < (p + 1) * pane and at + STALE_NS > p * pane for at in ats) for p in panes) / PANES  # fmt: skip


def approx(value: Value | None) -> object:
    return None if value is None else pytest.approx(value, rel=1e-12)


def check(function: str, seed: int, largest: int = 50) -> None:
    """Samples, some of them late, and sometimes somebody asks: seldom, as where a window rests."""
    dice = random.Random(seed)
    one: Window = window(function, NS, STALE_NS)
    heard: Heard = []
    now, asks = 10**9, dice.choice([1, 0.2, 0.01])
    for _ in range(400):
        now += dice.choice([0, 1_000, 5_000, 20_000])
        at = now - dice.choice([0, 0, 0, dice.randrange(NS * 2)])
        heard.append((at, dice.randint(-largest, largest)))
        one.take(0, at, heard[-1][1], None, None)
        if dice.random() < asks:
            assert one.value(now) == approx(naive(function, heard, now))
            assert one.edge > now
    now += NS * 3
    assert one.value(now) == naive(function, heard, now)


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_window_has_the_value_that_counting_anew_gives(function: str) -> None:
    for seed in range(12):
        check(function, seed)


@pytest.mark.parametrize("function", ["sum", "min", "rise", "delta"])
def test_numbers_of_more_than_64_bits_count_as_they_are(function: str) -> None:
    for seed in range(4):
        check(function, seed, LARGE)


def test_a_window_that_nobody_asks_keeps_no_more_than_twice_its_time() -> None:
    peaks, rises = Extreme("min", NS, STALE_NS), Climb("rise", NS, STALE_NS)
    for at in range(0, 100 * NS, 1_000):
        peaks.take(0, at, at // 1_000, None, None)  # each is higher: none is of no use
        rises.take(0, at, at // 1_000, None, None)
    most = 2 * NS // 1_000 + 1
    assert len(peaks._peaks) <= most
    assert max(len(peaks._ats), len(rises._ats)) <= 2 * most


@pytest.mark.parametrize(
    ("function", "old", "new"),
    [
        ("max", "index = self._first", "index += 0"),
        ("rise", "self._up = self._climbed(self._first, len(self._ats))", "self._up"),
        ("rise", "self._up -= self._climbed(self._first, beyond + 1)", "self._up"),
        ("avg", "self._sum -= values[first]", "values[first]"),
        ("delta", "if index > self._first and at < ats[-1]:", "if False:"),
    ],
)
def test_teeth_a_window_that_forgets_something_is_found(function: str, old: str, new: str) -> None:
    with mutant(windows, old, new), pytest.raises(AssertionError):
        test_a_window_has_the_value_that_counting_anew_gives(function)

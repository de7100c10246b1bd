"""Would an alarm be heard? What reception statistics say."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.ble.hearing import Hearing

S = 10**9
BEGIN = 1_000 * S


def heard(
    hearing: Hearing,
    *,
    every_s: float = 10,
    count: int = 50,
    rssi: int = -60,
    begin_ns: int = BEGIN,
) -> int:
    """Returns when the last of `count` adverts came."""
    times = [begin_ns + int(n * every_s * S) for n in range(count)]
    for now_ns in times:
        hearing.advert(now_ns, rssi)
    return times[-1]


def test_a_device_that_was_never_heard_is_unknown() -> None:
    told = Hearing(60).told(BEGIN)

    assert (told["heard"], told["rssi"], told["share"], told["silent_s"]) == ("unknown", None, None, None)  # fmt: skip


def test_an_alarm_of_a_device_that_is_heard_well_would_be_heard() -> None:
    hearing = Hearing(10)
    now_ns = heard(hearing)

    told = hearing.told(now_ns)

    assert told["heard"] == "yes"
    assert told["share"] == 1.0
    assert told["rssi"] == -60
    assert told["gaps"] == {"<= 10 s": 49}
    assert told["longest_gap_s"] == 10


def test_a_few_receptions_prove_nothing() -> None:
    hearing = Hearing(10)
    now_ns = heard(hearing, count=19)

    assert hearing.told(now_ns)["heard"] == "unknown"


@pytest.mark.parametrize(("every_s", "word"), [(10.5, "yes"), (15, "doubtful"), (25, "no")])
def test_adverts_that_are_missing_cast_doubt(every_s: float, word: str) -> None:
    hearing = Hearing(10)
    now_ns = heard(hearing, every_s=every_s)

    told = hearing.told(now_ns)

    assert told["heard"] == word, told


@pytest.mark.parametrize(("step", "word"), [(1, "yes"), (2, "doubtful"), (3, "no")])
def test_frames_that_are_missing_between_numbers_cast_doubt(step: int, word: str) -> None:
    hearing = Hearing()
    for n in range(40):
        hearing.advert(BEGIN + n * S, -60)
        hearing.frame((250 + n * step) % 256, 256)

    told = hearing.told(BEGIN + 40 * S)

    assert told["heard"] == word, told
    assert told["share"] == pytest.approx(1 / step, abs=0.02)


def test_a_restarted_counter_is_no_loss() -> None:
    hearing = Hearing()
    for number in [*range(5_000, 5_030), *range(30)]:
        hearing.advert(BEGIN + number * S, -60)
        hearing.frame(number, 2**32)

    assert hearing.told(BEGIN)["share"] == 1.0


def test_a_weak_signal_casts_doubt() -> None:
    hearing = Hearing(10)
    now_ns = heard(hearing, rssi=-92)

    told = hearing.told(now_ns)

    assert (told["heard"], told["why"]) == ("doubtful", "weak: -92 dBm")


def test_silence_of_three_intervals_means_no() -> None:
    hearing = Hearing(10)
    now_ns = heard(hearing)

    assert hearing.told(now_ns + 29 * S)["heard"] == "yes"
    told = hearing.told(now_ns + 31 * S)

    assert (told["heard"], told["why"]) == ("no", "silent for 31 s, expected every 10 s")


def test_silence_of_a_device_without_interval_means_nothing_for_two_hours() -> None:
    hearing = Hearing()
    now_ns = heard(hearing)

    assert hearing.told(now_ns + 3_600 * S)["heard"] == "yes"
    assert hearing.told(now_ns + 7_300 * S)["heard"] == "no"


def test_a_bad_hour_is_forgotten_after_two() -> None:
    hearing = Hearing(10)
    heard(hearing, every_s=25, count=100)
    assert hearing.told(BEGIN + 2_500 * S)["heard"] == "no"

    now_ns = heard(hearing, count=1_000, begin_ns=BEGIN + 2_500 * S)

    told = hearing.told(now_ns)
    assert told["heard"] == "yes", told


@given(st.lists(st.tuples(st.integers(0, 5_000 * S), st.integers(-127, 20)), max_size=60))
def test_statistics_stay_small_and_never_raise(receptions: list[tuple[int, int]]) -> None:
    hearing, now_ns = Hearing(10), BEGIN
    for step_ns, rssi in receptions:
        now_ns += step_ns
        hearing.advert(now_ns, rssi)
        hearing.frame(step_ns, 2**32)
        told = hearing.told(now_ns)

        assert told["share"] is None or 0 <= told["share"] <= 1
        assert len(told["gaps"]) <= 11

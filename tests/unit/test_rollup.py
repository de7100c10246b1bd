"""What goes into rollups and what does not, and what becomes of them when raw samples go."""

import math
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from gateway.model import Level, Quality
from gateway.store import rollup_table
from gateway.store.journal import Chores
from gateway.store.points import PointInfo
from gateway.store.rollup_table import evict_rollups, last_before
from gateway.store.segment import segment_files, segment_path
from gateway.store.window import HOUR_S, WINDOW_S, Row, number_of
from tests.harness.clock import FakeClock
from tests.harness.rollups import COUNTER, GAUGE, START, Rolled, reading
from tests.harness.stores import event

DAY_S = 86_400


@pytest.fixture
def rolled(tmp_path: Path) -> Iterator[Rolled]:
    made = Rolled(tmp_path / "s")
    yield made
    made.close()


def gauge(value: float | str) -> dict[str, float | str]:
    return {GAUGE[1]: value}


def counter(value: float) -> dict[str, float]:
    return {COUNTER[1]: value}


def test_windows_are_half_open_and_aligned_to_utc(rolled: Rolled) -> None:
    rolled.commit([reading(0, gauge(1.0)), reading(299.999, gauge(3.0)), reading(300, gauge(7.0))])
    rolled.settle()
    assert rolled.rows(WINDOW_S) == {
        (START, *GAUGE): Row(2, 1.0, 3.0, 4.0, 3.0),
        (START + 300, *GAUGE): Row(1, 7.0, 7.0, 7.0, 7.0),
    }
    assert rolled.rows(HOUR_S) == {(START, *GAUGE): Row(3, 1.0, 7.0, 11.0, 7.0)}


@pytest.mark.parametrize(
    ("value", "number"),
    [
        (True, 1.0), (False, 0.0), (3, 3.0), (2.5, 2.5), ("auto", None), (math.nan, None),
        (math.inf, None), (1e301, None), (10**400, None), (None, None),
    ],
)  # fmt: skip
def test_booleans_count_as_0_and_1_and_what_is_no_number_does_not(
    value: object, number: float | None
) -> None:
    assert number_of(value) == number


def test_uncertain_values_count_and_bad_ones_do_not(rolled: Rolled) -> None:
    uncertain = {GAUGE[1]: Quality(Level.UNCERTAIN, "implausible")}
    rolled.commit([
        reading(1, gauge(5.0))._replace(quality=uncertain),
        reading(2, {})._replace(quality={GAUGE[1]: Quality(Level.BAD, "timeout")}),
        reading(3, gauge(9.0))._replace(quality={GAUGE[1]: Quality(Level.BAD, "stuck")}),
        reading(4, gauge(math.nan)),
    ])  # fmt: skip
    rolled.settle()
    assert rolled.rows(WINDOW_S) == {(START, *GAUGE): Row(1, 5.0, 5.0, 5.0, 5.0)}


def test_a_counter_keeps_its_rise_over_resets_and_from_window_to_window(rolled: Rolled) -> None:
    rolled.commit([reading(10, counter(100.0)), reading(20, counter(104.0))])
    rolled.commit([reading(310, counter(106.0)), reading(320, counter(1.0)), reading(330, counter(2.5))])  # fmt: skip
    rolled.settle()
    assert rolled.rows(WINDOW_S) == {
        (START, *COUNTER): Row(2, 100.0, 104.0, 4.0, 104.0),
        (START + 300, *COUNTER): Row(3, 1.0, 106.0, 3.5, 2.5),
    }
    assert rolled.rows(HOUR_S)[START, *COUNTER].sm == 7.5


def test_a_late_value_changes_the_rise_of_its_window_and_of_the_next(rolled: Rolled) -> None:
    rolled.commit([reading(10, counter(100.0)), reading(910, counter(110.0))])
    rolled.settle()
    assert rolled.rows(WINDOW_S)[START + 900, *COUNTER].sm == 10.0
    rolled.commit([reading(30, counter(104.0)), reading(20, counter(101.0))])
    rolled.settle()
    rows = rolled.rows(WINDOW_S)
    assert rows[START, *COUNTER] == Row(3, 100.0, 104.0, 4.0, 104.0)
    assert rows[START + 900, *COUNTER].sm == 6.0
    assert rolled.rows(HOUR_S)[START, *COUNTER].sm == 10.0


def test_a_counter_that_was_away_for_days_continues_from_its_last_value(rolled: Rolled) -> None:
    rolled.commit([reading(0, counter(100.0))])
    rolled.settle()
    rolled.clock.advance(6 * DAY_S)
    rolled.commit([reading(6 * DAY_S, counter(150.0))])
    rolled.settle()
    assert rolled.rows(WINDOW_S)[START + 6 * DAY_S, *COUNTER].sm == 50.0
    rolled.clock.advance(8 * DAY_S)
    rolled.commit([reading(14 * DAY_S, counter(170.0))])
    rolled.settle()
    assert rolled.rows(WINDOW_S)[START + 14 * DAY_S, *COUNTER].sm == 0.0


def test_an_hour_is_made_when_it_is_over(tmp_path: Path) -> None:
    clock = FakeClock(time_ns=(START + 3_000) * 10**9)
    rolled = Rolled(tmp_path / "s", clock=clock)
    rolled.commit([reading(10, gauge(1.0)), reading(2_900, gauge(2.0))])
    rolled.settle()
    assert len(rolled.rows(WINDOW_S)) == 2
    assert rolled.rows(HOUR_S) == {}
    clock.advance(4_000)
    rolled.crash()  # nobody remembers that an hour is open: its rows say so
    rolled.commit([reading(6_900, gauge(5.0))])
    rolled.settle()
    assert rolled.rows(HOUR_S) == {(START, *GAUGE): Row(2, 1.0, 2.0, 3.0, 2.0)}
    rolled.close()


def test_nothing_is_written_before_its_time(tmp_path: Path) -> None:
    clock = FakeClock(time_ns=START * 10**9)
    rolled = Rolled(tmp_path / "s", clock=clock)
    rolled.settle()
    rollups = rolled.journal.rollups
    rollups.linger_s = 65.0
    rolled.commit([reading(10, gauge(1.0))])
    left_s = rollups.due - time.monotonic()
    assert 360 < left_s <= 365  # to the end of the window, and until late chunks are in
    rolled.close()


def test_samples_without_a_trusted_time_come_in_when_their_boot_has_seen_one(
    tmp_path: Path,
) -> None:
    clock = FakeClock(time_ns=50 * 10**9, ok=False)
    rolled = Rolled(tmp_path / "s", clock=clock)
    early = reading(-START, gauge(4.0), clock_ok=False, received_ns=clock.boottime_ns())
    rolled.commit([early])
    rolled.settle()
    assert rolled.rows(WINDOW_S) == {}
    rolled.crash()  # same boot: known again
    rolled.settle()
    offset_ns = (START + 600) * 10**9 - early.received_ns
    clock._time_ns, clock.ok = clock.boottime_ns() + offset_ns + 10**9, True
    rolled.core()  # writes the offset of this boot
    rolled.commit([reading(602, gauge(6.0))])
    rolled.settle()
    assert rolled.rows(WINDOW_S) == {(START + 600, *GAUGE): Row(2, 4.0, 6.0, 10.0, 6.0)}
    rolled.close()


def test_times_that_cannot_be_right_are_left_out(rolled: Rolled) -> None:
    rolled.commit([reading(-100 * DAY_S, gauge(1.0)), reading(3 * DAY_S, gauge(2.0)), reading(0, gauge(3.0))])  # fmt: skip
    rolled.settle()
    assert rolled.rows(WINDOW_S) == {(START, *GAUGE): Row(1, 3.0, 3.0, 3.0, 3.0)}


def drop(rolled: Rolled) -> None:
    """What retention does to the oldest segment; the next chunk begins a new one."""
    (first,) = segment_files(rolled.directory)
    rolled.stop()
    rolled.settle()
    rolled.journal.seal()
    segment_path(rolled.directory, first).unlink()


def test_rows_stay_when_their_raw_samples_are_gone(rolled: Rolled) -> None:
    rolled.commit([reading(0, gauge(1.0)), reading(10, gauge(2.0))])
    rolled.settle()
    kept = rolled.rows(WINDOW_S)
    drop(rolled)
    # As many late samples as there were: still no reason to forget those.
    rolled.commit([reading(20 + n, {**gauge(50.0), **counter(n)}) for n in range(3)])
    rolled.settle()
    rows = rolled.rows(WINDOW_S)
    assert rows[START, *GAUGE] == kept[START, *GAUGE]
    assert rows[START, *COUNTER].n == 3  # of this point nothing is missing
    rolled.commit([reading(DAY_S / 2, gauge(1.0))])
    rolled.settle()
    rolled.commit([reading(40, gauge(60.0)) for _ in range(5)])
    rolled.settle()
    assert rolled.rows(WINDOW_S)[START, *GAUGE] == kept[START, *GAUGE]


def test_what_is_known_about_chunks_goes_with_them(rolled: Rolled) -> None:
    rolled.commit([reading(0, gauge(1.0)), reading(400, gauge(2.0))])
    rolled.settle()
    drop(rolled)
    rolled.commit([reading(900, gauge(3.0))])
    rolled.settle()
    with closing(sqlite3.connect(rolled.directory / "core.db")) as db:
        assert db.execute("SELECT t FROM chunk_window").fetchall() == [(START + 900,)]
        assert rollup_table.mark(db, "rollup_raw_from") == START + 900


def test_a_damaged_chunk_takes_nothing_away(rolled: Rolled) -> None:
    rolled.commit([reading(0, gauge(1.0))])
    rolled.settle()
    kept = rolled.rows(WINDOW_S)
    (first,) = segment_files(rolled.directory)
    with closing(sqlite3.connect(segment_path(rolled.directory, first))) as db:
        db.execute("UPDATE chunk SET crc = crc + 1")
        db.commit()
    rolled.commit([reading(1, gauge(2.0)), reading(2, gauge(2.0))])
    rolled.settle()
    assert rolled.rows(WINDOW_S) == kept


def test_a_full_core_db_stops_rollups_and_not_alarms(rolled: Rolled) -> None:
    rolled.commit([reading(t, {f"p{n}": 1.0 for n in range(200)}) for t in range(0, 3_600, 300)])
    db = rolled.journal._db
    (pages,) = db.execute("PRAGMA page_count").fetchone()
    (limit,) = db.execute("PRAGMA max_page_count").fetchone()
    db.execute(f"PRAGMA max_page_count={pages + 4}")
    rollups = rolled.journal.rollups
    for _ in range(40):
        rollups.work(0.0)
    assert rolled.rows(WINDOW_S) == {}
    rolled.journal.commit_core([event(1)], Chores())  # fmt: skip
    db.execute(f"PRAGMA max_page_count={limit}")
    rolled.settle()
    assert len(rolled.rows(WINDOW_S)) == 12 * 200


def test_rollups_past_their_age_are_deleted_in_blocks(
    rolled: Rolled, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rollup_table, "BLOCK", 10)
    for hour in range(3):
        rolled.commit([reading(hour * 3_600 + k, {f"p{k % 7}": 1.0}) for k in range(0, 3_600, 20)])
    rolled.settle()
    db = rolled.journal._db
    five, hours = len(rolled.rows(WINDOW_S)), len(rolled.rows(HOUR_S))
    now_ns = (START + 90 * DAY_S + 3_600) * 10**9
    blocks = []
    while gone := evict_rollups(db, now_ns):
        blocks.append(gone)
        assert not db.in_transaction
    assert len(blocks) > 3
    assert max(blocks) < 20
    left = rolled.rows(WINDOW_S)
    assert len(left) == five - sum(blocks)
    assert min(t for t, _, _ in left) == START + 3_600
    assert len(rolled.rows(HOUR_S)) == hours
    while evict_rollups(db, now_ns + 731 * DAY_S * 10**9):
        pass
    assert rolled.rows(WINDOW_S) == rolled.rows(HOUR_S) == {}


def test_the_oldest_rollups_give_way_when_core_db_has_become_too_large(
    rolled: Rolled, monkeypatch: pytest.MonkeyPatch
) -> None:
    rolled.commit([reading(t, {f"p{n}": 1.0 for n in range(200)}) for t in range(0, 7_200, 300)])
    rolled.settle()
    db, now_ns = rolled.journal._db, rolled.clock.time_ns()
    assert evict_rollups(db, now_ns) == 0
    monkeypatch.setattr(rollup_table, "MAX_BYTES", rollup_table._used_bytes(db) - 50_000)
    assert evict_rollups(db, now_ns) >= 1_000
    while evict_rollups(db, now_ns):
        pass
    left = rolled.rows(WINDOW_S)
    assert 0 < len(left) < 24 * 200
    assert max(t for t, _, _ in left) == START + 6_900
    assert len(rolled.rows(HOUR_S)) == 2 * 200


def test_what_profiles_say_about_points_is_stored_with_them(rolled: Rolled) -> None:
    rolled.commit([reading(0, {**gauge(1.0), **counter(2.0), "other": 1})])
    (first,) = segment_files(rolled.directory)
    for path in (rolled.directory / "core.db", segment_path(rolled.directory, first)):
        with closing(sqlite3.connect(path)) as db:
            rows = db.execute("SELECT point, unit, profile, revision FROM point").fetchall()
        assert set(rows) == {
            (GAUGE[1], "W", "eastron-sdm120", 1), (COUNTER[1], "kW.h", "eastron-sdm120", 1),
            ("other", None, None, None),
        }  # fmt: skip
    rolled.journal.describe({GAUGE: PointInfo("kW", "counter", "eastron-sdm120", 2)})
    with closing(sqlite3.connect(rolled.directory / "core.db")) as db:
        rows = db.execute("SELECT point, unit, revision FROM point JOIN counter USING (pid)").fetchall()  # fmt: skip
    assert set(rows) == {(GAUGE[1], "kW", 2), (COUNTER[1], "kW.h", 1)}
    rolled.journal.describe({GAUGE: PointInfo("kW", "gauge", "eastron-sdm120", 3)})
    with closing(sqlite3.connect(rolled.directory / "core.db")) as db:
        assert db.execute("SELECT count(*) FROM counter").fetchone() == (1,)


def test_the_last_value_is_found_for_each_point_alone(rolled: Rolled) -> None:
    rolled.commit([reading(0, {"a": 1.0, "b": 2.0}), reading(600, {"a": 3.0})])
    rolled.settle()
    db = rolled.journal._db
    pids = {name: pid for pid, name in db.execute("SELECT pid, point FROM point")}
    found = last_before(db, START + 900, [pids["a"], pids["b"], 99])
    assert found == {pids["a"]: 3.0, pids["b"]: 2.0}

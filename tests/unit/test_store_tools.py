"""What the commands of `gateway store` find in real journals, whole and damaged ones."""

import csv
import io
import json
import random
import shutil
import sqlite3
from contextlib import closing, suppress
from datetime import UTC, datetime
from pathlib import Path

import pytest

from gateway.model import Level as QualityLevel
from gateway.model import Quality, Sample, Severity
from gateway.store.audit import Audit, Auditor
from gateway.store.export import Export
from gateway.store.index import Position
from gateway.store.info import info
from gateway.store.record import COLUMNS, Record, csv_rows, iso, json_line
from gateway.store.salvage import Salvage
from gateway.store.schema import SEQ_BITS
from gateway.store.volume import Volume
from tests.harness.clock import FakeClock
from tests.harness.stores import NOW_NS, event, opened, sample

PAGE = 4096


@pytest.fixture
async def journal(tmp_path: Path) -> Path:
    """Two epochs: 400 alarms and 1,200 samples before a kill, 100 alarms after it."""
    directory = tmp_path / "s"
    async with opened(directory) as store:
        for n in range(1, 401):
            store.append(event(n))
        for n in range(401, 1601):
            store.append(sample(n), held=True)
            if n % 100 == 0:
                await store.durable(n)
        store.advance("platform", 0, Position(store.epoch, 150))
        store.advance("platform", 2, Position(store.epoch, 1000))
        store.dead_letter("platform", 0, 7, 422, "too_large", b"{}")
        store.dead_letter("platform", 0, 390, 422, "refused", b"{}")
    with closing(sqlite3.connect(directory / "core.db")) as db, db:
        db.execute("UPDATE meta SET v=0 WHERE k='clean_shutdown'")
    async with opened(directory) as store:
        for n in range(1601, 1701):
            store.append(event(n, Severity.LIFE, {"point": "alarm.smoke", "value": n}))
    return directory


def audit(directory: Path) -> Audit:
    return Auditor(directory, lambda _count, _total: None).run()


def test_everything_in_a_good_journal_is_accounted_for(journal: Path) -> None:
    found = audit(journal)
    assert (found.faults, found.findings, found.records) == (0, [], 1700)
    lanes = {x.lane: (x.produced, x.stored, x.missing) for x in found.lanes}
    assert lanes == {0: (500, 500, 0), 1: (0, 0, 0), 2: (1200, 1200, 0), 3: (0, 0, 0)}
    sinks = {(x.sink, x.lane): x[2:] for x in found.sinks}
    assert sinks == {("platform", 0): (149, 349, 2), ("platform", 2): (1000, 200, 0)}


def test_a_record_that_vanished_is_missing_unless_its_eviction_is_told(journal: Path) -> None:
    with closing(sqlite3.connect(journal / "core.db")) as db, db:
        db.execute("DELETE FROM event WHERE id BETWEEN 11 AND 20")
    found = audit(journal)
    assert [f"{f.what} {f.where}" for f in found.findings] == ["missing lane 0 11 to 20"]
    assert found.lanes[0].missing == 10
    with closing(sqlite3.connect(journal / "core.db")) as db, db:
        db.execute("INSERT INTO evicted VALUES (0, 1, 1, 11, 20, 'age')")
    found = audit(journal)
    assert (found.faults, found.lanes[0].evicted, found.lanes[0].missing) == (0, {"age": 10}, 0)


def test_the_tail_of_an_epoch_that_is_gone_is_missing(journal: Path) -> None:
    with closing(sqlite3.connect(journal / "core.db")) as db, db:
        db.execute("DELETE FROM event WHERE id > (SELECT max(id) - 5 FROM event)")
        db.execute("UPDATE cursor SET seq=450 WHERE lane=0")  # beyond what is left of epoch 1
        db.execute("DELETE FROM seal WHERE k LIKE 'cursor %'")
    found = audit(journal)
    assert [f.what for f in found.findings] == ["missing", "missing"]
    assert found.lanes[0].missing == 50 + 5


def test_one_flipped_bit_in_an_event_and_in_a_chunk_is_found(journal: Path) -> None:
    with closing(sqlite3.connect(journal / "core.db")) as db, db:
        db.execute("UPDATE event SET time_ns=time_ns+1 WHERE id=33")
    (segment,) = (journal / "ts").glob("*.db")
    with closing(sqlite3.connect(segment)) as db, db:
        db.execute("UPDATE chunk SET boot=boot+1 WHERE first=101")
    found = audit(journal)
    assert [(f.what, f.where) for f in found.findings] == [
        ("damaged", "lane 0 33"), ("damaged", "lane 2 101 to 200"),
    ]  # fmt: skip
    assert (found.lanes[0].damaged, found.lanes[2].damaged) == (1, 100)
    assert found.lanes[2].missing == 0


def test_a_segment_that_is_gone_and_a_letter_of_no_record_are_found(journal: Path) -> None:
    (segment,) = (journal / "ts").glob("*.db")
    segment.unlink()
    with closing(sqlite3.connect(journal / "core.db")) as db, db:
        db.execute("UPDATE dead SET seq=9999 WHERE seq=7")
        db.execute("UPDATE cursor SET epoch=1 << 60 WHERE lane=2")
        db.execute("DELETE FROM seal WHERE k LIKE 'cursor %'")
    assert {f.what for f in audit(journal).findings} == {"file", "missing", "dead_letter", "cursor"}


def test_a_cursor_that_was_not_written_so_is_found(journal: Path) -> None:
    with closing(sqlite3.connect(journal / "core.db")) as db, db:
        db.execute("UPDATE cursor SET seq=151 WHERE lane=0")
    (finding,) = audit(journal).findings
    assert finding.detail == "a cursor is not as it was written"


def test_pages_of_zeros_are_found_and_the_rest_is_counted(journal: Path) -> None:
    zero(journal / "core.db", 5, 9)
    found = audit(journal)
    assert found.faults > 0
    assert 300 < found.lanes[0].stored < 500
    assert found.lanes[0].stored + found.lanes[0].missing == found.lanes[0].produced


def zero(path: Path, *leaves: int) -> None:
    """Zero leaf pages (SQLite's type 13) of the file, counted from its end."""
    content = bytearray(path.read_bytes())
    pages = [at for at in range(PAGE, len(content), PAGE) if content[at] == 13]
    for leaf in leaves:
        at = pages[-leaf]
        content[at : at + PAGE] = bytes(PAGE)
    path.write_bytes(content)


def test_whatever_bit_flips_the_tools_answer_or_refuse(journal: Path) -> None:
    """Never a traceback: the numbers add up, or SQLite's error says why they cannot."""
    rng = random.Random(4)
    (segment,) = (journal / "ts").glob("*.db")
    for path in (journal / "core.db", segment):
        whole = path.read_bytes()
        for _ in range(40):
            at = rng.randrange(len(whole))
            flipped = bytes([whole[at] ^ 1 << rng.randrange(8)])
            path.write_bytes(whole[:at] + flipped + whole[at + 1 :])
            with suppress(sqlite3.DatabaseError):
                found = audit(journal)
                for lane in found.lanes:
                    known = lane.stored + lane.damaged + sum(lane.evicted.values())
                    assert known + lane.missing == lane.produced, at
                info(journal, None, datetime.now(UTC))
                list(Export(journal, (0, 1, 2, 3)))
            saved = [record for _file, record in Salvage(journal)]
            assert len(saved) >= 1_500 or len(saved) in {500, 1_200}, at  # or one file is none
            for left in journal.rglob("*.db-*"):
                left.unlink()
        path.write_bytes(whole)


# -- export ---------------------------------------------------------------------------------------


def test_an_export_has_every_record_in_order(journal: Path) -> None:
    told: list[tuple[int, int]] = []
    export = Export(journal, (0, 2), advanced=lambda count, total: told.append((count, total)))
    records = list(export)
    assert [(r.lane, r.seq) for r in records] == sorted((r.lane, r.seq) for r in records)
    assert (len(records), export.damaged) == (1700, 0)
    assert sum(count for count, _total in told) == told[-1][1]
    epochs = {r.epoch for r in records if r.lane == 0}
    assert len(epochs) == 2
    assert 0 not in epochs


def test_an_export_of_a_time_span_has_that_span(journal: Path) -> None:
    since, until = NOW_NS + 500_000_000, NOW_NS + 510_000_000
    found = list(Export(journal, (0, 1, 2, 3), since, until))
    assert [r.item.time_ns for r in found] == [NOW_NS + n * 1_000_000 for n in range(500, 510)]


def test_an_export_leaves_out_what_is_damaged_and_says_so(journal: Path) -> None:
    with closing(sqlite3.connect(journal / "core.db")) as db, db:
        db.execute("UPDATE event SET n=n+1 WHERE id IN (3, 4)")
    export = Export(journal, (0,))
    assert (len(list(export)), export.damaged) == (498, 2)


def test_a_json_line_and_csv_rows_tell_all_of_a_record() -> None:
    quality = {
        "b": Quality(QualityLevel.BAD, "timeout"),
        "u": Quality(QualityLevel.UNCERTAIN, "old"),
    }
    one = Sample("m-1", NOW_NS + 7, 5, 2, False, {"a": 1.5, "u": True, "t": "开"}, quality, b"id-\xff")  # fmt: skip
    line = json.loads(json_line(Record(2, 4, 9, one)))
    assert line["time_ns"] == str(NOW_NS + 7)
    assert line["time"] == "2026-03-01T19:00:00.000000007Z"
    assert line["values"] == {"a": 1.5, "u": True, "t": "开"}
    assert line["quality"] == {"b": ["bad", "timeout"], "u": ["uncertain", "old"]}
    assert (line["clock_ok"], line["source_id"]) == (False, "id-ÿ")
    rows = [dict(zip(COLUMNS, row, strict=True)) for row in csv_rows(Record(2, 4, 9, one))]
    assert [(r["point"], r["value"], r["quality"]) for r in rows] == [
        ("a", 1.5, "good"), ("u", "true", "uncertain: old"), ("t", "开", "good"), ("b", "", "bad: timeout"),
    ]  # fmt: skip
    line = json.loads(json_line(Record(0, 4, 9, event(3))))
    assert (line["kind"], line["severity"], line["cause"]) == ("point_alarm", "life", None)
    out = io.StringIO()
    csv.writer(out).writerows(csv_rows(Record(0, 4, 9, event(3))))
    (row,) = csv.DictReader(io.StringIO(out.getvalue()), COLUMNS)
    assert json.loads(row["attributes"]) == {"point": "alarm.smoke", "value": True}
    assert iso(2**63 * 1000) == ""


# -- salvage --------------------------------------------------------------------------------------


def test_salvage_reads_all_but_the_pages_that_are_gone(journal: Path, tmp_path: Path) -> None:
    (segment,) = (journal / "ts").glob("*.db")
    damaged = tmp_path / "saved"
    (damaged / "ts").mkdir(parents=True)
    shutil.copy(journal / "core.db", damaged / "core.db.corrupt.1")
    shutil.copy(segment, damaged / "ts" / f"{segment.name}.corrupt.2")
    whole = Salvage(damaged)
    assert len([None for _file, _record in whole]) == 1700
    assert (whole.files, whole.lost_windows, whole.damaged) == (2, 0, 0)
    zero(damaged / "core.db.corrupt.1", 5, 9)
    before = (damaged / "core.db.corrupt.1").read_bytes()
    salvage = Salvage(damaged)
    records = [record for _file, record in salvage]
    events = [record for record in records if record.lane == 0]
    assert 500 - 2 * PAGE // 100 < len(events) < 500  # an event takes more than 100 bytes
    assert salvage.lost_windows >= 2
    assert {r.seq for r in records if r.lane == 2} == set(range(1, 1201))
    assert {r.epoch for r in records if r.lane == 2} == {next(r.epoch for r in events)}
    assert (damaged / "core.db.corrupt.1").read_bytes() == before


def test_salvage_of_what_is_no_database_says_so(tmp_path: Path) -> None:
    (tmp_path / "core.db").write_bytes(b"no database at all" * 500)
    salvage = Salvage(tmp_path)
    assert list(salvage) == []
    assert "not a database" in salvage.refused[str(tmp_path / "core.db")]
    with pytest.raises(FileNotFoundError):
        list(Salvage(tmp_path / "nothing"))


# -- info -----------------------------------------------------------------------------------------


def test_info_tells_lanes_cursors_and_files(journal: Path) -> None:
    (journal / "core.db.corrupt.1").write_bytes(b"x" * 10)
    found = info(journal, None, datetime(2026, 3, 2, tzinfo=UTC))
    assert (found["gateway"], found["running"], found["clean_stop"]) == ("gw-1", False, True)
    lane = found["lanes"][0]
    assert (lane["records"], lane["epochs"]) == (500, 2)
    assert (lane["oldest_ns"], lane["newest_ns"]) == (str(NOW_NS + 1_000_000), str(NOW_NS + 1_700_000_000))  # fmt: skip
    assert found["lanes"][2]["records"] == 1200
    first, second = found["cursors"]
    assert (first["sink"], first["lane"], first["backlog"]) == ("platform", 0, 350)
    assert first["oldest_unsent_ns"] == str(NOW_NS + 151_000_000)
    assert first["dead"] == {"too_large": 1, "refused": 1}
    assert (second["lane"], second["backlog"]) == (2, 200)
    assert [f["name"] for f in found["quarantined"]] == ["core.db.corrupt.1"]
    assert found["bytes"] > 100_000


def test_info_takes_the_newer_cursors_of_the_running_gateway(journal: Path) -> None:
    epoch = info(journal, None, datetime.now(UTC))["epoch"]
    live = {("platform", 0): Position(epoch, 1 << (SEQ_BITS - 1)), ("platform", 2): Position(1 << 60, 3)}  # fmt: skip
    found = info(journal, live, datetime.now(UTC))
    assert [cursor["backlog"] for cursor in found["cursors"]] == [0, 200]
    assert found["running"] is True


def test_a_folder_without_a_journal_is_told(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no journal there"):
        info(tmp_path, None, datetime.now(UTC))
    with pytest.raises(FileNotFoundError, match="no journal there"):
        audit(tmp_path)


def test_what_is_written_is_kept_by_day_and_averaged(journal: Path) -> None:
    with closing(sqlite3.connect(journal / "core.db")) as db, db:
        db.execute("DELETE FROM volume")
        db.executemany("INSERT INTO volume VALUES (?, ?)", [(0, 5), (20514, 100), (20515, 300), (20516, 500), (20517, 7)])  # fmt: skip
    found = info(journal, None, datetime(2026, 3, 5, tzinfo=UTC))
    assert [part["day"] for part in found["written"]] == ["unknown", "2026-03-02", "2026-03-03", "2026-03-04", "2026-03-05"]  # fmt: skip
    assert found["written_per_day"] == 400  # the first day and today are not whole


def test_the_volume_counts_what_this_process_wrote(tmp_path: Path) -> None:
    clock = FakeClock()
    with closing(sqlite3.connect(tmp_path / "x.db", isolation_level=None)) as db:
        db.execute("CREATE TABLE volume(day INTEGER PRIMARY KEY, bytes INTEGER NOT NULL)")
        volume = Volume(clock)
        volume.write(db)  # not yet time
        assert db.execute("SELECT * FROM volume").fetchall() == []
        for _ in range(2):
            volume.write(db, at_once=True)
            volume.saved()
        rows = db.execute("SELECT day FROM volume").fetchall()
        assert rows in ([(clock.time_ns() // 86_400_000_000_000,)], [])  # no figure: an old kernel

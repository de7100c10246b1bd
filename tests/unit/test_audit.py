"""The audit log: what is told stays told, and nothing in it changes without a trace."""

import asyncio
import os
import shutil
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from gateway import audit
from gateway.audit import MAX_TEXT, TORN_FILES, AuditLog
from gateway.audit_chain import FOLDER, GENESIS, Verdict, files, lines_of, newest_first, verify
from tests.harness.clock import FakeClock


@asynccontextmanager
async def log(directory: Path, **limits: int) -> AsyncIterator[AuditLog]:
    one = AuditLog(directory, FakeClock(), **limits)
    one.start()
    try:
        yield one
    finally:
        await one.close(5)


def fill(directory: Path, count: int, what: str = "command") -> None:
    async def run() -> None:
        async with log(directory) as one:
            for number in range(count):
                one.record("cli uid 0", what, "confirmed", device="灯-1", value=number)

    asyncio.run(run())


async def looked(directory: Path) -> Verdict:
    return await asyncio.to_thread(verify, directory)


def told(directory: Path) -> list[tuple[object, object]]:
    return [(f["what"], f["result"]) for path in files(directory) for _, _, f in lines_of(path)]


async def test_what_was_settled_is_there_and_the_chain_goes_on_over_restarts(
    tmp_path: Path,
) -> None:
    for restart in range(3):
        async with log(tmp_path) as one:
            one.record("cli uid 0", "command", "confirmed", value=restart)
            assert await one.settled(5)
            assert (await looked(tmp_path)).head == one.head
    found = await looked(tmp_path)
    assert (found.lines, found.first, found.faults) == (3, 1, [])
    lines = await asyncio.to_thread(lambda: list(newest_first(tmp_path)))
    assert [line.fields["about"] for line in lines] == [{"value": v} for v in (2, 1, 0)]  # fmt: skip


def test_every_flipped_byte_is_found(tmp_path: Path) -> None:
    fill(tmp_path, 3)  # the first line, one between, the last
    (path,) = files(tmp_path)
    raw = path.read_bytes()
    missed = []
    for place in range(len(raw)):
        for bit in (1, 0x20) if place % 3 else (1,):
            changed = bytearray(raw)
            changed[place] ^= bit
            path.write_bytes(changed)
            if not verify(tmp_path).faults:
                missed.append((place, bit))
    assert missed == []


def test_lines_that_are_removed_doubled_or_exchanged_are_found(tmp_path: Path) -> None:
    fill(tmp_path, 6)
    (path,) = files(tmp_path)
    lines = path.read_bytes().splitlines(keepends=True)
    tampered = [
        lines[1:], lines[:2] + lines[3:], [*lines[:3], *lines[2:]], [lines[1], lines[0], *lines[2:]],
        [*lines, lines[0]], [*lines[:-1], lines[-1][:-1]],
    ]  # fmt: skip
    for each in tampered:
        path.write_bytes(b"".join(each))
        assert verify(tmp_path).faults, each


def test_a_changed_line_is_the_only_fault(tmp_path: Path) -> None:
    fill(tmp_path, 6)
    (path,) = files(tmp_path)
    path.write_bytes(path.read_bytes().replace(b'"value":2', b'"value":7'))
    assert [fault.line for fault in verify(tmp_path).faults] == [3]


def test_a_line_forged_with_a_right_hash_of_its_own_breaks_the_chain(tmp_path: Path) -> None:
    fill(tmp_path / "a", 4)
    fill(tmp_path / "b", 2)
    fill(tmp_path / "b", 2, "reset")
    (ours,), (theirs,) = files(tmp_path / "a"), files(tmp_path / "b")
    lines, forged = (p.read_bytes().splitlines(keepends=True) for p in (ours, theirs))
    ours.write_bytes(b"".join([*lines[:2], forged[2], lines[3]]))
    assert [fault.line for fault in verify(tmp_path / "a").faults] == [4]


@pytest.mark.parametrize("cut", [1, 2, 60, 150])
def test_a_torn_tail_is_put_aside_and_told(tmp_path: Path, cut: int) -> None:
    fill(tmp_path, 3)
    (path,) = files(tmp_path)
    path.write_bytes(path.read_bytes()[:-cut])
    fill(tmp_path, 1)
    found = verify(tmp_path)
    assert (found.faults, found.torn) == ([], ["torn-0000000003.bin"])
    assert told(tmp_path)[2:] == [("audit", "torn"), ("command", "confirmed")]


def test_of_torn_tails_the_newest_are_kept(tmp_path: Path) -> None:
    for _ in range(TORN_FILES + 2):
        fill(tmp_path, 1)
        (path,) = files(tmp_path)
        path.write_bytes(path.read_bytes() + b"{")
    fill(tmp_path, 1)
    found = verify(tmp_path)
    assert (len(found.torn), found.faults) == (TORN_FILES, [])


async def test_long_texts_are_cut_and_nobody_else_may_read_the_log(tmp_path: Path) -> None:
    async with log(tmp_path) as one:
        one.record("x" * 9_000, "command", "refused", reason="\ud800" + "y" * 9_000)
    assert (await looked(tmp_path)).faults == []
    (path,) = await asyncio.to_thread(files, tmp_path)
    assert path.stat().st_mode & 0o777 == 0o640
    (line,) = await asyncio.to_thread(lambda: list(lines_of(path)))
    assert line.fields["who"] == "x" * MAX_TEXT
    assert line.fields["about"] == {"reason": "?" + "y" * (MAX_TEXT - 1)}


def test_pages_of_zeros_behind_the_end_are_a_torn_tail(tmp_path: Path) -> None:
    fill(tmp_path, 3)
    (path,) = files(tmp_path)
    path.write_bytes(path.read_bytes() + bytes(300) + b'"}\n')
    fill(tmp_path, 1)
    assert verify(tmp_path).faults == []
    assert told(tmp_path)[3] == ("audit", "torn")


@pytest.mark.parametrize("count", [1, 3])
def test_a_changed_last_line_stays_as_it_is_and_stays_a_fault(tmp_path: Path, count: int) -> None:
    fill(tmp_path, count)
    (path,) = files(tmp_path)
    changed = path.read_bytes().replace(b'"value":%d' % (count - 1), b'"value":7')
    path.write_bytes(changed)
    fill(tmp_path, 2)
    found = verify(tmp_path)
    assert [(fault.line, fault.what) for fault in found.faults] == [(count, "not as it was written")]  # fmt: skip
    assert path.read_bytes().startswith(changed)
    assert found.lines == count + 1


async def test_files_are_changed_by_size_and_the_oldest_are_let_go_with_a_trace(
    tmp_path: Path,
) -> None:
    async with log(tmp_path, file_bytes=2_000, keep=3) as one:
        for number in range(100):
            one.record("rules", "command", "confirmed", value=number)
            assert await one.settled(5)
    found = await looked(tmp_path)
    assert (found.files, found.faults) == (3, [])
    assert found.first > 50
    assert ("audit", "removed") in await asyncio.to_thread(told, tmp_path)
    (await asyncio.to_thread(files, tmp_path))[0].unlink()
    assert "nothing tells" in (await looked(tmp_path)).faults[0].what


async def test_what_the_queue_cannot_hold_is_counted_and_the_count_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit, "QUEUE", 10)
    one = AuditLog(tmp_path, FakeClock())
    for _ in range(25):
        one.record("platform", "command", "refused")
    one.start()
    assert await one.settled(5)
    one.record("platform", "command", "refused")
    await one.close(5)
    assert one.counters["lost"] == 15
    lines = await asyncio.to_thread(lambda: list(newest_first(tmp_path)))
    lost = [line.fields["about"] for line in lines if line.fields["result"] == "lost"]
    assert lost == [{"records": 15}]


async def test_storage_that_fails_is_told_and_what_waits_is_written_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit, "RETRY_S", 0.02)
    (tmp_path / FOLDER).touch()  # no folder can be made there
    async with log(tmp_path) as one:
        one.record("cli uid 0", "reset", "done")
        assert not await one.settled(5)
        assert "File exists" in one.failing
        (tmp_path / FOLDER).unlink()
        async with asyncio.timeout(5):
            while not await one.settled(0.1):
                await asyncio.sleep(0.01)
        assert one.failing == ""
    assert await asyncio.to_thread(told, tmp_path) == [("reset", "done")]


async def test_a_sync_that_fails_writes_no_record_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit, "RETRY_S", 0.02)
    proper, failures = os.fdatasync, [OSError(5, "Input/output error")]

    def sync(fd: int) -> None:
        if failures:
            raise failures.pop()
        proper(fd)

    monkeypatch.setattr(os, "fdatasync", sync)
    async with log(tmp_path) as one:
        one.record("cli uid 0", "reset", "done")
        async with asyncio.timeout(5):
            while not await one.settled(0.1):
                await asyncio.sleep(0.01)
    assert failures == []
    assert await asyncio.to_thread(told, tmp_path) == [("reset", "done")]


async def test_a_flood_of_records_costs_few_syncs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beyond the burst of 1,000 they wait for company; each sync wears the card out."""
    proper, syncs = os.fdatasync, 0

    def sync(fd: int) -> None:
        nonlocal syncs
        syncs += 1
        proper(fd)

    async with log(tmp_path) as one:
        one.record("platform", "command", "refused")
        assert await one.settled(5)
        one._bucket._tokens, one._bucket._at = 0.0, time.monotonic()
        monkeypatch.setattr(os, "fdatasync", sync)
        for _ in range(50):
            one.record("platform", "command", "refused")
            await asyncio.sleep(0.001)  # not waiting: it is the load that goes on
        assert await one.settled(5)
        assert syncs < 25


async def test_a_bug_in_the_writer_is_a_log_that_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def bug(_self: AuditLog) -> None:
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr(AuditLog, "_write_queue", bug)
    async with log(tmp_path) as one:
        one.record("cli uid 0", "reset", "done")
        assert not await one.settled(5)
        assert one.failing == "ZeroDivisionError('a bug')"


async def test_records_that_cannot_be_written_before_the_end_are_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / FOLDER).touch()
    async with log(tmp_path) as one:
        one.record("cli uid 0", "reset", "done")
    assert "1 records are lost" in caplog.text


def test_an_empty_log_and_one_that_is_gone_begin_with_line_one(tmp_path: Path) -> None:
    assert verify(tmp_path).lines == 0
    fill(tmp_path, 1)
    shutil.rmtree(tmp_path / FOLDER)
    fill(tmp_path, 1)
    assert next(newest_first(tmp_path)).prev == GENESIS


async def test_a_disk_that_hangs_holds_nobody_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hangs = threading.Event()
    proper = os.fdatasync
    monkeypatch.setattr(os, "fdatasync", lambda fd: (hangs.wait(20), proper(fd))[1])
    async with log(tmp_path) as one:
        started = time.monotonic()
        for number in range(2 * audit.QUEUE):
            one.record("rules", "command", "confirmed", value=number)
        assert time.monotonic() - started < 10  # it hangs for 20 s
        assert not await one.settled(0.05)
        assert one.counters["lost"] >= audit.QUEUE
        hangs.set()
    found = await looked(tmp_path)
    assert (found.faults, found.lines) == ([], 2 * audit.QUEUE - one.counters["lost"] + 1)


def test_a_log_that_was_cut_off_or_written_anew_is_found_by_a_head_that_was_known(
    tmp_path: Path,
) -> None:
    fill(tmp_path / "a", 5)
    known = verify(tmp_path / "a").head
    fill(tmp_path / "a", 2)
    assert verify(tmp_path / "a", known).faults == []
    (path,) = files(tmp_path / "a")
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:4]))
    assert verify(tmp_path / "a").faults == []
    assert "cut off" in str(verify(tmp_path / "a", known).faults)
    fill(tmp_path / "b", 7, "reset")
    assert verify(tmp_path / "b").faults == []
    assert "another line" in str(verify(tmp_path / "b", known).faults)

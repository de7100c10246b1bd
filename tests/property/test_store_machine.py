"""The store against plain lists: whatever happens, in any order, what was promised is read back.

Append, wait, deliver, stop, crash with a torn tail, a device that is full or fails, damaged records
and files, clocks that jump, quotas that change.
"""

import asyncio
import random
import shutil
import sqlite3
import time
from collections.abc import Sequence
from contextlib import ExitStack, closing, suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from gateway.errors import StoreFailed, StoreFull
from gateway.model import LANE_SAMPLE, LANES, Event, EventKind, Item, Severity, Value, lane_of
from gateway.store import retention, writer
from gateway.store.schema import SEQ_BITS
from gateway.store.store import Position, Slice, Store
from tests.harness.clock import FakeClock
from tests.harness.crash import workplace
from tests.harness.faulty import COMMITS, device
from tests.harness.stores import event, make_store, photograph, sample, slices

SETTINGS = settings(
    max_examples=200,
    stateful_step_count=50,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
SEVERITIES = {0: Severity.LIFE, 1: Severity.OPERATIONAL, 3: Severity.TELEMETRY}
LARGE = "100MB"
SMALL = "1MB"
BULKY = 40  # samples of 6 KB that no compression shrinks
RETRY_S = 0.005


class StoreMachine(RuleBasedStateMachine):
    """`stored` is what must be there, `open` samples that nobody waited for: a crash takes them.

    `gone` says why less may be there than was stored: records that were damaged on purpose, or the
    oldest samples because of a quota.
    """

    def __init__(self) -> None:
        super().__init__()
        self.stack = ExitStack()
        self.device = self.stack.enter_context(device())
        self.home = Path(self.stack.enter_context(workplace()))
        self.runner = self.stack.enter_context(asyncio.Runner())
        self.copies = 0
        self.directory = self.home / "0"
        self.clock = FakeClock()
        self.quota = LARGE
        self.noise = random.Random(1)
        self.stored: dict[int, list[Item]] = {lane: [] for lane in LANES}
        self.open: list[Item] = []
        self.unsettled = False  # events that are on their way
        self.cursors: dict[int, Position] = {}
        self.gone: set[str] = set()
        self.lost_records = dict.fromkeys(LANES, 0)  # damaged one by one
        self.n = 0
        self.epoch = 0

    @initialize()
    def begin(self) -> None:
        self.start()
        assert self.store.last_n == 0

    def start(self) -> None:
        writer.RETRY_S = RETRY_S
        retention.LOOK_S = 1_000.0  # look when a segment was begun, not in the middle of a step
        self.store: Store = make_store(self.directory, clock=self.clock, telemetry_quota=self.quota)
        self.store.sinks({"sink": LANES})
        self.store.open()
        self.runner.run(self.store.start())

    def stop(self) -> None:
        self.wait()
        self.runner.run(self.store.close())

    # -- what comes in -----------------------------------------------------------------------------

    @rule(lane=st.sampled_from([0, 1, 3]), text=st.text(max_size=5))
    def append_event(self, lane: int, text: str) -> None:
        self.n += 1
        one = event(self.n, SEVERITIES[lane], {"text": text})
        assert self.store.append(one)
        self.stored[lane_of(one)].append(one)
        self.unsettled = True

    @rule(count=st.integers(1, 30), wide=st.booleans())
    def append_samples(self, count: int, *, wide: bool) -> None:
        for _ in range(count):
            self.append_sample({"a": self.n, **({"b": 1.5} if wide else {})})

    @rule()
    def append_bulk(self) -> None:
        for _ in range(BULKY):
            self.append_sample({"a": self.noise.randbytes(3_000).hex()})
        self.wait()

    def append_sample(self, values: dict[str, Value]) -> None:
        self.n += 1
        one = sample(self.n, values, source_id=b"%d" % self.n)
        assert self.store.append(one)
        self.open.append(one)

    @rule()
    def wait(self) -> None:
        self.runner.run(self.promised())
        self.stored[LANE_SAMPLE] += self.open
        self.open = []
        self.unsettled = False
        self.runner.run(self.idle())

    async def idle(self) -> None:
        """Until storage works and the clean-up that follows a commit is done."""
        upkeep = self.store._upkeep
        async with asyncio.timeout(10):
            while self.store.stats().state != "ok":
                await asyncio.sleep(0.001)
            files = self.store._files
            assert files is not None
            while upkeep.due <= time.monotonic() or upkeep._segment != files.journal.newest_segment:
                await asyncio.sleep(0.001)

    async def promised(self) -> None:
        async with asyncio.timeout(10):
            while True:
                with suppress(StoreFailed, StoreFull):
                    await self.store.durable(self.n)
                    return
                await asyncio.sleep(RETRY_S)

    # -- what goes out -----------------------------------------------------------------------------

    @rule(lane=st.sampled_from(LANES), share=st.floats(0, 1))
    def deliver(self, lane: int, share: float) -> None:
        self.wait()
        after = self.store.cursor("sink", lane)
        part = self.runner.run(self.store.read(lane, after, max_items=7, max_bytes=10**6))
        if part is None:
            assert self.store.backlog(lane, after) == 0
            return
        seqs = [seq for seq, _ in part.items]
        seq = seqs[round(share * (len(seqs) - 1))] if seqs else part.last
        self.cursors[lane] = Position(part.epoch, seq)
        self.store.advance("sink", lane, self.cursors[lane])

    @rule()
    def read_everything(self) -> None:
        self.wait()
        for lane in (LANE_SAMPLE, 0, 1, 3):
            parts = self.runner.run(slices(self.store, lane, max_items=97))
            check_cover(parts)
            self.check_gaps(lane, parts)
            found = [item for part in parts for _, item in part.items if not is_loss(item)]
            self.check_items(lane, found)
            positions = [(part.epoch, seq) for part in parts for seq, _ in part.items]
            assert positions == sorted(set(positions))

    def check_items(self, lane: int, found: list[Item]) -> None:
        expected = self.stored[lane]
        if lane == LANE_SAMPLE and "quota" in self.gone:  # the oldest went
            assert len(found) > 0 or not expected
            expected = expected[len(expected) - len(found) :]
        assert found == expected
        self.stored[lane] = found

    def check_gaps(self, lane: int, parts: Sequence[Slice]) -> None:
        gaps = [gap for part in parts for gap in part.gaps]
        corrupt = sum(last - first + 1 for first, last, reason in gaps if reason == "corrupt")
        allowed = {"corrupt"} if self.lost_records[lane] else set()
        if lane == LANE_SAMPLE and "quota" in self.gone:
            allowed |= {"evicted"}
            assert corrupt <= self.lost_records[lane]
        else:
            assert corrupt == self.lost_records[lane]
        assert {reason for _, _, reason in gaps} <= allowed

    # -- what goes wrong ---------------------------------------------------------------------------

    @rule()
    def stop_and_start(self) -> None:
        self.stop()
        epoch = self.store.epoch
        self.start()
        assert self.store.epoch == epoch
        for lane, position in self.cursors.items():
            assert self.store.cursor("sink", lane) == position
        self.check_numbers()

    @precondition(lambda self: not self.unsettled)
    @rule(torn=st.booleans())
    def crash_and_start(self, *, torn: bool) -> None:
        self.copies += 1
        before, self.directory = self.directory, self.home / str(self.copies)
        with self.device.still:
            photograph(before, self.directory)
        if torn:
            self.tear()
        self.runner.run(self.store.close())
        shutil.rmtree(before)
        self.open = []
        epoch = self.store.epoch
        self.start()
        assert self.store.epoch == epoch + 1
        for lane, position in list(self.cursors.items()):  # replay is idempotent
            found = self.store.cursor("sink", lane)
            assert found is None or found <= position
            self.cursors.pop(lane)
            if found is not None:
                self.cursors[lane] = found
        self.check_numbers()

    def tear(self) -> None:
        """A transaction of which the power cut left something else than what was written."""
        for log in self.directory.rglob("*-wal"):
            with log.open("ab") as file:
                file.write(self.noise.randbytes(self.noise.randrange(1, 9_000)))

    @rule(how=st.lists(st.sampled_from(COMMITS), min_size=1, max_size=3), samples=st.booleans())
    def storage_fails(self, how: list[str], *, samples: bool) -> None:
        self.device.fail(*how)
        if samples:
            self.append_sample({"a": 1})
        self.append_event(0, "while it fails")
        self.wait()

    @rule(lane=st.sampled_from(LANES), share=st.floats(0, 1))
    def damage_a_record(self, lane: int, share: float) -> None:
        self.read_everything()
        parts = self.runner.run(slices(self.store, lane))
        records = [(seq, item) for part in parts for seq, item in part.items if not is_loss(item)]
        if not records:
            return
        seq, _ = records[round(share * (len(records) - 1))]
        self.stop()
        lost = self.flip_in_chunk(seq) if lane == LANE_SAMPLE else self.flip_in_event(lane, seq)
        self.start()
        gone = [item for at, item in records if at in lost]
        self.stored[lane] = [item for item in self.stored[lane] if item not in gone]
        self.lost_records[lane] += len(gone)
        self.gone.add("damage")
        self.read_everything()

    def flip_in_event(self, lane: int, seq: int) -> range:
        with closing(sqlite3.connect(self.directory / "core.db", isolation_level=None)) as db:
            flip(db, "event", "id", lane << SEQ_BITS | seq, self.noise)
        return range(seq, seq + 1)

    def flip_in_chunk(self, seq: int) -> range:
        files = sorted((self.directory / "ts").glob("*.db"))
        path = [path for path in files if int(path.stem) <= seq][-1]
        with closing(sqlite3.connect(path, isolation_level=None)) as db:
            query = "SELECT first, n FROM chunk WHERE first <= ? ORDER BY first DESC LIMIT 1"
            first, n = db.execute(query, (seq,)).fetchone()
            flip(db, "chunk", "first", first, self.noise)
        return range(first, first + n)

    @rule(seconds=st.integers(-100_000, 100_000), ok=st.booleans())
    def clock_jumps(self, seconds: int, *, ok: bool) -> None:
        self.clock.step(seconds)
        self.clock.ok = ok

    @rule(quota=st.sampled_from([SMALL, LARGE]))
    def quota_changes(self, quota: str) -> None:
        self.stop()
        self.quota = quota
        if quota == SMALL:
            self.gone.add("quota")
        self.start()

    # -- what always holds -------------------------------------------------------------------------

    def check_numbers(self) -> None:
        kept = [item for lane in LANES for item in self.stored[lane]]
        last_n = max((item.n for item in kept), default=0)
        ids = {b"meter-1\0%d" % item.n for item in self.stored[LANE_SAMPLE]}
        if self.gone:
            assert self.store.last_n >= last_n
            assert "quota" in self.gone or set(self.store.recent_ids()) >= ids
        else:
            assert self.store.last_n == last_n
            assert set(self.store.recent_ids()) == ids
        self.n = max(self.n, self.store.last_n)

    @invariant()
    def epochs_never_fall(self) -> None:
        if hasattr(self, "store"):
            assert self.store.epoch >= self.epoch
            self.epoch = self.store.epoch

    def teardown(self) -> None:
        with self.stack:
            if hasattr(self, "store"):
                self.read_everything()
                self.runner.run(self.store.close())


def is_loss(item: Item) -> bool:
    """What the store says of itself."""
    return isinstance(item, Event) and item.kind == EventKind.DATA_LOSS


def check_cover(parts: Sequence[Slice]) -> None:
    """Every seq of a slice is a record or lies in a gap, never both."""
    for part in parts:
        assert part.base <= part.first
        seqs = [seq for seq, _ in part.items]
        for first, last, _reason in part.gaps:
            seqs += range(first, last + 1)
        assert sorted(seqs) == list(range(part.first, part.last + 1))


def flip(db: sqlite3.Connection, table: str, key: str, value: int, rng: random.Random) -> None:
    """Turn one bit of a row's body over."""
    (body,) = db.execute(f"SELECT body FROM {table} WHERE {key}=?", (value,)).fetchone()  # noqa: S608 -- constant text
    damaged = bytearray(body)
    damaged[rng.randrange(len(damaged))] ^= 1 << rng.randrange(8)
    db.execute(f"UPDATE {table} SET body=? WHERE {key}=?", (bytes(damaged), value))  # noqa: S608 -- constant text


@pytest.mark.timeout(600)
def test_whatever_happens_what_was_promised_is_read_back() -> None:
    run_state_machine_as_test(StoreMachine, settings=SETTINGS)


@pytest.mark.chaos
@pytest.mark.timeout(1800)
def test_whatever_happens_for_a_long_time() -> None:
    run_state_machine_as_test(StoreMachine, settings=settings(SETTINGS, max_examples=2_000))

"""The store against plain lists: append, wait, deliver, stop, crash, in any order."""

import asyncio
import tempfile
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from gateway.model import LANES, Item, Severity, lane_of
from gateway.store.store import Position, Store
from tests.harness.stores import event, make_store, photograph, sample, slices

SEVERITIES = {0: Severity.LIFE, 1: Severity.OPERATIONAL, 3: Severity.TELEMETRY}


class StoreMachine(RuleBasedStateMachine):
    """`stored` is what must be there, `open` samples that nobody waited for: a crash takes them."""

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.home = tempfile.TemporaryDirectory()
        self.copies = 0
        self.directory = Path(self.home.name) / "0"
        self.stored: dict[int, list[Item]] = {lane: [] for lane in LANES}
        self.open: list[Item] = []
        self.unsettled = False  # events that are on their way
        self.cursors: dict[int, Position] = {}
        self.used: set[tuple[int, int, int]] = set()
        self.n = 0
        self.epoch = 0

    @initialize()
    def begin(self) -> None:
        self.start()
        assert self.store.last_n == 0

    def start(self) -> None:
        self.store: Store = make_store(self.directory)
        self.store.ack_linger_s = 0.001
        self.store._intake._ack_linger_s = 0.001
        self.store.open()
        self.runner.run(self.store.start())

    @rule(lane=st.sampled_from([0, 1, 3]), text=st.text(max_size=5))
    def append_event(self, lane: int, text: str) -> None:
        self.n += 1
        one = event(self.n, SEVERITIES[lane], {"text": text})
        self.runner.run(self.take(one))
        self.stored[lane_of(one)].append(one)
        self.unsettled = True

    @rule(count=st.integers(1, 30), wide=st.booleans())
    def append_samples(self, count: int, *, wide: bool) -> None:
        for _ in range(count):
            self.n += 1
            values = {"a": 1.5, "b": self.n} if wide else {"a": self.n}
            one = sample(self.n, dict(values), source_id=b"%d" % self.n)
            self.runner.run(self.take(one))
            self.open.append(one)

    async def take(self, item: Item) -> None:
        assert self.store.append(item)

    @rule()
    def wait(self) -> None:
        self.runner.run(self.store.durable(self.n))
        self.stored[2] += self.open
        self.open = []
        self.unsettled = False

    @rule(lane=st.sampled_from(LANES), share=st.floats(0, 1))
    def deliver(self, lane: int, share: float) -> None:
        self.wait()
        after = self.store.cursor("sink", lane)
        part = self.runner.run(self.store.read(lane, after, max_items=7, max_bytes=10**6))
        if part is None:
            assert self.store.backlog(lane, after) == 0
            return
        seqs = [seq for seq, _ in part.items]
        position = Position(part.epoch, seqs[round(share * (len(seqs) - 1))])
        self.store.advance("sink", lane, position)
        self.cursors[lane] = position

    @rule()
    def read_everything(self) -> None:
        self.wait()
        for lane in LANES:
            parts = self.runner.run(slices(self.store, lane, max_items=11))
            assert not any(part.gaps for part in parts)
            records = [(part.epoch, seq, item) for part in parts for seq, item in part.items]
            assert [item for _, _, item in records] == self.stored[lane]
            positions = [(epoch, seq) for epoch, seq, _ in records]
            assert positions == sorted(set(positions))
            assert self.store.backlog(lane, None) == len(records)
            for part in parts:
                assert part.base <= part.first

    @rule()
    def stop_and_start(self) -> None:
        self.runner.run(self.store.close())
        self.stored[2] += self.open
        self.open, self.unsettled = [], False
        epoch = self.store.epoch
        self.start()
        assert self.store.epoch == epoch
        for lane, position in self.cursors.items():
            assert self.store.cursor("sink", lane) == position
        self.check_numbers()

    @precondition(lambda self: not self.unsettled)
    @rule()
    def crash_and_start(self) -> None:
        self.copies += 1
        self.directory = photograph(self.directory, Path(self.home.name) / str(self.copies))
        self.runner.run(self.store.close())
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

    def check_numbers(self) -> None:
        kept = [item for lane in LANES for item in self.stored[lane]]
        assert self.store.last_n == max((item.n for item in kept), default=0)
        ids = {b"meter-1\0%d" % item.n for item in self.stored[2]}
        assert set(self.store.recent_ids()) == ids
        self.n = max(self.n, self.store.last_n)

    @invariant()
    def epochs_never_fall(self) -> None:
        if hasattr(self, "store"):
            assert self.store.epoch >= self.epoch
            self.epoch = self.store.epoch

    def teardown(self) -> None:
        if hasattr(self, "store"):
            self.read_everything()
            self.runner.run(self.store.close())
        self.runner.close()
        self.home.cleanup()


StoreMachine.TestCase.settings = settings(max_examples=20, stateful_step_count=15, deadline=None)
TestStoreMachine = StoreMachine.TestCase

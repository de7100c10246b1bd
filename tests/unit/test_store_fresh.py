"""What was committed just now is read from memory, as it is stored."""

from pathlib import Path

import pytest

from gateway.errors import StoreFailed
from gateway.model import Severity
from gateway.store.fresh import Fresh
from gateway.store.reader import Reader
from gateway.store.store import Position
from tests.harness.stores import event, opened, slices

ODD = {"big": 2**70, "bad": "\ud800", "set": frozenset({1}), "nested": {"b": (1, None)}}


async def test_it_is_what_the_disk_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with opened(tmp_path / "s") as store:
        for n in range(1, 8):
            severity = Severity.LIFE if n % 2 else Severity.OPERATIONAL
            store.append(event(n, severity, {**ODD, "number": n}))
            await store.durable(n - n % 3)  # several commits, of one to three events
        await store.durable(7)
        memory = {(lane, size): await slices(store, lane, max_items=size) for lane in (0, 1) for size in (1, 2, 9)}  # fmt: skip
        monkeypatch.setattr(Fresh, "read", lambda *_arguments: None)
        assert memory == {key: await slices(store, key[0], max_items=key[1]) for key in memory}


async def test_who_keeps_up_does_not_wait_for_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stalled(*_arguments: object) -> None:
        raise StoreFailed("the disk was asked")

    async with opened(tmp_path / "s") as store:
        store.append(event(1))
        await store.durable(1)
        monkeypatch.setattr(Reader, "read", stalled)
        store.append(event(2))
        await store.durable(2)
        after = Position(store.epoch, 1)
        part = await store.read(0, after, max_items=10, max_bytes=1)
        assert part is not None
        assert [seq for seq, _event in part.items] == [2]
        with pytest.raises(StoreFailed):  # who is behind
            await store.read(0, None, max_items=10, max_bytes=1_000)


async def test_many_at_once_are_read_from_disk(tmp_path: Path) -> None:
    async with opened(tmp_path / "s") as store:
        for n in range(1, 300):
            store.append(event(n))
        await store.durable(299)
        found = await slices(store, 0, max_items=1_000)
        assert [seq for part in found for seq, _event in part.items] == list(range(1, 300))

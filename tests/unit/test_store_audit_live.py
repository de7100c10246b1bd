"""The audit beside a store that writes, evicts and delivers at the same time."""

import asyncio
from pathlib import Path

import pytest

from gateway.store import retention
from gateway.store.audit import Audit, Auditor
from gateway.store.store import Position, Store
from tests.harness.stores import event, opened, sample
from tests.harness.telemetry import noise, tidy


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "LOOK_S", 0.02)
    monkeypatch.setattr(retention, "SETTLE_S", 0.0)


def audit(directory: Path) -> Audit:
    return Auditor(directory, lambda _count, _total: None).run()


async def test_evictions_and_growth_beside_the_audit_are_accounted_for(tmp_path: Path) -> None:
    audits: list[Audit] = []
    async with opened(tmp_path / "s", telemetry_quota="1MB") as store:
        store.sinks({"platform": (0, 2)})
        await work(store, 1, 100)  # there must be a cursor, and something behind it
        running = asyncio.create_task(work(store, 101, 4_000))
        while not running.done():
            audits.append(await asyncio.to_thread(audit, tmp_path / "s"))
        await running
        await tidy(store)
        audits.append(await asyncio.to_thread(audit, tmp_path / "s"))
    audits.append(await asyncio.to_thread(audit, tmp_path / "s"))
    assert len(audits) > 3
    assert [one.findings for one in audits] == [[]] * len(audits)
    last = audits[-1].lanes[2]
    assert last.evicted.keys() == {"quota"}
    assert last.produced == 4_000
    assert last.stored + last.evicted["quota"] == 4_000


async def work(store: Store, first: int, last: int) -> None:
    for start in range(first, last + 1, 100):
        for n in range(start, start + 100):
            store.append(sample(n, noise(n)))
        store.append(event(start + 99))
        await store.durable(start + 99)
        store.advance("platform", 2, Position(store.epoch, store.last(2) - 40))
        store.advance("platform", 0, Position(store.epoch, store.last(0)))

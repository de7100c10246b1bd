"""What the store lost or found damaged, and whether it works: told upstream as events."""

import asyncio
from collections import Counter
from typing import Protocol

from gateway.model import Event, EventKind, Severity
from gateway.store.store import Store

PAUSE_S = 1.0


class Emit(Protocol):
    def __call__(
        self, kind: EventKind, severity: Severity, device: str, attributes: dict[str, object]
    ) -> Event: ...


class Losses:
    """`report` tells each thing once; `run` calls it after commits and failures, at most once a second."""

    def __init__(self, journal: Store, emit: Emit) -> None:
        self._journal, self._emit = journal, emit
        self._damage: Counter[str] = Counter()
        self._failing = ""

    async def run(self) -> None:
        """Until cancelled."""
        news = self._journal.subscribe()
        while True:
            await news.wait()
            news.clear()
            self.report()
            await asyncio.sleep(PAUSE_S)

    def report(self) -> None:
        stats = self._journal.stats()
        damage = Counter(stats.damage)
        for reason, count in (damage - self._damage).items():
            what: dict[str, object] = {"reason": reason, "count": count}
            self._emit(EventKind.DATA_LOSS, Severity.SAFETY, "gateway", what)
        self._damage = damage
        for what in self._journal.take_losses():
            self._emit(EventKind.DATA_LOSS, Severity.SAFETY, "gateway", what)
        if bool(stats.reason) != bool(self._failing):
            # It goes upstream from memory, as alarms do while nothing can be stored.
            state: dict[str, object] = {
                "state": stats.state,
                "reason": stats.reason or self._failing,
            }
            self._emit(EventKind.STORAGE, Severity.SAFETY, "gateway", state)
        self._failing = stats.reason

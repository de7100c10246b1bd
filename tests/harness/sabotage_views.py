"""Sabotages of what people and platforms see, and of the files of a configuration: traces, streams, figures, events, parts."""

from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from gateway import assemble
from gateway.claims import Claim
from gateway.config_history import ConfigHistory, Entry
from gateway.decider import RuleDecider
from gateway.losses import Emit, Losses
from gateway.metrics import Metrics
from gateway.model import Event, EventKind, Item
from gateway.reload import Reload
from gateway.sinks import encode
from gateway.snapshot import Snapshot
from gateway.store.store import Store
from gateway.table import read_table
from gateway.tap import Tap
from rules.trace import Trace, Traces
from tests.harness.sabotage_upkeep import steered_clock


def forget_causes() -> None:
    """A write does not know which alarm led to it."""
    proper = RuleDecider._wish

    def wish(self: RuleDecider, *given: Any) -> Claim:
        return proper(self, *given)._replace(cause=None)

    setattr(RuleDecider, "_wish", wish)  # noqa: B010 -- replaced on purpose, behind the type checker


def traces_without_deeds() -> None:
    """A transition is kept without what followed."""
    proper = Traces.keep

    def keep(self: Traces, trace: Trace) -> None:
        trace.outputs = ()
        proper(self, trace)

    setattr(Traces, "keep", keep)  # noqa: B010 -- as above


def results_of_nobody() -> None:
    """How a write ended is not told with what wanted it."""
    setattr(Traces, "result", lambda *_: None)  # noqa: B010 -- as above


def alarms_without_why() -> None:
    """The event of an alarm says that it was raised, and no more."""
    setattr(RuleDecider, "_why", lambda *_: {})  # noqa: B010 -- as above


def silent_storage() -> None:
    """The platform does not hear that storage fails."""
    proper = Losses.__init__

    def init(self: Losses, journal: Store, emit: Emit) -> None:
        def told(kind: EventKind, *more: Any) -> Event | None:
            return None if kind is EventKind.STORAGE else emit(kind, *more)

        proper(self, journal, told)  # type: ignore[arg-type] # nobody looks at what it returns

    setattr(Losses, "__init__", init)  # noqa: B010 -- as above


def bounds_of_nobody() -> None:
    """Of boots that never knew the time nobody says between which times they were."""
    steered_clock()
    setattr(encode, "bounds_ns", lambda *_: (None, None))  # noqa: B010 -- as above


def bounds_of_the_boot() -> None:
    """What a boot that never knew the time showed is a bound of its times."""
    steered_clock()
    setattr(encode, "bounds_ns", lambda item, _offsets: (item.time_ns, item.time_ns))  # noqa: B010 -- as above


def keep_the_wish() -> None:
    """When a configuration is taken back its file stays."""

    async def stay(_self: Reload) -> None:
        return

    setattr(Reload, "_take_file_back", stay)  # noqa: B010 -- as above


def lossy_tail() -> None:
    """Who watches misses every seventh item, and is not told."""
    proper = Tap._take
    count = 0

    def take(self: Tap, item: Item) -> None:
        nonlocal count
        count += 1
        if count % 7:
            proper(self, item)

    setattr(Tap, "_take", take)  # noqa: B010 -- as above


def first_figures() -> None:
    """Prometheus is given the figures of the first time again and again."""
    proper = Metrics.__init__

    def init(self: Metrics, section: Any, look: Callable[[], Snapshot], *more: Any) -> None:
        seen: list[Snapshot] = []

        def again() -> Snapshot:
            seen.append(seen[0] if seen else look())
            return seen[0]

        proper(self, section, again, *more)

    setattr(Metrics, "__init__", init)  # noqa: B010 -- as above


def history_of_the_main_file() -> None:
    """Of a configuration of many files one is kept."""
    proper = ConfigHistory.keep

    def keep(self: ConfigHistory, files: Sequence[Path], who: str, time_ns: int) -> Entry | None:
        return proper(self, files[:1], who, time_ns)

    setattr(ConfigHistory, "keep", keep)  # noqa: B010 -- as above


def tables_of_the_start() -> None:
    """A table is read once."""
    setattr(assemble, "read_table", cache(read_table))  # noqa: B010 -- as above


VIEWS = {
    "history_of_the_main_file": history_of_the_main_file,
    "tables_of_the_start": tables_of_the_start,
    "forget_causes": forget_causes,
    "traces_without_deeds": traces_without_deeds,
    "results_of_nobody": results_of_nobody,
    "alarms_without_why": alarms_without_why,
    "silent_storage": silent_storage,
    "bounds_of_nobody": bounds_of_nobody,
    "bounds_of_the_boot": bounds_of_the_boot,
    "keep_the_wish": keep_the_wish,
    "lossy_tail": lossy_tail,
    "first_figures": first_figures,
}

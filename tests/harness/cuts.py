"""Power cuts of `tests.harness.cut_child`: what each image of a life must hold, and whether it does."""

import asyncio
import re
import shutil
import subprocess
import sys
import time
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from gateway.model import LANES, Sample, Severity
from gateway.store.store import Store
from tests.harness import trace
from tests.harness.crash import Disk, Image, images, workplace
from tests.harness.cut_child import GROUP_COMMIT_S
from tests.harness.store_child import MARK, record
from tests.harness.stores import event, make_store, sample, slices

OPEN_S = 2.0
SLACK_S = 1.0  # of the group window, on a busy machine
SEVERITIES = (Severity.LIFE, Severity.OPERATIONAL, Severity.TELEMETRY)
_TOLD = re.compile(rb"(?:(taken|command|first) )?(\d+)(?: epoch \d+)?\n")

Place = tuple[int, int, int]  # lane, epoch, seq


class Tellings(NamedTuple):
    """What the child told, each as (index of the call, number)."""

    promised: list[tuple[int, int]]
    taken: list[tuple[int, int]]
    commands: list[tuple[int, int]]


@dataclass(slots=True)
class Seen:
    """What an image held when a store opened it."""

    opened_s: float
    places: dict[int, Place]  # by input number
    faults: list[str]


class Life(NamedTuple):
    """One run of the child: `before` is a copy of its directory, `trace` what it did to `root`."""

    root: Path
    before: Path
    trace: Path

    @property
    def after(self) -> Path:
        return self.trace.with_suffix(".after")


def live(folder: Path, number: int, kind: str, before: Path | None, sabotage: str = "none") -> Life:
    """Run the child on a copy of `before`, tracing it; blocks."""
    one = Life(folder / f"{number}.state", folder / f"{number}.before", folder / f"{number}.trace")
    if before is None:
        one.before.mkdir()
    else:
        shutil.copytree(before, one.before)
    shutil.copytree(one.before, one.root)
    child = [sys.executable, "-m", "tests.harness.cut_child", str(one.root), kind, str(number), sabotage]  # fmt: skip
    subprocess.run(
        trace.command(one.trace, child), check=True, stdout=subprocess.PIPE,
        cwd=Path(__file__).parents[2], timeout=60,
    )  # fmt: skip
    shutil.copytree(one.root, one.after, ignore=shutil.ignore_patterns("*-shm"))
    return one


def history(folder: Path, sabotage: str = "none") -> list[Life]:
    """Seven lives in two chains: after a power cut, after a kill, after a stop, from nothing."""

    def one(number: int, kind: str, before: Path | None = None) -> Life:
        return live(folder, number, kind, before, sabotage)

    def cut(life: Life) -> Path:
        return _cut_of(life, folder / f"{life.trace.stem}.cut")

    def first() -> list[Life]:
        a = one(1, "killed")
        b = one(2, "killed", cut(a))
        c = one(3, "stopped", cut(b))
        return [a, b, c, one(4, "polled", c.after)]

    def second() -> list[Life]:
        a = one(5, "stopped")
        b = one(6, "killed", a.after)
        return [a, b, one(7, "stopped", cut(b))]

    with ThreadPoolExecutor(2) as pool:
        chains = [pool.submit(first), pool.submit(second)]
        return [life for chain in chains for life in chain.result()]


def _cut_of(one: Life, copy: Path) -> Path:
    """What a power cut near the end of a life leaves."""
    calls = trace.read(one.trace)
    calls = calls[: len(calls) * 9 // 10]
    for image in images(calls, Disk(one.root, one.before), range(len(calls) - 50, len(calls)), [0]):
        shutil.copytree(image.path, copy)
    return copy


def tellings(calls: Sequence[trace.Call]) -> Tellings:
    found = Tellings([], [], [])
    kinds = {b"taken": found.taken, b"command": found.commands, b"": found.promised}
    for index, call in enumerate(calls):
        if call.fd == 1 and call.out:
            for kind, number in _TOLD.findall(call.data):
                if kind != b"first":
                    kinds[kind].append((index, int(number)))
    return found


def judge(one: Life, seeds: Iterable[int]) -> list[str]:
    """Open an image for each seed; what is wrong with them."""
    calls = trace.read(one.trace)
    told = tellings(calls)
    before, after = _seen_copy(one.before), _seen_copy(one.after)
    disk = Disk(one.root, one.before)
    return [
        image.says(fault)
        for image in images(calls, disk, {index for index, _ in told.promised}, seeds)
        for fault in _faults(image, calls, told, before, after)
    ]


def _faults(
    image: Image, calls: Sequence[trace.Call], told: Tellings, before: Seen, after: Seen
) -> Iterator[str]:
    cut = image.cut
    due = {n for index, n in told.promised if index < cut} | before.places.keys()
    commands = {n for index, n in told.commands if index < cut}
    try:
        seen, fresh = asyncio.run(look(image.path, commands))
    except Exception as error:  # noqa: BLE001 -- whatever it is, it is the finding
        yield f"cannot be opened: {error!r}"
        return
    yield from seen.faults
    if seen.opened_s > OPEN_S:
        yield f"opened in {seen.opened_s:.1f} s"
    if lost := due - seen.places.keys():
        yield f"{len(lost)} promised records lost: {sorted(lost)[:5]}"
    known = [n for n in due if n in after.places]
    if moved := [n for n in known if seen.places.get(n, after.places[n]) != after.places[n]]:
        yield f"other numbers than before: {moved[:5]}"
    if again := fresh & {after.places[n] for n in known}:
        yield f"numbers given out again: {sorted(again)}"
    until_s = calls[cut - 1].time_s - GROUP_COMMIT_S - SLACK_S
    old = [n for index, n in told.taken if index < cut and calls[index].time_s < until_s]
    if late := [n for n in _since(before, old) if n not in seen.places]:
        yield f"{len(late)} records older than the group window lost: {late[:5]}"


def _since(before: Seen, taken: Sequence[int]) -> range:
    """The input numbers that the child appended, up to the last that it told of."""
    return range(max(before.places, default=0) + 1, max(taken, default=0) + 1)


def _seen_copy(directory: Path) -> Seen:
    """Opening changes the files: look at a copy."""
    with workplace() as folder:
        copy = Path(folder) / "copy"
        shutil.copytree(directory, copy)
        return asyncio.run(look(copy, ()))[0]


async def look(directory: Path, commands: Iterable[int]) -> tuple[Seen, set[Place]]:
    """What is there, and the places that new records get; `commands` should be known."""
    store = make_store(directory, group="1s")
    began = time.perf_counter()
    await asyncio.to_thread(store.open)
    opened_s = time.perf_counter() - began
    await store.start()
    try:
        seen = await _read(store, opened_s)
        forgotten = [n for n in commands if store.command_outcome(str(n)) is None]
        seen.faults += [f"command {n} is forgotten" for n in forgotten]
        return seen, await _add(store)
    finally:
        await store.close()


async def _read(store: Store, opened_s: float) -> Seen:
    found: Counter[int] = Counter()
    seen = Seen(opened_s, {}, [f"{k}: {v}" for k, v in store.stats().damage.items()])
    for lane in LANES:
        places = []
        for part in await slices(store, lane):
            seen.faults += [f"gap in lane {lane}: {gap}" for gap in part.gaps]
            for seq, item in part.items:
                found[item.n] += 1
                places.append((lane, part.epoch, seq))
                seen.places[item.n] = places[-1]
                if item != record(item.n):
                    seen.faults.append(f"record {item.n} is not what was stored")
        if places != sorted(set(places)):
            seen.faults.append(f"lane {lane} is not in order")
    seen.faults += [f"record {n} is there {count} times" for n, count in found.items() if count > 1]
    return seen


async def _add(store: Store) -> set[Place]:
    n = store.last_n
    store.append(sample(n + 1))
    for number, severity in enumerate(SEVERITIES, n + 2):
        store.append(event(number, severity))
    await store.durable(n + 4)
    return {(lane, store.epoch, store.last(lane)) for lane in LANES}


def unsynced_promises(calls: Sequence[trace.Call], root: Path) -> list[int]:
    """Promised records of which the trace shows no sync after their write and before the promise.

    An event is found by its id in a page of the log of core.db; of a sample, compressed in a
    chunk, only that a segment was written and synced after it was taken.
    """
    told = tellings(calls)
    written: dict[int, int] = {}  # event -> end of the write that brought it
    chunks: list[int] = []
    syncs: dict[str, list[tuple[int, int]]] = {"core": [], "ts": []}  # (end, begin)
    for call in calls:
        if not call.path.startswith(str(root)) or not call.path.endswith("-wal"):
            continue
        which = "core" if call.path.endswith("core.db-wal") else "ts"
        if call.name == "fdatasync":
            syncs[which].append((call.end, call.begin))
        elif which == "core":
            for match in re.finditer(re.escape(MARK) + b"(.{8})", call.data, re.DOTALL):
                written.setdefault(int.from_bytes(match[1]), call.end)
        else:
            chunks.append(call.end)
    taken = [(n, calls[index].at) for index, n in told.taken]
    bad = []
    for index, n in told.promised:
        at = calls[index].at
        if isinstance(record(n), Sample):
            since = next((when for upto, when in taken if upto >= n), at)
            ends = chunks[bisect_right(chunks, since) :][:1]
            synced = bool(ends) and _between(syncs["ts"], ends[0], at)
        else:
            synced = n in written and _between(syncs["core"], written[n], at)
        if not synced:
            bad.append(n)
    return bad


def _between(syncs: Sequence[tuple[int, int]], after: int, before: int) -> bool:
    first = bisect_right(syncs, (after, 0))
    return any(begin > after and end < before for end, begin in syncs[first : first + 5])

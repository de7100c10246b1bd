"""A store that is damaged on purpose, and what must still come out of it."""

import asyncio
import random
import re
import shutil
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from gateway.model import LANES, Event, Item, Severity, Value
from gateway.store import segment
from gateway.store.encode import canonical
from gateway.store.store import Position, Store
from tests.harness.stores import event, make_store, opened, photograph, sample

SINK = "platform"
TEXT = "烟" * 60
SEVERITIES = {0: Severity.LIFE, 1: Severity.OPERATIONAL, 3: Severity.TELEMETRY}
PAGE = 4096


def key_of(item: Item) -> object:
    return item.event_id if isinstance(item, Event) else (item.device, item.time_ns)


def content(item: Item) -> bytes:
    """What must be the same; the mark of a salvaged event and its input number may differ."""
    if not isinstance(item, Event):
        return canonical(list(item._replace(source_id=None)))
    attributes = {k: v for k, v in item.attributes.items() if k != "salvaged"}
    return canonical([*item[:8], attributes, item.cause])


@dataclass
class Original:
    """The store as a kill has left it. `items` by key, and the positions that were used."""

    directory: Path
    items: dict[object, tuple[int, Item]] = field(default_factory=dict)  # lane, item
    used: set[tuple[int, int, int]] = field(default_factory=set)
    delivered: set[object] = field(default_factory=set)

    @property
    def files(self) -> list[Path]:
        """Databases and logs, as paths below the directory."""
        found = [*self.directory.glob("core.db*"), *self.directory.glob("ts/*")]
        return sorted(path.relative_to(self.directory) for path in found)


async def make(home: Path) -> Original:
    """Two lives: the first was stopped in order, the second was killed, its logs are full."""
    original = Original(home / "killed")
    number = 0
    for life in range(2):
        async with opened(home / "s") as store:
            for _ in range(8 if life else 30):  # most pages are in the files, some in the logs
                number = await _fill(store, original, number)
            await _look(store, original)
            if life == 0:
                _deliver(store, original)
                await store.command_intent("c-1", b"{}")  # takes the cursors along
            else:
                await asyncio.to_thread(photograph, home / "s", original.directory)
    return original


async def _fill(store: Store, original: Original, number: int) -> int:
    for lane in (0, 0, 1, 1, 3, 2, 2, 2, 2):
        number += 1
        values: dict[str, Value] = {"elec.power.total": number * 1.5, "mode": f"m{number * 7919}"}
        item: Item = sample(number, values, source_id=b"%d" % number)
        if lane in SEVERITIES:
            what: dict[str, object] = {
                "point": f"alarm.{number % 5}",
                "value": number,
                "text": TEXT,
            }
            item = event(number, SEVERITIES[lane], what)
        store.append(item)
        original.items[key_of(item)] = (lane, item)
    await store.durable(number)
    return number


async def _look(store: Store, original: Original) -> None:
    for lane in LANES:
        async for position, _item in _read(store, lane, None):
            original.used.add((lane, *position))


def _deliver(store: Store, original: Original) -> None:
    """The sink has had the first half of what the first life stored."""
    for lane in LANES:
        last = store.last(lane) // 2
        store.advance(SINK, lane, Position(store.epoch, last))
        inside = [key for key, (at, _) in original.items.items() if at == lane]
        original.delivered.update(inside[:last])


async def _read(
    store: Store, lane: int, after: Position | None
) -> AsyncIterator[tuple[Position, Item | None]]:
    """(position, item), None for a gap."""
    while part := await store.read(lane, after, max_items=500, max_bytes=10**6):
        for seq, item in part.items:
            yield Position(part.epoch, seq), item
        for gap in part.gaps:
            yield Position(part.epoch, gap[0]), None
        after = Position(part.epoch, part.last)


@dataclass
class Verdict:
    """What is wrong, "" if nothing, and how many undelivered records are missing.

    Without those of lane 3: they are not taken over from a core.db that was put aside.
    """

    wrong: str
    missing: int
    told: bool


async def judge(original: Original, copy: Path, harm: Callable[[Path], None]) -> Verdict:
    """Damage a copy with `harm`, open it, read it as the sink does, store something new."""
    await asyncio.to_thread(shutil.copytree, original.directory, copy)
    await asyncio.to_thread(harm, copy)
    store = make_store(copy)
    await asyncio.to_thread(store.open)
    await store.start()
    try:
        return await _judge(original, store)
    finally:
        await store.close()
        await asyncio.to_thread(shutil.rmtree, copy)


async def _judge(original: Original, store: Store) -> Verdict:
    await _salvaged(store)
    found: dict[object, Item] = {}
    gaps = 0
    for lane in LANES:
        async for _position, item in _read(store, lane, store.cursor(SINK, lane)):
            if item is None:
                gaps += 1
                continue
            known = original.items.get(key_of(item))
            if known is None or known[0] != lane or content(known[1]) != content(item):
                return Verdict(f"invented or changed: {item}", 0, told=False)
            found[key_of(item)] = item
    missing = original.items.keys() - original.delivered - found.keys()
    told = bool(gaps or store.stats().damage)
    wrong = f"{len(missing)} missing without a word" if missing and not told else ""
    matters = sum(original.items[key][0] != 3 for key in missing)
    return Verdict(wrong or await _collision(original, store), matters, told)


async def _salvaged(store: Store) -> None:
    if store.stats().damage.get("core_quarantined"):
        async with asyncio.timeout(5):
            while not store.take_losses():
                await asyncio.sleep(0.005)


async def _collision(original: Original, store: Store) -> str:
    n = max(store.last_n, 10_000)
    before = {lane: store.last(lane) for lane in LANES}
    for item in (event(n), event(n, Severity.OPERATIONAL), sample(n)):
        store.append(item)
    await store.durable(n)
    for lane in (0, 1, 2):
        if store.last(lane) <= before[lane]:
            return f"lane {lane} does not go on"
        if (lane, store.epoch, store.last(lane)) in original.used:
            return f"lane {lane}: a number twice"
    return ""


def flips(original: Original, count: int, seed: int) -> Iterator[tuple[Path, int, int]]:
    """(file, offset, bit): evenly over core.db, its log and the segments; every second one where
    something is written.
    """
    rng = random.Random(seed)
    core = [Path("core.db"), Path("core.db-wal")]
    others = [file for file in original.files if file.name.endswith((".db", ".db-wal"))]
    content = {file: (original.directory / file).read_bytes() for file in others}
    segments = [file for file in others if file not in core and content[file]]
    for number in range(count):
        file = rng.choice([*core, rng.choice(segments)])
        data = content[file]
        offset = rng.randrange(len(data))
        while number % 2 and not data[offset]:
            offset = rng.randrange(len(data))
        yield file, offset, rng.randrange(8)


def bodies(original: Original) -> list[int]:
    """Where the texts of events are in core.db."""
    data = (original.directory / "core.db").read_bytes()
    return [found.start() for found in re.finditer(TEXT.encode(), data)]


def flip(path: Path, offset: int, bit: int) -> None:
    data = bytearray(path.read_bytes())
    data[offset] ^= 1 << bit
    path.write_bytes(data)


def small_segments(monkeypatch_setattr: Callable[[object, str, object], None]) -> None:
    """Several files, though there is little in them."""
    monkeypatch_setattr(segment, "MAX_BYTES", 90_000)

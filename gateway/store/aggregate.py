"""The cells of one 5 min window, always made from the chunks that hold its samples."""

from collections.abc import Collection, Generator, Iterator, Mapping, Sequence
from typing import NamedTuple

from gateway.store.chunks import ChunkFiles
from gateway.store.encode import Damaged
from gateway.store.readings import Reading, readings_of
from gateway.store.window import Cell, number_of, window_of


class Found(NamedTuple):
    """`cells` by pid; not `whole` if chunks of the window are gone or damaged."""

    t: int
    cells: dict[int, Cell]
    whole: bool


def aggregate(
    files: ChunkFiles,
    t: int,
    chunks: Sequence[int],
    offsets: Mapping[int, int],
    counters: Collection[int],
) -> Generator[None, None, Found]:
    """Yields after each chunk, so that the caller can do something else in between.

    `chunks` in the order of seqs. Rises need the order of time: for counters whose samples came
    out of it the chunks are read a second time. Raises Unreadable.
    """
    cells: dict[int, Cell] = {}
    whole = True
    for first in chunks:
        readings = read(files, first)
        if readings is None:
            whole = False
        else:
            for pid, at, value in _values(readings, t, offsets):
                cells.setdefault(pid, Cell()).add(at, value)
        yield
    astray: dict[int, list[tuple[int, float]]] = {
        pid: [] for pid, cell in cells.items() if pid in counters and not cell.ordered
    }
    for first in chunks if astray else ():
        for pid, at, value in _values(read(files, first) or (), t, offsets):
            if pid in astray:
                astray[pid].append((at, value))
        yield
    for pid, values in astray.items():
        cells[pid] = Cell()
        for at, value in sorted(values, key=lambda pair: pair[0]):
            cells[pid].add(at, value)
    return Found(t, cells, whole)


def read(files: ChunkFiles, first: int, pid: int | None = None) -> list[Reading] | None:
    """None if the chunk is gone or damaged: the reader of the sinks reports that."""
    row = files.chunk(first)
    if row is None:
        return None
    try:
        return readings_of(row, pid)
    except Damaged:
        return None


def _values(
    readings: Sequence[Reading], t: int, offsets: Mapping[int, int]
) -> Iterator[tuple[int, int, float]]:
    """(pid, time in ns, number) of what lies in the window."""
    for reading in readings:
        at = reading.wall_ns(offsets)
        if at is None or window_of(at) != t:
            continue
        for pid, value in zip(reading.pids, reading.values, strict=True):
            number = number_of(value)
            if number is not None:
                yield pid, at, number

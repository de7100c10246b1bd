"""Short numbers for points: chunks say `pid` where a sample says device and point name."""

from collections.abc import Iterable

Point = tuple[int, str, str]  # pid, device, point

MAX_CACHED = 10_000  # combinations of points that devices send together; cleared when exceeded


class Registry:
    """Gives every (device, point) its pid for ever; belongs to the writer thread."""

    def __init__(self, known: Iterable[Point], next_pid: int) -> None:
        self._pids = {(device, point): pid for pid, device, point in known}
        self._rows = {pid: (pid, device, point) for (device, point), pid in self._pids.items()}
        self._next = next_pid
        self._cache: dict[tuple[str, tuple[str, ...]], tuple[int, ...]] = {}
        self.unsaved: list[Point] = []  # not in core.db yet; the journal empties it

    def pids(self, device: str, names: tuple[str, ...]) -> tuple[int, ...]:
        found = self._cache.get((device, names))
        if found is None:
            if len(self._cache) >= MAX_CACHED:
                self._cache.clear()
            found = tuple(self._pid(device, name) for name in names)
            self._cache[device, names] = found
        return found

    def rows(self, pids: Iterable[int]) -> list[Point]:
        return [self._rows[pid] for pid in pids]

    def _pid(self, device: str, name: str) -> int:
        pid = self._pids.get((device, name))
        if pid is None:
            pid = self._pids[device, name] = self._next
            self._next += 1
            row = self._rows[pid] = (pid, device, name)
            self.unsaved.append(row)
        return pid

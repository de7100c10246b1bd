"""Which requests a device refuses because of their registers, found out while it is polled. Pure.

A device answers exception 2 (or 3) to a request as a whole when it does not know one of the
registers, be it one between two points, or when the request is longer than it allows. Then the
request is halved, until what is left is a point that the device does not have, or two neighbours
that cannot be read together. Both are remembered; points are asked for again from time to time.
"""

from collections.abc import Callable, Iterable, Mapping
from itertools import chain
from typing import NamedTuple

from drivers.modbus.plan import Block, Span, Target, clusters, whole

# Illegal data address, illegal data value (Application Protocol 1.1b3, 7).
SPLIT_ON = frozenset({2, 3})
# Requests of one poll beyond its plan: the other units of the bus wait meanwhile.
EXTRA = 16
# A device that starts may refuse what it knows a minute later. Doubles with each refusal.
RETRY_S = (60.0, 3600.0)


class Missing(NamedTuple):
    """A point that was refused on its own with exception `code`; asked for again at `retry_at`."""

    span: Span
    code: int
    retry_at: float
    wait_s: float


class _Trial(NamedTuple):
    """`span`, with the points `names`, was refused as a whole and is read in two parts since."""

    span: Span
    cut: int  # the first address of the second part
    names: frozenset[str]


class Isolation:
    """What one unit has refused. Times are seconds of the loop clock.

    `changed` is called whenever a plan that was made before is not right any more.
    """

    def __init__(self, changed: Callable[[], None]) -> None:
        self._changed = changed
        self._missing: dict[str, Missing] = {}
        self._cuts = set[Span]()  # of two addresses that no request may hold both
        self._trials: list[_Trial] = []  # those inside others come after them
        self._read = set[str]()  # points that were read since their latest trial began
        self._left = EXTRA

    @property
    def missing(self) -> Mapping[str, Missing]:
        """The points that the device does not have, as far as is known."""
        return self._missing

    @property
    def searching(self) -> bool:
        """Something was refused, and it is not known yet which registers were meant."""
        return bool(self._trials)

    def forget(self) -> None:
        """It may be another device from now on, or another firmware."""
        if self._missing or self._cuts or self._trials:
            self._missing, self._cuts, self._trials = {}, set(), []
            self._changed()

    def begin(self) -> None:
        """A poll begins: it may take `EXTRA` requests more than planned."""
        self._left = EXTRA

    def fits(self, span: Span) -> bool:
        """Nothing that is known speaks against one request for `span`."""
        cuts = (*self._cuts, *(_cut(trial) for trial in self._trials))
        return not (
            any(span.holds(cut) for cut in cuts)
            or any(point.span.overlaps(span) for point in self._missing.values())
        )

    def retries(self, targets: Mapping[str, Target], now: float) -> tuple[Block, ...]:
        """Requests for missing points whose time has come, each on its own, not too many at once."""
        if not self._missing:
            return ()
        due = sorted({point.span for point in self._missing.values() if point.retry_at <= now})
        chosen = due[: self._left]
        self._left -= len(chosen)
        missing = [targets[name] for name in self._missing if name in targets]
        return tuple(whole([t for t in missing if t.span == span]) for span in chosen)

    def worked(self, block: Block) -> None:
        """`block` was read."""
        if not self._missing and not self._trials:
            return
        names = [target.point.id for target in block.targets]
        back = self._missing.keys() & names
        for name in back:
            del self._missing[name]
        if back:
            self._changed()
        self._read.update(names)
        self._settle()

    def refused(self, block: Block, code: int, now: float) -> tuple[Block, ...]:
        """`block` was refused: the two requests to make instead, now.

        None if `block` cannot be halved, or this poll has made enough of them: its points are BAD.
        """
        parts = clusters(block.targets)
        if len(parts) < 2:
            self._miss(block.targets, code, now)
            return ()
        half = len(parts) // 2
        low, high = whole(list(chain(*parts[:half]))), whole(list(chain(*parts[half:])))
        names = frozenset(target.point.id for target in block.targets)
        self._trials.append(_Trial(block.span, high.addr, names))
        self._read -= names
        self._changed()
        if self._left < 2:
            return ()
        self._left -= 2
        return low, high

    def _miss(self, targets: Iterable[Target], code: int, now: float) -> None:
        for target in targets:
            before = self._missing.get(target.point.id)
            wait_s = RETRY_S[0] if before is None else min(2 * before.wait_s, RETRY_S[1])
            self._missing[target.point.id] = Missing(target.span, code, now + wait_s, wait_s)
        self._changed()
        self._settle()

    def _settle(self) -> None:
        """Judge every trial whose points are all known by now, the innermost first.

        A half that was refused itself may have been the only reason: then the two are one request
        again. If both were read, it is the whole that the device refuses.
        """
        for trial in reversed(self._trials):
            if not trial.names <= self._read | self._missing.keys():
                continue
            self._trials.remove(trial)
            inside = any(trial.span.holds(cut) for cut in self._cuts)
            if not inside and self._missing.keys().isdisjoint(trial.names):
                self._cuts.add(_cut(trial))
            self._changed()


def _cut(trial: _Trial) -> Span:
    """The two addresses around the place where the trial is cut."""
    return Span(trial.span.table, trial.cut - 1, trial.cut + 1)

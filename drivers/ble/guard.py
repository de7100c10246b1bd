"""Is this frame new? What a device seals carries a counter, which only rises. Pure."""

from enum import StrEnum

MODULO = 2**32
FRESH = 100  # a device whose battery was changed begins below this
MAX_PAYLOADS = 8  # frames that one counter may seal: some devices spread a report over several


class Verdict(StrEnum):
    NEW = "new"
    COPY = "copy"  # of a frame that was admitted already: drop it without a word
    OLD = "old"  # an earlier counter: recorded and sent again, or a battery was changed
    RESTARTED = "restarted"  # an earlier counter, and a battery change is believed


class Guard:
    """The counter of one device. It is checked here before anything acts; the store keeps it.

    Counters are compared as serial numbers modulo 2^32 (RFC 1982): 0 follows FFFFFFFF.
    """

    def __init__(self, last: int | None = None) -> None:
        self._last = last
        # Of the last counter. Empty after a restart: its frames had their effect already.
        self._payloads: set[bytes] = set()
        self._open = False

    def restore(self, last: int | None) -> None:
        """What an earlier process admitted; what this one knows is newer."""
        if self._last is None:
            self._last = last

    def forget(self) -> None:
        """The next frame is admitted, whatever its counter."""
        self._last = None

    def judge(self, counter: int, payload: bytes, *, silent: bool) -> Verdict:
        """Admits the frame if it is NEW or RESTARTED. Only for frames whose seal was verified.

        `silent`: nothing of the device was heard for longer than it should be quiet.
        """
        step = 1 if self._last is None else (counter - self._last) % MODULO
        if step == 0:
            return self._another(payload)
        if step >= MODULO // 2:
            if not (silent and counter < FRESH):
                return Verdict.OLD
            self._admit(counter, payload)
            return Verdict.RESTARTED
        self._admit(counter, payload)
        return Verdict.NEW

    def _another(self, payload: bytes) -> Verdict:
        """A second frame under the same counter says something else, or it is a copy."""
        if not self._open or payload in self._payloads or len(self._payloads) >= MAX_PAYLOADS:
            return Verdict.COPY
        self._payloads.add(payload)
        return Verdict.NEW

    def _admit(self, counter: int, payload: bytes) -> None:
        self._last = counter
        self._payloads = {payload}
        self._open = True

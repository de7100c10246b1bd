"""Replay counters: the last counter that was admitted of each device whose messages are sealed.

A recorded message that is sent again carries a counter that was seen before. What was seen must
therefore outlive a restart: the store writes a counter in the same transaction as the events that
its message led to, and one that led to none within a minute.
"""

import time
from collections.abc import Callable, Mapping

BELL_S = 60.0  # how often the store is woken for counters alone; docs/storage.md


class ReplayCounters:
    """Loop thread only, but for `waiting`: the writer thread takes from it what it will store.

    Setting and popping an item of a dict are atomic, and it never holds more than one for each
    device. `ring` wakes the writer thread.
    """

    def __init__(self, ring: Callable[[], None]) -> None:
        self._ring = ring
        self._last: dict[str, int] = {}
        self._quiet_until = 0.0
        self.waiting: dict[str, int | None] = {}

    def restore(self, stored: Mapping[str, int]) -> None:
        """What the files told when they were opened. What we know is newer: it is stored again."""
        for device, counter in self._last.items():
            if stored.get(device) != counter:
                self.waiting[device] = counter
        self._last = {**stored, **self._last}

    def last(self, device: str) -> int | None:
        """None: nothing is known of this device."""
        return self._last.get(device)

    def admit(self, device: str, counter: int) -> None:
        """A message with this counter takes effect; before its events are appended."""
        self._last[device] = counter
        self._post(device, counter)

    def forget(self, device: str) -> None:
        """The next message is the first one again, whatever its counter."""
        self._last.pop(device, None)
        self._post(device, None)

    def _post(self, device: str, counter: int | None) -> None:
        self.waiting[device] = counter
        now = time.monotonic()
        if now >= self._quiet_until:
            self._quiet_until = now + BELL_S
            self._ring()

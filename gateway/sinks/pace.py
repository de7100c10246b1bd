"""How large a batch may be on the link as it is."""

from gateway.sinks.encode import MAX_PAYLOAD

# An alarm waits for the batch that is on its way, and a PUBACK that takes 10 s ends the connection.
SLOW_S = 2.0
SMALLEST = 4_000  # a few samples; below that the headers are most of it


class Pace:
    """`size` is the largest batch in bytes: halved when one took over 2 s, doubled below 0.5 s.

    A link of 1 KB/s settles at 4,000 bytes, one of 30 KB/s or more at the full 60,000.
    """

    def __init__(self, largest: int = MAX_PAYLOAD) -> None:
        self.size = largest
        self._largest = largest

    def took(self, seconds: float) -> None:
        if seconds > SLOW_S:
            self.failed()
        elif seconds < SLOW_S / 4:
            self.size = min(self._largest, self.size * 2)

    def failed(self) -> None:
        """The connection broke under a batch: perhaps the batch was too much for it."""
        self.size = max(SMALLEST, self.size // 2)

    def limit(self, size: int) -> None:
        """The peer takes no batch that large, whatever the link carries."""
        self._largest = max(SMALLEST, min(self._largest, size))
        self.size = min(self.size, self._largest)

"""The newest keys: which messages came before. A repeat is told from a new one by them."""

from collections import deque
from collections.abc import Iterable, Iterator


class Recent:
    """At most `most` keys, each with a number; the oldest is forgotten first.

    A dict and a queue beside it take a third of the memory of an OrderedDict of that size.
    """

    def __init__(self, most: int, keys: Iterable[bytes] = ()) -> None:
        self._most = most
        self._numbers: dict[bytes, int] = {}
        self._order: deque[bytes] = deque()
        for key in keys:
            self.add(key, 0)

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._order)

    def get(self, key: bytes) -> int | None:
        return self._numbers.get(key)

    def add(self, key: bytes, number: int) -> None:
        """As the newest; a key that is known stays where it is."""
        if key in self._numbers:
            return
        self._numbers[key] = number
        self._order.append(key)
        if len(self._order) > self._most:
            del self._numbers[self._order.popleft()]

"""Gets lines to the server, and finds those that it refuses for good by halving.

Servers differ in what a refusal means: 1.x stores the good lines of a body and answers 400, 2.x
stores none of a body with a line that it cannot read and all others of one with a type conflict.
Writing a line again changes nothing, so one way fits all: halve until one line is left.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple

from gateway.errors import Refused
from gateway.sinks.influx_client import TOO_LARGE, LinesRefused
from gateway.sinks.influx_encode import Line
from gateway.sinks.line import PROBE, series

Write = Callable[[bytes], Awaitable[None]]


class Letter(NamedTuple):
    """A line that the server refuses for good, with its answer."""

    line: Line
    status: int
    reason: str


class Post:
    def __init__(self, gateway_id: str, write: Write, time_ns: Callable[[], int]) -> None:
        self._write = write
        self._time_ns = time_ns
        self._probe = series(PROBE, {"gateway": gateway_id})

    async def send(self, lines: Sequence[Line]) -> list[Letter]:
        """Every line that is not in the answer has been taken.

        Costs 1 + 2 log2(lines) requests for one bad line. Raises LinkDown or Refused; what was
        taken by then is not known.
        """
        letters: list[Letter] = []
        parts, proved = [lines], False
        while parts:
            part = parts.pop()
            try:
                await self._write(b"\n".join(line.data for line in part))
            except LinesRefused as refusal:
                if not proved and refusal.status != TOO_LARGE:
                    await self._prove(refusal)
                    proved = True
                if len(part) == 1:
                    letters.append(Letter(part[0], refusal.status, str(refusal)))
                else:
                    middle = len(part) // 2
                    parts += [part[middle:], part[:middle]]
        return letters

    async def _prove(self, refusal: LinesRefused) -> None:
        """A server that takes no line at all must not make the whole journal dead letters."""
        try:
            await self._write(f"{self._probe} ok=true {self._time_ns()}".encode())
        except LinesRefused as error:
            raise Refused(f"{refusal}; it refuses every line") from error

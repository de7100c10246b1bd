"""A condition, or a value for a text, that is bound to the slots and nodes of one instance."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from gateway.model import Value
from rules.term import Term, kleene


class Predicate(NamedTuple):
    """`run` gives its value for known values of `inputs`, `term` for any.

    `inputs` are numbers of slots and nodes, `names` what they are called: `device.point`, or as
    written.
    """

    text: str
    term: Term
    run: Callable[[Sequence[Any]], Any]
    inputs: tuple[int, ...]
    names: tuple[str, ...]

    def truth(self, values: Sequence[Value | None]) -> Value | None:
        """None: unknown."""
        read = [*map(values.__getitem__, self.inputs)]
        if None in read:
            return kleene(self.term, read)
        try:
            result: Value = self.run(read)
        except ZeroDivisionError:
            return None
        return result

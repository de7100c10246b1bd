"""A condition, or a value for a text, that is bound to the slots and nodes of one instance."""

from collections.abc import Sequence
from typing import NamedTuple

from gateway.model import Value
from rules.term import UNKNOWN, Run, Term, kleene


class Predicate(NamedTuple):
    """`run` gives its value for known values of `inputs` (`rules.term.compiled`), `term` for any.

    `inputs` are numbers of slots and nodes, `names` what they are called: `device.point`, or as
    written.
    """

    text: str
    term: Term
    run: Run
    inputs: tuple[int, ...]
    names: tuple[str, ...]

    def truth(self, values: Sequence[Value | None]) -> Value | None:
        """None: unknown."""
        inputs = self.inputs
        try:
            result = self.run(values, *inputs)
        except ZeroDivisionError:
            return None
        if result is UNKNOWN:
            return kleene(self.term, [values[index] for index in inputs])
        found: Value = result
        return found

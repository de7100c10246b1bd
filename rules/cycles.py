"""Rules that depend on each other in a circle."""

from collections.abc import Mapping, Set
from graphlib import CycleError, TopologicalSorter
from itertools import pairwise


def cycles(needs: Mapping[str, Set[str]]) -> list[tuple[str, ...]]:
    """One circle for each set of names that stand in one, in the order of who needs whom."""
    found: list[tuple[str, ...]] = []
    left = {name: set(own) for name, own in needs.items()}
    while True:
        try:
            TopologicalSorter(left).prepare()
        except CycleError as error:
            circle = tuple(before for before, _ in pairwise(error.args[1]))
            found.append(circle)
            left = {n: own - set(circle) for n, own in left.items() if n not in circle}
        else:
            return found

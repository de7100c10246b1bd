"""Requests whose answers cannot be taken for the answers to others. Pure.

Without transaction ids only its shape (function and size) tells one answer of a unit from another.
A request of another shape in between proves that the unit has got past the older ones: it answers
in order.
"""

from collections.abc import Collection, Iterable, Sequence

from drivers.modbus.address import Table
from drivers.modbus.plan import Block

Shape = tuple[Table, int]


def shape(block: Block) -> Shape:
    return block.table, block.size


def canary(blocks: Iterable[Block], taken: Collection[Shape]) -> Block | None:
    """A read whose shape is not in `taken`, of registers that `blocks` read anyway; None if none is."""
    for block in blocks:
        ends = sorted({target.address.end - block.addr for target in block.targets})
        for size in ends:
            if (block.table, size) not in taken:
                return Block(block.table, block.addr, size, ())
    return None


def unlike(blocks: Sequence[Block]) -> list[Block]:
    """The same blocks, those of one shape apart from each other as far as that is possible."""
    left, ordered = list(blocks), list[Block]()
    while left:
        last = shape(ordered[-1]) if ordered else None
        index = next((i for i, block in enumerate(left) if shape(block) != last), 0)
        ordered.append(left.pop(index))
    return ordered

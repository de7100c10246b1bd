"""A cable between two serial ports, for two programs that both want to open one."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from simulators.pty import port


@asynccontextmanager
async def cable(one: Path, other: Path) -> AsyncIterator[None]:
    """What is written to the port `one` is read from `other`, and the other way round.

    Both ports are new, and unplugged at the end of the block.
    """
    with port(one) as near, port(other) as far:
        near.listen(far.send)
        far.listen(near.send)
        try:
            yield
        finally:
            near.deaf()
            far.deaf()

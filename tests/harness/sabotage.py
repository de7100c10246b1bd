"""Starts the real app with one part replaced: `python -m tests.harness.sabotage NAME run -c FILE`.

Each function here must turn its promise's test red; a promise whose sabotage stays green is not
tested at all.
"""

import sys

from gateway.bus import Bus
from gateway.cli.main import main
from gateway.model import Item


def ack_before_commit() -> None:
    """Devices are acknowledged when the bus has the message, not when the disk has it."""

    async def commit(self: Bus, item: Item) -> None:
        return

    setattr(Bus, "commit", commit)  # noqa: B010 -- replaced on purpose, behind the type checker


if __name__ == "__main__":
    {"ack_before_commit": ack_before_commit}[sys.argv[1]]()
    sys.exit(main(sys.argv[2:]))

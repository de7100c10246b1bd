"""A community platform in a process of its own, to be killed: `python -m ... HOST PORT GATEWAY LOG`."""

import asyncio
import sys
from pathlib import Path

from simulators.platform import Platform

if __name__ == "__main__":
    host, port, gateway_id, log = sys.argv[1:]
    asyncio.run(Platform(host, int(port), gateway_id, log=Path(log)).run())

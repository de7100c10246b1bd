"""Free TCP ports on loopback."""

import itertools
import os
import socket

# Below the ports that the kernel gives to outgoing connections (ip_local_port_range: 32768 to
# 60999 by default): else a client could hold the port of a server that a test has stopped, or
# connect to itself. Each process begins elsewhere, and none gives a port twice. Of two processes of
# one `make test` (pytest-xdist numbers them: gw0, gw1) one gives the even, the other the odd ones.
FIRST, LAST = 12_000, 32_000
_next = itertools.count(os.getpid() * 96 + int(os.environ.get("PYTEST_XDIST_WORKER", "gw0")[2:]), 2)


def free_ports(count: int) -> list[int]:
    """Different ports that were free a moment ago."""
    found: list[int] = []
    while len(found) < count:
        port = FIRST + next(_next) % (LAST - FIRST)
        if _is_free(port):
            found.append(port)
    return found


def free_port() -> int:
    return free_ports(1)[0]


def _is_free(port: int) -> bool:
    with socket.socket() as one:
        try:
            one.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True

"""Tells the service manager how the daemon is: sd_notify(3), without a library."""

import logging
import os
import socket
import time
from collections.abc import Mapping

KIND = socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC

log = logging.getLogger(__name__)


class Systemd:
    """Sends to $NOTIFY_SOCKET; does nothing where it is not set. Never blocks, never raises."""

    def __init__(self, environ: Mapping[str, str] = os.environ) -> None:
        name = environ.get("NOTIFY_SOCKET", "")
        # "@" stands for the NUL of an abstract name (unix(7)).
        self._address = "\0" + name[1:] if name.startswith("@") else name
        self.watchdog_s = _watchdog_s(environ)  # None: nobody waits for a sign of life
        self.lost = 0  # messages that could not be sent

    def ready(self, devices: int) -> None:
        """Up, or up again after `reloading`; `systemctl status` shows the number of devices."""
        self._send("READY=1", f"STATUS=running, devices: {devices}")

    def reloading(self) -> None:
        self._send("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def stopping(self) -> None:
        self._send("STOPPING=1", "STATUS=stopping")

    def alive(self) -> None:
        """Feeds the watchdog."""
        self._send("WATCHDOG=1")

    def status(self, text: str) -> None:
        self._send(f"STATUS={text}")

    def _send(self, *lines: str) -> None:
        if not self._address:
            return
        try:
            with socket.socket(socket.AF_UNIX, KIND) as sock:
                sock.sendto("\n".join(lines).encode(), self._address)
        except OSError as error:
            if not self.lost:
                text = "the service manager does not hear us: %s"
                log.warning(text, error, extra={"component": "systemd"})
            self.lost += 1


def _watchdog_s(environ: Mapping[str, str]) -> float | None:
    """Within which time it wants a sign of life: sd_watchdog_enabled(3)."""
    usec, pid = environ.get("WATCHDOG_USEC", ""), environ.get("WATCHDOG_PID", "")
    if not usec.isdecimal() or pid not in {"", str(os.getpid())}:
        return None
    return int(usec) / 1e6 or None

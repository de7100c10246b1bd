"""What `gateway run` and `gateway status` take."""

from collections.abc import Callable
from typing import Any


def add(commands: Any, command: Callable[..., Any], config_option: Callable[..., None]) -> None:
    text = "Run the gateway until SIGTERM or Ctrl-C."
    run = command(commands, "run", "daemon:run", text, "gateway run -c gateway.yaml")
    config_option(run)
    loops = ("auto", "asyncio", "uvloop")
    run.add_argument("--loop", choices=loops, default="auto", help="event loop (auto: uvloop)")

    text = "Show how the running gateway is."
    status = command(commands, "status", "live:status", text, "gateway status --watch")
    config_option(status)
    status.add_argument("--json", action="store_true", help="the whole snapshot as JSON")
    status.add_argument("--watch", action="store_true", help="redraw every second until Ctrl-C")

"""The log level of one part, for a while: `gateway log drivers.modbus debug --for 10m`."""

import asyncio
import logging
from collections.abc import Mapping

from gateway.document import suggest

log = logging.getLogger(__name__)

LEVELS = ("debug", "info", "warning", "error")
LONGEST_S = 86_400.0  # nobody remembers a level of yesterday, and a card fills
COMPONENT = {"component": "log"}


class LogLevels:
    """Names are those of Python's loggers, which are those of the modules. Event loop only."""

    def __init__(self) -> None:
        self._changed: dict[str, tuple[str, float, asyncio.TimerHandle]] = {}

    async def asked(self, request: Mapping[str, object], _uid: int) -> list[dict[str, object]]:
        """The verb `log`: what is changed now, after a change if `name` is given. Raises ValueError."""
        name = request.get("name")
        if isinstance(name, str):
            self._change(name, str(request.get("level", "")), request.get("for_s"))
        now = asyncio.get_running_loop().time()
        return [
            {"name": name, "level": level, "left_s": due - now}
            for name, (level, due, _timer) in sorted(self._changed.items())
        ]

    def _change(self, name: str, level: str, for_s: object) -> None:
        known = _known()
        if name not in known:
            raise ValueError(f"no part of the program logs as '{name}': {suggest(name, known)}")
        if level == "normal":
            self._back(name)
            return
        if level not in LEVELS:
            raise ValueError(f"'{level}' is no level: write one of {', '.join(LEVELS)}, or normal")
        if not isinstance(for_s, int | float) or not 0 < for_s <= LONGEST_S:
            raise ValueError(f"write for how long, up to {LONGEST_S / 3600:.0f}h")
        if name in self._changed:
            self._changed[name][2].cancel()
        loop = asyncio.get_running_loop()
        timer = loop.call_later(for_s, self._back, name)
        self._changed[name] = (level, loop.time() + for_s, timer)
        logging.getLogger(name).setLevel(level.upper())
        log.warning("%s logs %s for %.0f s", name, level, for_s, extra=COMPONENT)

    def _back(self, name: str) -> None:
        if name in self._changed:
            self._changed.pop(name)[2].cancel()
            logging.getLogger(name).setLevel(logging.NOTSET)
            log.warning("%s logs as before", name, extra=COMPONENT)


def _known() -> set[str]:
    """Modules that log, and what they are part of."""
    names = [
        name
        for name in logging.root.manager.loggerDict
        if name.startswith(("gateway", "drivers", "rules"))
    ]
    return {name.rsplit(".", depth)[0] for name in names for depth in range(name.count(".") + 1)}

"""What is told of an alarm that was due while the gateway was off."""

import logging

from rules.outputs import Held, Raised

log = logging.getLogger(__name__)


def lateness(output: Raised) -> dict[str, object]:
    """What the event of a raise says more, if it was due while the gateway was off."""
    late = {"late_s": round(output.late_ns / 1e9, 3)} if output.late_ns else {}
    return {**late, "unconfirmed": True} if output.unconfirmed else {**late}


def waiting(output: Held) -> dict[str, object]:
    """What its event says; the log hears of its begin, too."""
    late_s = round(output.late_ns / 1e9, 3)
    if not output.over:
        what = "%s: due %.1f s ago while the gateway was off; nothing is known since, it waits"
        log.warning(what, output.instance, late_s, extra={"component": "rules"})
    state = {"state": "over", "reason": output.over} if output.over else {"state": "waits"}
    return {"title": output.title, "late_s": late_s, **state}

"""What is told of an alarm that was due while the gateway was off."""

import logging
from collections.abc import Collection, Iterator, Mapping

from gateway.model import Severity
from rules.flow import TOLD
from rules.keep import Kept
from rules.outputs import Held, Raised
from rules.swap import GONE

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


def lost(rows: Mapping[str, Kept], known: Collection[str], now: int) -> Iterator[Held]:
    """The ends of those that waited for data before a restart, and whose rule or device is gone since."""
    for name, row in sorted(rows.items()):
        due = row.get("due")
        if name not in known and row.get("held") == TOLD and isinstance(due, int):
            rule = name.split("[")[0]
            yield Held(name, rule, "gateway", Severity.OPERATIONAL, rule, now - due, over=GONE)

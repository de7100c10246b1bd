"""What people do with alarms through the control socket, and what it tells of them."""

import logging
from collections.abc import Mapping
from typing import get_args

from gateway.bus import Bus
from gateway.clock import Clock
from gateway.control import Handler
from gateway.decider import RuleDecider
from gateway.snapshot import AlarmPart
from gateway.status import Alarm, alarm_parts
from rules.outputs import Operation, OperationKind

log = logging.getLogger(__name__)

MAX_REASON = 500  # characters
DONE: Mapping[OperationKind, str] = {
    "ack": "acknowledged", "shelve": "shelved", "unshelve": "unshelved", "reset": "reset",
    "out_of_service": "out of service", "in_service": "back in service",
}  # fmt: skip


def operating(decider: RuleDecider, bus: Bus, clock: Clock) -> dict[str, Handler]:
    """The verbs `alarms`, `ack`, `shelve`, `unshelve`, `out_of_service`, `in_service`, `reset`."""

    async def tell(_request: Mapping[str, object], _uid: int) -> list[AlarmPart]:
        return alarm_parts(alarms(decider), clock.boottime_ns())

    def doing(kind: OperationKind) -> Handler:
        async def do(request: Mapping[str, object], uid: int) -> None:
            operation = _operation(kind, request, uid)
            decider.operate(operation, clock.boottime_ns(), bus)
            log.info(
                "uid %d: alarm %s is %s", uid, operation.alarm, DONE[kind],
                extra={"component": "app"},
            )  # fmt: skip

        return do

    return {"alarms": tell, **{kind: doing(kind) for kind in get_args(OperationKind)}}


def _operation(kind: OperationKind, request: Mapping[str, object], uid: int) -> Operation:
    """Raises ValueError for what is no such request."""
    reason, for_s = request.get("reason", ""), request.get("for_s", 0)
    if not isinstance(reason, str) or len(reason) > MAX_REASON:
        raise ValueError(f"a reason is a text of at most {MAX_REASON} characters")
    if isinstance(for_s, bool) or not isinstance(for_s, int | float) or not 0 <= for_s < 1e9:
        raise ValueError("`for_s` is a number of seconds")
    force = request.get("force") is True
    if force and not reason.strip():
        raise ValueError("a reason is needed to reset an alarm by force: --reason TEXT")
    one_shot = request.get("one_shot") is True
    return Operation(
        kind, str(request.get("alarm")), f"uid {uid}", round(for_s * 1e9), reason.strip(), one_shot,
        force,
    )  # fmt: skip


def alarms(decider: RuleDecider) -> list[Alarm]:
    """Those whose incident is open or that are put aside."""
    return [Alarm(*one) for one in decider.active()]

"""What the control socket offers: the verbs of the command line, each with what answers it."""

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING

from gateway import announce
from gateway.control import Handler
from gateway.document import suggest
from gateway.driver import Listener
from gateway.errors import StoreFailed, StoreFull
from gateway.operating import operating
from gateway.rekey import rekeying
from gateway.snapshot import DeviceReadings, Snapshot, StrangerPart
from gateway.status import readings, snapshot
from gateway.why import explaining

if TYPE_CHECKING:
    from gateway.app import App

log = logging.getLogger(__name__)


def verbs(app: "App") -> Mapping[str, Handler]:
    ask = _Questions(app)
    return {
        "status": ask.status, "devices": ask.devices, "command": app.order,
        "cursors": ask.cursors, "retire": ask.retire,
        "unknown": ask.unknown, "notify": announce.notifying(app.notifier),
        **operating(app.decider, app.bus, app.clock),
        **explaining(app),
        "drill": app.drills.handle,
        "reload": app.reload.asked, "tail": app.tap.asked, "log": app.levels.asked,
        "rekey": rekeying(app.devices, app.drivers, app.bus.forget_counter),
    }  # fmt: skip


class _Questions:
    """What only looks at the whole, and `retire`."""

    def __init__(self, app: "App") -> None:
        self._app = app

    async def status(self, _request: Mapping[str, object], _uid: int) -> Snapshot:
        return snapshot(self._app)

    async def devices(self, request: Mapping[str, object], _uid: int) -> list[DeviceReadings]:
        """The last reading of every point, of one device or of all."""
        wanted, known = request.get("device"), self._app.config.everything
        if wanted is not None and wanted not in known:
            raise ValueError(f"unknown device '{wanted}': {suggest(str(wanted), known)}")
        return [readings(self._app, d) for d in known.values() if wanted in (None, d.id)]

    async def unknown(self, _request: Mapping[str, object], _uid: int) -> list[StrangerPart]:
        """Who speaks on our links and is no configured device."""
        listeners = [d for d in self._app.drivers.values() if isinstance(d, Listener)]
        return [part for listener in listeners for part in listener.strangers()]

    async def cursors(self, _request: Mapping[str, object], _uid: int) -> list[tuple[object, ...]]:
        """Where the sinks are: (sink, lane, epoch, seq)."""
        return [(*key, *position) for key, position in self._app.journal.cursors().items()]

    async def retire(self, request: Mapping[str, object], uid: int) -> None:
        """Forget a sink that is not configured any more."""
        sink = str(request.get("sink"))
        if sink in self._app.sink_names:
            raise ValueError(f"'{sink}' is configured: remove it from the configuration first")
        if all(sink != name for name, _lane in self._app.journal.cursors()):
            raise ValueError(f"'{sink}' has no place in the journal")
        log.info("uid %d: sink %s is retired", uid, sink, extra={"component": "app"})
        try:
            await self._app.journal.retire(sink)
        except (StoreFailed, StoreFull) as error:
            raise ValueError(str(error)) from error

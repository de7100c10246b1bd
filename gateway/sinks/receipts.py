"""What the platform's acks do: cursors move, items that it refuses become dead letters."""

import logging

from gateway.errors import BadData
from gateway.sinks.ack import Ack, Reject, parse_ack
from gateway.sinks.encode import MAX_PAYLOAD, Unsendable, encode
from gateway.sinks.lane import Lane
from gateway.sinks.traffic import UNPROCESSABLE, Traffic
from gateway.sinks.window import Verdict
from gateway.store.store import Position

log = logging.getLogger(__name__)


class Receipts:
    def __init__(self, traffic: Traffic) -> None:
        self._traffic = traffic

    async def hear(self, payload: bytes) -> None:
        """One ack, right or wrong; a valid one also says that someone is there."""
        traffic = self._traffic
        try:
            ack = parse_ack(payload)
            lane = traffic.lanes[ack.lane]
        except (BadData, KeyError) as error:
            traffic.health.counters["acks_bad"] += 1
            log.debug("not understood: %s", error, extra=traffic.component)
            return
        verdict = lane.window.judge(ack.epoch, ack.seq)
        if verdict is Verdict.REFUSED:
            self._refuse(ack)
            return
        traffic.good()
        if verdict is Verdict.STALE:
            traffic.health.counters["acks_stale"] += 1
        else:
            await self._bury_rejected(lane, ack)
            lane.window.acknowledge(ack.epoch, ack.seq)
            traffic.settle(lane)
        for each in traffic.lanes.values():
            each.window.encourage()
        traffic.ring()

    def _refuse(self, ack: Ack) -> None:
        counters = self._traffic.health.counters
        counters["acks_refused"] += 1
        log.log(
            logging.WARNING if counters["acks_refused"] == 1 else logging.DEBUG,
            "refused: lane %d is acknowledged up to %d of epoch %d, which was never sent",
            ack.lane, ack.seq, ack.epoch, extra=self._traffic.component,
        )  # fmt: skip

    async def _bury_rejected(self, lane: Lane, ack: Ack) -> None:
        """Dead letters first, then the cursor: after a crash in between the platform is asked again."""
        for reject in ack.rejects:
            if reject.seq > ack.seq or self._traffic.reached(ack.lane, reject.seq):
                self._traffic.health.counters["rejects_refused"] += 1
                continue
            body = await self._body(ack, reject)
            self._traffic.bury(lane, Unsendable(reject.seq, reject.reason, body), UNPROCESSABLE)

    async def _body(self, ack: Ack, reject: Reject) -> bytes:
        """The rejected item as it was sent; empty if the journal has dropped it since."""
        before = Position(ack.epoch, reject.seq - 1)
        store = self._traffic.store
        part = await store.read(ack.lane, before, max_items=1, max_bytes=MAX_PAYLOAD)
        for seq, item in part.items if part else ():
            if seq == reject.seq:
                body = encode(seq, item)
                return body.body if isinstance(body, Unsendable) else body
        return b""

"""Did a device say this a moment ago? For frames that are not sealed, and for events. Pure."""

from typing import NamedTuple

# bthome-ble holds a packet id for as long; a press is repeated for a second or two.
HOLD_NS = 4_000_000_000
PACKETS = 256
OLDER = 64  # a step of so much is none forward: a copy that came late


class Again(NamedTuple):
    """`drop`: nothing new at all. `event`: what happens in this frame was told already."""

    drop: bool
    event: bool


class Recent:
    """The last frame of one device, by its packet id, or by what it says if it has none."""

    def __init__(self) -> None:
        self._packet: int | None = None
        self._payload = b""
        self._heard_ns = -HOLD_NS
        self._told_ns = -HOLD_NS

    def known(self, packet: int) -> bool:
        return packet == self._packet

    def again(self, packet: int | None, payload: bytes, now_ns: int) -> Again:
        """A state may be told again after a while, so that it does not grow old; an event is told
        once, for as long as its frames go on.
        """
        recent = now_ns - self._heard_ns < HOLD_NS
        self._heard_ns = now_ns
        step = self._step(packet, payload)
        if recent and step >= OLDER:
            return Again(drop=True, event=True)
        event = recent and step == 0
        drop = event and payload == self._payload and now_ns - self._told_ns < HOLD_NS
        self._packet, self._payload = packet, payload
        if not drop:
            self._told_ns = now_ns
        return Again(drop, event)

    def _step(self, packet: int | None, payload: bytes) -> int:
        """How much newer the frame is; without packet ids 0 or 1."""
        if packet is None or self._packet is None:
            return int(payload != self._payload)
        return (packet - self._packet) % PACKETS

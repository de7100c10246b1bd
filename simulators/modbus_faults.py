"""What a simulated Modbus device may do wrong, and what then goes over the line and when. Pure."""

import random
from collections import Counter
from collections.abc import Collection, Iterator
from enum import StrEnum
from typing import NamedTuple

from simulators.modbus_frames import Framing, Request

_READS = {1, 2, 3, 4}
_NOISE = b"\x55"  # what a receiver makes of a line without bias: 01010101
_NOISE_BYTES = 32


class Fault(StrEnum):
    SILENT = "silent"  # dead: no answer
    LATE = "late"  # answers `delay_s` later
    TWICE = "twice"  # answers, and `delay_s` later a second time
    EXCEPTION = "exception"  # answers exception `code`
    WRONG_FUNCTION = "wrong_function"  # answers as if another table had been asked
    WRONG_COUNT = "wrong_count"  # answers one register, or too many
    FOREIGN = "foreign"  # answers in the name of another unit
    GARBAGE = "garbage"  # noise instead of an answer
    DAMAGED = "damaged"  # the checksum (TCP: the transaction id) is wrong
    SHORT = "short"  # the second half of the answer is lost
    ECHO = "echo"  # the request comes back before the answer, as from an adapter that hears itself
    SLOW = "slow"  # the bytes of the answer are `delay_s` apart
    CUT = "cut"  # closes the connection (a serial port has none: it stays silent)


class Misbehaviour(NamedTuple):
    """`delay_s` and `code` as `Fault` says."""

    fault: Fault
    code: int = 4
    delay_s: float = 1.0


class Whims:
    """Now and then one of `faults`, the same for the same `seed`; counts what it did in `done`.

    `share` (0 to 1) of the requests meet a fault. Delays are between `delay_s`, copies come
    within `copy_s`, slow bytes are `byte_s` apart.
    """

    def __init__(
        self,
        seed: object,
        share: float,
        *,
        faults: Collection[Fault] = tuple(Fault),
        delay_s: tuple[float, float] = (0.1, 1.0),
        copy_s: tuple[float, float] = (0.0, 0.02),
        byte_s: tuple[float, float] = (0.01, 0.1),
    ) -> None:
        self.done: Counter[Fault] = Counter()
        self.share = share
        self._dice = random.Random(str(seed))
        self._faults = list(faults)
        self._delays = {Fault.LATE: delay_s, Fault.TWICE: copy_s, Fault.SLOW: byte_s}

    def only(self, share: float, *faults: Fault) -> None:
        """From now on just these, and so often."""
        self.share, self._faults = share, list(faults)

    def __call__(self, device: str) -> Misbehaviour | None:
        """What `device` does to the next request; None: what it should."""
        del device
        if self._dice.random() >= self.share:
            return None
        fault = self._dice.choice(self._faults)
        self.done[fault] += 1
        code = self._dice.choice((1, 2, 3, 4, 5, 6, 8, 10, 11))  # Application Protocol 1.1b3, 7
        return Misbehaviour(fault, code, self._dice.uniform(*self._delays.get(fault, (0.0, 0.0))))


Part = tuple[float, bytes]  # seconds after the answer would have come, bytes


def spoiled(pdu: bytes, how: Misbehaviour) -> bytes:
    """The PDU that answers the request `pdu` with a fault; well-formed where that is not the fault."""
    function = pdu[0]
    size = int.from_bytes(pdu[3:5], "big") if function in _READS else 1
    right = (size + 7) // 8 if function <= 2 else 2 * size
    match how.fault:
        case Fault.EXCEPTION:
            return bytes([function | 0x80, how.code])
        case Fault.WRONG_FUNCTION:
            other = {1: 2, 2: 1, 3: 4, 4: 3}.get(function, 3)
            return bytes([other, right]) + bytes(right)
        case Fault.WRONG_COUNT:
            width = 2 if right > 2 else 4
            return bytes([function, width]) + bytes(width - 1) + b"\1"
        case _:
            raise ValueError(f"{how.fault} is no fault of the PDU")


IN_PDU = frozenset({Fault.EXCEPTION, Fault.WRONG_FUNCTION, Fault.WRONG_COUNT})


def parts(
    framing: Framing, request: Request, pdu: bytes, how: Misbehaviour | None
) -> Iterator[Part]:
    """What goes over the line for an answer of `pdu` with the fault `how`."""
    unit = request.unit
    if how is None or how.fault in IN_PDU:
        yield 0.0, framing.answer(request, unit, pdu)
        return
    if how.fault is Fault.FOREIGN:
        yield 0.0, framing.answer(request, unit % 247 + 1, pdu)
        return
    yield from _mangled(framing, request, framing.answer(request, unit, pdu), how)


def _mangled(framing: Framing, request: Request, frame: bytes, how: Misbehaviour) -> Iterator[Part]:
    match how.fault:
        case Fault.LATE:
            yield how.delay_s, frame
        case Fault.TWICE:
            yield 0.0, frame
            yield how.delay_s, frame
        case Fault.GARBAGE:
            yield 0.0, _NOISE * _NOISE_BYTES
        case Fault.DAMAGED:
            yield 0.0, framing.unprotected(frame)
        case Fault.SHORT:
            yield 0.0, frame[: len(frame) // 2]
        case Fault.ECHO:
            yield 0.0, request.raw + frame
        case Fault.SLOW:
            for index in range(len(frame)):
                yield index * how.delay_s, frame[index : index + 1]
        case _:  # SILENT and CUT: nothing
            return

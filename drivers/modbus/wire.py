"""How long characters and frames take on a serial line. Pure."""

from typing import NamedTuple

from drivers.modbus.settings import ModbusLink

# From 19200 baud on the silence between frames is a fixed time (MODBUS over Serial Line 1.02, 2.5.1.1).
_FIXED_ABOVE_BAUD = 19_200
_FIXED_GAP_S = 0.001_75
_GAP_CHARACTERS = 3.5

REQUEST_BYTES = 8  # unit, function, address, count, CRC: every request that reads
_ANSWER_BYTES = 5  # unit, function, byte count, CRC around the data


class Wire(NamedTuple):
    """Seconds that a character takes, and the silence that ends a frame; 0 where there is no line."""

    character_s: float = 0.0
    gap_s: float = 0.0

    def frame_s(self, size_bytes: int) -> float:
        return size_bytes * self.character_s

    def read_s(self, data_bytes: int) -> float:
        """On the line for one read: the request and an answer of `data_bytes` of data."""
        return self.frame_s(REQUEST_BYTES + _ANSWER_BYTES + data_bytes)


def wire(link: ModbusLink) -> Wire:
    """The line of `link`. Behind a serial server its format is unknown: 11 bits, the longest of 8N1 to 8E1."""
    if not link.framed:
        return Wire()
    bits = 11 if link.transport != "rtu" else 9 + link.stop + (link.parity != "N")
    character_s = bits / link.baud
    gap_s = _FIXED_GAP_S if link.baud > _FIXED_ABOVE_BAUD else _GAP_CHARACTERS * character_s
    return Wire(character_s, gap_s)

"""iBeacon, and UID and TLM of Eddystone: who is there, never an alarm. Pure; never raises."""

from drivers.ble.frame import Frame, Object, Refusal, Wire
from gateway.model import Value

IBEACON = b"\x02\x15"  # type, and length of what follows
IBEACON_LENGTH = 23
UID, URL, TLM, EID = 0x00, 0x10, 0x20, 0x30  # google/eddystone, protocol-specification.md
UID_LENGTHS = {18, 20}  # two reserved bytes at the end may be missing
TLM_LENGTH = 14
NO_TEMPERATURE = -32768  # 0x8000: the beacon has no thermometer


def parse_ibeacon(data: bytes) -> Frame:
    """The frame in manufacturer data 004C."""
    if not data.startswith(IBEACON):
        return Frame(Wire.IBEACON, refused=Refusal.FOREIGN)
    if len(data) != IBEACON_LENGTH:
        return Frame(Wire.IBEACON, refused=Refusal.TOO_SHORT)
    return _frame(
        Wire.IBEACON,
        data,
        uuid=data[2:18].hex(),
        major=int.from_bytes(data[18:20], "big"),
        minor=int.from_bytes(data[20:22], "big"),
        power=int.from_bytes(data[22:], "big", signed=True),
    )


def parse_eddystone(data: bytes) -> Frame:
    """The frame in service data FEAA."""
    if not data:
        return Frame(Wire.EDDYSTONE, refused=Refusal.TOO_SHORT)
    if data[0] == UID:
        if len(data) not in UID_LENGTHS:
            return Frame(Wire.EDDYSTONE, refused=Refusal.TOO_SHORT)
        power = int.from_bytes(data[1:2], "big", signed=True)
        fields: dict[str, Value] = {"namespace": data[2:12].hex(), "instance": data[12:18].hex()}
        return _frame(Wire.EDDYSTONE, data, power=power, **fields)
    if data[0] == TLM:
        return _telemetry(data)
    return Frame(Wire.EDDYSTONE, refused=Refusal.FOREIGN)


def _telemetry(data: bytes) -> Frame:
    if len(data) != TLM_LENGTH:
        return Frame(Wire.EDDYSTONE, refused=Refusal.TOO_SHORT)
    if data[1]:  # version 1 is encrypted
        return Frame(Wire.EDDYSTONE, refused=Refusal.VERSION)
    fields: dict[str, Value] = {}
    voltage = int.from_bytes(data[2:4], "big")
    if voltage:  # 0: not battery powered
        fields["voltage"] = voltage / 1000  # V
    temperature = int.from_bytes(data[4:6], "big", signed=True)
    if temperature != NO_TEMPERATURE:
        fields["temperature"] = temperature / 256  # Cel, 8.8 fixed point
    fields["adverts"] = int.from_bytes(data[6:10], "big")
    fields["uptime"] = int.from_bytes(data[10:14], "big") / 10  # s
    return _frame(Wire.EDDYSTONE, data, **fields)


def _frame(wire: Wire, data: bytes, **fields: Value) -> Frame:
    objects = tuple(Object(name, 1, value) for name, value in fields.items())
    return Frame(wire, objects, payload=data)

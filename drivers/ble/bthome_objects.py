"""The objects of BTHome v2: length, sign, factor, unit. From bthome.io/format."""

from enum import Enum
from typing import NamedTuple


class Kind(Enum):
    NUMBER = "number"
    BINARY = "binary"  # 1 is what the name says: open, smoke, wet
    EVENT = "event"  # happens at an instant; 0 is "nothing happened"
    DIMMER = "dimmer"
    COMMAND = "command"
    BYTES = "bytes"  # a length, then so many bytes
    VERSION = "version"


class Kinds(NamedTuple):
    """One row: value = raw * `times` / `by`, in `unit` (UCUM); `length` in bytes, 0: in the frame."""

    name: str
    length: int
    kind: Kind = Kind.NUMBER
    signed: bool = False
    times: int = 1
    by: int = 1
    unit: str = "1"


def _number(name: str, length: int, by: int = 1, unit: str = "1", *, times: int = 1) -> Kinds:
    return Kinds(name, length, Kind.NUMBER, signed=False, times=times, by=by, unit=unit)


def _signed(name: str, length: int, by: int = 1, unit: str = "1", *, times: int = 1) -> Kinds:
    return Kinds(name, length, Kind.NUMBER, signed=True, times=times, by=by, unit=unit)


def _binary(name: str) -> Kinds:
    return Kinds(name, 1, Kind.BINARY)


PACKET, BUTTON, DIMMER, COMMAND = 0x00, 0x3A, 0x3C, 0x3B

OBJECTS: dict[int, Kinds] = {
    PACKET: _number("packet", 1),
    0x01: _number("battery", 1, unit="%"),
    0x02: _signed("temperature", 2, 100, "Cel"),
    0x03: _number("humidity", 2, 100, "%"),
    0x04: _number("pressure", 3, 100, "hPa"),
    0x05: _number("illuminance", 3, 100, "lx"),
    0x06: _number("mass", 2, 100, "kg"),
    0x07: _number("mass", 2, 100, "[lb_av]"),
    0x08: _signed("dew_point", 2, 100, "Cel"),
    0x09: _number("count", 1),
    0x0A: _number("energy", 3, 1000, "kW.h"),
    0x0B: _number("power", 3, 100, "W"),
    0x0C: _number("voltage", 2, 1000, "V"),
    0x0D: _number("pm2_5", 2, unit="ug/m3"),
    0x0E: _number("pm10", 2, unit="ug/m3"),
    0x0F: _binary("generic"),
    0x10: _binary("power_on"),
    0x11: _binary("opening"),
    0x12: _number("co2", 2, unit="[ppm]"),
    0x13: _number("voc", 2, unit="ug/m3"),
    0x14: _number("moisture", 2, 100, "%"),
    0x15: _binary("battery_low"),
    0x16: _binary("charging"),
    0x17: _binary("carbon_monoxide"),
    0x18: _binary("cold"),
    0x19: _binary("connectivity"),
    0x1A: _binary("door"),
    0x1B: _binary("garage_door"),
    0x1C: _binary("gas"),
    0x1D: _binary("heat"),
    0x1E: _binary("light"),
    0x1F: _binary("unlocked"),
    0x20: _binary("wet"),
    0x21: _binary("motion"),
    0x22: _binary("moving"),
    0x23: _binary("occupancy"),
    0x24: _binary("plug"),
    0x25: _binary("presence"),
    0x26: _binary("problem"),
    0x27: _binary("running"),
    0x28: _binary("safety"),
    0x29: _binary("smoke"),
    0x2A: _binary("sound"),
    0x2B: _binary("tamper"),
    0x2C: _binary("vibration"),
    0x2D: _binary("window"),
    0x2E: _number("humidity", 1, unit="%"),
    0x2F: _number("moisture", 1, unit="%"),
    BUTTON: Kinds("button", 1, Kind.EVENT),
    COMMAND: Kinds("command", 0, Kind.COMMAND),
    DIMMER: Kinds("dimmer", 2, Kind.DIMMER),
    0x3D: _number("count", 2),
    0x3E: _number("count", 4),
    0x3F: _signed("rotation", 2, 10, "deg"),
    0x40: _number("distance", 2, unit="mm"),
    0x41: _number("distance", 2, 10, "m"),
    0x42: _number("duration", 3, 1000, "s"),
    0x43: _number("current", 2, 1000, "A"),
    0x44: _number("speed", 2, 100, "m/s"),
    0x45: _signed("temperature", 2, 10, "Cel"),
    0x46: _number("uv_index", 1, 10),
    0x47: _number("volume", 2, 10, "L"),
    0x48: _number("volume", 2, unit="mL"),
    0x49: _number("flow", 2, 1000, "m3/h"),
    0x4A: _number("voltage", 2, 10, "V"),
    0x4B: _number("gas_volume", 3, 1000, "m3"),
    0x4C: _number("gas_volume", 4, 1000, "m3"),
    0x4D: _number("energy", 4, 1000, "kW.h"),
    0x4E: _number("volume", 4, 1000, "L"),
    0x4F: _number("water", 4, 1000, "L"),
    0x50: _number("time", 4, unit="s"),
    0x51: _number("acceleration", 2, 1000, "m/s2"),
    0x52: _number("gyroscope", 2, 1000, "deg/s"),
    0x53: Kinds("text", 0, Kind.BYTES),
    0x54: Kinds("raw", 0, Kind.BYTES),
    0x55: _number("volume_stored", 4, 1000, "L"),
    0x56: _number("conductivity", 2, unit="uS/cm"),
    0x57: _signed("temperature", 1, unit="Cel"),
    0x58: _signed("temperature", 1, 100, "Cel", times=35),
    0x59: _signed("count", 1),
    0x5A: _signed("count", 2),
    0x5B: _signed("count", 4),
    0x5C: _signed("power", 4, 100, "W"),
    0x5D: _signed("current", 2, 1000, "A"),
    0x5E: _number("direction", 2, 100, "deg"),
    0x5F: _number("precipitation", 2, 10, "mm"),
    0x60: _number("channel", 1),
    0x61: _number("rotational_speed", 2, unit="/min"),
    0x62: _signed("speed", 4, 1_000_000, "m/s"),
    0x63: _signed("acceleration", 4, 1_000_000, "m/s2"),
    0x64: _number("light_level", 1),
    0x65: _number("settings_revision", 1),
    0xF0: _number("device_type", 2),
    0xF1: Kinds("firmware", 4, Kind.VERSION),
    0xF2: Kinds("firmware", 3, Kind.VERSION),
}

# Object 3A. What is not here is no event that we know.
BUTTON_EVENTS = {
    0x00: "none", 0x01: "press", 0x02: "double_press", 0x03: "triple_press", 0x04: "long_press",
    0x05: "long_double_press", 0x06: "long_triple_press", 0x80: "hold_press", 0x81: "hold_release",
}  # fmt: skip

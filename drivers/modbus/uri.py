"""A link written in one word, for a bus that no configuration knows yet. Pure."""

from urllib.parse import parse_qsl, urlsplit

from pydantic import ValidationError

from drivers.modbus.settings import ModbusLink
from gateway.settings import describe

_TRANSPORTS = {"tcp": "tcp", "rtu": "rtu", "rtu+tcp": "rtu_over_tcp"}
_NUMBERS = frozenset({"baud", "stop", "bytesize"})
EXAMPLES = "tcp://192.0.2.20:502, rtu:///dev/ttyUSB0?baud=9600&parity=N, rtu+tcp://192.0.2.21:4196"


def is_uri(text: str) -> bool:
    """A link written out, no name of one."""
    return "://" in text


def link_of(text: str) -> ModbusLink:
    """`tcp://host:port`, `rtu:///dev/ttyX?baud=9600&parity=N&stop=1`, `rtu+tcp://host:port?baud=9600`.

    Raises ValueError that names the fault and the fix.
    """
    parts = urlsplit(text)
    transport = _TRANSPORTS.get(parts.scheme)
    if transport is None:
        raise ValueError(f"'{parts.scheme}://' is no Modbus link: write e.g. {EXAMPLES}")
    section: dict[str, object] = {"driver": "modbus", "transport": transport}
    if transport == "rtu":
        section["path"] = parts.path
    else:
        section |= {"host": parts.hostname or "", **_port(text)}
    for key, value in parse_qsl(parts.query, keep_blank_values=True):
        section[key] = int(value) if key in _NUMBERS and value.isdecimal() else value
    try:
        return ModbusLink.model_validate(section)
    except ValidationError as error:
        found = error.errors()[0]
        what, fix = describe(dict(found))
        key = ".".join(str(part) for part in found["loc"])
        raise ValueError(f"{text}: {key + ': ' if key else ''}{what}: {fix}") from None


def _port(text: str) -> dict[str, int]:
    try:
        port = urlsplit(text).port
    except ValueError as error:
        raise ValueError(f"{text}: {error}: write 1 to 65535") from None
    return {} if port is None else {"port": port}

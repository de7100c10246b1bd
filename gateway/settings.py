"""Building blocks of every configuration section: strict models and types that carry a unit."""

import re
from pathlib import Path
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    ValidationInfo,
)
from pydantic_core import PydanticCustomError


class Section(BaseModel):
    """A section of the configuration: unknown keys, guessed types, NaN and infinity are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


def wrong(what: str, fix: str, **more: object) -> PydanticCustomError:
    """A validation error that says what is wrong and how to put it right.

    `more`: `text`, `start` and `end` of the part that is wrong, and its `path` below the value.
    """
    return PydanticCustomError("gateway", "{what}: {fix}", {"what": what, "fix": fix, **more})


SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_BYTES = {"B": 1, "kB": 10**3, "KB": 10**3, "MB": 10**6, "GB": 10**9, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}  # fmt: skip
_QUANTITY = re.compile(r"([0-9]{1,15}(?:\.[0-9]{1,9})?)\s*([A-Za-z]+)$")


def _quantity(value: object, units: dict[str, float] | dict[str, int], example: str) -> float:
    match = _QUANTITY.match(value.strip()) if isinstance(value, str) else None
    if match and match[2] in units:
        return float(match[1]) * units[match[2]]
    if isinstance(value, int | float) and not isinstance(value, bool):
        raise wrong(f"{value!r} has no unit", f"write e.g. {value}{next(iter(units))} or {example}")
    raise wrong(f"{value!r} is not understood", f"write a number and one of {', '.join(units)}, e.g. {example}")  # fmt: skip


def _duration(value: object) -> float:
    return _quantity(value, SECONDS, "10s")


def _size(value: object) -> int:
    return int(_quantity(value, _BYTES, "64MB"))


def _id(value: str) -> str:
    if not re.fullmatch(r"[a-z0-9][a-z0-9-]{0,62}", value):
        raise wrong(f"'{value}' is no id", "use 1 to 63 of a-z, 0-9 and '-', beginning with a letter or digit")  # fmt: skip
    return value


def _port(value: int) -> int:
    if not 1 <= value <= 65535:
        raise wrong(f"{value} is no port", "write 1 to 65535")
    return value


# Written `10s`, `500ms`, `1m`, `2h`, `7d`; held in seconds.
Duration = Annotated[float, BeforeValidator(_duration)]
# Written `64MB` (decimal) or `64MiB` (binary); held in bytes.
Size = Annotated[int, BeforeValidator(_size)]
Id = Annotated[str, AfterValidator(_id)]
Port = Annotated[int, AfterValidator(_port)]
Text = Annotated[str, Field(max_length=200)]

REFERENCE = re.compile(r"\$\{(file|env|credential):([^}]+)\}$")


def _secret(value: object) -> SecretStr:
    """Secrets arrive resolved (`SecretStr`); anything else is a literal in the file."""
    if isinstance(value, SecretStr):
        return value
    raise wrong("a secret in plain text", "write ${file:/path} or ${env:NAME} and keep the secret there")  # fmt: skip


Secret = Annotated[SecretStr, BeforeValidator(_secret)]


def _path(value: object, info: ValidationInfo) -> Path:
    if isinstance(value, Path):
        return value
    if not isinstance(value, str) or not value:
        raise wrong(f"{value!r} is no path", "write a file or folder name")
    return Path((info.context or {}).get("folder", "."), value)


# A file or folder; a relative one is seen from the file that names it.
FilePath = Annotated[Path, BeforeValidator(_path)]


def describe(error: dict[str, Any]) -> tuple[str, str]:
    """(what is wrong, how to fix it) for one entry of `ValidationError.errors()`."""
    context = error.get("ctx") or {}
    if error["type"] == "gateway":
        return context["what"], context["fix"]
    value = error.get("input")
    if error["type"] == "missing":
        return "missing", "add this key"
    if error["type"] == "literal_error":
        return f"{value!r} is not allowed", f"write {context['expected']}"
    if error["type"] in _EXPECTED:
        return f"{_shown(value)} is not {_EXPECTED[error['type']]}", _type_fix(error["type"], value)
    return f"{_shown(value)}: {error['msg']}", "see docs/configuration.md"


_EXPECTED = {
    "string_type": "a text", "int_type": "a whole number", "float_type": "a number",
    "bool_type": "true or false", "dict_type": "a mapping", "model_type": "a mapping",
    "list_type": "a list", "int_from_float": "a whole number",
}  # fmt: skip
_FIXES = {
    "string_type": "put it in quotes", "int_type": "write digits only", "float_type": "write a number",
    "bool_type": "write true or false", "dict_type": "write `key: value` lines below it",
    "model_type": "write `key: value` lines below it", "list_type": "write `- item` lines below it",
    "int_from_float": "write digits only",
}  # fmt: skip


def _type_fix(kind: str, value: object) -> str:
    if kind == "bool_type" and str(value).lower() in {"yes", "no", "on", "off"}:
        word = "true" if str(value).lower() in {"yes", "on"} else "false"
        return f"write {word} ('{value}' is a text in YAML 1.2)"
    return _FIXES[kind]


def _shown(value: object) -> str:
    text = repr(value) if not isinstance(value, dict | list) else "this"
    return text if len(text) <= 40 else text[:37] + "..."

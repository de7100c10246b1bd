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

from gateway.amount import AmountError, duration, size
from gateway.words.text import Said, fault, text


class Section(BaseModel):
    """A section of the configuration: unknown keys, guessed types, NaN and infinity are refused."""

    # Its validator is made when it is first needed: a command pays for the sections that it meets.
    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, allow_inf_nan=False, defer_build=True
    )


def wrong(what: str, fix: str, **more: object) -> PydanticCustomError:
    """A validation error that says what is wrong and how to put it right.

    `more`: `text`, `start` and `end` of the part that is wrong, and its `path` below the value.
    """
    return PydanticCustomError("gateway", "{what}: {fix}", {"what": what, "fix": fix, **more})


def _duration(value: object) -> float:
    try:
        return duration(value)
    except AmountError as error:
        raise wrong(error.what, error.fix) from None


def _size(value: object) -> int:
    try:
        return size(value)
    except AmountError as error:
        raise wrong(error.what, error.fix) from None


def _id(value: str) -> str:
    if not re.fullmatch(r"[a-z0-9][a-z0-9-]{0,62}", value):
        raise wrong(*fault("value.no_id", id=value))
    return value


def _port(value: int) -> int:
    if not 1 <= value <= 65535:
        raise wrong(*fault("value.no_port", value=value))
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
    raise wrong(*fault("value.plain_secret"))


Secret = Annotated[SecretStr, BeforeValidator(_secret)]


def _path(value: object, info: ValidationInfo) -> Path:
    if isinstance(value, Path):
        return value
    if not isinstance(value, str) or not value:
        raise wrong(*fault("value.no_path", value=repr(value)))
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
        return fault("value.missing")
    if error["type"] == "literal_error":
        return fault("value.literal", value=repr(value), expected=_choices(context["expected"]))
    if error["type"] in _KINDS:
        kind = _KINDS[error["type"]]
        return fault(f"value.type.{kind}", value=_shown(value), fix=_type_fix(kind, value))
    return fault("value.other", value=_shown(value), why=error["msg"])


def _choices(expected: str) -> Said | str:
    """Pydantic says `'a', 'b' or 'c'`."""
    before, joined, last = expected.rpartition(" or ")
    return text("value.or", before=before, last=last) if joined else expected


_KINDS = {
    "string_type": "text", "int_type": "whole", "float_type": "number", "bool_type": "state",
    "dict_type": "mapping", "model_type": "mapping", "list_type": "list", "int_from_float": "whole",
}  # fmt: skip


def _type_fix(kind: str, value: object) -> Said:
    word = str(value).lower()
    if kind == "state" and word in {"yes", "no", "on", "off"}:
        meant = "true" if word in {"yes", "on"} else "false"
        return text("value.yaml_state", meant=meant, value=value)
    return text(f"value.write.{kind}")


def _shown(value: object) -> str:
    if isinstance(value, dict | list):
        return text("value.this")
    shown = repr(value)
    return shown if len(shown) <= 40 else shown[:37] + "..."

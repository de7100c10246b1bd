"""What a platform says on `gw/<gateway_id>/cmd` (configs/asyncapi.yaml, schema `Command`)."""

from typing import Annotated

import orjson
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from gateway.errors import BadData

MAX_BYTES = 4_096  # about ten times what the longest command takes

# Numbers that JSON carries exactly (RFC 8259, 6); no NaN, no infinity.
_MODEL = ConfigDict(strict=True, frozen=True, extra="ignore", allow_inf_nan=False)
_Whole = Annotated[int, Field(ge=-(2**53) + 1, le=2**53 - 1)]
_Value = bool | _Whole | float | Annotated[str, Field(max_length=200)]
_Name = Annotated[str, Field(min_length=1, max_length=100, pattern=r"^[a-z0-9][a-z0-9._-]*$")]


class If(BaseModel):
    """The command is for a device that shows this value now."""

    model_config = _MODEL
    point: _Name
    equals: _Value


class Order(BaseModel):
    """One command. `not_after`: UTC, ns as decimal text; later it is not carried out. For
    `hold` s no weaker rule may write the point.
    """

    model_config = _MODEL
    id: Annotated[str, Field(pattern=r"^[\x21-\x7e]{1,64}$")]
    device: _Name
    point: _Name
    value: _Value
    not_after: Annotated[str, Field(pattern=r"^[0-9]{1,19}$")]
    hold: Annotated[int | float, Field(gt=0, le=86_400)] | None = None  # s
    condition: Annotated[If | None, Field(alias="if")] = None


def parse_order(payload: bytes) -> Order:
    """Raises BadData for anything that is not a command."""
    if len(payload) > MAX_BYTES:
        raise BadData(f"{len(payload)} bytes are more than {MAX_BYTES}")
    try:
        return Order.model_validate_json(payload)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise BadData(f"{place or 'payload'}: {first['msg']}") from error


def id_of(payload: bytes) -> str | None:
    """The id in a command that was not understood, so that the answer can name it."""
    try:
        found = orjson.loads(payload[:MAX_BYTES])
    except orjson.JSONDecodeError:
        return None
    name = found.get("id") if isinstance(found, dict) else None
    return name[:64] if isinstance(name, str) else None

"""What the platform says on `gw/<gateway_id>/ack` (configs/asyncapi.yaml, schema `Ack`)."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from gateway.errors import BadData

_MODEL = ConfigDict(strict=True, frozen=True, extra="ignore")  # readers ignore unknown keys

Seq = Annotated[int, Field(ge=0, lt=2**63)]


class Reject(BaseModel):
    """An item that the platform will never take. It counts as received."""

    model_config = _MODEL
    seq: Seq
    reason: Annotated[str, Field(max_length=1000)] = ""


class Ack(BaseModel):
    """`seq` is the highest for which the platform holds it and all before it in this epoch and lane."""

    model_config = _MODEL
    epoch: Seq
    lane: int
    seq: Seq
    rejects: list[Reject] = []


def parse_ack(payload: bytes) -> Ack:
    """Raises BadData for anything that is not an ack."""
    try:
        return Ack.model_validate_json(payload)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise BadData(f"ack: {place or 'payload'}: {first['msg']}") from error

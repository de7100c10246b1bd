"""From a parsed document to pydantic models; every error becomes a `Problem` with its place."""

import types
import typing
from collections.abc import Collection, Iterable
from typing import Any, TypeVar

from pydantic import BaseModel, SecretStr, ValidationError

from gateway.document import Document, Path_, Within, suggest
from gateway.errors import Problem
from gateway.settings import describe
from gateway.words.text import fault

M = TypeVar("M", bound=BaseModel)


def validate(
    model: type[M],
    document: Document,
    path: Path_,
    value: object,
    problems: list[Problem],
    *,
    not_yet: Collection[str] = (),
) -> M | None:
    """Make a `model` from `value`, which stands at `path`; None if it is wrong.

    Adds one problem for each error. A key in `not_yet` is one that the configuration format
    defines and this version does not have: it is refused, never accepted and ignored.
    """
    try:
        return _made(model, document, path, value)
    except ValidationError as error:
        problems += [
            _problem(model, document, path, value, dict(entry), not_yet)
            for entry in error.errors(include_url=False)
        ]
        return None


def _made(model: type[M], document: Document, path: Path_, value: object) -> M:
    """Where a text is wanted, a cell that looks like a number is one. Raises ValidationError."""
    context = {"folder": document.folder_of(path)}
    try:
        return model.model_validate(value, context=context)
    except ValidationError as error:
        places = [entry["loc"] for entry in error.errors() if entry["type"] == "string_type"]
        texts = {place: document.texts.get((*path, *place)) for place in places}
        if not any(texts.values()):
            raise
        for place, text in texts.items():
            value = value if text is None else _replaced(value, place, text)
        return model.model_validate(value, context=context)


def _replaced(value: object, place: Path_, text: str) -> object:
    if not place:
        return text
    if isinstance(value, dict):
        return value | {place[0]: _replaced(value.get(place[0]), place[1:], text)}
    return value


def _problem(
    model: type[BaseModel],
    document: Document,
    path: Path_,
    value: object,
    error: dict[str, Any],
    not_yet: Collection[str],
) -> Problem:
    where = _written(value, error["loc"])
    at = (*path, *where)
    if isinstance(error.get("input"), SecretStr):
        return document.problem(at, *fault("value.secret"))
    if error["type"] == "extra_forbidden":
        key = str(where[-1])
        if key in not_yet:
            return document.problem(at, *fault("value.not_yet", key=key), key=True)
        fix = suggest(key, _known(model, where[:-1]))
        return document.problem(at, *fault("value.no_key", key=key, fix=fix), key=True)
    context = error.get("ctx") or {}
    if "text" in context:
        within = Within(context["text"], context["start"], context["end"])
        return document.problem((*at, *context["path"]), *describe(error), within=within)
    return document.problem(at, *describe(error))


def _written(value: object, loc: Iterable[str | int]) -> list[str | int]:
    """`loc` without the parts that pydantic adds for unions and keys: what stands in the file."""
    where: list[str | int] = []
    parts = [part for part in loc if part != "[key]"]
    for index, part in enumerate(parts):
        if isinstance(value, dict) and (part in value or index == len(parts) - 1):
            where.append(part)
            value = value.get(part)
        elif isinstance(value, list) and isinstance(part, int):
            where.append(part)
            value = value[part] if part < len(value) else None
    return where


def _known(model: type[BaseModel], where: Iterable[str | int]) -> Iterable[str]:
    """The keys that the model found by following `where` accepts."""
    kind: Any = model
    for part in where:
        names = {f.alias or n: f for n, f in _fields(kind).items()}
        kind = names[part].annotation if part in names else _inner(kind)
    return [f.alias or n for n, f in _fields(kind).items()]


def _fields(kind: Any) -> dict[str, Any]:
    for candidate in (kind, *typing.get_args(kind)):
        if isinstance(candidate, type) and issubclass(candidate, BaseModel):
            return dict(candidate.model_fields)
        if candidate is not kind and typing.get_origin(candidate) is types.UnionType:
            return _fields(candidate)  # within Annotated
    return {}


def _inner(kind: Any) -> Any:
    """What a container holds: `dict[str, X]` and `list[X]` hold X."""
    arguments = [a for a in typing.get_args(kind) if a is not type(None)]
    return arguments[-1] if arguments else kind

"""What a rule file writes as text: conditions, and texts for people with values in them."""

import re
from typing import Annotated, Literal, NamedTuple

from pydantic import PlainValidator

from gateway.settings import wrong
from gateway.words.text import fault
from rules.parse import parse
from rules.tree import Node, RuleError

MAX_TEXT = 500  # characters of a text for people


class Part(NamedTuple):
    """One expression, and where it stands below its key."""

    path: tuple[str | int, ...]
    text: str
    node: Node


class Condition(NamedTuple):
    """`when` or `until`: one expression, or several that are joined by `and` (`or`)."""

    parts: tuple[Part, ...]
    join: Literal["and", "or"] = "and"


def _expression(value: object, path: tuple[str | int, ...]) -> Part:
    if not isinstance(value, str) or not value.strip():
        raise wrong(*fault("rule.no_condition", value=repr(value)))
    try:
        return Part(path, value, parse(value))
    except RuleError as error:
        place = {"text": value, "start": error.start, "end": error.end, "path": path}
        raise wrong(error.what, error.fix, **place) from None


def _condition(value: object) -> Condition:
    if isinstance(value, bool):  # YAML reads `true` so
        return Condition((_expression(str(value).lower(), ()),))
    if not isinstance(value, dict):
        return Condition((_expression(value, ()),))
    key = next(iter(value), "")
    parts = value.get(key)
    if len(value) != 1 or key not in {"all", "any"} or not isinstance(parts, list) or not parts:
        raise wrong(*fault("rule.condition_list"))
    found = tuple(_expression(part, (key, index)) for index, part in enumerate(parts))
    return Condition(found, "and" if key == "all" else "or")


When = Annotated[Condition, PlainValidator(_condition)]


class Template(NamedTuple):
    """A text with `{expression}` in it: what is written, and what is filled in."""

    text: str
    parts: tuple[str | Part, ...]


_HOLE = re.compile(r"\{([^{}]*)\}")


def _template(value: object) -> Template:
    if not isinstance(value, str) or not value.strip() or len(value) > MAX_TEXT:
        raise wrong(*fault("rule.no_text", value=repr(str(value)[:40]), most=MAX_TEXT))
    parts: list[str | Part] = []
    end = 0
    for hole in _HOLE.finditer(value):
        parts.append(value[end : hole.start()])
        parts.append(_expression(hole[1], ()))
        end = hole.end()
    rest = value[end:]
    if "{" in rest or "}" in rest:
        raise wrong(*fault("rule.brace"))
    return Template(value, tuple(part for part in (*parts, rest) if part))


Words = Annotated[Template, PlainValidator(_template)]

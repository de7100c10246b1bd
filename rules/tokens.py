"""The words of an expression: numbers with their units, names, signs. Pure."""

import re
from typing import NamedTuple

from gateway.words.text import fault
from rules.tree import RuleError

MAX_LENGTH = 2_000  # characters; the longest shipped condition has 120

_NUMBER = re.compile(r"[0-9]+(?:\.[0-9]+)?(?![\w.])|[0-9]+(?:\.[0-9]+)?")
_UNIT = re.compile(r"(?:\[[A-Za-z]+\]|[A-Za-z%°℃℉㎥µμ％度])[^\s()<>=!&|+*,;\"'\]-]*")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z_][A-Za-z0-9_]*)*(?:\[(?:[0-9]+|\*)\])?")
_SIGN = re.compile(r"==|!=|<=|>=|&&|\|\||[-+*/()<>!,\[\]=]")
_TEXT = re.compile(r'"([^"]*)"')
_KEYWORDS = frozenset({"and", "or", "not", "in", "true", "false"})
_SAME = {"&&": "and", "||": "or", "!": "not"}


class Token(NamedTuple):
    """`kind`: number, text, name, sign (keywords too) or end. `unit` goes with a number."""

    kind: str
    text: str
    start: int
    end: int
    unit: str = ""


def tokens(text: str) -> list[Token]:
    """The words of `text` and an end. Raises RuleError."""
    if len(text) > MAX_LENGTH:
        long = fault("expr.too_long", length=len(text), most=MAX_LENGTH)
        raise RuleError(*long, 0, len(text))
    found: list[Token] = []
    at = 0
    while at < len(text):
        if text[at].isspace():
            at += 1
            continue
        token = _token(text, at)
        found.append(token)
        at = token.end
    return [*found, Token("end", "", len(text), len(text))]


def _token(text: str, at: int) -> Token:
    if match := _NUMBER.match(text, at):
        return _number(text, match)
    if match := _TEXT.match(text, at):
        return Token("text", match[1], at, match.end())
    if match := _NAME.match(text, at):
        kind = "sign" if match[0] in {"and", "or", "not", "in"} else "name"
        return Token(kind, match[0], at, match.end())
    if match := _SIGN.match(text, at):
        return Token("sign", _SAME.get(match[0], match[0]), at, match.end())
    if text[at] == '"':
        raise RuleError(*fault("expr.open_text"), at, at + 1)
    wrong = fault("expr.quote") if text[at] == "'" else fault("expr.stray", sign=text[at])
    raise RuleError(*wrong, at, at + 1)


def _number(text: str, match: re.Match[str]) -> Token:
    """Its unit belongs to it: right behind, or after a space."""
    start, end = match.span()
    after = end + len(text[end:]) - len(text[end:].lstrip(" "))
    unit = _UNIT.match(text, after)
    if unit is None or unit[0] in _KEYWORDS:
        return Token("number", match[0], start, end)
    return Token("number", match[0], start, unit.end(), unit[0])

"""Texts of the catalogue on their way from the daemon to whoever reads them in his language. Pure."""

from typing import Any

from gateway.words.text import Said


def packed(words: str) -> dict[str, Any]:
    """As JSON can carry it: `text` is English, the rest says it in another language."""
    if not isinstance(words, Said):
        return {"text": str(words)}
    arguments = {name: _packed(one) for name, one in words.arguments.items()}
    return {"text": str(words), "id": words.id, "part": words.part, "arguments": arguments}


def unpacked(value: dict[str, Any]) -> str:
    """What `packed` took; only its English text where this release has no such entry."""
    if "id" not in value:
        return str(value["text"])
    arguments = {name: _unpacked(one) for name, one in value["arguments"].items()}
    try:
        return Said(value["id"], value["part"], arguments)
    except (KeyError, IndexError):
        return str(value["text"])


def _packed(argument: object) -> object:
    if isinstance(argument, list | tuple):
        return [_packed(one) for one in argument]
    return packed(argument) if isinstance(argument, Said) else argument


def _unpacked(argument: Any) -> Any:
    if isinstance(argument, list):
        return [_unpacked(one) for one in argument]
    return unpacked(argument) if isinstance(argument, dict) else argument

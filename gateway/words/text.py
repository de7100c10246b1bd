"""Texts for people, in English and Chinese: `text("unit.unknown", unit="bra")`. Pure.

What comes back is a `str` in English, so that it can be compared, joined and logged as one. It knows
which entry of the catalogue it is, and `say` puts it into another language: a problem that was found
once can be shown to each reader in his own.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal, get_args

from gateway.words.en import all as english
from gateway.words.zh import all as chinese

Language = Literal["en", "zh"]
LANGUAGES: tuple[Language, ...] = get_args(Language)
Entry = str | tuple[str, str]  # a text, or what is wrong and how to mend it

CATALOGUES: Mapping[Language, Mapping[str, Entry]] = MappingProxyType(
    {"en": english.TEXTS, "zh": chinese.TEXTS}
)
_COMMA: Mapping[Language, str] = MappingProxyType({"en": ", ", "zh": "、"})


class Said(str):
    """A text of the catalogue in English, and what is needed to say it in another language.

    `id` is its entry, `part` 0 for a text or for what is wrong, 1 for how to mend it.
    """

    __slots__ = ("arguments", "id", "part")
    id: str
    part: int
    arguments: Mapping[str, object]

    def __new__(cls, id_: str, part: int, arguments: Mapping[str, object]) -> "Said":
        arguments = {name: _kept(argument) for name, argument in arguments.items()}
        self = super().__new__(cls, _filled("en", id_, part, arguments))
        self.id = id_
        self.part = part
        self.arguments = arguments
        return self


def text(id_: str, /, **arguments: object) -> Said:
    """The text `id_` with `arguments` filled in: a list or tuple with commas, a `Said` in the same
    language, also that of an exception.

    Raises KeyError when there is no such text, or an argument of it is missing.
    """
    return Said(id_, 0, arguments)


def fault(id_: str, /, **arguments: object) -> tuple[Said, Said]:
    """What is wrong, and how to mend it: the two texts of one entry. As for `text`."""
    return Said(id_, 0, arguments), Said(id_, 1, arguments)


def say(words: str, language: Language) -> str:
    """`words` in `language`, if they are of the catalogue; else as they are."""
    if not isinstance(words, Said) or language == "en":
        return str(words)
    return _filled(language, words.id, words.part, words.arguments)


def language_of(chosen: str | None, environment: Mapping[str, str]) -> Language:
    """What was chosen, else the language of the locale (POSIX, 8.2), else English."""
    if chosen in LANGUAGES:
        return chosen
    names = (environment.get(name, "") for name in ("LC_ALL", "LC_MESSAGES", "LANG"))
    locale = next(filter(None, names), "")
    return "zh" if locale.lower().startswith("zh") else "en"


def _filled(language: Language, id_: str, part: int, arguments: Mapping[str, object]) -> str:
    entry = CATALOGUES[language][id_]
    template = entry if isinstance(entry, str) else entry[part]
    return template.format_map({name: _shown(one, language) for name, one in arguments.items()})


def _kept(argument: object) -> object:
    """What an exception says, in the place of it and all that its traceback holds."""
    if not isinstance(argument, Exception):
        return argument
    said = argument.args[0] if argument.args else None
    return said if isinstance(said, Said) else str(argument)


def _shown(argument: object, language: Language) -> object:
    if isinstance(argument, list | tuple):
        return _COMMA[language].join(str(_shown(one, language)) for one in argument)
    return say(argument, language) if isinstance(argument, str) else argument

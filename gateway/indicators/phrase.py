"""One indicator in words for people: the same for terminal and page."""

from typing import NamedTuple

from gateway.indicators.model import Indicator, Sheet
from gateway.indicators.words import GROUPS, Language, formula_of, name_of, text

MINUTE_S, HOUR_S = 60, 3600
# Their subjects are words of the catalogue; those of others are names that people gave.
WORDED = frozenset(
    {
        "online",
        "alarms",
        "acknowledge",
        "close",
        "notify",
        "reaction",
        "energy",
        "peak",
        "valley",
        "night_load",
    }
)
# Their count is a part of a whole, though their value is not.
SHARES = frozenset(
    {"acknowledge", "close", "reaction", "notify", "unsent", "loss", "refused", "energy_household"}
)


class Phrase(NamedTuple):
    name: str
    formula: str
    value: str
    target: str
    counted: str
    known: str
    verdict: str  # good, bad, open: it has a target; else ""


def phrase(indicator: Indicator, language: Language) -> Phrase:
    name = name_of(indicator.id, language)
    if indicator.subject:
        name += f": {_subject(indicator, language)}"
    return Phrase(
        name, formula_of(indicator.id, language), _value(indicator, language),
        _target(indicator, language), _count(indicator, language),
        "–" if indicator.coverage is None else share(100 * indicator.coverage), verdict(indicator),
    )  # fmt: skip


def verdict(indicator: Indicator) -> str:
    if indicator.target is None:
        return ""
    if indicator.value is None:
        return "open"
    return "good" if indicator.target.met(indicator.value) else "bad"


def grouped(sheet: Sheet) -> dict[str, list[Indicator]]:
    """By group of the page, in its order."""
    return {
        group: [found for id_ in ids for found in sheet.indicators if found.id == id_]
        for group, ids in GROUPS.items()
    }


def share(value: float) -> str:
    """Never rounded up to 100 %: one lost of a million is not all."""
    if 99.95 <= value < 100:
        return "99.9 %"
    return f"{value:.1f} %" if value % 1 else f"{value:.0f} %"


def number(value: float) -> str:
    if value == int(value):
        return f"{int(value):,}"
    return f"{value:,.2f}" if abs(value) >= 1 else f"{value:.3g}"


def duration(seconds: float, language: Language) -> str:
    if seconds < 2 * MINUTE_S:
        return text("seconds", language, n=number(round(seconds, 1)))
    if seconds < 2 * HOUR_S:
        return text("minutes", language, n=number(round(seconds / MINUTE_S)))
    return text("hours_long", language, n=number(round(seconds / HOUR_S, 1)))


def _subject(indicator: Indicator, language: Language) -> str:
    if indicator.id == "online" and indicator.subject == "lights":
        return text("lights_facility", language)
    return text(indicator.subject, language) if indicator.id in WORDED else indicator.subject


def _value(indicator: Indicator, language: Language) -> str:
    if indicator.value is None:
        return text(indicator.why, language)
    if indicator.unit == "%":
        return share(indicator.value)
    if indicator.unit == "s":
        return duration(indicator.value, language)
    return f"{number(indicator.value)} {indicator.unit}".rstrip()


def _target(indicator: Indicator, language: Language) -> str:
    goal = indicator.target
    if goal is None:
        return ""
    word = "at_least" if goal.at_least else "at_most"
    source = text("shipped" if goal.shipped else "set", language)
    return f"{text(word, language, limit=share(goal.limit))} ({source})"


def _count(indicator: Indicator, language: Language) -> str:
    if indicator.numerator is None:
        return "–"
    numerator = number(indicator.numerator)
    if indicator.denominator is None:
        return numerator
    if not indicator.denominator and indicator.value is None:
        return "–"
    word = "of" if indicator.unit == "%" or indicator.id in SHARES else "by"
    return text(word, language, numerator=numerator, denominator=number(indicator.denominator))

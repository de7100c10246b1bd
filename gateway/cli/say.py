"""In which language the command line speaks: that of `--lang`, else of the locale."""

import os
import sys
from contextvars import ContextVar

import orjson

from gateway.errors import ConfigError, Problem
from gateway.words.text import Language, Said, language_of, text
from gateway.words.text import say as say_in

_LANGUAGE: ContextVar[Language] = ContextVar("language", default="en")


def choose(language: str | None) -> None:
    """`language` is what `--lang` says, None without it."""
    _LANGUAGE.set(language_of(language, os.environ))


def language() -> Language:
    return _LANGUAGE.get()


def say(words: str) -> str:
    """`words` in the language of the command line, if they are of the catalogue."""
    return say_in(words, language())


def told(problem: Problem) -> str:
    """A problem with its excerpt below it."""
    excerpt = [f"    {line}" for line in problem.excerpt.splitlines()]
    return "\n".join((problem.said(language()), *excerpt))


def refuse(error: ConfigError) -> None:
    """Every problem, to standard error."""
    for problem in error.problems:
        print(told(problem), file=sys.stderr)


def counted(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def number(count: int, noun: str) -> Said:
    """As `counted`, in each language, of what the catalogue counts."""
    return text(f"count.{noun}", count=count, plural="" if count == 1 else "s")


def show(
    problems: list[Problem], notes: tuple[Problem, ...] | list[Problem], *, as_json: bool
) -> None:
    if as_json:
        found = {
            "problems": [in_language(p) for p in problems],
            "warnings": [in_language(p) for p in notes],
        }
        print(orjson.dumps(found, option=orjson.OPT_INDENT_2).decode())
        return
    for problem in problems:
        print(told(problem))
    for note in notes:
        print(f"{say(text('check.warning'))}{told(note)}")
    if problems:
        print(say(text("check.refused", problems=number(len(problems), "problem"))))


def in_language(problem: Problem) -> dict[str, object]:
    """`id` is that of the catalogue, the same in each language; empty for a text beside it."""
    said = problem._replace(what=say(problem.what), fix=say(problem.fix))
    return {"id": problem.what.id if isinstance(problem.what, Said) else "", **said._asdict()}

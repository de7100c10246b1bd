"""In which language the command line speaks: that of `--lang`, else of the locale."""

import os
import sys
from contextvars import ContextVar

from gateway.errors import ConfigError, Problem
from gateway.words.text import Language, language_of
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

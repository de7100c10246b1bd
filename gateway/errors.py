"""Errors, grouped by what the caller should do about them."""

from typing import NamedTuple

from gateway.words.text import Language, say


class GatewayError(Exception):
    """Base of every error that the gateway raises on purpose; anything else is a bug."""


class Problem(NamedTuple):
    """One thing wrong in a configuration file, and how to put it right.

    `line` and `column` count from 1; 0 means that the whole file is meant. `excerpt`: an expression,
    and below it a mark under what is wrong in it. `what` and `fix` are English, of the catalogue
    (`gateway.words`) or not.
    """

    file: str
    line: int
    column: int
    path: str
    what: str
    fix: str
    excerpt: str = ""

    def __str__(self) -> str:
        return self.said("en")

    def said(self, language: Language) -> str:
        """In one line, as far as the catalogue has its texts in `language`."""
        place = f"{self.file}:{self.line}:{self.column}" if self.line else self.file
        path = f" {self.path}:" if self.path else ""
        colon = "：" if language == "zh" else ": "
        return f"{place}:{path} {say(self.what, language)}{colon}{say(self.fix, language)}"


class ConfigError(GatewayError):
    """The configuration is wrong: stop and show every problem."""

    def __init__(self, problems: list[Problem]) -> None:
        self.problems = sorted(set(problems), key=lambda p: (p.file, p.line, p.column))
        super().__init__("\n".join(str(problem) for problem in self.problems))


class LinkDown(GatewayError):  # noqa: N818 -- a state of the link, named as operators say it
    """The peer does not answer: retry with back-off."""


class TakenOver(LinkDown):
    """The peer let another client in under our identifier, and threw us out."""


class Refused(GatewayError):  # noqa: N818 -- as above
    """The peer answers and says no: retry slowly and show the operator."""


class BadData(GatewayError):  # noqa: N818 -- as above
    """The peer sent something that cannot be understood: count, drop or reconnect."""


class StoreFull(GatewayError):  # noqa: N818 -- as above
    """The store has no room for this item: do not acknowledge it, push back."""


class StoreFailed(GatewayError):  # noqa: N818 -- as above
    """The storage device fails: nothing can be acknowledged until it is back."""


class AlreadyRunning(GatewayError):  # noqa: N818 -- as above
    """Another daemon owns the state directory (exit 73)."""


class StateRefused(GatewayError):  # noqa: N818 -- as above
    """The state directory is not ours to use: wrong owner, wrong path, another gateway (exit 74)."""

"""The Markdown pages as lines that know where they stand."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
_SPAN = re.compile(r"`([^`\n]+)`")


class Line(NamedTuple):
    path: Path
    number: int
    text: str
    language: str = ""  # of the fenced block that it stands in
    fence: int = 0  # line of that block's fence, 0 for prose

    def says(self, what: str) -> str:
        """A finding at this line."""
        return f"{self.path.relative_to(ROOT)}:{self.number}: {what}"

    @property
    def code(self) -> list[str]:
        """Code in backticks, or the line itself in a block of shell commands."""
        if not self.fence:
            return _SPAN.findall(self.text)
        return [self.text.split(" #")[0]] if self.language == "sh" else []

    @property
    def heading(self) -> str | None:
        match = re.match(r"#{1,6} +(.+?) *$", self.text) if not self.fence else None
        return match[1] if match else None


Page = Sequence[Line]


def parse(path: Path) -> Page:
    lines: list[Line] = []
    language, fence = "", 0
    for number, text in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if text.startswith("```"):
            language, fence = ("", 0) if fence else (text[3:].strip(), number)
        else:
            lines.append(Line(path, number, text, language, fence))
    return lines


def pages() -> dict[str, Page]:
    """The pages of the root and of docs/, by their names from there."""
    paths = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
    return {str(path.relative_to(ROOT)): parse(path) for path in paths}


def section(page: Page, title: str) -> Iterator[Line]:
    """The lines below a heading, up to the next one."""
    inside = False
    for line in page:
        if line.heading is not None:
            inside = line.heading == title
        elif inside:
            yield line


def anchors(page: Page) -> set[str]:
    """Fragments of the headings: lower case, punctuation dropped, blanks to `-`."""
    headings = [line.heading for line in page if line.heading]
    return {re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-") for text in headings}

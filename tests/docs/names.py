"""What pages and sources name exists: files, headings, make targets, tests, commands, options."""

import argparse
import re
import subprocess
from collections.abc import Iterator

from gateway.cli.main import build_parser
from gateway.driver import installed
from gateway.profile import names
from tests.docs.pages import ROOT, Line, Page, anchors, parse, section

TARGETS = set(re.findall(r"^([a-z][a-z-]*):", (ROOT / "Makefile").read_text(), re.MULTILINE))
TESTS = {name for path in ROOT.glob("tests/**/test_*.py") for name in re.findall(r"def (test_\w+)", path.read_text())}  # fmt: skip


def _below(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    return {
        name: below
        for action in parser._actions
        if isinstance(action, argparse._SubParsersAction)
        for name, below in action.choices.items()
    }


COMMANDS = _below(build_parser())
# `gateway store` has commands of its own; they are what has options.
SECOND = {name: _below(parser) for name, parser in COMMANDS.items()}
LEAVES = {
    **{name: parser for name, parser in COMMANDS.items() if not SECOND[name]},
    **{f"{name} {second}": p for name, below in SECOND.items() for second, p in below.items()},
}
# In two parts, so that this file does not hold what it forbids.
FORBIDDEN = ("/wo" + "rk/", "shared/" + "design")
_GATEWAY = re.compile(r"(?:^|[ /(])gateway ([a-z][a-z-]*)((?: [^|;&#)]+)?)")


EVERYWHERE = {"-h", "--help", "--lang"}  # told at the top of the page


def options(command: str) -> set[str]:
    return {name for action in LEAVES[command]._actions for name in action.option_strings}


def in_line(line: Line) -> Iterator[str]:
    if not line.fence:
        yield from _links(line)
    for code in line.code:
        for target in re.findall(r"(?:^|[ ;&])make ([a-z][a-z-]*)", code):
            if target not in TARGETS:
                yield line.says(f"no target `make {target}`")
        for first, rest in _GATEWAY.findall(code):
            second = rest.split()[:1] if SECOND.get(first) else []
            name = " ".join([first, *second])
            if name not in LEAVES:
                if name not in COMMANDS:  # `gateway store` alone is a name for all of them
                    yield line.says(f"no command `gateway {name}`")
                continue
            for word in re.findall(r" (-[\w-]+)", rest):
                if word not in options(name):
                    yield line.says(f"`gateway {name}` has no option {word}")
        if re.fullmatch(r"test_\w+", code) and code not in TESTS:
            yield line.says(f"no test {code}")
        if re.fullmatch(r"tests/[\w./]+", code) and not (ROOT / code).exists():
            yield line.says(f"no file {code}")


def _links(line: Line) -> Iterator[str]:
    for target in re.findall(r"\]\(([^)\s]+)\)", line.text):
        name, _, fragment = target.partition("#")
        path = (line.path.parent / name).resolve() if name else line.path
        if name.startswith(("http:", "https:")):
            continue
        if not path.exists():
            yield line.says(f"no file {name}")
        elif fragment and fragment not in anchors(parse(path)):
            yield line.says(f"no heading for #{fragment} in {path.name}")


def told(found: dict[str, Page]) -> Iterator[str]:
    """Every command has its section with its options; profiles and drivers have their place."""
    page = found["docs/commands.md"]
    for name in LEAVES:
        text = " ".join(line.text for line in section(page, f"gateway {name}"))
        missing = [option for option in options(name) - EVERYWHERE if option not in text]
        if missing or not text:
            yield page[0].says(f"section `gateway {name}` lacks {', '.join(missing) or 'all'}")
    spans = {code for page in found.values() for line in page for code in line.code}
    for wanted in {*names([]), *(f"driver: {name}" for name in installed())} - spans:
        yield f"README.md:1: no page tells of `{wanted}`"


def sources() -> Iterator[str]:
    """Pages named in the sources exist; nothing names the places where this was made."""
    if not (ROOT / ".git").exists():  # an unpacked archive: it was looked at where it was made
        return
    command = ["git", "-C", str(ROOT), "ls-files", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    for path in (ROOT / name for name in listed.splitlines()):
        if not path.is_file():
            continue
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
        for line in (Line(path, number, text) for number, text in enumerate(lines, 1)):
            yield from (line.says(f"mentions {word}") for word in FORBIDDEN if word in line.text)
            for name in re.findall(r"docs/[\w./-]+\.md", line.text):
                if path.suffix != ".md" and not (ROOT / name).exists():
                    yield line.says(f"no file {name}")

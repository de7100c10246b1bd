"""Fixtures of rules: `NAME.test.yaml` beside `NAME.yaml`, with devices of their own."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from gateway.calendar import calendar_at
from gateway.case import Case, FilePart
from gateway.case_read import Reader
from gateway.document import Document, Path_, load, suggest
from gateway.errors import ConfigError, Problem
from gateway.own import own_device
from gateway.profile import Profile, find, load_profile, names
from gateway.validate import validate
from gateway.words.text import fault
from rules.load import DeviceView, load_rules
from rules.model import RuleSet

SUFFIX = ".test.yaml"


class Fixture(NamedTuple):
    document: Document
    rules: RuleSet
    devices: Mapping[str, DeviceView]
    cases: tuple[Case, ...]


def fixtures(paths: Sequence[Path]) -> list[Path]:
    """The fixture files among `paths` and in folders among them, each once."""
    found: dict[Path, None] = {}
    for path in paths:
        files = sorted(path.glob(f"**/*{SUFFIX}")) if path.is_dir() else [_fixture_of(path)]
        found |= dict.fromkeys(files)
    return list(found)


def _fixture_of(path: Path) -> Path:
    """A file of rules stands for its fixture."""
    return path if path.name.endswith(SUFFIX) else path.with_name(path.stem + SUFFIX)


def untested(paths: Sequence[Path]) -> Iterator[Path]:
    """The rule files in folders among `paths` that no fixture is named after."""
    for path in paths:
        for file in sorted(path.glob("**/*.yaml")) if path.is_dir() else ():
            if not file.name.endswith(SUFFIX) and not _fixture_of(file).exists():
                yield file


def load_fixture(path: Path) -> Fixture:
    """Read a fixture and the rules that it tests. Raises ConfigError that holds every problem."""
    document = load(path)
    problems: list[Problem] = []
    file = validate(FilePart, document, (), document.value, problems)
    if file is None:
        raise ConfigError(problems)
    devices = _devices(file, document, problems)
    rules = _rules(file, file.rules or [], document, ("rules",), devices, problems, 0)
    if problems:
        raise ConfigError(problems)

    def others(names: Sequence[str], where: Path_) -> RuleSet | None:
        before = len(problems)
        found = _rules(file, names, document, where, devices, problems, before)
        return found if len(problems) == before else None

    reader = Reader(document, rules, devices, problems, file.recipients, others)
    cases = tuple(reader.case(index, test) for index, test in enumerate(file.tests))
    if problems:
        raise ConfigError(problems)
    return Fixture(document, rules, devices, cases)


def _devices(file: FilePart, document: Document, problems: list[Problem]) -> dict[str, DeviceView]:
    here = Path(document.name).parent
    folders = [here / folder for folder in file.profiles]
    loaded: dict[str, Profile] = {}
    own = own_device()
    devices = {own.id: DeviceView(own.id, own.profile, {})}
    for name, part in file.devices.items():
        where = find(part.profile, folders)
        if where is None:
            fix = suggest(part.profile, names(folders))
            unknown = fault("config.no_profile", name=part.profile, fix=fix)
            problems.append(document.problem(("devices", name, "profile"), *unknown))
            continue
        if part.profile not in loaded:
            loaded[part.profile] = load_profile(where)[0]
        profile = loaded[part.profile]
        supervise = profile.supervise if part.supervise is None else part.supervise
        devices[name] = DeviceView(name, profile, part.tags, part.limits, {}, supervise)
    return devices


def _rules(
    file: FilePart, files: Sequence[str], document: Document, where: Path_,
    devices: Mapping[str, DeviceView], problems: list[Problem], before: int,
) -> RuleSet:  # fmt: skip
    """Of `files`, which stand at `where`; of the one that the fixture is named after, without any. None
    of use with more than `before` problems.
    """
    path = Path(document.name)
    named = bool(files)
    files = files or [path.name.removesuffix(SUFFIX) + ".yaml"]
    documents = []
    for index, name in enumerate(files):
        try:
            documents.append(load(path.parent / name))
        except ConfigError as error:
            problems += error.problems
            if named:
                unusable = fault("case.rules", name=name)
                problems.append(document.problem((*where, index), *unusable))
    if len(problems) > before:
        return RuleSet()
    rules, found = load_rules(
        documents,
        list(devices.values()),
        file.recipients,
        calendar_at(file.gateway.timezone, file.gateway.location),
    )
    problems += found
    return rules

"""Device profiles: one YAML file per device model, the same `points` whatever the protocol.

A profile says what a device shows and takes, in which units and limits; `at` says where, in the
terms of its protocol, and is read by that protocol's driver. docs/profiles.md is the reference.
"""

from collections.abc import Iterable, Sequence
from importlib.resources import files
from pathlib import Path

from gateway.document import Document, load, mapping_at
from gateway.errors import ConfigError, Problem
from gateway.point import Address, Exact, Number, Point, PointName, Reading, SeverityName
from gateway.profile_check import problems_of
from gateway.profile_model import (
    Array,
    CommandSpec,
    Confirm,
    Identity,
    Limits,
    Placed,
    Plausible,
    Profile,
    Variable,
    Variant,
    Vector,
)
from gateway.validate import validate
from gateway.words.text import fault

__all__ = [
    "FACILITIES", "NOT_YET", "Address", "Array", "CommandSpec", "Confirm", "Exact", "Identity", "Limits",
    "Number", "Placed", "Plausible", "Point", "PointName", "Profile", "Reading", "SeverityName", "Variable",
    "Variant", "Vector", "find", "load_profile", "names", "own_files", "shipped_folder",
]  # fmt: skip

FACILITIES = ("access", "lifts", "fire", "video", "pipes", "environment", "utilities", "billboards",
              "parking", "charging", "home", "lights", "buildings")  # fmt: skip
# Keys of the profile format that later versions bring: refused, never ignored.
NOT_YET = frozenset({"match", "sensitive"})


def shipped_folder() -> Path:
    """The folder of the profiles that come with the gateway."""
    return Path(str(files("configs").joinpath("profiles")))


def find(name: str, folders: Sequence[Path]) -> Path | None:
    """The file of profile `name`: the site's folders first, then the shipped one."""
    for folder in (*folders, shipped_folder()):
        path = folder / f"{name}.yaml"
        if path.is_file():
            return path
    return None


def names(folders: Iterable[Path]) -> list[str]:
    return sorted({path.stem for folder in (*folders, shipped_folder()) for path in folder.glob("*.yaml")})  # fmt: skip


def own_files(folders: Iterable[Path]) -> list[Path]:
    """The files of all profiles that did not come with the gateway."""
    return [path for folder in folders for path in sorted(folder.glob("*.yaml"))]


def load_profile(path: Path) -> tuple[Profile, Document]:
    """Read one profile. Raises ConfigError with every problem found."""
    document = load(path)
    problems: list[Problem] = []
    profile = validate(Profile, document, (), document.value, problems, not_yet=NOT_YET)
    if profile is not None:
        problems += problems_of(profile, document, path)
    elif not mapping_at(document.value):
        problems = [document.problem((), *fault("profile.none"))]
    if problems or profile is None:
        raise ConfigError(problems)
    return profile, document


def readable(folders: Sequence[Path], protocol: str) -> tuple[list[Profile], list[Problem]]:
    """The profiles of a protocol, shipped ones too, and the first problem of each file that cannot be read."""
    found, broken = [], []
    for name in names(folders):
        path = find(name, folders)
        try:
            profile = load_profile(path)[0] if path is not None else None
        except ConfigError as error:
            broken.append(error.problems[0])
            continue
        if profile is not None and profile.protocol == protocol:
            found.append(profile)
    return found, broken

"""Scenes: what several devices are to show together, under a name that steps use."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from gateway.document import Document, Path_, suggest
from gateway.errors import Problem
from gateway.model import Value
from gateway.words.text import fault
from rules.check import Report, setting_value
from rules.section import RuleFile
from rules.select import Site


class SceneWrite(NamedTuple):
    device: str
    point: str
    value: Value
    idempotent: bool


Scenes = Mapping[str, Sequence[SceneWrite]]


def scenes_of(
    files: Sequence[tuple[RuleFile, Document]], site: Site, problems: list[Problem]
) -> Scenes:
    """Those of all rule files; what is wrong with them is added to `problems`."""
    found: dict[str, list[SceneWrite]] = {}
    first: dict[str, str] = {}
    for file, document in files:
        for name in file.scenes:
            path: Path_ = ("scenes", name)
            if name in first:
                twice = fault("rule.scene_twice", name=name, first=first[name])
                problems.append(document.problem(path, *twice, key=True))
                continue
            line, column = document.place(path)
            first[name] = f"{document.name}:{line}:{column}"
            report = Report(document, path)
            found[name] = _writes(file, name, site, report)
            problems += report.problems
    return found


def _writes(file: RuleFile, name: str, site: Site, report: Report) -> list[SceneWrite]:
    found: dict[tuple[str, str], SceneWrite] = {}
    for index, entry in enumerate(file.scenes[name]):
        device = site.device(entry.device)
        if device is None:
            fix = suggest(entry.device, site.names)
            report.problem((index, "device"), *fault("value.no_device", name=entry.device, fix=fix))
            continue
        if (entry.device, entry.point) in found:
            report.problem((index, "point"), *fault("rule.scene_point", point=entry.point))
        value = setting_value((index,), entry.point, entry.value, device.profile, report)
        if value is not None:
            idempotent = device.profile.by_command[entry.point].idempotent
            write = SceneWrite(entry.device, entry.point, value, idempotent)
            found[entry.device, entry.point] = write
    return list(found.values())

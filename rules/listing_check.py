"""`digest` of a rule: what it lists, checked once and bound for each instance."""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from gateway.document import Within, suggest
from gateway.words.text import fault
from rules.check import Report
from rules.formula import Formula, Scope
from rules.listing import Cell, Digest, Row
from rules.meaning import meaning, meanings
from rules.parse import parse
from rules.predicate import Predicate
from rules.section import DigestSection, Group, RuleSection
from rules.select import DeviceView
from rules.tree import RuleError

Aliases = Mapping[str, Sequence[DeviceView]]


class Listed(NamedTuple):
    """`columns`: tags have no formula."""

    where: Formula
    columns: tuple[tuple[str, Formula | None], ...]


def digest_meant(
    section: RuleSection, aliases: Aliases, scope: Scope, report: Report
) -> Listed | None:
    """None without `digest`, and after a problem."""
    digest = section.digest
    if digest is None:
        return None
    if not isinstance(section.with_.get(digest.list_), Group):
        groups = [name for name, one in section.with_.items() if isinstance(one, Group)]
        said = fault("digest.no_group", name=digest.list_, fix=suggest(digest.list_, groups))
        report.problem(("digest", "list"), *said)
        return None
    alias = scope.aliases[digest.list_]._replace(group=False)
    single = scope._replace(aliases={**scope.aliases, digest.list_: alias})
    before = len(report.problems)
    where = _where(digest, single, report)
    devices = aliases[digest.list_]
    columns = [
        (name, _column(index, name, digest, devices, single, report))
        for index, name in enumerate(digest.columns)
    ]
    return None if where is None or len(report.problems) > before else Listed(where, tuple(columns))


def _where(digest: DigestSection, scope: Scope, report: Report) -> Formula | None:
    parts = [(part.node, part.text) for part in digest.where.parts]
    found, failed = meanings(parts, scope, digest.where.join)
    for index, error in failed:
        part = digest.where.parts[index]
        within = Within(part.text, error.start, error.end)
        report.problem(("digest", "where", *part.path), error.what, error.fix, within=within)
    return found


def _column(
    index: int, name: str, digest: DigestSection, devices: Sequence[DeviceView], scope: Scope,
    report: Report,
) -> Formula | None:  # fmt: skip
    """A point that all devices have, or a tag that some have."""
    points = {point for device in devices for point in device.profile.by_id}
    tags = {tag for device in devices for tag in device.tags}
    path = ("digest", "columns", index)
    if name in points:
        text = f"{digest.list_}.{name}"
        try:
            return meaning(parse(text), scope, text)
        except RuleError as error:
            report.problem(path, error.what, error.fix)
    elif name not in tags and devices:
        said = fault("digest.no_column", name=name, fix=suggest(name, sorted(points | tags)))
        report.problem(path, *said)
    return None


def digest_bound(
    listed: Listed, section: DigestSection, devices: Sequence[DeviceView],
    bind: Callable[[Formula, DeviceView], Predicate],
) -> Digest:  # fmt: skip
    """`bind` binds a formula with a device in the place of the group."""
    rows = []
    for device in sorted(devices, key=lambda one: one.id):
        cells = [
            Cell(name, device.tags.get(name, "-"))
            if formula is None
            else Cell(name, bind(formula, device), _unit(device, name))
            for name, formula in listed.columns
        ]
        rows.append(Row(device.id, bind(listed.where, device), tuple(cells)))
    return Digest(tuple(rows), section.max)


def _unit(device: DeviceView, point: str) -> str:
    unit = device.profile.by_id[point].unit
    return "" if unit == "1" else unit

"""Does a profile fit together, whatever its protocol? The driver of the protocol checks the rest."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from gateway.document import Document, suggest
from gateway.errors import Problem
from gateway.point import Point, is_name
from gateway.profile_choice import UnsettledError, assumed_variables, settled
from gateway.profile_model import Array, Placed, Plausible, Profile, Variant
from gateway.units import UNITS

Path_ = tuple[str | int, ...]
Fault = tuple[Path_, str, str]  # where, what is wrong, how to mend it

# What everything but the driver reads: a point is the same in each variant that has it.
_COMMON = ("unit", "kind", "min", "max", "integer", "severity", "stale_after", "latched", "report")
_COMMON_BITS = 64


def problems_of(profile: Profile, document: Document, path: Path) -> list[Problem]:
    """Everything that is wrong with the profile, which `document` holds."""
    found = list(_faults(profile, path)) or list(_usual(profile))
    return [document.problem(*fault) for fault in found]


def _faults(profile: Profile, path: Path) -> Iterator[Fault]:
    if profile.profile != path.stem:
        what = f"profile '{profile.profile}' in a file called {path.name}"
        yield ("profile",), what, f"write {path.stem} or rename the file"
    if not profile.placed:
        what = "no point, at least 1 is needed" if "own_points" in profile.model_fields_set else "missing"  # fmt: skip
        yield ("points",), what, "add this key, `arrays:` or `variants:`"
    yield from _twice(profile)
    for placed in profile.placed:
        for key, what, fix in _point(placed, profile):
            yield (*placed.path, *key), what, fix
    yield from _plausible(("plausible",), profile.plausible, profile.by_id)
    yield from _variants(profile)
    yield from _variables(profile)
    yield from _alarms(profile)
    yield from _commands(profile)
    yield from _vectors(profile)


def _twice(profile: Profile) -> Iterator[Fault]:
    """Within one variant (with what all have) each id stands once."""
    own = {point.id for one in profile.placed if one.variant is None for point in one.points}
    seen: dict[str | None, set[str]] = {v.name: set(own) for v in profile.variants}
    seen[None] = set()
    for one in profile.placed:
        known = seen[one.variant.name if one.variant is not None else None]
        for point in one.points:
            if point.id in known:
                yield (*one.path, "id"), f"point '{point.id}' twice", "remove one"
                break
            known.add(point.id)


def _point(placed: Placed, profile: Profile) -> Iterator[Fault]:
    """Paths are below the point."""
    point, known = placed.written, profile.variables.keys()
    if point.report is not None and (misfit := point.misfit(point.report)):
        yield ("report",), *misfit
    for name in sorted((point.formula.names if point.formula else frozenset()) - known):
        yield ("scale",), f"no variable '{name}'", suggest(name, known) if known else "add it under `vars`"  # fmt: skip
    yield from _unit_from(point, known)
    if point.bits is not None:
        yield from _bits(point)
    if len(point.contested) == 1:
        yield ("contested",), "only one reading", "add the other one, or write its keys as the point's"  # fmt: skip
    if placed.variant is not None:
        yield from _as_elsewhere(placed, profile)


def _unit_from(point: Point, known: Iterable[str]) -> Iterator[Fault]:
    if (point.unit_from is None) != (not point.units):
        yield (), "`unit_from` and `units` belong together", "add the other one, or remove both"
        return
    if point.unit_from is not None and point.unit_from not in known:
        yield ("unit_from",), f"no variable '{point.unit_from}'", suggest(point.unit_from, known)
    for code, unit in point.units.items():
        if not code.isdecimal():
            yield ("units", code), f"'{code}' is no code", "write the number that the device shows"
        elif UNITS[unit].dimension != UNITS[point.unit].dimension:
            have, want = UNITS[unit].dimension, UNITS[point.unit].dimension
            what = f"{unit} is a {have}, {point.id} is a {want} ({point.unit})"
            yield ("units", code), what, "remove it: another quantity is another point"


def _bits(point: Point) -> Iterator[Fault]:
    if isinstance(point, Array):
        yield ("bits",), "bits of an array", "write an array for each bit, with `bit:` in its `at`"
    for key in (
        "unit",
        "scale",
        "offset",
        "min",
        "max",
        "enum",
        "integer",
        "sentinels",
        "contested",
    ):
        if key in point.model_fields_set:
            yield (key,), f"{key} of bits, which are true or false", "remove it"
    for number, name in (point.bits or {}).items():
        if not number.isdecimal() or int(number) >= _COMMON_BITS:
            yield ("bits", number), f"'{number}' is no bit", "write 0 (the least significant) to 63"
        if not is_name(name):
            fix = "use a-z, 0-9 and '_': the point is called by it"
            yield ("bits", number), f"'{name}' is no name", fix
    names = list((point.bits or {}).values())
    for number, name in (point.bits or {}).items():
        if names.count(name) > 1:
            yield ("bits", number), f"'{name}' twice", "give each bit a name of its own"


def _as_elsewhere(placed: Placed, profile: Profile) -> Iterator[Fault]:
    for point in placed.points:
        first = profile.by_id[point.id]
        for key in _COMMON:
            if getattr(first, key) != getattr(point, key):
                what = f"'{point.id}' has another {key} in another variant"
                yield (key,) if key in point.model_fields_set else (), what, "write the same in all of them"  # fmt: skip
        if set((first.enum or {}).values()) != set((point.enum or {}).values()):
            what = f"'{point.id}' has other texts in another variant"
            yield ("enum",), what, "write the same in all of them"


def _plausible(
    path: Path_, limits: Iterable[Plausible], points: Mapping[str, Point]
) -> Iterator[Fault]:
    for index, limit in enumerate(limits):
        if limit.point not in points:
            at = (*path, index, "point")
            yield at, f"unknown point '{limit.point}'", suggest(limit.point, points)
        elif limit.min > limit.max:
            at = (*path, index, "max")
            yield at, f"no number is in {limit.min} to {limit.max}", "swap min and max"


def _variants(profile: Profile) -> Iterator[Fault]:
    names: set[str] = set()
    for index, variant in enumerate(profile.variants):
        path = ("variants", index)
        if variant.name in names:
            yield (*path, "name"), f"variant '{variant.name}' twice", "choose another name"
        names.add(variant.name)
        others = [v for v in profile.variants if v.part == variant.part]
        if len(others) < 2:
            part = f" of part '{variant.part}'" if variant.part else ""
            yield path, f"the only variant{part}", "write its points under `points`"
        elif not variant.identity and not variant.plausible:
            what = f"nothing tells variant '{variant.name}' from the others"
            yield path, what, "add `identity` or `plausible`"
        yield from _plausible((*path, "plausible"), variant.plausible, _own(profile, variant))


def _own(profile: Profile, variant: Variant) -> Mapping[str, Point]:
    places = (one for one in profile.placed if one.variant is None or one.variant is variant)
    return {point.id: point for one in places for point in one.points}


def _variables(profile: Profile) -> Iterator[Fault]:
    used = {one.written.unit_from for one in profile.placed}
    for one in profile.placed:
        used |= one.written.formula.names if one.written.formula else set()
    for name, variable in profile.variables.items():
        path = ("vars", name)
        low, high = variable.min, variable.max
        if name not in used:
            yield path, f"no point needs variable '{name}'", "use it in a scale, or remove it"
        if low is not None and high is not None and low > high:
            yield (*path, "max"), f"no number is in {low} to {high}", "swap min and max"
        if variable.default is not None and not _between(variable.default, low, high):
            yield (
                (*path, "default"),
                f"{variable.default} is outside its limits",
                "mend one of them",
            )


def _usual(profile: Profile) -> Iterator[Fault]:
    """With what the variables usually are, scales must come to something."""
    usual = assumed_variables(profile)
    names = [variant.name for variant in profile.variants]
    for chosen in [[name] for name in names] or [[]]:
        try:
            settled(profile, chosen, usual)
        except UnsettledError as error:
            fix = "give each variable a `default` or `min` that it may have"
            yield ("vars",), str(error), fix
            return


def _between(number: float, low: float | None, high: float | None) -> bool:
    return (low is None or number >= low) and (high is None or number <= high)


def _alarms(profile: Profile) -> Iterator[Fault]:
    ids: set[str] = set()
    for index, rule in enumerate(profile.alarm_rules):
        if rule.id in ids:
            yield ("alarms", index, "id"), f"alarm '{rule.id}' twice", "remove one"
        ids.add(rule.id)


def _commands(profile: Profile) -> Iterator[Fault]:
    written: set[str] = set()
    for index, command in enumerate(profile.commands):
        path: Path_ = ("commands", index)
        for key, name in (("point", command.point), ("confirm", command.confirm.point)):
            if name is not None and name not in profile.by_id:
                yield (*path, key), f"unknown point '{name}'", suggest(name, profile.by_id)
        if command.point in written:
            what = f"point '{command.point}' is written by two commands"
            yield (*path, "point"), what, "remove one"
        written.add(command.point)
        yield from _open_scale(path, command.point, profile)


def _open_scale(path: Path_, name: str, profile: Profile) -> Iterator[Fault]:
    """What is written is computed before the device was asked."""
    found = [p for one in profile.placed for p in one.points if p.id == name]
    scales = {(point.scale, point.offset) for point in found}
    if len(scales) > 1 or any(point.formula or point.unit_from for point in found):
        what = f"the scale of '{name}' is known at first contact only"
        yield (*path, "point"), f"{what}: such points cannot be written", "remove this command"


def _vectors(profile: Profile) -> Iterator[Fault]:
    names = [variant.name for variant in profile.variants]
    for index, vector in enumerate(profile.vectors):
        path = ("vectors", index)
        for name in vector.variants:
            if name not in names:
                yield (*path, "variant"), f"unknown variant '{name}'", suggest(name, names)
        for name in vector.variables:
            if name not in profile.variables:
                known = profile.variables
                yield (*path, "vars", name), f"no variable '{name}'", suggest(name, known)

"""Does a profile fit together, whatever its protocol? The driver of the protocol checks the rest."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from gateway.document import Document, suggest
from gateway.errors import Problem
from gateway.point import Point, is_name
from gateway.profile_choice import UnsettledError, assumed_variables, settled
from gateway.profile_model import Array, Placed, Plausible, Profile, Variant
from gateway.units import UNITS
from gateway.words.text import fault, text

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
        misnamed = fault("profile.misnamed", name=profile.profile, file=path.name, stem=path.stem)
        yield ("profile",), *misnamed
    if not profile.placed:
        empty = "own_points" in profile.model_fields_set
        yield ("points",), *fault("profile.no_point" if empty else "profile.missing")
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
                yield (*one.path, "id"), *fault("profile.twice", id=point.id)
                break
            known.add(point.id)


def _point(placed: Placed, profile: Profile) -> Iterator[Fault]:
    """Paths are below the point."""
    point, known = placed.written, profile.variables.keys()
    if point.report is not None and (misfit := point.misfit(point.report)):
        yield ("report",), *misfit
    for name in sorted((point.formula.names if point.formula else frozenset()) - known):
        fix = suggest(name, known) if known else text("profile.add_variable")
        yield ("scale",), *fault("profile.no_variable", name=name, fix=fix)
    yield from _unit_from(point, known)
    if point.bits is not None:
        yield from _bits(point)
    if len(point.contested) == 1:
        yield ("contested",), *fault("profile.one_reading")
    if placed.variant is not None:
        yield from _as_elsewhere(placed, profile)


def _unit_from(point: Point, known: Iterable[str]) -> Iterator[Fault]:
    if (point.unit_from is None) != (not point.units):
        yield (), *fault("profile.unit_from")
        return
    if point.unit_from is not None and point.unit_from not in known:
        fix = suggest(point.unit_from, known)
        yield ("unit_from",), *fault("profile.no_variable", name=point.unit_from, fix=fix)
    for code, unit in point.units.items():
        if not code.isdecimal():
            yield ("units", code), *fault("profile.unit_code", code=code)
        elif UNITS[unit].dimension != UNITS[point.unit].dimension:
            have, want = (text(f"dimension.{UNITS[u].dimension}") for u in (unit, point.unit))
            other = fault(
                "profile.quantity", unit=unit, have=have, id=point.id, want=want, own=point.unit
            )
            yield ("units", code), *other


def _bits(point: Point) -> Iterator[Fault]:
    if isinstance(point, Array):
        yield ("bits",), *fault("profile.array_bits")
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
            yield (key,), *fault("profile.of_bits", key=key)
    for number, name in (point.bits or {}).items():
        if not number.isdecimal() or int(number) >= _COMMON_BITS:
            yield ("bits", number), *fault("profile.no_bit", number=number)
        if not is_name(name):
            yield ("bits", number), *fault("profile.bit_name", name=name)
    names = list((point.bits or {}).values())
    for number, name in (point.bits or {}).items():
        if names.count(name) > 1:
            yield ("bits", number), *fault("profile.bit_twice", name=name)


def _as_elsewhere(placed: Placed, profile: Profile) -> Iterator[Fault]:
    for point in placed.points:
        first = profile.by_id[point.id]
        for key in _COMMON:
            if getattr(first, key) != getattr(point, key):
                differs = fault("profile.differs", id=point.id, key=key)
                yield (key,) if key in point.model_fields_set else (), *differs
        if set((first.enum or {}).values()) != set((point.enum or {}).values()):
            yield ("enum",), *fault("profile.other_texts", id=point.id)


def _plausible(
    path: Path_, limits: Iterable[Plausible], points: Mapping[str, Point]
) -> Iterator[Fault]:
    for index, limit in enumerate(limits):
        if limit.point not in points:
            unknown = fault(
                "profile.unknown_point", name=limit.point, fix=suggest(limit.point, points)
            )
            yield (*path, index, "point"), *unknown
        elif limit.min > limit.max:
            yield (*path, index, "max"), *fault("profile.swapped", low=limit.min, high=limit.max)


def _variants(profile: Profile) -> Iterator[Fault]:
    names: set[str] = set()
    for index, variant in enumerate(profile.variants):
        path = ("variants", index)
        if variant.name in names:
            yield (*path, "name"), *fault("profile.variant_twice", name=variant.name)
        names.add(variant.name)
        others = [v for v in profile.variants if v.part == variant.part]
        if len(others) < 2:
            only = "profile.only_of_part" if variant.part else "profile.only_variant"
            yield path, *fault(only, **({"part": variant.part} if variant.part else {}))
        elif not variant.identity and not variant.plausible:
            yield path, *fault("profile.alike", name=variant.name)
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
            yield path, *fault("profile.unused", name=name)
        if low is not None and high is not None and low > high:
            yield (*path, "max"), *fault("profile.swapped", low=low, high=high)
        if variable.default is not None and not _between(variable.default, low, high):
            yield (*path, "default"), *fault("profile.default", number=variable.default)


def _usual(profile: Profile) -> Iterator[Fault]:
    """With what the variables usually are, scales must come to something."""
    usual = assumed_variables(profile)
    names = [variant.name for variant in profile.variants]
    for chosen in [[name] for name in names] or [[]]:
        try:
            settled(profile, chosen, usual)
        except UnsettledError as error:
            yield ("vars",), *fault("profile.unsettled", why=error)
            return


def _between(number: float, low: float | None, high: float | None) -> bool:
    return (low is None or number >= low) and (high is None or number <= high)


def _alarms(profile: Profile) -> Iterator[Fault]:
    ids: set[str] = set()
    for index, rule in enumerate(profile.alarm_rules):
        if rule.id in ids:
            yield ("alarms", index, "id"), *fault("profile.alarm_twice", id=rule.id)
        ids.add(rule.id)


def _commands(profile: Profile) -> Iterator[Fault]:
    written: set[str] = set()
    for index, command in enumerate(profile.commands):
        path: Path_ = ("commands", index)
        for key, name in (("point", command.point), ("confirm", command.confirm.point)):
            if name is not None and name not in profile.by_id:
                fix = suggest(name, profile.by_id)
                yield (*path, key), *fault("profile.unknown_point", name=name, fix=fix)
        if command.point in written:
            yield (*path, "point"), *fault("profile.two_commands", name=command.point)
        written.add(command.point)
        yield from _open_scale(path, command.point, profile)


def _open_scale(path: Path_, name: str, profile: Profile) -> Iterator[Fault]:
    """What is written is computed before the device was asked."""
    found = [p for one in profile.placed for p in one.points if p.id == name]
    scales = {(point.scale, point.offset) for point in found}
    if len(scales) > 1 or any(point.formula or point.unit_from for point in found):
        yield (*path, "point"), *fault("profile.open_scale", name=name)


def _vectors(profile: Profile) -> Iterator[Fault]:
    names = [variant.name for variant in profile.variants]
    for index, vector in enumerate(profile.vectors):
        path = ("vectors", index)
        for name in vector.variants:
            if name not in names:
                fix = suggest(name, names)
                yield (*path, "variant"), *fault("profile.unknown_variant", name=name, fix=fix)
        for name in vector.variables:
            if name not in profile.variables:
                fix = suggest(name, profile.variables)
                yield (*path, "vars", name), *fault("profile.no_variable", name=name, fix=fix)

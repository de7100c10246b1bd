"""From the profile of a model to the map of one device. Pure.

A profile may leave open which of several maps a device has (`variants`), what a scale depends on
(`vars`), in which unit it counts (`unit_from`), and which of two sources is right (`contested`).
Here it all becomes plain points, once it is known.
"""

from collections.abc import Iterator, Mapping, Sequence
from decimal import Context, Decimal
from typing import Any, NamedTuple

from gateway.document import suggest
from gateway.point import Point
from gateway.profile_model import Placed, Profile, Variable, Variant
from gateway.units import UNITS
from gateway.words.text import Said, text

Variables = Mapping[str, Decimal]
Fault = tuple[tuple[str, ...], str, str]  # path in the device's section, what, fix

_EXACT = Context(prec=60)
# Keys that have done their work once a point is settled.
_OPEN: dict[str, Any] = {"formula": None, "unit_from": None, "units": {}, "contested": {}}
_KEPT = 512  # settled profiles; meters with their own transformer ratios have one each

_known: dict[tuple[int, object], tuple[Profile, Profile]] = {}


class UnsettledError(ValueError):
    """What was read does not fit the profile; `said` tells what."""

    def __init__(self, said: Said) -> None:
        super().__init__(said)
        self.said = said


class Part(NamedTuple):
    """The variants of one part of a map: exactly one of them is right."""

    name: str
    variants: tuple[Variant, ...]


def parts(profile: Profile) -> list[Part]:
    found: dict[str, list[Variant]] = {}
    for variant in profile.variants:
        found.setdefault(variant.part, []).append(variant)
    return [Part(name, tuple(variants)) for name, variants in found.items()]


def is_open(profile: Profile) -> bool:
    """What its points are is not known before the device was asked."""
    return bool(profile.variants or profile.variables)


def settled(profile: Profile, variants: Sequence[str], variables: Variables) -> Profile:
    """The map with these variants (of other parts: none) and values: no choices are left in it.

    Devices for which the same is chosen share it. Raises UnsettledError.
    """
    if not is_open(profile):
        return profile
    key = id(profile), (tuple(variants), tuple(sorted(variables.items())))
    found = _known.get(key)
    if found is None:
        if len(_known) >= _KEPT:
            _known.clear()
        found = _known[key] = profile, _settled(profile, variants, variables)
    return found[1]


def decided(profile: Profile, decisions: Mapping[str, str]) -> Profile:
    """Every contested point as its decision says; one without keeps its own keys."""
    if not contested(profile):
        return profile
    key = id(profile), tuple(sorted(decisions.items()))
    found = _known.get(key)
    if found is None:
        if len(_known) >= _KEPT:
            _known.clear()
        found = _known[key] = profile, _decided(profile, decisions)
    return found[1]


def contested(profile: Profile) -> dict[str, list[str]]:
    """The choices of every contested point."""
    return {
        point.id: list(point.contested)
        for one in profile.placed
        for point in one.points
        if point.contested
    }


def assumed(profile: Profile, variants: Sequence[str], variables: Variables) -> Profile:
    """A map that the device may have: for plans and simulators, before anybody has asked it.

    The first variant of each part for which `variants` names none, and for the variables that are
    not given their default, or a number that they may have.
    """
    chosen = [_named(part, variants) or part.variants[0].name for part in parts(profile)]
    usual = assumed_variables(profile)
    try:
        return settled(profile, chosen, {**usual, **variables})
    except UnsettledError:  # what was given fits nothing: first contact, or the check, says so
        return settled(profile, chosen, usual)


def assumed_variables(profile: Profile) -> dict[str, Decimal]:
    codes: dict[str, str] = {}
    for one in profile.placed:
        if one.written.unit_from is not None:
            codes.setdefault(one.written.unit_from, next(iter(one.written.units)))
    return {n: _assumed(v, codes.get(n)) for n, v in profile.variables.items()}


def faults(profile: Profile, decisions: Mapping[str, str]) -> Iterator[Fault]:
    """What is wrong with `decisions` of a device: contested points are never read by a guess."""
    wanted = contested(profile)
    for name, choices in wanted.items():
        if name not in decisions:
            what = f"sources disagree about {name} of profile '{profile.profile}'"
            fix = f"find out which is right, then add decisions: {{{name}: {' | '.join(choices)}}}"
            yield (), what, fix
    for name, choice in decisions.items():
        if name not in wanted:
            what = f"nothing is contested about '{name}' in profile '{profile.profile}'"
            yield ("decisions", name), what, suggest(name, wanted)
        elif choice not in wanted[name]:
            yield ("decisions", name), f"no choice '{choice}'", suggest(choice, wanted[name])


def _named(part: Part, variants: Sequence[str]) -> str | None:
    return next((variant.name for variant in part.variants if variant.name in variants), None)


def _assumed(variable: Variable, code: str | None) -> Decimal:
    for number in (variable.default, code, variable.min):
        if number is not None:
            return Decimal(str(number))
    return Decimal(1)


def _settled(profile: Profile, variants: Sequence[str], variables: Variables) -> Profile:
    chosen = [variant for variant in profile.variants if variant.name in variants]
    taken = (one for one in profile.placed if one.variant is None or one.variant.name in variants)
    points = [point for one in taken for point in one.points]
    return _copied(
        profile, arrays=[], variants=[], variables={},
        own_points=[_plain(point, variables) for point in points],
        identity=[*profile.identity, *(probe for v in chosen for probe in v.identity)],
        plausible=[*profile.plausible, *(limit for v in chosen for limit in v.plausible)],
    )  # fmt: skip


def _decided(profile: Profile, decisions: Mapping[str, str]) -> Profile:
    def of(variant: Variant | None) -> list[Point]:
        """Elements and bits are points of their own by now."""
        places: list[Placed] = [one for one in profile.placed if one.variant is variant]
        return [_choose(point, decisions.get(point.id)) for one in places for point in one.points]

    variants = [v.model_copy(update={"points": of(v)}) for v in profile.variants]
    return _copied(profile, variants=variants, own_points=of(None), arrays=[])


def _copied(profile: Profile, **changes: object) -> Profile:
    """Made anew, so that nothing that was worked out of the old one is taken along."""
    values: dict[str, Any] = {name: getattr(profile, name) for name in Profile.model_fields}
    return Profile.model_construct(**{**values, **changes})


def _choose(point: Point, choice: str | None) -> Point:
    if not point.contested:
        return point
    reading = point.contested.get(choice or "")
    given = reading.model_fields_set if reading is not None else frozenset[str]()
    changes = {name: getattr(reading, name) for name in given} | {"contested": {}}
    if "scale" in given:
        changes["formula"] = None
    return point.model_copy(update=changes)


def _plain(point: Point, variables: Variables) -> Point:
    """`point` with the numbers that its scale and its unit come to, once all they need is known."""
    needed = set(point.formula.names) if point.formula is not None else set()
    needed |= {point.unit_from} if point.unit_from is not None else set()
    if not needed or needed - variables.keys():
        return point
    scale, offset = point.scale, point.offset
    if point.formula is not None:
        scale = _computed(point, variables)
    if point.unit_from is not None:
        scale, offset = _converted(point, scale, offset, variables[point.unit_from])
    values = {name: getattr(point, name) for name in Point.model_fields}
    values |= {**_OPEN, "scale": scale, "offset": offset}
    return Point.model_construct(point.model_fields_set - _OPEN.keys(), **values)


def _computed(point: Point, variables: Variables) -> Decimal:
    formula = point.formula
    if formula is None:
        return point.scale
    try:
        scale = formula.value(variables)
    except ValueError as error:
        raise UnsettledError(text("settled.formula", id=point.id, why=error)) from error
    if scale == 0:
        shown = [f"{name} = {variables[name]}" for name in sorted(formula.names)]
        zero = text("settled.zero", id=point.id, scale=formula.text, shown=shown)
        raise UnsettledError(zero)
    return scale


def _converted(
    point: Point, scale: Decimal, offset: Decimal, code: Decimal
) -> tuple[Decimal, Decimal]:
    """Scale and offset that give the unit of the point, for a device that counts in unit `code`."""
    source = point.units.get(str(code))
    if source is None:
        known = [f"{number} ({unit})" for number, unit in point.units.items()]
        raise UnsettledError(text("settled.code", id=point.id, code=code, known=known))
    have, want = UNITS[source], UNITS[point.unit]
    factor, target = _decimal(have.factor), _decimal(want.factor)
    shift = _decimal(have.offset) - _decimal(want.offset)
    moved = _EXACT.add(_EXACT.multiply(offset, factor), shift)
    return (
        _EXACT.divide(_EXACT.multiply(scale, factor), target),
        _EXACT.divide(moved, target),
    )


def _decimal(number: float) -> Decimal:
    return Decimal(repr(number))

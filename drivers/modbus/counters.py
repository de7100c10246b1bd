"""Where the registers of counters wrap, in the unit of their points. Pure."""

from collections.abc import Mapping

from drivers.modbus.address import Type
from drivers.modbus.plan import Target, targets
from gateway.profile import Profile

_INTEGERS = frozenset({Type.U16, Type.I16, Type.U32, Type.I32, Type.U64})


def ranges(profile: Profile) -> Mapping[str, tuple[float, float]]:
    """(lowest, highest) of each counter in an integer register whose scale is one number.

    Others wrap nowhere that is known: a float loses its last digits long before, and what a scale
    with variables makes of a register is known only when these were read. `min` and `max` of the
    point are where the device itself begins again, 999999.99 for many.
    """
    counters = (target for target in targets(profile).values() if target.point.kind == "counter")
    return {target.point.id: _range(target) for target in counters if _wraps(target)}


def _wraps(target: Target) -> bool:
    point = target.point
    fixed = point.formula is None and point.unit_from is None and not point.contested
    return target.address.type in _INTEGERS and fixed


def _range(target: Target) -> tuple[float, float]:
    point = target.point
    ends = sorted(float(raw * point.scale + point.offset) for raw in target.address.type.limits)
    low = ends[0] if point.min is None else max(ends[0], point.min)
    high = ends[1] if point.max is None else min(ends[1], point.max)
    return low, high

"""Every edge of every shipped Modbus profile: limits, states, sentinels, variants. Generated."""

import math
from collections.abc import Iterator
from decimal import Decimal
from typing import NamedTuple

import pytest

from drivers.modbus import codec, decode
from drivers.modbus.address import Type
from drivers.modbus.plan import Target, targets
from gateway.model import Level
from gateway.profile import Profile, load_profile, shipped_folder
from gateway.profile_choice import assumed, parts

SHIPPED = [load_profile(path)[0] for path in sorted(shipped_folder().glob("*.yaml"))]
MODBUS = [profile for profile in SHIPPED if profile.protocol == "modbus"]


class Case(NamedTuple):
    name: str
    target: Target

    def __str__(self) -> str:
        return f"{self.name}:{self.target.point.id}"


def maps() -> Iterator[tuple[str, Profile]]:
    """Each profile with each of its variants."""
    for profile in MODBUS:
        yield profile.profile, assumed(profile, [], {})
        for part in parts(profile):
            for variant in part.variants:
                yield f"{profile.profile}/{variant.name}", assumed(profile, [variant.name], {})


CASES = [Case(name, target) for name, whole in maps() for target in targets(whole).values()]
# Elements of an array are alike: the ends of it are enough.
CASES = [c for c in CASES if "[" not in c.target.point.id or c.target.point.id.endswith(("[1]", "[242]"))]  # fmt: skip
NUMBERS = [c for c in CASES if not c.target.address.is_bit and c.target.point.enum is None]


def test_every_map_of_the_reference_is_shipped() -> None:
    assert {profile.profile for profile in MODBUS} == {
        "eastron-sdm120", "eastron-sdm630", "chint-dtsu666", "qdy30a-level", "xy-md02", "renke-wind",
        "gst-fire-panel", "modbus-relay-door",
    }  # fmt: skip


@pytest.mark.parametrize("case", [c for c in CASES if c.target.point.enum], ids=str)
def test_each_state_is_named_and_each_other_number_is_bad(case: Case) -> None:
    point, address = case.target.point, case.target.address
    assert point.enum is not None
    known = {int(raw): text for raw, text in point.enum.items()}
    low, high = address.limits
    near = {number + step for number in known for step in (-1, 0, 1)} | {low, high}
    for number in near & set(range(low, high + 1)):
        value, quality = decode.point(case.target, codec.words(address, number))
        if number in known:
            assert (value, quality) == (known[number], None)
        else:
            assert value is None
            assert quality == (Level.BAD, f"unknown_enum_{number}")


@pytest.mark.parametrize("case", NUMBERS, ids=str)
def test_a_number_is_good_up_to_its_limits_and_bad_beyond(case: Case) -> None:
    point = case.target.point
    for limit, outside in ((point.min, -1), (point.max, 1)):
        if limit is None:
            continue
        edge, beyond = raw_near(case.target, limit, 0), raw_near(case.target, limit, outside)
        within = case.target._replace(plausible=None)
        assert decode.point(within, codec.words(case.target.address, edge)) == (limit, None)
        value, quality = decode.point(within, codec.words(case.target.address, beyond))
        assert value is None
        assert quality == (Level.BAD, "out_of_range")


def raw_near(target: Target, value: float, steps: int) -> Decimal | float:
    """The raw number of `value`, or one beside it: the next one, or a bit more of a float."""
    raw = decode.unscaled(target.point, target.address, value)
    if not target.address.type.floating:
        return raw + steps
    return float(raw) + steps * (1e-3 + 1e-6 * abs(float(raw)))


@pytest.mark.parametrize("case", [c for c in NUMBERS if c.target.plausible], ids=str)
def test_what_is_implausible_is_kept_and_uncertain(case: Case) -> None:
    limits = case.target.plausible
    assert limits is not None
    for limit, outside in ((limits.min, -1), (limits.max, 1)):
        for steps in (0, outside):
            raw = raw_near(case.target, limit, steps)
            value, quality = decode.point(case.target, codec.words(case.target.address, raw))
            assert value is None or math.isclose(float(value), limit, rel_tol=1e-5, abs_tol=1)
            expected = None if steps == 0 else Level.UNCERTAIN
            level = quality.level if quality is not None else None
            assert level is expected or level is Level.BAD


@pytest.mark.parametrize("case", [c for c in CASES if c.target.point.sentinels], ids=str)
def test_each_sentinel_is_no_reading(case: Case) -> None:
    for number in case.target.point.sentinels:
        value, quality = decode.point(case.target, codec.words(case.target.address, number))
        assert value is None
        assert quality == (Level.BAD, "sentinel")


@pytest.mark.parametrize("case", [c for c in NUMBERS if c.target.address.type.floating], ids=str)
def test_what_is_no_number_is_bad(case: Case) -> None:
    assert case.target.address.type is Type.F32
    for words in ([0x7FC0, 0], [0x7F80, 0], [0xFF80, 0]):
        value, quality = decode.point(case.target, words)
        assert value is None
        assert quality == (Level.BAD, "not_a_number")


@pytest.mark.parametrize("profile", MODBUS, ids=lambda profile: profile.profile)
def test_a_profile_says_where_it_comes_from_and_each_point_what_it_is(profile: Profile) -> None:
    assert profile.sources
    assert profile.link.keys() >= {"baud", "parity", "stop", "unit"}
    for placed in profile.placed:
        assert "poll" in placed.written.model_fields_set
        assert {"unit", "kind"} & placed.written.model_fields_set

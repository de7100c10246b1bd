"""Choices that a profile leaves open: what is refused, where, and with which fix."""

from decimal import Decimal
from pathlib import Path

import pytest

from gateway.errors import ConfigError, Problem
from gateway.profile import Profile, load_profile
from gateway.profile_choice import UnsettledError, contested, decided, faults, settled

HEAD = """\
profile: acme
type: meter
facility: utilities
protocol: modbus
sources: [tests]
status: bench
"""
VARS = "vars:\n  ct: {at: 6, default: 1}\n  code: {at: 7}\n"
BOTH = """\
variants:
  - name: one
    plausible: [{point: a.b, min: 0, max: 9}]
    points:
      - {id: a.b, unit: V, at: 1}
  - name: two
    plausible: [{point: a.b, min: 10, max: 99}]
    points:
      - {id: a.b, unit: V, at: 2}
"""


def loaded(folder: Path, body: str) -> Profile:
    path = folder / "acme.yaml"
    path.write_text(HEAD + body, encoding="utf-8")
    return load_profile(path)[0]


def refused(folder: Path, body: str) -> list[Problem]:
    with pytest.raises(ConfigError) as caught:
        loaded(folder, body)
    for problem in caught.value.problems:
        assert problem.line > 0
        assert problem.fix
    return caught.value.problems


def point(keys: str, more: str = "") -> str:
    return f"{more}points:\n  - {{id: a.b, at: 1, {keys}}}\n"


@pytest.mark.parametrize(
    ("body", "path", "what"),
    [
        (point('scale: "0.1 * ct"'), "points[0].scale", "no variable 'ct'"),
        (point('scale: "0.1 * cd"', VARS), "points[0].scale", "no variable 'cd'"),
        (point('scale: "0.1 *"'), "points[0].scale", "'0.1 *' is no expression"),
        (point("unit: m, unit_from: code"), "points[0]", "`unit_from` and `units` belong together"),
        (point("unit: m, units: {1: m}"), "points[0]", "`unit_from` and `units` belong together"),
        (point("unit: m, unit_from: cod, units: {1: m}", VARS), "points[0].unit_from", "no variable 'cod'"),
        (point("unit: m, unit_from: code, units: {1: kPa}", VARS), "points[0].units.1", "kPa is a pressure, a.b is a length (m)"),
        (point("unit: m, unit_from: code, units: {x: mm}", VARS), "points[0].units.x", "'x' is no code"),
        (point("unit: m, unit_from: code, units: {1: metre}", VARS), "points[0].units.1", "'metre' is no UCUM code"),
        (point("kind: state, bits: {64: dry}"), "points[0].bits.64", "'64' is no bit"),
        (point("kind: state, bits: {x: dry}"), "points[0].bits.x", "'x' is no bit"),
        (point("kind: state, bits: {0: Dry}"), "points[0].bits.0", "'Dry' is no name"),
        (point("kind: state, bits: {0: dry, 1: dry}"), "points[0].bits.0", "'dry' twice"),
        (point("unit: V, bits: {0: dry}"), "points[0].unit", "unit of bits, which are true or false"),
        (point('unit: V, contested: {tenths: {scale: "0.1"}}'), "points[0].contested", "only one reading"),
        (point("unit: V, contested: {a: {scle: x}, b: {}}"), "points[0].contested.a.scle", "unknown key 'scle'"),
        (point("unit: V", "vars:\n  CT: {at: 1}\n"), "vars.CT", "'CT' is no name of a variable"),
        (point('scale: "ct"', "vars:\n  ct: {at: 1, min: 2, default: 1}\n"), "vars.ct.default", "1 is outside its limits"),
        (point('scale: "ct"', "vars:\n  ct: {at: 1, min: 2, max: 1}\n"), "vars.ct.max", "no number is in 2 to 1"),
        (point("unit: V", "vars:\n  ct: {at: 1}\n"), "vars.ct", "no point needs variable 'ct'"),
        (point("unit: V", 'firmware: "1.2"\n'), "firmware", "'1.2' is no range of versions"),
        ("arrays:\n  - {id: a.b, count: 3, at: 0}\n", "arrays[0].id", "'a.b' is no array"),
        ('arrays:\n  - {id: "a.b[{n}]", count: 0, at: 0}\n', "arrays[0].count", "1"),
        ('arrays:\n  - {id: "a.b[{n}]", at: 0}\n', "arrays[0].count", "missing"),
        ('arrays:\n  - {id: "a.b[{n}]", count: 2, at: 0, kind: state, bits: {0: x}}\n', "arrays[0].bits", "bits of an array"),
        ('arrays:\n  - {id: "a.b[{n}]", count: 2, at: 0}\npoints:\n  - {id: "a.b[2]", at: 9}\n', "arrays[0].id", "point 'a.b[2]' twice"),
        (BOTH.replace("name: two", "name: one"), "variants[1].name", "variant 'one' twice"),
        (BOTH.replace("name: two", "name: Two"), "variants[1].name", "'Two' is no name of a variant"),
        (BOTH.replace("name: two", "name: two\n    part: x"), "variants[0]", "the only variant"),
        (BOTH.replace("    plausible: [{point: a.b, min: 10, max: 99}]\n", ""), "variants[1]", "nothing tells variant 'two'"),
        (BOTH.replace("point: a.b, min: 10", "point: a.c, min: 10"), "variants[1].plausible[0].point", "unknown point 'a.c'"),
        (BOTH.replace("min: 10", "min: 100"), "variants[1].plausible[0].max", "no number is in 100 to 99"),
        (BOTH.replace("unit: V, at: 2", "unit: A, at: 2"), "variants[1].points[0].unit", "'a.b' has another unit in another variant"),
        (BOTH.replace("unit: V, at: 2", "unit: V, enum: {0: x}, at: 2"), "variants[1].points[0].enum", "'a.b' has other texts"),
        (BOTH + "points:\n  - {id: a.b, at: 3, unit: V}\n", "variants[0].points[0].id", "point 'a.b' twice"),
        (BOTH + "vectors: [{name: v, response: '', values: {}, variant: three}]\n", "vectors[0].variant", "unknown variant 'three'"),
        (BOTH + "vectors: [{name: v, response: '', values: {}, vars: {x: 1}}]\n", "vectors[0].vars.x", "no variable 'x'"),
        (point('scale: "ct"', VARS.replace("  code: {at: 7}\n", "")) + "commands: [{id: c, point: a.b, at: 1}]\n", "commands[0].point", "known at first contact only"),
        (point('unit: V, scale: "ct - 1"', "vars:\n  ct: {at: 1, default: 1}\n"), "vars", "a.b: its scale ct - 1 is 0 (ct = 1)"),
        ("", "points", "missing"),
    ],
)  # fmt: skip
def test_what_does_not_fit_together_is_refused_at_its_place(
    tmp_path: Path, body: str, path: str, what: str
) -> None:
    problems = refused(tmp_path, body)
    assert any(p.path == path and what in p.what for p in problems), [str(p) for p in problems]


def test_a_profile_with_every_choice_is_read(tmp_path: Path) -> None:
    body = (
        VARS + BOTH + 'firmware: ">=1.2, <2"\npoints:\n'
        '  - {id: c.d, unit: m, at: 9, scale: "0.1 * ct", unit_from: code, units: {3: mm, 4: cm}}\n'
        "  - {id: pump, at: {addr: 20, type: u16}, bits: {0: dry, 4: hot}, severity: safety}\n"
        'arrays:\n  - {id: "e.f[{n}]", n_from: 5, count: 3, at: {addr: 30}, step: 2, unit: V}\n'
    )
    profile = loaded(tmp_path, body)
    assert list(profile.by_id) == ["c.d", "pump.dry", "pump.hot", "e.f[5]", "e.f[6]", "e.f[7]", "a.b"]  # fmt: skip
    assert profile.alarms.keys() == {"pump.dry", "pump.hot"}
    assert profile.by_id["pump.hot"].at == {"addr": 20, "type": "u16", "bit": 4}
    assert profile.by_id["pump.hot"].kind == "state"
    assert profile.by_id["e.f[7]"].at == {"addr": 34}
    found = settled(profile, ["two"], {"ct": Decimal(40), "code": Decimal(3)})
    assert found.by_id["c.d"].scale == Decimal("0.004")
    assert found.by_id["a.b"].at == 2
    assert [limit.min for limit in found.plausible] == [10]
    assert settled(profile, ["two"], {"ct": Decimal(40), "code": Decimal(3)}) is found


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"ct": 40, "code": 5}, "c.d: unit code 5; the profile knows 3 (mm), 4 (cm)"),
        ({"ct": 0, "code": 3}, "c.d: its scale 1 / ct cannot be computed"),
    ],
)
def test_what_a_device_says_may_fit_nothing(
    tmp_path: Path, variables: dict[str, int], said: str
) -> None:
    profile = loaded(
        tmp_path,
        VARS + "points:\n"
        '  - {id: c.d, unit: m, at: 9, scale: "1 / ct", unit_from: code, units: {3: mm, 4: cm}}\n',
    )
    with pytest.raises(UnsettledError) as caught:
        settled(profile, [], {name: Decimal(number) for name, number in variables.items()})
    assert said.replace("its scale ", "") in str(caught.value)


def test_a_scale_that_comes_to_nothing_is_refused(tmp_path: Path) -> None:
    profile = loaded(
        tmp_path, VARS.replace("  code: {at: 7}\n", "") + point('unit: V, scale: "ct"')
    )
    with pytest.raises(UnsettledError, match=r"a\.b: its scale ct is 0 \(ct = 0\)"):
        settled(profile, [], {"ct": Decimal(0)})


def test_a_temperature_in_another_unit_is_shifted_too(tmp_path: Path) -> None:
    keys = 'unit: Cel, scale: "0.1", unit_from: code, units: {1: "[degF]"}'
    profile = loaded(tmp_path, "vars:\n  code: {at: 7}\n" + point(keys))
    found = settled(profile, [], {"code": Decimal(1)}).by_id["a.b"]
    assert float(500 * found.scale + found.offset) == pytest.approx(10.0)  # 50 degrees Fahrenheit


CONTESTED = 'unit: V, contested: {tenths: {scale: "0.1"}, whole: {scale: "1", at: 5}}'


@pytest.mark.parametrize(
    ("decisions", "path", "what", "fix"),
    [
        ({}, (), "sources disagree about a.b of profile 'acme'", "decisions: {a.b: tenths | whole}"),
        ({"a.b": "tenth"}, ("decisions", "a.b"), "no choice 'tenth'", "did you mean 'tenths'?"),
        ({"a.b": "whole", "a.c": "x"}, ("decisions", "a.c"), "nothing is contested about 'a.c'", "did you mean 'a.b'?"),
    ],
)  # fmt: skip
def test_a_contested_point_is_never_read_by_a_guess(
    tmp_path: Path, decisions: dict[str, str], path: tuple[str, ...], what: str, fix: str
) -> None:
    profile = loaded(tmp_path, point(CONTESTED))
    ((found, said, mend),) = faults(profile, decisions)
    assert found == path
    assert what in said
    assert fix in mend


def test_a_decision_makes_a_plain_point(tmp_path: Path) -> None:
    profile = loaded(tmp_path, point(CONTESTED))
    assert contested(profile) == {"a.b": ["tenths", "whole"]}
    assert list(faults(profile, {"a.b": "tenths"})) == []
    found = decided(profile, {"a.b": "tenths"})
    assert (found.by_id["a.b"].scale, found.by_id["a.b"].at) == (Decimal("0.1"), 1)
    assert decided(profile, {"a.b": "whole"}).by_id["a.b"].at == 5
    assert contested(found) == {}
    assert decided(found, {}) is found

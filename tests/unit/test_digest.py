"""A list of devices as a text for people."""

import pytest

from rules.listing import Cell, Digest, Row, listed
from rules.outputs import Logged, Notified
from rules.predicate import Predicate
from rules.step import start, step
from rules.term import Const
from tests.unit.rules_site import SECOND, load, sample, usable

RULE = """
rules:
- id: list
  title: Meters above 250 V
  for_each: {type: light}
  with: {meters: {type: meter}}
  when: any(meters.elec.pf.total > 0)
  digest: {list: meters, where: meters.elec.voltage.a > 250 V, columns: [building, medium, elec.voltage.a]}
  do:
  - notify: {to: guard, digest: true}
"""


def told(first: float | None, second: float | None) -> list[str]:
    state = start(usable(RULE, recipients=["guard"]))
    for device, volts in (("meter-1", first), ("meter-2", second)):
        if volts is not None:
            state, _ = step(state, sample(device, 1, {"elec.voltage.a": volts}), SECOND)
    state, outputs = step(state, sample("meter-1", 2, {"elec.pf.total": 0.5}), 2 * SECOND)
    return [
        one.text if isinstance(one, Notified | Logged) else type(one).__name__ for one in outputs
    ]


def test_a_digest_tells_those_that_fit_and_those_that_nobody_knows_of() -> None:
    (text,) = told(260, None)
    assert text == (
        "Meters above 250 V\nmeter-1: building 1, medium -, elec.voltage.a 260 V\n"
        "unknown:\nmeter-2: building 2, medium electricity, elec.voltage.a unknown"
    )


def test_a_digest_of_nothing_is_not_sent() -> None:
    assert told(230, 230) == ["nothing to tell guard: its digest is empty"]


def test_a_digest_is_cut_with_the_number_of_what_is_left() -> None:
    always = Predicate("", Const(value=True), lambda _read: True, (), ())
    rows = tuple(Row(f"meter-{i:03}", always, (Cell("floor", "2"),)) for i in range(300))
    few = listed(Digest(rows, 3), lambda _: True, str).split("\n")
    assert few == ["meter-000: floor 2", "meter-001: floor 2", "meter-002: floor 2", "... 297 more"]
    many = listed(Digest(rows, 300), lambda _: True, str)
    assert len(many) < 3_600
    assert many.endswith(" more")


@pytest.mark.parametrize(("old", "new", "what", "path"), [
    ("list: meters", "list: metres", "'metres' is no group of `with`", "digest.list"),
    ("medium,", "mediun,", "'mediun' is neither a point nor a tag of these devices", "digest.columns[1]"),
    ("where: meters.elec.voltage.a > 250 V", "where: meters.elec.voltage.a > 250", "number without a unit, but the other side is a voltage", "digest.where"),
    ("  digest: {list", "  enabled: true #", "the rule has no `digest`", "do[0].notify.digest"),
])  # fmt: skip
def test_a_wrong_digest_is_refused_where_it_stands(
    old: str, new: str, what: str, path: str
) -> None:
    (problem,) = load(RULE.replace(old, new), recipients=["guard"])[1]
    assert (problem.what, problem.path) == (what, f"rules[0].{path}")

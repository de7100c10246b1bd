"""The engine against a naive reading of its definition, which recomputes from the full history."""

import operator
from collections.abc import Callable, Sequence
from typing import NamedTuple

from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic_core import PydanticCustomError

from gateway.document import Document
from gateway.model import Level, Sample
from rules.load import load_rules
from rules.model import RuleSet
from rules.step import Cleared, Raised, Tick, next_due, start, step
from rules.threshold import OPERATORS, common, parse, reach
from tests.unit.rules_site import DEVICES, SECOND, sample

A, B = "elec.voltage.a", "elec.power.total"
STALE = {A: 180 * SECOND, B: 30 * SECOND}
OPS: dict[str, Callable[[float, float], bool]] = {
    "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge,
    "==": operator.eq, "!=": operator.ne,
}  # fmt: skip


class Case(NamedTuple):
    when: tuple[str, str, int]
    until: tuple[str, str, int] | None
    for_s: int


class Taken(NamedTuple):
    now: int
    sample: Sample | None


def truth(side: tuple[str, str, int], history: Sequence[Taken], now: int) -> bool | None:
    """True, false or unknown, from every sample so far: the newest wins, of equal ones the last."""
    point, op, limit = side
    latest: tuple[int, float | None] = (-1, None)
    for taken in history:
        seen = taken.sample
        if seen is not None and (point in seen.values or point in seen.quality):
            at = min(seen.received_ns, taken.now)
            bad = point in seen.quality and seen.quality[point].level is Level.BAD
            if at >= latest[0]:
                latest = (at, None if bad else float(seen.values[point]))
    at, value = latest
    return None if value is None or now - at >= STALE[point] else OPS[op](value, limit)


def either(a: bool | None, b: bool | None) -> bool | None:
    return True if True in (a, b) else None if None in (a, b) else False


def oracle(case: Case, inputs: Sequence[Taken]) -> list[tuple[int, str]]:
    """What is put out at which input: c = when or (before and not until); unknown keeps c."""
    outputs: list[tuple[int, str]] = []
    c, since, raised = False, 0, False
    for index, (now, seen) in enumerate(inputs):
        if c and not raised and since + case.for_s * SECOND <= now:
            raised = True
            outputs.append((index, "Raised"))
        if seen is None:
            continue
        when = truth(case.when, inputs[: index + 1], now)
        until = False if case.until is None else truth(case.until, inputs[: index + 1], now)
        stays = c if until is None and not c else None if until is None else c and not until
        new = when if case.until is None else either(when, stays)
        if new is not None and new != c:
            c, since = new, min(seen.received_ns, now)
            if not c and raised:
                raised = False
                outputs.append((index, "Cleared"))
            elif c and since + case.for_s * SECOND <= now:
                raised = True
                outputs.append((index, "Raised"))
    return outputs


def compiled(case: Case) -> RuleSet:
    units = {A: "V", B: "W"}

    def text(side: tuple[str, str, int]) -> str:
        return f"it.{side[0]} {side[1]} {side[2]} {units[side[0]]}"

    rule: dict[str, object] = {
        "id": "r", "for_each": {"id": "meter-1"}, "when": text(case.when), "for": f"{case.for_s}s",
        "alarm": {"severity": "safety"},
    }  # fmt: skip
    if case.until is not None:
        rule["until"] = text(case.until)
    rules, problems = load_rules([Document("r.yaml", {"rules": [rule]})], DEVICES)  # type: ignore[list-item]  # -- built, not parsed
    assert problems == []
    return rules


def engine(rules: RuleSet, inputs: Sequence[Taken]) -> list[tuple[int, str]]:
    state = start(rules)
    outputs = []
    for index, (now, seen) in enumerate(inputs):
        due = next_due(state)
        state, more = step(state, seen or Tick(), now)
        assert due is None or due > now or any(isinstance(output, Raised) for output in more)
        outputs += [(index, type(output).__name__) for output in more]
        assert all(isinstance(output, Raised | Cleared) for output in more)
    return outputs


def _sides(levels: Sequence[int]) -> st.SearchStrategy[tuple[str, str, int]]:
    return st.tuples(st.sampled_from([A, B]), st.sampled_from(list(OPS)), st.sampled_from(levels))


def _fit(case: Case) -> bool:
    """`until` may not overlap `when`: such a rule is refused."""
    if case.until is None or case.when[0] != case.until[0]:
        return True
    return not any(common(a, b) for a in reach(*case.when[1:]) for b in reach(*case.until[1:]))


def _cases(levels: Sequence[int], delays: Sequence[int]) -> st.SearchStrategy[Case]:
    sides = _sides(levels)
    return st.builds(Case, sides, st.none() | sides, st.sampled_from(delays)).filter(_fit)


@st.composite
def _inputs(draw: st.DrawFn, levels: Sequence[int], gaps: Sequence[int]) -> list[Taken]:
    """Samples and ticks at never falling times; some late, some BAD, some of one point only."""
    now = 100 * SECOND
    inputs = []
    for _ in range(draw(st.integers(1, 25))):
        now += draw(st.sampled_from(gaps)) * SECOND
        if draw(st.integers(0, 4)) == 0:
            inputs.append(Taken(now, None))
            continue
        values = draw(st.dictionaries(st.sampled_from([A, B]), st.sampled_from(levels)))
        bad = draw(st.sets(st.sampled_from([A, B]))) if draw(st.booleans()) else set()
        late = draw(st.sampled_from([0, 0, 0, 1, -1, *gaps])) * SECOND
        kept = {point: value for point, value in values.items() if point not in bad}
        seen = sample("meter-1", (now - late) / SECOND, dict(kept), bad=tuple(sorted(bad)))
        inputs.append(Taken(now, seen))
    return inputs


# Few values, gaps that are the very delays: this one finds the ties. The wide one finds the rest.
NARROW, NARROW_GAPS, NARROW_FOR = (10, 11, 12), (0, 1, 2, 30), (0, 1, 2)
WIDE, WIDE_GAPS, WIDE_FOR = tuple(range(1, 99, 7)), (0, 1, 5, 29, 30, 31, 90, 180, 181), (0, 3, 60)


@settings(max_examples=500, deadline=None)
@given(_cases(NARROW, NARROW_FOR), _inputs(NARROW, NARROW_GAPS))
def test_the_engine_equals_its_definition_at_the_boundaries(
    case: Case, inputs: list[Taken]
) -> None:
    assert engine(compiled(case), inputs) == oracle(case, inputs)


@settings(max_examples=300, deadline=None)
@given(_cases(WIDE, WIDE_FOR), _inputs(WIDE, WIDE_GAPS))
def test_the_engine_equals_its_definition_far_and_wide(case: Case, inputs: list[Taken]) -> None:
    assert engine(compiled(case), inputs) == oracle(case, inputs)


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(list(OPS)), st.integers(-3, 3), st.integers(-6, 6))
def test_the_reach_of_a_comparison_is_where_it_is_true(op: str, limit: int, doubled: int) -> None:
    number = doubled / 2
    spans = reach(op, limit)
    inside = any(common(span, reach("==", number)[0]) for span in spans)
    assert inside is OPERATORS[op](number, limit)


@settings(max_examples=1000, deadline=None)
@given(
    st.text(max_size=40)
    | st.lists(
        st.sampled_from(
            ["it", ".", "elec.voltage.a", " ", ">", "=", "<=", "253", "-", "V", "%", "(", "and", "1.5", "["]
        ),
        max_size=12,
    ).map("".join)
)  # fmt: skip
def test_any_text_is_a_comparison_or_refused_with_a_fix(text: str) -> None:
    try:
        comparison = parse(text)
    except PydanticCustomError as error:
        assert error.context is not None
        assert error.context["what"]
        assert error.context["fix"]
    else:
        assert comparison.op in OPERATORS

"""The engine against a naive reading of the language that recomputes everything from all samples."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.document import Document
from gateway.model import EMPTY, Level, Quality, Sample, Value
from gateway.profile import Profile
from rules.hours import At, Hours, Mark, mark
from rules.load import DeviceView, load_rules
from rules.model import RuleSet
from rules.outputs import Cleared, ClockStep, Raised, Tick
from rules.parse import parse
from rules.quantity import common, reach
from rules.step import next_due, start, step
from rules.term import ORDER
from rules.tree import RuleError
from tests.harness.reference import SECOND, Reference, Rule

PROFILE = Profile.model_validate({
    "profile": "thing", "type": "thing", "facility": "utilities", "protocol": "test",
    "sources": ["tests"], "status": "bench",
    "points": [
        {"id": "a.number", "unit": "V", "stale_after": "30s"}, {"id": "b.number", "unit": "V", "stale_after": "1h"},
        {"id": "c.state", "kind": "state", "stale_after": "20s"},
        {"id": "d.mode", "kind": "state", "enum": {"0": "open", "1": "closed"}, "stale_after": "1h"},
    ],
})  # fmt: skip
STALE = {"a.number": 30 * SECOND, "b.number": 3600 * SECOND, "c.state": 20 * SECOND, "d.mode": 3600 * SECOND}  # fmt: skip
VALUES: dict[str, st.SearchStrategy[Value]] = {
    "c.state": st.booleans(), "d.mode": st.sampled_from(["open", "closed"]),
}  # fmt: skip
NEAR = ("near-1", "near-2", "near-3")
DEVICES = [DeviceView("one", PROFILE, {"zone": "x"})] + [
    DeviceView(name, PROFILE, {"zone": "x", "kind": "near"}) for name in NEAR
]


MARKS = st.sampled_from(["00:00", "00:01", "00:02", "00:05", "00:20", "00:59"])
WALLS = (0, 7 * SECOND, -30 * SECOND, 45 * SECOND + 1, 10_000 * SECOND)  # UTC minus engine time


class Fast:
    """A place where an hour is a day, and takes a minute: so that hours begin and end in every case."""

    located = True

    @staticmethod
    def daily(begin: Mark, end: Mark) -> Callable[[int], bool]:
        first, last = begin.minutes, end.minutes

        def inside(utc: int) -> bool:
            second = utc // SECOND % 60
            return first <= second < last if first < last else not last <= second < first

        return inside

    def latest(self, at: At, wall_ns: int) -> int:
        """Of moments, which the rules here do not have."""
        raise AssertionError(at, wall_ns)

    next = latest

    def fault(self, cron: str) -> str:
        raise AssertionError(cron)

    def hours(self, hours: Hours, wall_ns: int) -> tuple[bool, int]:
        inside = self.daily(hours.begin, hours.end)
        edge = (wall_ns // SECOND + 1) * SECOND
        while inside(edge) is inside(wall_ns):
            edge += SECOND
        return inside(wall_ns), edge


class Case(NamedTuple):
    when: str
    until: str | None
    for_s: int
    keep_s: int
    on_unknown: str
    unknown_s: int
    during: tuple[str, str] | None
    lost: bool


class Taken(NamedTuple):
    now: int
    sample: Sample | ClockStep | None


def numbers(levels: Sequence[int], spans: Sequence[int]) -> st.SearchStrategy[str]:
    point = st.sampled_from(["it.a.number", "it.b.number"])
    window = st.builds(
        "{}({}, {}s)".format,
        st.sampled_from(["avg", "min", "max", "sum", "delta", "rise"]), point, st.sampled_from(spans),
    )  # fmt: skip
    total = st.builds("{}(near.a.number)".format, st.sampled_from(["sum_of", "max_of", "min_of", "avg_of"]))  # fmt: skip
    prev = st.builds("prev({})".format, point)
    basic = st.one_of(point, point, window, total, prev)
    literal = st.builds("{} V".format, st.sampled_from(levels))
    summed = st.builds("({} {} {})".format, basic, st.sampled_from(["+", "-"]), basic | literal)
    scaled = st.builds("({} * {})".format, basic, st.sampled_from(["2", "0.5", "-1"]))
    shaped = st.builds("abs({})".format, summed) | st.builds("clamp({}, 10 V, 12 V)".format, basic)
    return st.one_of(basic, basic, summed, scaled, shaped)


def truths(levels: Sequence[int], spans: Sequence[int]) -> st.SearchStrategy[str]:
    op = st.sampled_from(["<", "<=", ">", ">=", "==", "!="])
    number = numbers(levels, spans)
    literal = st.builds("{} V".format, st.sampled_from(levels))
    span = st.sampled_from(spans)
    atoms = st.one_of(
        st.builds("{} {} {}".format, number, op, literal | number),
        st.just("it.c.state"),
        st.builds("it.d.mode {} {}".format, st.sampled_from(["==", "!="]), st.sampled_from(["open", "closed"])),
        st.builds("count(it.{}, {}s) >= {}".format, st.sampled_from(["a.number", "c.state"]), span, st.integers(0, 3)),
        st.builds("rises(it.c.state, {}s) >= {}".format, span, st.integers(1, 2)),
        st.builds("stale(it.{}, {}s)".format, st.sampled_from(["a.number", "c.state"]), span),
        st.builds("changed(it.{}, {}s)".format, st.sampled_from(["a.number", "d.mode"]), span),
        st.builds("{}(it.{})".format, st.sampled_from(["known", "good"]), st.sampled_from(["a.number", "c.state"])),
        st.builds("{}(near.c.state)".format, st.sampled_from(["any", "all"])),
        st.builds("{}(near.a.number {} {})".format, st.sampled_from(["any", "all"]), op, literal),
        st.builds("{}(near.c.state and near.a.number > 10 V) >= {}".format, st.sampled_from(["count_of", "unknown_of"]), st.integers(0, 3)),
    )  # fmt: skip
    return st.recursive(
        atoms,
        lambda inner: st.one_of(
            st.builds("({} and {})".format, inner, inner),
            st.builds("({} or {})".format, inner, inner),
            st.builds("not ({})".format, inner),
        ),
        max_leaves=4,
    )


def cases(
    levels: Sequence[int], spans: Sequence[int], delays: Sequence[int]
) -> st.SearchStrategy[Case]:
    truth = truths(levels, spans)
    delay = st.sampled_from(delays)
    policy = st.sampled_from(["hold", "hold", "assume_true", "assume_false"])
    return st.builds(
        Case,
        truth,
        st.none() | truth,
        delay,
        delay,
        policy,
        st.sampled_from([1, 5, 60]),
        st.none() | st.tuples(MARKS, MARKS).filter(lambda marks: marks[0] != marks[1]),
        st.booleans(),
    )


@st.composite
def inputs(draw: st.DrawFn, levels: Sequence[int], gaps: Sequence[int]) -> list[Taken]:
    """Samples and ticks at never falling times; some late, some BAD, some of several points."""
    now = 1_000 * SECOND
    taken: list[Taken] = []
    for _ in range(draw(st.integers(1, 20))):
        now += draw(st.sampled_from(gaps)) * SECOND
        if draw(st.integers(0, 5)) == 0:
            step = draw(st.none() | st.sampled_from([None, *WALLS]).map(ClockStep))
            taken.append(Taken(now, step))
            continue
        values: dict[str, Value] = {}
        quality: dict[str, Quality] = {}
        for point in draw(
            st.lists(st.sampled_from(sorted(STALE)), min_size=1, max_size=3, unique=True)
        ):
            kind = draw(st.integers(0, 9))
            if kind == 0:
                quality[point] = Quality(Level.BAD, "timeout")
                continue
            if kind == 1:
                quality[point] = Quality(Level.UNCERTAIN, "implausible")
            values[point] = draw(VALUES.get(point, st.sampled_from(levels)))
        late = draw(st.sampled_from([0, 0, 0, 0, 1, *gaps])) * SECOND
        device = draw(st.sampled_from(["one", "one", "one", *NEAR]))
        at = now - late
        taken.append(Taken(now, Sample(device, at, at, 1, True, values, quality or EMPTY)))
    return taken


def compiled(case: Case) -> RuleSet | None:
    """None: the rule is refused, because it is never true."""
    rule: dict[str, object] = {
        "id": "r", "for_each": {"id": "one"}, "with": {"near": {"tags": {"kind": "near"}}},
        "when": case.when, "for": f"{case.for_s}s", "keep_for": f"{case.keep_s}s",
        "on_unknown": case.on_unknown, "unknown_for": f"{case.unknown_s}s", "alarm": {"severity": "safety"},
    }  # fmt: skip
    if case.during is not None:
        without = "inside" if case.lost else "outside"
        rule["during"] = {"from": case.during[0], "to": case.during[1], "without_clock": without}
    if case.until is not None:
        rule["until"] = case.until
    rules, problems = load_rules([Document("r.yaml", {"rules": [rule]})], DEVICES, (), Fast())  # type: ignore[list-item]  # -- built, not parsed
    assert all("never true" in p.what or "fit both" in p.what for p in problems), problems
    return None if problems else rules


def engine(rules: RuleSet, taken: Sequence[Taken]) -> list[list[str]]:
    state = start(rules, 1_000 * SECOND, WALLS[0])
    said = []
    for now, seen in taken:
        due = next_due(state)
        state, outputs = step(state, seen or Tick(), now)
        assert due is None or due > now or next_due(state) != due
        assert all(isinstance(output, Raised | Cleared) for output in outputs)
        said.append([type(output).__name__ for output in outputs])
    return said


def reference_of(case: Case) -> Reference:
    rule = Rule(
        parse(case.when), None if case.until is None else parse(case.until), case.for_s * SECOND,
        case.keep_s * SECOND, case.on_unknown, case.unknown_s * SECOND,
        None if case.during is None else Fast.daily(*map(mark, case.during)), lost=case.lost,
    )  # fmt: skip
    return Reference(
        rule, {"it": "one", "near": NEAR}, STALE, frozenset({"d.mode"}), start=1_000 * SECOND,
        cursor=1_000 * SECOND - 1, wall=WALLS[0],
    )  # fmt: skip


def oracle(case: Case, taken: Sequence[Taken]) -> list[list[str]]:
    reference = reference_of(case)
    return [reference.step(seen, now) for now, seen in taken]


# Few values, gaps that are the very delays: this one finds the ties. The wide one finds the rest.
NARROW, NARROW_GAPS, NARROW_FOR = (10, 11, 12), (0, 1, 2, 5, 20, 30), (0, 1, 2)
WIDE, WIDE_GAPS, WIDE_FOR = tuple(range(1, 99, 7)), (0, 1, 5, 29, 30, 31, 90, 180), (0, 3, 60)


def check(case: Case, taken: list[Taken]) -> None:
    rules = compiled(case)
    if rules is not None:
        assert engine(rules, taken) == oracle(case, taken)


@pytest.mark.timeout(120)
@settings(max_examples=1500, deadline=None)
@given(cases(NARROW, (1, 2, 5), NARROW_FOR), inputs(NARROW, NARROW_GAPS))
def test_the_engine_equals_its_definition_at_the_boundaries(case: Case, taken: list[Taken]) -> None:
    check(case, taken)


@pytest.mark.timeout(120)
@settings(max_examples=600, deadline=None)
@given(cases(WIDE, (5, 30, 90), WIDE_FOR), inputs(WIDE, WIDE_GAPS))
def test_the_engine_equals_its_definition_far_and_wide(case: Case, taken: list[Taken]) -> None:
    check(case, taken)


@pytest.mark.chaos
@settings(max_examples=20_000, deadline=None)
@given(cases(NARROW, (1, 2, 5), NARROW_FOR), inputs(NARROW, NARROW_GAPS))
def test_the_engine_equals_its_definition_in_20000_cases(case: Case, taken: list[Taken]) -> None:
    check(case, taken)


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(sorted(ORDER)), st.integers(-3, 3), st.integers(-6, 6))
def test_the_reach_of_a_comparison_is_where_it_is_true(op: str, limit: int, doubled: int) -> None:
    number = doubled / 2
    spans = reach(op, limit)
    inside = any(common(span, reach("==", number)[0]) for span in spans)
    assert inside is ORDER[op](number, limit)


WORDS = ["it", ".", "it.a.number", " ", ">", "=", "<=", "253", "-", "V", "%", "(", ")", "and", "not", "1.5", "[", "avg(", ",", "30s", '"x"', "in", "/"]  # fmt: skip


@settings(max_examples=2000, deadline=None)
@given(st.text(max_size=60) | st.lists(st.sampled_from(WORDS), max_size=30).map("".join))
def test_any_text_is_an_expression_or_refused_with_a_place_and_a_fix(text: str) -> None:
    try:
        parse(text)
    except RuleError as error:
        assert error.what
        assert error.fix
        assert 0 <= error.start <= error.end <= len(text)

"""Mutants of the optimised engine, made by hand: the oracle finds every one of them."""

import random
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from gateway.model import Level, Quality, Sample, Value
from rules import activation, flow, nodes, step, term, windows
from rules.outputs import Cleared, Raised
from rules.step import start
from rules.step import step as step_
from tests.harness.mutant import mutant
from tests.property import test_rules_oracle as oracle
from tests.property.test_rules_oracle import Case, Taken
from tests.unit.rules_site import SECOND, usable
from tests.unit.test_rules_step import (
    test_a_pending_condition_that_starts_again_waits_the_whole_time_again as waits_again,
)

EXAMPLES = 600  # most mutants are found within a few dozen
BAD = {"elec.voltage.a": Quality(Level.BAD, "timeout")}
PATIENCE_S = 0.5  # a case takes 5 ms
OPS = (">", ">=", "<", "<=", "==", "!=")

# Module, what stands there, what the mutant has instead. The first eleven lines are the mistakes that a
# prototype was tried with: the oracle must find what people really do wrong.
MUTANTS: list[tuple[ModuleType, str, str]] = [
    (windows, "and ats[first] <= oldest", "and ats[first] < oldest"),
    (step, "while state.timers and state.timers[0].due <= now:", "while state.timers and state.timers[0].due < now:"),
    (flow, "if at >= stamps[slot]:", "if at >= 0:"),
    (activation, "due = at + state.rules.instances[rank].rule.for_ns", "due = now + state.rules.instances[rank].rule.for_ns"),
    (activation, "if state.phases[rank] is CLEARING:", "if state.phases[rank] is None:"),
    (term, "return True if second is True else None if first is None or second is None else False", "return second is True"),
    (windows, "if index > self._first and at < ats[-1]:", "if False:"),
    (activation, "or when is True", "or when is state"),
    (flow, "if at >= stamps[slot]:", "if at > stamps[slot]:"),
    (activation, "due = at + state.rules.instances[rank].rule.keep_ns", "due = now + state.rules.instances[rank].rule.keep_ns"),
    # More of the kind.
    (term, "return False if second is False else None if first is None or second is None else True", "return bool(first and second)"),
    (flow, "value if now - at < rules.stale_ns[slot] else None", "value if now - at <= rules.stale_ns[slot] else None"),
    (flow, "if newest > due and state.values[slot] is not None:", "if state.values[slot] is not None:"),
    (flow, "state.nodes[number].forget(slot)", "state.nodes[number]"),
    (flow, "for point in sample.quality:", "for point in ():"),
    (flow, "if node.edge < state.asked[number]:", "if node.edge > state.asked[number]:"),
    (step, "if now - state.unknown[rank] < rule.unknown_ns:", "if now - state.unknown[rank] <= rule.unknown_ns:"),
    (step, 'return rule.on_unknown == "assume_true"', 'return rule.on_unknown != "assume_true"'),
    (step, "elif state.unknown and state.unknown.pop(rank, None) is not None:", "elif state.unknown and state.unknown.get(rank) is None:"),
    (step, "holds = holds and (instance.during is None or inside(state, instance))", "holds = bool(holds)"),
    (nodes, "self._true += (after is True) - (before is True)", "self._true += after is True"),
    (windows, "if before is False and value is True and", "if before is not True and value is True and"),
    (nodes, "silent = now - self._last >= self._ns", "silent = now - self._last > self._ns"),
    (nodes, "self._at > now - self._ns", "self._at >= now - self._ns"),
    (nodes, "return self._values[0] if len(self._values) == 2", "return self._values[-1] if len(self._values) == 2"),
    (windows, "self._sum -= values[first]", "values[first]"),
    (windows, "if at < before_at:", "if at < 0:"),
    (flow, "state.asleep.remove(number)", "continue"),
    (flow, "guard[0](state.values, *guard[1]) is not False", "guard is True"),
    (nodes, "self._holds = current is not None and not (self._good and quality is not None)", "self._holds = current is not None"),
]  # fmt: skip
# Rules that are needed to see what is seldom: the inputs are random all the same.
PLAIN = Case("it.a.number > 10 V", None, 0, 0, "hold", 60, None, lost=False)
RESTS = PLAIN._replace(when="it.b.number > 10 V and sum(it.a.number, 2s) > 10 V")
SELDOM = {
    "if at < 0:": PLAIN._replace(when="rises(it.c.state, 5s) >= 1"),
    "continue": RESTS,
    "guard is True": RESTS,
    "if False:": PLAIN._replace(when="delta(it.a.number, 5s) > 0 V"),
    "or when is state": PLAIN._replace(until="it.b.number > 10 V", during=("00:05", "00:02"), lost=True),
    "values[first]": PLAIN._replace(when="sum(it.a.number, 5s) > 10 V"),
    "elif state.unknown and state.unknown.get(rank) is None:": PLAIN._replace(on_unknown="assume_true", unknown_s=5),
    "if at > stamps[slot]:": PLAIN,
    "if before is not True and value is True and": PLAIN._replace(when="rises(it.c.state, 5s) >= 1"),
    "return self._values[-1] if len(self._values) == 2": PLAIN._replace(when="prev(it.a.number) > 10 V"),
}  # fmt: skip
# Found without a rule as well (`make chaos` shows it), but five seconds later.
SOONER = {
    "self._at >= now - self._ns": PLAIN._replace(when="changed(it.d.mode, 5s)"),
    "for point in ():": PLAIN._replace(when="known(it.a.number)"),
    "if state.phases[rank] is None:": PLAIN._replace(keep_s=5),
    "if at >= 0:": PLAIN,
    "due = now + state.rules.instances[rank].rule.keep_ns": PLAIN._replace(keep_s=5),
    "due = now + state.rules.instances[rank].rule.for_ns": PLAIN._replace(for_s=5),
    "and ats[first] < oldest": PLAIN._replace(when="avg(it.a.number, 5s) > 10 V"),
}  # fmt: skip
# What makes many limits on one point fast: one rule alone does not go that way.
MANY: list[tuple[str, str]] = [
    ("bisect_left(limits.values, low)", "bisect_right(limits.values, low)"),
    ("bisect_right(limits.values, high, first)", "bisect_left(limits.values, high, first)"),
    ("(*limits.others, *limits.ranks[first:last])", "limits.ranks[first:last]"),
    ("low, high = (before, now) if before < now else (now, before)", "low, high = before, now"),
    ("if before is None or now is None or", "if now is None or before is None and"),
]  # fmt: skip


@contextmanager
def patience() -> Iterator[None]:
    """RuntimeError for an engine that goes round in circles; by CPU time, so not SIGALRM of pytest-timeout."""

    def enough(_number: int, _frame: object) -> None:
        raise RuntimeError(f"no end within {PATIENCE_S:g} s of CPU time")

    before = signal.signal(signal.SIGVTALRM, enough)
    signal.setitimer(signal.ITIMER_VIRTUAL, PATIENCE_S)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


def looked(examples: int, rule: Case | None = None) -> None:
    """AssertionError, or whatever the engine raises, as soon as it is not what the definition says.

    Without a `rule` all kinds of them are tried.
    """
    quick = settings(
        max_examples=examples, deadline=None, derandomize=True, database=None,
        phases=[Phase.generate], suppress_health_check=list(HealthCheck), report_multiple_bugs=False,
    )  # fmt: skip
    narrow = oracle.NARROW
    rules = oracle.cases(narrow, (1, 2, 5), oracle.NARROW_FOR) if rule is None else st.just(rule)

    @quick
    @given(rules, oracle.inputs(narrow, oracle.NARROW_GAPS))
    def run(case: Case, taken: list[Taken]) -> None:
        with patience():
            oracle.check(case, taken)

    run()


@pytest.mark.timeout(120)
@pytest.mark.parametrize(("module", "old", "new"), MUTANTS, ids=[new[:40] for _, _, new in MUTANTS])
def test_teeth_the_oracle_finds_each_mutant(module: ModuleType, old: str, new: str) -> None:
    with mutant(module, old, new), pytest.raises(Exception):  # noqa: B017, PT011 -- a crash is a find too
        looked(EXAMPLES, {**SELDOM, **SOONER}.get(new))


@pytest.mark.chaos
@pytest.mark.parametrize("mutation", [m for m in MUTANTS if m[2] in SOONER])
def test_teeth_the_oracle_finds_these_mutants_by_chance_too(
    mutation: tuple[ModuleType, str, str],
) -> None:
    with mutant(*mutation), pytest.raises(Exception):  # noqa: B017, PT011 -- as above
        looked(EXAMPLES)


def test_teeth_a_delay_that_ended_and_began_again_is_not_over_too_early() -> None:
    """The oracle needs an input between the two ends to see it, so this one has a test of its own."""
    old, new = "waits and state.marks[timer.subject] == timer.mark and", "waits and"
    with mutant(flow, old, new), pytest.raises(AssertionError):
        waits_again()


def many_limits(seed: int) -> tuple[list[str], list[list[str]]]:
    """Raises and clears of 40 limits on one point together, and what each does alone."""
    dice = random.Random(seed)
    rules = [
        f"- {{id: r{n}, for_each: {{id: meter-1}}, when: 'it.elec.voltage.a {dice.choice(OPS)} {dice.randint(220, 240)} V', alarm: {{severity: safety}}}}"
        for n in range(40)
    ] + ["- {id: sum, for_each: {id: meter-1}, when: it.elec.voltage.a > 232 V and it.elec.pf.total < 0.9, alarm: {severity: safety}}"]  # fmt: skip
    values = [dice.choice([dice.randint(218, 242), dice.randint(218, 242) + 0.5, None]) for _ in range(30)]  # fmt: skip
    together = _said(rules, values)
    return together, [_said([rule], values) for rule in rules]


def _said(rules: list[str], shown: list[float | None]) -> list[str]:
    """What happens, sorted within each moment."""
    state, said = start(usable("rules:\n" + "\n".join(rules))), []
    for at, value in enumerate(shown, 1):
        values_, quality = ({"elec.voltage.a": value}, {}) if value is not None else ({}, BAD)
        seen: dict[str, Value] = {**values_, "elec.pf.total": 0.5}
        one = Sample("meter-1", at * SECOND, at * SECOND, 1, True, seen, quality)
        state, outputs = step_(state, one, at * SECOND)
        said += sorted(f"{at} {type(o).__name__} {o.rule}" for o in outputs if isinstance(o, Raised | Cleared))  # fmt: skip
    return said


def check_many() -> None:
    for seed in range(12):
        together, alone = many_limits(seed)
        assert sorted(together) == sorted(line for lines in alone for line in lines)


def test_many_limits_on_one_point_do_together_what_each_does_alone() -> None:
    check_many()


@pytest.mark.parametrize(("old", "new"), MANY)
def test_teeth_each_mutant_of_the_limits_is_found(old: str, new: str) -> None:
    with mutant(flow, old, new), pytest.raises(Exception):  # noqa: B017, PT011 -- as above
        check_many()

"""`mode` and `max_run` against a naive reading of them, also over restarts."""

from collections.abc import Mapping
from itertools import chain
from typing import Any

import orjson
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from rules import mode
from rules.deeds import go_on
from rules.flow import State
from rules.keep import changes, everything
from rules.outputs import Limited, Logged, Output, Skipped
from rules.restart import Past, restore
from rules.step import Tick, next_due, occurred, reset, step
from tests.harness.reference_mode import ReferenceMode, Terms, Words
from tests.unit.rules_site import SECOND
from tests.unit.test_rules_writes import AT, DAY, HEAD, Engine

CASES, MANY = 300, 5_000
MINUTE = 60

WORDS = st.lists(st.sampled_from(["a", "b"]) | st.sampled_from([1, 5, 30, 90]), max_size=4)
DO: st.SearchStrategy[Words] = st.tuples(WORDS, st.sampled_from([0, 5, 90, 200])).map(
    lambda drawn: ["begin", *drawn[0], drawn[1], "end"] if drawn[1] else ["begin", *drawn[0]]
)
MODES = st.sampled_from(["restart", "single"]).map(lambda mode: (mode, 0)) | st.tuples(
    st.sampled_from(["queued", "parallel"]), st.integers(1, 3)
)
GAPS = st.sampled_from([1, 1, 1, 2, 7, 29, 30, 31, 150, 400])
# What comes back soon, for activations that meet; and what comes alone.
AGAIN = st.tuples(GAPS, st.sampled_from([1, 3])).map(
    lambda gaps: [("on", gaps[0]), ("off", gaps[1])]
)
ALONE = st.tuples(st.sampled_from(["on", "off", "reset", "restart"]), GAPS).map(lambda one: [one])
HAPPENINGS = st.lists(AGAIN | AGAIN | ALONE, min_size=4, max_size=20).map(
    lambda parts: list(chain.from_iterable(parts))
)


@st.composite
def terms_of(draw: st.DrawFn, *, moments: bool) -> Terms:
    mode, most = draw(MODES)
    latch = not moments and draw(st.integers(0, 3)) > 0
    last = [] if moments else draw(WORDS)
    return Terms(mode, most, draw(st.sampled_from([1, 2, 4, 20])), draw(DO), last, latch)


def text_of(terms: Terms, head: str) -> str:
    mode = f"{{{terms.mode}: {terms.most}}}" if terms.most else terms.mode
    lines = [head + _steps(terms.do, "  "), f"  mode: {mode}", f"  max_run: {terms.max_run}"]
    if terms.on_clear:
        lines += ["  on_clear:", _steps(terms.on_clear, "  ").rstrip("\n")]
    if terms.latch:
        lines.append("  alarm: {severity: operational, latch: true}")
    return "\n".join(lines) + "\n"


def _steps(words: Words, indent: str) -> str:
    return "".join(
        f"{indent}- log: {word}\n" if isinstance(word, str) else f"{indent}- wait: {word}s\n"
        for word in words
    )


class Real:
    """The engine, that is restarted with what it kept; rows are those that it said have changed."""

    def __init__(self, text: str) -> None:
        self.engine = Engine(text)
        self.rows: dict[str, Any] = {}
        self.said: list[tuple[int, str]] = []
        self.shown = 0
        self._tell(0, [])

    def second(self, now: int) -> None:
        while (due := next_due(self.engine.state)) is not None and due <= now * SECOND:
            self.engine.state, outputs = step(self.engine.state, Tick(), due)
            self._tell(due // SECOND, outputs)

    def happen(self, what: str, now: int) -> None:
        before = len(self.engine.outputs)
        if what in {"on", "off"}:
            self.shown = int(what == "on")
            self.engine.on(now, self.shown)
        elif what == "reset":
            self.engine.on(now, self.shown)  # else it is not known whether it may be reset
            try:
                self.engine.state, outputs = reset(self.engine.state, "r", now * SECOND, "reset")
            except ValueError:
                outputs = []
            self.engine.outputs += outputs
        self._tell(now, self.engine.outputs[before:])

    def restart(self, now: int, off: int) -> None:
        """The machine is off for `off` s; `now` is when it is up again."""
        state = self.engine.state
        told = "what has changed was said to have changed"
        assert lasting(self.rows) == lasting(everything(state)), told
        rows = orjson.loads(orjson.dumps(self.rows))
        past = Past(rows, moments=occurred(state), off_ns=off * SECOND)
        self.engine.state, outputs = restore(state.rules, past, now * SECOND, wall_ns=DAY * SECOND)
        self.engine.state.touched.update(range(len(state.rules.instances)))
        self._tell(now, outputs)

    def _tell(self, now: int, outputs: list[Output]) -> None:
        self.said += [(now, word) for output in outputs if (word := word_of(output))]
        for name, row in changes(self.engine.state).items():
            if row is None:
                self.rows.pop(name, None)
            else:
                self.rows[name] = row


def lasting(rows: Mapping[str, Any]) -> dict[str, object]:
    """Without what time alone takes out of them."""
    row = {key: value for key, value in rows.get("r", {}).items() if key != "begun"}
    return row if len(row) > 1 else {}


def word_of(output: Output) -> str:
    match output:
        case Logged():
            return output.text
        case Skipped():
            return "skipped"
        case Limited():
            return "limited"
    return ""


def lives(terms: Terms, happenings: list[tuple[str, int]]) -> None:
    """A condition that comes and goes, resets, and restarts that take no time or 20 s."""
    real, naive = Real(text_of(terms, HEAD)), ReferenceMode(terms)
    now = 0
    for what, gap in happenings:
        for now in range(now + 1, now + gap + 1):  # noqa: B020 -- on from where it was
            naive.second(now)
        real.second(now)
        if what == "restart":
            off = gap % 2 * 20
            now += off
            real.restart(now, off)
            naive.second(now)
        else:
            real.happen(what, now)
            {"on": naive.rise, "off": naive.fall, "reset": naive.reset}[what](now)
        assert real.said == naive.said


def moments(terms: Terms, restarts: set[int]) -> None:
    """A rule with `at: {every: 1m}`, and restarts in the middle of minutes."""
    real, naive = Real(text_of(terms, AT)), ReferenceMode(terms)
    for now in range(1, 20 * MINUTE):
        naive.second(now)
        if now % MINUTE == 0:
            naive.activate(now)
        real.second(now)
        if now in restarts:
            real.restart(now, 0)
        assert real.said == naive.said


@settings(max_examples=CASES, deadline=None)
@given(terms_of(moments=False), HAPPENINGS)
def test_activations_go_as_a_naive_reading_of_mode_and_max_run_says(
    terms: Terms, happenings: list[tuple[str, int]]
) -> None:
    lives(terms, happenings)


@pytest.mark.chaos
@pytest.mark.timeout(900)
@settings(max_examples=MANY, deadline=None)
@given(terms_of(moments=False), HAPPENINGS)
def test_many_activations_go_as_a_naive_reading_of_mode_and_max_run_says(
    terms: Terms, happenings: list[tuple[str, int]]
) -> None:
    lives(terms, happenings)


RESTARTS = st.sets(st.integers(1, 20 * MINUTE - 1).filter(lambda at: at % MINUTE), max_size=4)


@settings(max_examples=60, deadline=None)
@given(terms_of(moments=True), RESTARTS)
def test_moments_go_as_a_naive_reading_of_mode_and_max_run_says(
    terms: Terms, restarts: set[int]
) -> None:
    moments(terms, restarts)


# Teeth


def _impatient(state: State, rank: int, now: int, outputs: list[Output]) -> None:
    if rank in state.runs:
        go_on(state, rank, now, outputs)


def _forgetful(state: State, rank: int, now: int, outputs: list[Output], *, again: bool) -> None:
    mode.activate(state, rank, now, outputs, again=again and rank not in state.limited)
    if rank in state.limited:
        state.idle.add(rank)


MUTANTS: dict[str, tuple[str, object]] = {
    "ten minutes are five": ("rules.mode.WINDOW_NS", 300 * SECOND),
    "the count is not kept": ("rules.restart.recount", lambda _state, _rank, _row: None),
    "nobody waits in line": ("rules.step.go_further", _impatient),
    "what was limited ends nothing that was done before": ("rules.activation.activate", _forgetful),
    "who waits is not kept": ("rules.restart.queued_of", lambda _row: 0),
    "lines are not counted": ("rules.sequence.Run.lines", property(lambda _run: 0)),
    "what runs is not kept": ("rules.restart.run_of", lambda _instance, _row: None),
    "steps are queued for ever": ("rules.sequence.Run.over", property(lambda _run: False)),
}


@pytest.mark.parametrize("mutant", MUTANTS)
def test_teeth_the_naive_reading_finds(mutant: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(*MUTANTS[mutant])

    @settings(
        max_examples=CASES, deadline=None, phases=[Phase.generate], derandomize=True, database=None
    )
    @given(terms_of(moments=False), HAPPENINGS)
    def all_is_well(terms: Terms, happenings: list[tuple[str, int]]) -> None:
        lives(terms, happenings)

    with pytest.raises(AssertionError):
        all_is_well()

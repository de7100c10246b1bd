"""Mistakes in what operators use: each turns the test red that guards it.

A mistake takes the place of one part, and the guard is the test itself.
"""

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest

from gateway import assemble, config_history, openmetrics, table, tap
from gateway.cli import bundle, tail
from gateway.cli import config as config_cli
from gateway.errors import ConfigError
from gateway.model import Item
from gateway.sinks import encode
from rules import account, explain, term, trace, tracing
from tests.unit import (
    test_bundle,
    test_config_kept,
    test_config_parts,
    test_metrics,
    test_rules_explain,
    test_rules_trace,
    test_tap,
    test_upstream_encode,
)
from tests.unit.rules_site import usable

RED = (AssertionError, pytest.fail.Exception, ConfigError, ValueError, LookupError, ExceptionGroup)


class Mistake(NamedTuple):
    """`by` takes the place of `name` in `owner`; `guard` must fail then."""

    owner: Any
    name: str
    by: Any
    guard: Callable[..., Any]


def overwrite(_self: Any, _part: Any, key: str, value: Any, here: Any) -> dict[Any, Any]:
    here |= value
    return {(key, name): (key, name) for name in value}


def rows(_self: Any, text: str) -> Iterator[tuple[int, list[str]]]:
    """Counted without the empty ones."""
    yield from enumerate((line.split(",") for line in text.splitlines() if line), 1)


def unchecked(main: Path) -> Any:
    return SimpleNamespace(files=tuple(assemble.assemble(main).files))


files = assemble._Assembler
included = test_config_parts.test_what_is_included_counts_as_if_it_stood_in_the_file
named_there = test_config_parts.test_names_in_an_included_file_are_seen_from_there
part = test_config_parts.test_a_wrong_part_is_refused_with_its_own_place
cells = test_config_parts.test_a_table_says_of_devices_what_the_file_would_say
row = test_config_parts.test_a_wrong_table_is_refused_with_the_place
back = test_config_kept.test_a_rollback_brings_every_file_back_and_can_be_rolled_back
back_to_wrong = test_config_kept.test_a_rollback_to_what_is_refused_changes_nothing
hidden = test_bundle.test_secrets_and_names_are_what_is_hidden
IN_FILES: dict[str, Mistake] = {
    "lists of an included file are left out": Mistake(files, "_items", lambda *_: {}, included),
    "its rules are looked for beside the main file": Mistake(files, "_seen_from_main", lambda _self, _part, value: value, included),
    "its secrets are looked for beside the main file": Mistake(files, "_places", lambda *_: None, named_there),
    "its places are forgotten": Mistake(files, "_places", lambda *_: None, partial(part, kind="wrong value")),
    "the last of two devices wins": Mistake(files, "_entries", overwrite, partial(part, kind="same device")),
    "a file may include itself": Mistake(assemble, "_real", lambda _path: object(), partial(part, kind="itself")),
    "every section may stand anywhere": Mistake(assemble, "SHARED", (*assemble.SHARED, "store"), partial(part, kind="section of the main file")),
    "all cells are texts": Mistake(table._Table, "_value", lambda _self, _place, _keys, text: text, cells),
    "a byte order mark is a letter": Mistake(table, "_decode", lambda raw, _name: raw.decode(), cells),
    "rows are counted, not lines": Mistake(table._Table, "_rows", rows, partial(row, kind="no id")),
    "a table may name a device of the file": Mistake(files, "_entries", overwrite, partial(row, kind="same id as the file")),
    "a rollback writes no file": Mistake(config_cli, "_put", lambda *_: None, back),
    "a rollback leaves what is new": Mistake(config_cli, "_files", lambda main: [main.resolve()], back),
    "a rollback keeps nothing first": Mistake(config_history.ConfigHistory, "keep", lambda *_: None, back),
    "a rollback checks nothing": Mistake(config_cli, "_checked", unchecked, back_to_wrong),
    "a bundle hides nothing": Mistake(bundle, "_hidden", lambda _config: {}, hidden),
    "a bundle hides no secret": Mistake(bundle, "_secrets", lambda _value: iter(()), hidden),
    "a bundle hides what stands there as it is alone": Mistake(bundle, "_forms", lambda word: (word,), lambda *_: test_bundle.test_no_form_of_a_secret_stays()),
}  # fmt: skip


@pytest.mark.parametrize("kind", IN_FILES)
def test_a_mistake_with_files_turns_its_guard_red(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    owner, name, by, guard = IN_FILES[kind]
    monkeypatch.setattr(owner, name, by)
    with pytest.raises(RED):
        guard(tmp_path, **({"capsys": capsys} if guard in {back, back_to_wrong} else {}))


def silent(self: Any, item: Item) -> None:
    """Drops what there is no room for, and does not count it."""
    self.waiting.append(item)
    self.news.set()


def bare(*given: Any) -> trace.Trace:
    """A trace without what followed."""
    made = trace.Trace(*given)
    made.outputs = ()
    return made


def one_more(one: Any, memory: int | None) -> Any:
    return families({**one, "audit": {**one["audit"], "lost": 1}}, memory)


def result_of_newest(self: trace.Traces, instance: str, result: trace.Result) -> None:
    next(one for one in self.of(instance) if one.outputs).results.append(result)


families: Any
families, proper_account, proper_kleene = openmetrics._families, account._account, term.kleene
figures = test_metrics.test_every_figure_is_that_of_the_status
cut = partial(test_tap.test_a_filter_takes_what_it_names, *test_tap.FILTERS[4])
kept = test_rules_trace.test_a_transition_keeps_what_was_known_and_what_followed
late = test_rules_trace.test_a_write_that_ends_when_the_alarm_is_over_belongs_to_the_transition_that_wanted_it
every_part = partial(
    test_rules_explain.test_each_part_of_a_condition_is_true_false_or_unknown,
    usable(test_rules_explain.RULES),
)
born = partial(
    test_upstream_encode.test_bounds_come_from_the_boots_around_that_knew_the_time,
    {1: 1_000, 3: 9_000}, ["1077", "9000"],
)  # fmt: skip
OF_VALUES: dict[str, Mistake] = {
    "a filter takes everything": Mistake(tap.Filter, "wants", lambda *_: True, cut),
    "a filter takes every point": Mistake(tap, "_points", lambda _sample: ["elec.power.total"], cut),
    "Prometheus hears of no link": Mistake(openmetrics, "_links", lambda _one: iter(()), figures),
    "figures are cut to whole ones": Mistake(openmetrics, "_number", lambda value: str(int(value)), figures),
    "one figure is told under the name of another": Mistake(openmetrics, "_families", one_more, figures),
    "bounds forget how long the boot ran": Mistake(encode, "bounds_ns", lambda item, offsets: (offsets[1], offsets[3]), born),
    "bounds are those of the boot after": Mistake(encode, "bounds_ns", lambda item, offsets: (offsets[3] + 77, offsets[3]), born),
    "nobody says between which times it was": Mistake(encode, "bounds_ns", lambda item, offsets: (None, None), born),
    "a trace has not what followed": Mistake(tracing, "Trace", bare, kept),
    "a trace is of another input": Mistake(tracing, "Trace", lambda at, n, *more: trace.Trace(at, n + 1, *more), kept),
    "a trace does not know the values": Mistake(tracing, "points", lambda *_: iter(()), kept),
    "the oldest come first": Mistake(trace.Traces, "of", lambda self, name: list(self._rings.get("high", ())), kept),
    "a result goes to the newest": Mistake(trace.Traces, "result", result_of_newest, late),
    "a near miss is as good as a hit": Mistake(account, "_account", lambda one, now: proper_account(one, now)._replace(waited_ns=one.wait_ns), test_rules_trace.test_a_near_miss_says_how_near_it_was),
    "traces are kept for ever": Mistake(trace, "RING", 10**6, test_rules_trace.test_of_one_rule_fifty_are_kept),
    "an event has all of its reason": Mistake(account, "MOST_PARTS", 10**6, test_rules_trace.test_the_reason_in_an_event_is_bounded_whatever_the_rule),
    "what is unknown is false": Mistake(explain, "kleene", lambda term, values: bool(proper_kleene(term, values)), every_part),
    "parts have no place": Mistake(explain, "_columns", lambda _node: iter(()), every_part),
}  # fmt: skip


@pytest.mark.parametrize("kind", OF_VALUES)
def test_a_mistake_with_values_turns_its_guard_red(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner, name, by, guard = OF_VALUES[kind]
    monkeypatch.setattr(owner, name, by)
    with pytest.raises(RED):
        guard()


async def test_a_reader_of_which_nobody_counts_what_it_loses_turns_its_guard_red(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tap._Reader, "offer", silent)
    with pytest.raises(RED):
        await test_tap.test_who_does_not_keep_up_loses_items_and_is_told(tmp_path)


async def test_a_line_that_steers_the_terminal_turns_its_guard_red(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def raw(item: Mapping[str, Any]) -> str:
        return tail._line(item).replace("\\x1b", "\x1b")

    monkeypatch.setattr(test_tap, "_line", raw)
    with pytest.raises(RED):
        await test_tap.test_a_line_is_readable_and_steers_no_terminal()

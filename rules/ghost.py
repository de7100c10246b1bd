"""A latched alarm whose rule is gone: it waits for its reset all the same. Pure.

A ghost is an instance that is never true and does nothing; it remembers what it holds, to give it back.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from gateway.model import Severity
from rules.model import Instance, Rule, RuleSet
from rules.predicate import Predicate
from rules.sequence import Setting
from rules.term import Const

NEVER = Predicate("the rule is gone", Const(False), lambda _values: False, (), ())  # noqa: FBT003 -- a named tuple


def remembered(instance: Instance) -> dict[str, object]:
    """What a ghost of the instance needs: JSON values."""
    return {
        "rule": instance.rule.id, "device": instance.device, "level": instance.rule.level,
        "severity": int(instance.rule.severity or Severity.OPERATIONAL), "title": instance.shown,
        "about": dict(instance.about),
    }  # fmt: skip


def haunted(rules: RuleSet, rows: Mapping[str, Mapping[str, Any]]) -> RuleSet:
    """`rules` and the ghosts of latched instances among `rows` (`rules.keep`) that they do not have."""
    known = {instance.id for instance in rules.instances}
    ghosts = [_ghost(name, row) for name, row in sorted(rows.items()) if name not in known]
    found = tuple(ghost for ghost in ghosts if ghost is not None)
    return replace(rules, instances=(*rules.instances, *found)) if found else rules


def _ghost(name: str, row: Mapping[str, Any]) -> Instance | None:
    """None for a row that leaves none."""
    try:
        of = row["ghost"]
        rule = Rule(
            of["rule"], of["title"], True, of["level"], 0, Severity(of["severity"]),  # noqa: FBT003 -- a named tuple
            latch=True, hash=row["hash"],
        )  # fmt: skip
        return Instance(
            name, rule, of["device"], NEVER, None, tuple(_held(row)), (), of["title"], of["about"]
        )
    except (KeyError, TypeError, ValueError):
        return None


def _held(row: Mapping[str, Any]) -> Iterator[Setting]:
    for device, point, value, _ in row.get("claims", ()):
        yield Setting(device, point, value)

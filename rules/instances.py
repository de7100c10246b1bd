"""From one rule of a file to its instances: devices, conditions, what they set."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from gateway.document import suggest
from gateway.model import Severity
from gateway.profile import Profile
from gateway.site_limit import SiteLimit
from gateway.words.text import fault, text
from rules.bind import Binder
from rules.check import Report, check_at, check_during
from rules.condition import Leveled, levels_meant, meant
from rules.formula import Alias, Formula, Scope, Windowed
from rules.hours import Calendar
from rules.listing import Digest
from rules.listing_check import Listed, digest_bound, digest_meant
from rules.model import Instance, Level, Rule, Stage
from rules.periods import bytes_of, check_periods
from rules.predicate import Predicate
from rules.scenes import Scenes
from rules.section import Group, RuleSection
from rules.select import DeviceView, Site, Target
from rules.steps import Binding, Checked, StepCheck

GATEWAY = "gateway"  # the device of events of a rule that is about no device, or about several: see gateway.own

_TAG = re.compile(r"\{([a-z][a-z0-9_]*)\}")

Aliases = Mapping[str, Sequence[DeviceView]]
Signature = tuple[tuple[str, bool, tuple[str, ...]], ...]


class Making:
    """What all rules share. `asks` are the rules that a rule asks whether they are active."""

    def __init__(
        self,
        site: Site,
        binder: Binder,
        rules: frozenset[str],
        recipients: frozenset[str],
        calendar: Calendar | None,
        scenes: Scenes,
    ) -> None:
        self.site = site
        self.binder = binder
        self.rules = rules
        self.recipients = recipients
        self.calendar = calendar
        self.scenes = scenes
        self.asks: dict[str, set[str]] = {}
        self.windows: dict[tuple[str, str, str, int], tuple[str, float]] = {}  # rule, bytes

    def keep(self, rule: str, conditions: Iterable[Formula], aliases: Aliases) -> None:
        """Count the windows of an instance; two of the same kind are one."""
        for formula in conditions:
            for one in formula.inputs:
                if isinstance(one, Windowed) and one.function != "rises":
                    device = aliases[one.alias][0]
                    key = device.id, one.point, one.function, one.ns
                    self.windows.setdefault(key, (rule, bytes_of(one, device)))

    def windows_of(self) -> dict[str, float]:
        """Bytes by rule."""
        found: dict[str, float] = {}
        for rule, size in self.windows.values():
            found[rule] = found.get(rule, 0) + size
        return found


class _Meant(NamedTuple):
    """What a rule means for devices of certain profiles."""

    when: Formula
    until: Formula | None
    steps: Checked
    levels: tuple[Leveled, ...]
    digest: Listed | None

    @property
    def conditions(self) -> list[Formula]:
        return [self.when] if self.until is None else [self.when, self.until]


def made(
    rule: Rule,
    section: RuleSection,
    making: Making,
    report: Report,
    targets: Sequence[Target] | None = None,
) -> list[Instance]:
    """One instance for each target of `for_each`; none if the rule is disabled or has a problem.

    `targets`, where they are known already: those of an alarm of a profile.
    """
    if section.alarm is None and not section.do:
        report.note((), *fault("rule.idle"))
    check_during(rule, section.during, making.calendar, report)
    check_at(section, making.calendar, report)
    if targets is None:
        targets = making.site.targets(section.for_each, report)
    groups = {
        name: making.site.select(one, report, ("with", name))
        for name, one in section.with_.items()
        if isinstance(one, Group)
    }
    everyone = {t.it.profile.profile: t.it.profile for t in targets if t.it is not None}
    known_meanings: dict[tuple[Signature, object], _Meant | None] = {}
    found: list[Instance] = []
    for target in targets:
        aliases = _aliases(section, target, groups, making, report)
        if aliases is None:
            continue
        known = {**aliases, **groups}  # a group is understood as a whole
        given = None if target.limits is None else tuple(target.limits.items())
        signature = (_signature(section, known), given)
        if signature not in known_meanings:
            scope = _scope(section, known, everyone, making, target.limits)
            known_meanings[signature] = _meaning(section, known, scope, making, report)
        one = known_meanings[signature]
        # A fault that another profile has shown already is not told again, and so is none of this one.
        if one is not None and rule.enabled and not report.problems:
            making.keep(rule.id, one.conditions, aliases)
            found.append(_instance(rule, section, target, aliases, one, making))
    return [] if report.problems else found


def _aliases(
    section: RuleSection, target: Target, groups: Aliases, making: Making, report: Report
) -> Aliases | None:
    """The devices that names stand for; None after a problem."""
    aliases: dict[str, Sequence[DeviceView]] = {}
    if target.it is not None:
        aliases["it"] = [target.it]
    if section.for_each is not None and section.for_each.each is not None:
        aliases["members"] = target.members
    for name, one in section.with_.items():
        if isinstance(one, Group):
            aliases[name] = making.site.group(one, target, groups[name])
            continue
        device = _named(one, name, target, making, report)
        if device is None:
            return None
        aliases[name] = [device]
    return aliases


def _named(
    template: str, alias: str, target: Target, making: Making, report: Report
) -> DeviceView | None:
    """The device `valve-b{building}`, with the tags of the target."""
    lacking = [tag for tag in _TAG.findall(template) if tag not in target.tags]
    if lacking:
        known = list(target.tags) or text("rule.the_ids")
        unknown = fault("rule.name_tag", name=template, tag=lacking[0], known=known)
        report.problem(("with", alias), *unknown)
        return None
    name = _TAG.sub(lambda tag: target.tags[tag[1]], template)
    device = making.site.device(name)
    if device is None:
        fix = suggest(name, making.site.names)
        report.problem(("with", alias), *fault("value.no_device", name=name, fix=fix))
    return device


def _grouped(section: RuleSection, name: str) -> bool:
    return name == "members" or isinstance(section.with_.get(name), Group)


def _signature(section: RuleSection, aliases: Aliases) -> Signature:
    return tuple(
        (name, _grouped(section, name), tuple(dict.fromkeys(d.profile.profile for d in devices)))
        for name, devices in aliases.items()
    )


# Meaning


def _meaning(
    section: RuleSection, aliases: Aliases, scope: Scope, making: Making, report: Report
) -> _Meant | None:
    before = len(report.problems)
    conditions = meant(section, scope, report)
    levels = levels_meant(section, None if conditions is None else conditions.when, scope, report)
    digest = digest_meant(section, aliases, scope, report)
    steps = StepCheck(aliases, scope, making.recipients, making.scenes, report).run(section)
    if conditions is None or levels is None or len(report.problems) > before:
        return None
    check_periods(section, conditions, aliases, report)
    leveled = (one for level in levels for one in level)
    for formula in (*conditions, *leveled, *steps.formulas.values()):
        if formula is not None:
            making.asks.setdefault(section.id, set()).update(formula.asks)
    return _Meant(*conditions, steps, levels, digest)


def _scope(
    section: RuleSection,
    aliases: Aliases,
    everyone: Mapping[str, Profile],
    making: Making,
    limits: Mapping[str, SiteLimit] | None,
) -> Scope:
    """`everyone` are the profiles of all devices of the rule."""
    known = {
        name: Alias(
            tuple({d.profile.profile: d.profile for d in devices}.values()),
            _grouped(section, name),
            tuple(everyone.values()) if name == "it" else (),
        )
        for name, devices in aliases.items()
    }
    return Scope(known, making.rules, limits)


# Instances


def _instance(
    rule: Rule,
    section: RuleSection,
    target: Target,
    aliases: Aliases,
    meant: _Meant,
    making: Making,
) -> Instance:
    def bind(formula: Formula) -> Predicate:
        return making.binder.test(formula.of(target.element), aliases, target.key)

    binding = Binding(meant.steps, aliases, bind, _digest(section, target, aliases, meant, making))
    name = f"{rule.id}[{target.key}]{target.element}" if target.key else rule.id
    title = f"{rule.title}: {target.said}" if target.said else ""
    device = GATEWAY if target.it is None else target.it.id
    return Instance(
        name, rule, device, bind(meant.when), None if meant.until is None else bind(meant.until),
        binding.steps(section.do, ("do",)), binding.steps(section.on_clear, ("on_clear",)), title, target.about,
        _during(section, making), _at(section, making), target.tags, *_life(section, meant, binding),
    )  # fmt: skip


def _digest(
    section: RuleSection, target: Target, aliases: Aliases, meant: _Meant, making: Making
) -> Digest | None:
    digest, listed = section.digest, meant.digest
    if digest is None or listed is None:
        return None

    def bind(formula: Formula, device: DeviceView) -> Predicate:
        return making.binder.test(formula, {**aliases, digest.list_: [device]}, target.key)

    return digest_bound(listed, digest, aliases[digest.list_], bind)


def _life(
    section: RuleSection, meant: _Meant, binding: Binding
) -> tuple[tuple[Level, ...], tuple[Stage, ...]]:
    """The levels and the stages of its alarm."""
    alarm = section.alarm
    if alarm is None:
        return (), ()
    levels = tuple(
        Level(
            binding.bind(one.when), None if one.until is None else binding.bind(one.until),
            round(level.for_ * 1e9), Severity[level.severity.upper()],
        )
        for level, one in zip(alarm.levels, meant.levels, strict=True)
    )  # fmt: skip
    stages = tuple(
        Stage(round(one.after * 1e9), one.only, binding.stage(one, ("alarm", "escalate", index)))
        for index, one in enumerate(alarm.escalate)
    )
    return levels, stages


def _during(section: RuleSection, making: Making) -> int | None:
    if section.during is None or making.calendar is None:
        return None
    lost = section.during.without_clock == "inside"
    return making.binder.during(section.during.hours, making.calendar, lost=lost)


def _at(section: RuleSection, making: Making) -> int | None:
    if section.at is None or making.calendar is None:
        return None
    return making.binder.at(section.at.moments, making.calendar)

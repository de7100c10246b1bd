"""From the steps of a rule file to those of an instance: what is checked once, and what is bound."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

from gateway.document import Path_, Within, suggest
from gateway.model import Value
from gateway.profile import Profile
from gateway.terms import Terms
from gateway.words.text import fault
from gateway.words.text import text as text_
from rules.alarm_section import StageSection
from rules.check import Report, confirm_value, inner, setting_value
from rules.clause import Condition, Part, Template
from rules.formula import Formula, Scope
from rules.listing import Digest
from rules.meaning import meaning, meanings
from rules.model import LEVELS
from rules.predicate import Predicate
from rules.scenes import Scenes
from rules.section import RuleSection
from rules.select import DeviceView
from rules.sequence import (
    Branches,
    Choice,
    Message,
    Note,
    Notice,
    Order,
    Setting,
    Steps,
    Wait,
    WaitUntil,
    Watched,
)
from rules.step_section import NotifySection, SceneSection, SetSection, Step, WriteSection
from rules.tree import RuleError

Bound = Setting | Order | Watched | Notice | Note | Wait | WaitUntil | Choice | Branches
Aliases = Mapping[str, Sequence[DeviceView]]
Bind = Callable[[Formula], Predicate]


class Checked(NamedTuple):
    """What the steps of a rule mean: values by path of the step and profile, formulas and
    what scenes write by path.
    """

    values: Mapping[tuple[Path_, str], Value]
    formulas: Mapping[Path_, Formula]
    scenes: Mapping[Path_, tuple[Setting | Order, ...]]


class StepCheck:
    """Checks the steps of one rule for devices of certain profiles."""

    def __init__(
        self,
        aliases: Aliases,
        scope: Scope,
        recipients: frozenset[str],
        scenes: Scenes,
        report: Report,
    ) -> None:
        self._aliases = aliases
        self._scope = scope
        self._recipients = recipients
        self._scenes = scenes
        self._report = report
        self._life = self._single = False
        self._parts: dict[Path_, tuple[Setting | Order, ...]] = {}
        self._values: dict[tuple[Path_, str], Value] = {}
        self._formulas: dict[Path_, Formula] = {}
        self._digest = False  # whether the rule has one

    def run(self, section: RuleSection) -> Checked:
        self._life = LEVELS[section.effective_priority] == LEVELS["life"]
        self._single = section.at is not None
        self._digest = section.digest is not None
        self._steps(section.do, ("do",), set())
        self._steps(section.on_clear, ("on_clear",), set())
        for index, stage in enumerate(section.alarm.escalate if section.alarm else ()):
            at: Path_ = ("alarm", "escalate", index)
            self._steps(stage.do, (*at, "do"), set())
            if stage.step is not None:
                self._step(stage.step, at, set())
        for index, step in enumerate(section.on_clear):
            if any(_holds(one) for one in inner([step])):
                self._report.problem(("on_clear", index), *fault("rule.set_after"))
        return Checked(self._values, self._formulas, self._parts)

    def _steps(self, steps: Sequence[Step], path: Path_, seen: set[tuple[str, str]]) -> None:
        for index, step in enumerate(steps):
            self._step(step, (*path, index), seen)

    def _step(self, step: Step, path: Path_, seen: set[tuple[str, str]]) -> None:
        if step.writes:
            self._written(step, path, seen)
        elif step.notify is not None:
            self._notice(step.notify, (*path, "notify"))
        elif step.log is not None:
            self._template(step.log, (*path, "log"))
        elif step.wait_until is not None:
            at = (*path, "wait_until")
            self._condition(step.wait_until.when, (*at, "when"))
            seen.clear()
            self._steps(step.wait_until.on_timeout, (*at, "on_timeout"), set())
        elif step.wait is not None:
            seen.clear()
        elif step.if_ is not None:
            at = (*path, "if")
            self._condition(step.if_.cond, (*at, "cond"))
            self._steps(step.if_.then, (*at, "then"), set())
            self._steps(step.if_.otherwise, (*at, "else"), set())
        elif step.parallel is not None:
            self._steps(step.parallel, (*path, "parallel"), seen)

    def _written(self, step: Step, path: Path_, seen: set[tuple[str, str]]) -> None:
        if step.set_ is not None:
            self._write(step.set_, (*path, "set"), seen)
            self._ends(step.set_, (*path, "set"), seen)
        elif step.command is not None:
            self._write(step.command, (*path, "command"), None)
            self._ends(step.command, (*path, "command"), seen)
        elif step.scene is not None:
            self._scene(step.scene, (*path, "scene"))

    def _scene(self, section: SceneSection, path: Path_) -> None:
        """It is held until the rule ends; where nothing ends and no `hold` is written, written once."""
        if section.name not in self._scenes:
            fix = suggest(section.name, self._scenes) if self._scenes else text_("rule.add_scene")
            self._report.problem(path, *fault("rule.no_scene", name=section.name, fix=fix))
            return
        once = section.hold is None and (self._single or path[0] == "on_clear")
        hold_ns = None if section.hold is None else round(section.hold * 1e9)
        parts: list[Setting | Order] = []
        for device, point, value, idempotent in self._scenes[section.name]:
            if once and self._life and not idempotent:
                self._report.problem(path, *fault("rule.not_idempotent", point=point))
            parts.append(
                Order(device, point, value) if once else Setting(device, point, value, hold_ns)
            )
        self._parts[path] = tuple(parts)

    def _ends(self, section: WriteSection, path: Path_, seen: set[tuple[str, str]]) -> None:
        self._steps(section.on_fail, (*path, "on_fail"), set())
        if section.await_confirm:
            seen.clear()

    def _write(self, section: WriteSection, path: Path_, seen: set[tuple[str, str]] | None) -> None:
        """`seen`: what is set at the same moment; None for a command, which may come again."""
        report, name = self._report, section.device
        if name not in self._aliases:
            fix = suggest(name, self._aliases)
            report.problem((*path, "device"), *fault("rule.not_its_device", name=name, fix=fix))
            return
        if seen is not None:
            if (name, section.point) in seen:
                report.problem((*path, "point"), *fault("rule.set_twice", point=section.point))
            seen.add((name, section.point))
        for profile in {d.profile.profile: d.profile for d in self._aliases[name]}.values():
            value = setting_value(path, section.point, section.value, profile, report)
            if value is not None:
                self._values[path, profile.profile] = value
                if seen is None:
                    self._check_repeatable(section, profile, path)
                self._confirm(section, profile, (*path, "confirm"))

    def _check_repeatable(self, section: WriteSection, profile: Profile, path: Path_) -> None:
        """What saves lives is written again until it is confirmed, also after a crash."""
        point = section.point
        if profile.by_command[point].idempotent:
            return
        if self._life:
            self._report.problem((*path, "point"), *fault("rule.not_idempotent", point=point))
        if section.retry:
            self._report.problem((*path, "retry"), *fault("rule.written_once", point=point))

    def _confirm(self, section: WriteSection, profile: Profile, path: Path_) -> None:
        confirm = section.confirm
        command = profile.by_command[section.point]
        point = confirm.point or command.feedback
        if self._life and not (confirm.model_fields_set or "confirm" in command.model_fields_set):
            blind = fault("advice.confirm", point=section.point, profile=profile.profile)
            self._report.note((*path[:-1], "point"), *blind)
        if point not in profile.by_id:
            fix = suggest(point, profile.by_id)
            no_point = fault("rule.no_command", point=point, profile=profile.profile, fix=fix)
            self._report.problem((*path, "point"), *no_point)
        elif confirm.equals is not None:
            value = confirm_value(path, point, confirm.equals, profile, self._report)
            if value is not None:
                self._values[path, profile.profile] = value

    def _notice(self, section: NotifySection, path: Path_) -> None:
        recipient, text = section.to, section.text
        if section.digest and not self._digest:
            self._report.problem((*path, "digest"), *fault("digest.none"))
        if recipient not in self._recipients:
            known = self._recipients
            fix = suggest(recipient, known) if known else text_("rule.add_recipient")
            unknown = fault("rule.no_recipient", name=recipient, fix=fix)
            self._report.problem((*path, "to"), *unknown)
        if text is not None:
            self._template(text, (*path, "text"))

    def _condition(self, condition: Condition, path: Path_) -> None:
        parts = [(part.node, part.text) for part in condition.parts]
        found, failed = meanings(parts, self._scope, condition.join)
        for index, error in failed:
            part = condition.parts[index]
            self._fault((*path, *part.path), part.text, error, 0)
        if found is not None:
            self._formulas[path] = found

    def _template(self, template: Template, path: Path_) -> None:
        at = 0
        for index, part in enumerate(template.parts):
            if isinstance(part, str):
                at += len(part)
                continue
            try:
                self._formulas[*path, index] = meaning(part.node, self._scope, part.text)
            except RuleError as error:
                self._fault(path, template.text, error, at + 1)
            at += len(part.text) + 2

    def _fault(self, path: Path_, text: str, error: RuleError, before: int) -> None:
        within = Within(text, before + error.start, before + error.end)
        self._report.problem(path, error.what, error.fix, within=within)


def _holds(step: Step) -> bool:
    """It holds a point, which after the end of a rule nobody would give back."""
    return step.set_ is not None or (step.scene is not None and step.scene.hold is not None)


class Binding(NamedTuple):
    """Makes the steps of one instance from what was checked."""

    checked: Checked
    aliases: Aliases
    bind: Bind
    digest: Digest | None = None

    def steps(self, sections: Sequence[Step], path: Path_) -> Steps:
        return tuple(
            step
            for index, section in enumerate(sections)
            for step in self._step(section, (*path, index))
        )

    def stage(self, section: StageSection, path: Path_) -> Steps:
        """Those of one stage of `escalate`."""
        told = () if section.step is None else self._step(section.step, path)
        return (*self.steps(section.do, (*path, "do")), *told)

    def _step(self, step: Step, path: Path_) -> Iterator[Bound]:
        if step.writes:
            yield from self._written(step, path)
        elif step.notify is not None:
            text = step.notify.text
            at = (*path, "notify", "text")
            said = None if text is None else self._message(text, at)
            yield Notice(step.notify.to, said, self.digest if step.notify.digest else None)
        elif step.log is not None:
            yield Note(self._message(step.log, (*path, "log")))
        elif step.wait is not None:
            yield Wait(round(step.wait * 1e9))
        elif step.wait_until is not None:
            at = (*path, "wait_until")
            timeout = step.wait_until.timeout
            yield WaitUntil(
                self.bind(self.checked.formulas[*at, "when"]),
                None if timeout is None else round(timeout * 1e9),
                self.steps(step.wait_until.on_timeout, (*at, "on_timeout")),
            )
        elif step.if_ is not None:
            at = (*path, "if")
            yield Choice(
                self.bind(self.checked.formulas[*at, "cond"]),
                self.steps(step.if_.then, (*at, "then")),
                self.steps(step.if_.otherwise, (*at, "else")),
            )
        elif step.parallel is not None:
            at = (*path, "parallel")
            yield Branches(
                tuple(tuple(self._step(one, (*at, i))) for i, one in enumerate(step.parallel))
            )

    def _written(self, step: Step, path: Path_) -> Iterator[Bound]:
        if step.set_ is not None:
            yield from self._settings(step.set_, (*path, "set"))
        elif step.command is not None:
            yield from self._orders(step.command, (*path, "command"))
        else:
            yield from self.checked.scenes[*path, "scene"]

    def _settings(self, section: SetSection, path: Path_) -> Iterator[Bound]:
        hold_ns = None if section.hold is None else round(section.hold * 1e9)
        places = self._places(section, path)
        yield from self._watched(
            section, path, [Setting(*place, hold_ns, terms) for place, terms in places]
        )

    def _orders(self, section: WriteSection, path: Path_) -> Iterator[Bound]:
        places = self._places(section, path)
        yield from self._watched(section, path, [Order(*place, terms) for place, terms in places])

    def _watched(
        self, section: WriteSection, path: Path_, writes: Sequence[Setting | Order]
    ) -> Iterator[Bound]:
        on_fail = self.steps(section.on_fail, (*path, "on_fail"))
        if writes and (on_fail or section.await_confirm):
            yield Watched(tuple(writes), on_fail, section.await_confirm)
        else:
            yield from writes

    def _places(
        self, section: WriteSection, path: Path_
    ) -> Iterator[tuple[tuple[str, str, Value], Terms]]:
        """What is written, and how."""
        confirm = section.confirm
        terms = Terms(
            confirm.point, None, confirm.within, section.retry, section.backoff, section.timeout
        )
        for device in self.aliases[section.device]:
            profile = device.profile.profile
            value = self.checked.values[path, profile]
            equals = self.checked.values.get(((*path, "confirm"), profile))
            yield (device.id, section.point, value), terms._replace(equals=equals)

    def _message(self, template: Template, path: Path_) -> Message:
        return Message(
            tuple(
                self.bind(self.checked.formulas[*path, index]) if isinstance(part, Part) else part
                for index, part in enumerate(template.parts)
            )
        )

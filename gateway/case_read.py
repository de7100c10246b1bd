"""From the lines of a test case to what is fed and what is expected; every fault with its place."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Literal, TypeVar

from pydantic import Field

from gateway.case import (
    Case,
    Ends,
    Expected,
    Heard,
    Kind,
    Operated,
    Reboot,
    Reloaded,
    TestPart,
    Turn,
    When,
    Words,
)
from gateway.case import Given as Input
from gateway.case_operation import OPERATIONS, OperationPart
from gateway.case_text import SECOND, Given, moment_ns, place, reading, series, value_of
from gateway.document import Document, Path_, Within, suggest
from gateway.errors import Problem
from gateway.model import Outcome
from gateway.settings import Duration, Section
from gateway.validate import validate
from gateway.words.text import fault
from gateway.words.text import text as text_
from rules.load import DeviceView
from rules.model import RuleSet
from rules.tree import RuleError

T = TypeVar("T")
Others = Callable[[Sequence[str], Path_], RuleSet | None]


class SetPart(Section):
    at: str
    set: Words
    late: Duration = 0.0


class SeriesPart(Section):
    series: str
    every: Duration
    values: str
    unit: str = ""
    from_: str = Field("+0s", alias="from")


class RebootPart(Section):
    at: str
    reboot: Duration


class ReloadPart(Section):
    """`reload`: files of rules, seen from the file of the case."""

    at: str
    reload: Words


class TurnPart(Section):
    at: str
    clock_step: str


Result = Literal[
    "confirmed", "unconfirmed", "failed", "refused", "expired", "superseded", "overridden", "unknown",
]  # fmt: skip


class ResultPart(Section):
    at: str
    result: Result
    of: Words


class ExpectPart(Section):
    at: str | None = None
    by: str | None = None
    never: Words | None = None
    raised: Words = []
    cleared: Words = []
    annunciated: Words = []
    written: list[dict[str, object]] = []
    told: list[str | dict[str, str]] = []


_INPUTS: Mapping[str, type[Section]] = {
    "series": SeriesPart,
    "reboot": RebootPart,
    "reload": ReloadPart,
    "clock_step": TurnPart,
    "result": ResultPart,
    **OPERATIONS,
}


_OF_ALARMS: Mapping[str, Kind] = {
    "raised": "raised", "cleared": "cleared", "annunciated": "annunciated",
}  # fmt: skip


class Reader:
    """Reads the cases of one file; adds what is wrong to `problems`."""

    def __init__(
        self, document: Document, rules: RuleSet, devices: Mapping[str, DeviceView],
        problems: list[Problem], recipients: Sequence[str] = (), others: Others = lambda *_: None,
    ) -> None:  # fmt: skip
        """`others` loads the rules of a reload; None after a problem, which it has told."""
        self._others = others
        self._recipients = recipients
        self._document = document
        self._rules = rules
        self._devices = devices
        self._problems = problems
        self._alarms: set[str] = set()
        self._silent: set[str] = set()
        self._know(rules)

    def _know(self, rules: RuleSet) -> None:
        """What may be expected of these rules."""
        alarms = [one for one in rules.instances if one.rule.severity is not None]
        self._alarms |= {one.id for one in alarms} | {one.rule.id for one in alarms}
        self._silent |= {one.rule.id for one in rules.instances} - self._alarms

    def case(self, index: int, test: TestPart) -> Case:
        path: Path_ = ("tests", index)
        inputs: list[Input] = []
        for number, value in enumerate(test.input):
            inputs += self._input(value, (*path, "input", number))
        expected: list[Expected] = []
        for number, value in enumerate(test.expect):
            expected += self._expect(value, (*path, "expect", number))
        inputs.sort(key=lambda one: one.at)
        latest = [one.at for one in inputs] + [one.ns for one in expected]
        end = max(latest, default=0)
        if test.end is not None:
            end = self._try((*path, "end"), test.end, lambda: moment_ns(test.end)) or 0
        return Case(test.name, path, test.start, tuple(inputs), tuple(expected), test.only, end)

    def _try(self, path: Path_, text: object, read: Callable[[], T]) -> T | None:
        """None after a RuleError, which is told with its place in `text`."""
        try:
            return read()
        except RuleError as error:
            within = Within(text, error.start, error.end) if isinstance(text, str) else None
            problem = self._document.problem(path, error.what, error.fix, within=within)
            self._problems.append(problem)
            return None

    def _tell(self, path: Path_, what: str, fix: str) -> None:
        self._problems.append(self._document.problem(path, what, fix))

    # Inputs

    def _input(self, value: object, path: Path_) -> Iterator[Input]:
        if isinstance(value, str):
            moment, _, rest = value.strip().partition(" ")
            yield from self._line(path, value, moment, rest)
            return
        if not isinstance(value, dict):
            self._tell(path, *fault("case.input"))
            return
        model = next((_INPUTS[key] for key in value if key in _INPUTS), SetPart)
        part = validate(model, self._document, path, value, self._problems)
        match part:
            case SeriesPart():
                yield from self._series(path, part)
            case SetPart():
                yield from self._set(path, part)
            case TurnPart():
                yield from self._turn(path, part)
            case RebootPart() | ReloadPart() | ResultPart() | OperationPart():
                yield from self._done(path, part)

    def _done(
        self, path: Path_, part: RebootPart | ReloadPart | ResultPart | OperationPart
    ) -> Iterator[Input]:
        """Something is done to the gateway, or with it."""
        at = self._try((*path, "at"), part.at, lambda: moment_ns(part.at))
        match part:
            case RebootPart() if at is not None:
                yield Reboot(at, round(part.reboot * SECOND))
            case ReloadPart():
                rules = self._others(part.reload, (*path, "reload"))
                if at is not None and rules is not None:
                    self._know(rules)
                    yield Reloaded(at, rules)
            case ResultPart() if at is not None:
                yield from self._ends(path, part, at)
            case OperationPart() if at is not None:
                if self._alarm((*path, part.key), part.alarm):
                    yield Operated(at, part.operation)

    def _ends(self, path: Path_, part: ResultPart, at: int) -> Iterator[Ends]:
        found = [
            self._try((*path, "of"), name, lambda name=name: place(name, self._devices))  # type: ignore[misc]
            for name in part.of
        ]
        if None not in found:
            yield Ends(at, tuple(part.of), Outcome(part.result))

    def _line(self, path: Path_, text: str, moment: str, rest: str) -> Iterator[Heard]:
        at = self._try(path, text, lambda: moment_ns(moment))
        given = self._try(path, rest, lambda: reading(rest, self._devices))
        if at is not None and given is not None:
            yield _heard(at, [given], 0)

    def _set(self, path: Path_, part: SetPart) -> Iterator[Heard]:
        """What is said of one device is one message."""
        at = self._try((*path, "at"), part.at, lambda: moment_ns(part.at))
        messages: dict[str, list[Given]] = {}
        for text in part.set:
            given = self._try((*path, "set"), text, lambda text=text: reading(text, self._devices))  # type: ignore[misc]
            if given is not None:
                messages.setdefault(given.device, []).append(given)
        for message in messages.values() if at is not None else ():
            yield _heard(at or 0, message, round(part.late * SECOND))

    def _turn(self, path: Path_, part: TurnPart) -> Iterator[Turn]:
        at = self._try((*path, "at"), part.at, lambda: moment_ns(part.at))
        text = part.clock_step.strip()
        if at is None or text == "lost":
            if at is not None:
                yield Turn(at, None)
            return
        by = self._try((*path, "clock_step"), text, lambda: moment_ns(text.removeprefix("-")))
        if by is not None:
            yield Turn(at, -by if text.startswith("-") else by)

    def _series(self, path: Path_, part: SeriesPart) -> Iterator[Heard]:
        begin = self._try((*path, "from"), part.from_, lambda: moment_ns(part.from_))
        found = self._try((*path, "series"), part.series, lambda: place(part.series, self._devices))
        if begin is None or found is None:
            return
        if part.every <= 0:
            self._tell((*path, "every"), *fault("case.every"))
            return
        device, point = found
        values = self._try((*path, "values"), part.values, lambda: series(part.values, point, part.unit))  # fmt: skip
        for number, value in values or ():
            at = begin + number * round(part.every * SECOND)
            yield _heard(at, [Given(device, point.id, value)], 0)

    # Expectations

    def _expect(self, value: object, path: Path_) -> Iterator[Expected]:
        part = validate(ExpectPart, self._document, path, value, self._problems)
        if part is None:
            return
        times = [key for key in ("at", "by", "never") if getattr(part, key) is not None]
        if len(times) != 1:
            self._tell(path, *fault("case.times", count=len(times)))
        elif part.never is not None:
            for text in part.never:
                yield from self._never((*path, "never"), text)
        else:
            yield from self._happens(path, part, "at" if part.at is not None else "by")

    def _happens(self, path: Path_, part: ExpectPart, when: When) -> Iterator[Expected]:
        text = part.at if when == "at" else part.by
        ns = self._try((*path, when), text, lambda: moment_ns(text))
        if not (part.raised or part.cleared or part.annunciated or part.written or part.told):
            self._tell(path, *fault("case.nothing"))
        if ns is None:
            return
        kinds: tuple[tuple[Kind, list[str]], ...] = (
            ("raised", part.raised),
            ("cleared", part.cleared),
            ("annunciated", part.annunciated),
        )
        for kind, found in kinds:
            for index, name in enumerate(found):
                at: Path_ = (*path, kind, index)
                if self._alarm(at, name):
                    yield Expected(at, when, ns, kind, name)
        for index, one in enumerate(part.written):
            for name, value in one.items():
                at = (*path, "written", index, name)
                yield from self._written(at, name, value, when, ns)

        yield from self._told(path, part, when, ns)

    def _told(self, path: Path_, part: ExpectPart, when: When, ns: int) -> Iterator[Expected]:
        for index, told in enumerate(part.told):
            texts = told if isinstance(told, dict) else {told: None}
            for name, text in texts.items():
                at = (*path, "told", index)
                if self._recipient(at, name):
                    yield Expected(at, when, ns, "told", name, text)

    def _recipient(self, path: Path_, name: str) -> bool:
        if name not in self._recipients:
            add = text_("case.add_recipients")
            fix = suggest(name, self._recipients) if self._recipients else add
            self._tell(path, *fault("rule.no_recipient", name=name, fix=fix))
        return name in self._recipients

    def _written(
        self, path: Path_, name: str, value: object, when: When, ns: int
    ) -> Iterator[Expected]:
        found = self._try(path, None, lambda: place(name, self._devices))
        if found is None:
            return
        device, point = found
        wanted = self._try(path, None, lambda: value_of(value, point))
        if wanted is not None:
            yield Expected(path, when, ns, "written", f"{device}.{point.id}", wanted)

    def _never(self, path: Path_, text: str) -> Iterator[Expected]:
        kind, _, name = text.partition(" ")
        name = name.strip()
        if kind == "written":
            target, _, written = (part.strip() for part in name.partition("="))
            found = self._try(path, None, lambda: place(target, self._devices))
            if found is not None:
                device, point = found
                wanted = (
                    self._try(path, None, lambda: value_of(written, point)) if written else None
                )
                yield Expected(path, "never", 0, "written", f"{device}.{point.id}", wanted)
        elif kind in _OF_ALARMS:
            if self._alarm(path, name):
                yield Expected(path, "never", 0, _OF_ALARMS[kind], name)
        elif kind == "told":
            if self._recipient(path, name):
                yield Expected(path, "never", 0, "told", name)
        else:
            self._tell(path, *fault("case.never", text=text))

    def _alarm(self, path: Path_, name: str) -> bool:
        """It is an instance that can raise an alarm, or a rule that has such."""
        if name in self._alarms:
            return True
        if name.partition("[")[0] in self._silent:
            self._tell(path, *fault("case.no_alarm", name=name))
        else:
            unknown = fault("case.unknown_alarm", name=name, fix=suggest(name, self._alarms))
            self._tell(path, *unknown)
        return False


def _heard(at: int, given: list[Given], late: int) -> Heard:
    values = {one.point: one.value for one in given if one.value is not None}
    bad = tuple(one.point for one in given if one.value is None)
    return Heard(at, given[0].device, values, bad, late)

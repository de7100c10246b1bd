"""Rules made of templates: `${x}` is replaced by an input, as a value or as a literal, never as text.

The rule that comes out is checked like one that was written so. What is wrong with it is told where
the template is used, and says where in the template.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, NamedTuple

from gateway.document import Document, Path_, Plain, Within, mapping_at, suggest
from gateway.errors import Problem
from gateway.settings import Section
from gateway.validate import validate
from gateway.words.text import fault, text
from rules.inputs import Given, InputSection, given
from rules.quantity import Fault

OWN = frozenset({"id", "title", "enabled"})  # what a rule says itself beside its template
_HOLE = re.compile(r"\$\{([^{}]*)\}")
_OF_TEXT = re.compile(r"\$\{[^{}]*\}|\{((?:[^{}]|\$\{[^{}]*\})*)\}")  # `${x}`, `{it.x > ${y}}`
_CONDITIONS = frozenset({"when", "until", "cond"})
_TEXTS = frozenset({"text", "log"})


class TemplateSection(Section):
    inputs: dict[str, InputSection] = {}
    rule: dict[str, Any]


class Template(NamedTuple):
    name: str
    section: TemplateSection
    document: Document

    @property
    def path(self) -> Path_:
        return ("templates", self.name)

    def at(self, path: Path_) -> str:
        """`file:line:column` of the value at `path` of its rule."""
        line, column = self.document.place((*self.path, "rule", *path))
        return f"{self.document.name}:{line}:{column}"


@dataclass(slots=True)
class Made(Document):
    """A document in which one rule, at `rule`, came of a template.

    `origins`: which input stands at a path of that rule.
    """

    rule: Path_ = ()
    template: Template | None = None
    origins: dict[Path_, str] = field(default_factory=dict)

    def problem(
        self, path: Iterable[str | int], what: str, fix: str, *, key: bool = False,
        within: Within | None = None,
    ) -> Problem:  # fmt: skip
        """At the input that stands there, else at the name of the template."""
        whole = tuple(path)
        found = super(Made, self).problem(whole, what, fix, key=key, within=within)
        inside = whole[len(self.rule) :]
        if self.template is None or ((*self.rule, *inside[:1]) in self.places and inside):
            return found
        origin = next((self.origins[p] for p in _prefixes(inside) if p in self.origins), None)
        use: Path_ = (*self.rule, "template") if origin is None else (*self.rule, "inputs", origin)
        use = use if use in self.places else (*self.rule, "template")
        line, column = self.place(use)
        said = text(
            "template.within", what=what, name=self.template.name, place=self.template.at(inside)
        )
        return found._replace(line=line, column=column, what=said)


class Templates:
    """Those of all rule files."""

    def __init__(self, documents: Sequence[Document], problems: list[Problem]) -> None:
        self._known: dict[str, Template] = {}
        self._used: set[str] = set()
        self._problems = problems
        for document in documents:
            for name, value in mapping_at(mapping_at(document.value).get("templates")).items():
                self._read(name, value, document)

    def _read(self, name: str, value: Plain, document: Document) -> None:
        path: Path_ = ("templates", name)
        section = validate(TemplateSection, document, path, value, self._problems)
        if section is None:
            return
        template = Template(name, section, document)
        first = self._known.setdefault(name, template)
        if first is not template:
            twice = fault("template.twice", name=name, first=first.document.name)
            self._problems.append(document.problem(path, *twice, key=True))
        self._check(template)

    def _check(self, template: Template) -> None:
        """What can be said of a template without its use."""
        section, document = template.section, template.document
        for key in sorted({"id", "template", "inputs"} & section.rule.keys()):
            path = (*template.path, "rule", key)
            self._problems.append(document.problem(path, *fault("template.key", key=key), key=True))
        named = set(_named(section.rule))
        for name, one in section.inputs.items():
            path = (*template.path, "inputs", name)
            if name not in named:
                unused = fault("template.unused_input", name=name)
                self._problems.append(document.problem(path, *unused, key=True))
            unfit = None if one.default is None else given(one, one.default)
            if isinstance(unfit, Fault):
                self._problems.append(document.problem((*path, "default"), *unfit))
        for name in sorted(named - section.inputs.keys()):
            fix = suggest(name, section.inputs)
            unknown = fault("template.no_input", name=name, fix=fix)
            where = next(_places(section.rule, name), ())
            self._problems.append(document.problem((*template.path, "rule", *where), *unknown))

    def unused(self) -> Iterator[Problem]:
        for name, template in self._known.items():
            if name not in self._used:
                yield template.document.problem(template.path, *fault("template.unused"), key=True)

    def made(self, document: Document, path: Path_, value: Plain) -> tuple[Document, Plain] | None:
        """The rule that `value`, at `path`, asks for, and the document to tell of it; as it is if it
        uses no template. None after a problem.
        """
        use = mapping_at(value)
        if "template" not in use and "inputs" not in use:
            return document, value
        before = len(self._problems)
        template = self._named(document, path, use)
        if template is None:
            return None
        inputs = self._inputs(document, path, use, template)
        if len(self._problems) > before:
            return None
        own = {one.name: getattr(document, one.name) for one in fields(Document)}
        made = Made(**own, rule=path, template=template)
        filling = _Filling(template, inputs, made, self._problems)
        rule = filling.value(template.section.rule, ())
        said = {key: one for key, one in use.items() if key in OWN}
        return None if len(self._problems) > before else (made, {**mapping_at(rule), **said})

    def _named(self, document: Document, path: Path_, use: Mapping[str, Plain]) -> Template | None:
        for key in use:
            if key not in OWN | {"template", "inputs"}:
                beside = fault("template.beside", key=key)
                self._problems.append(document.problem((*path, key), *beside, key=True))
        name = use.get("template")
        self._used.add(str(name))
        if isinstance(name, str) and name in self._known:
            return self._known[name]
        unknown = fault("template.unknown", name=str(name), fix=suggest(str(name), self._known))
        self._problems.append(document.problem((*path, "template"), *unknown))
        return None

    def _inputs(
        self, document: Document, path: Path_, use: Mapping[str, Plain], template: Template
    ) -> dict[str, Given]:
        written, wanted = mapping_at(use.get("inputs")), template.section.inputs
        for name in sorted(written.keys() - wanted.keys()):
            unknown = fault(
                "template.unknown_input", name=name, template=template.name,
                place=_at(template, ("inputs",)), fix=suggest(name, wanted),
            )  # fmt: skip
            self._problems.append(document.problem((*path, "inputs", name), *unknown, key=True))
        found: dict[str, Given] = {}
        for name, section in wanted.items():
            place = _at(template, ("inputs", name))
            if name not in written and section.default is None:
                missing = fault("template.missing", name=name, template=template.name, place=place)
                self._problems.append(document.problem((*path, "inputs"), *missing))
                continue
            one = given(section, written.get(name, section.default))
            if isinstance(one, Given):
                found[name] = one
            elif name in written:
                said = text("template.within", what=one.what, name=template.name, place=place)
                where = (*path, "inputs", name)
                self._problems.append(document.problem(where, said, one.fix))
        return found


class _Filling:
    """Puts the inputs into the rule of a template."""

    def __init__(
        self,
        template: Template,
        inputs: Mapping[str, Given],
        made: Made,
        problems: list[Problem],
    ) -> None:
        self._template = template
        self._inputs = inputs
        self._made = made
        self._problems = problems

    def value(self, value: Plain, path: Path_) -> Plain:
        if isinstance(value, dict):
            return {key: self.value(one, (*path, key)) for key, one in value.items()}
        if isinstance(value, list):
            return [self.value(one, (*path, index)) for index, one in enumerate(value)]
        return self._filled(value, path) if isinstance(value, str) and "${" in value else value

    def _filled(self, value: str, path: Path_) -> Plain:
        if _is_condition(path):
            return self._expression(value, path)
        alone = _HOLE.fullmatch(value)
        if alone is not None:
            self._made.origins[path] = alone[1]
            return self._inputs[alone[1]].node
        if _is_text(path):
            return _OF_TEXT.sub(lambda hole: self._hole(hole, path), value)
        self._told(path, fault("template.part"))
        return None

    def _hole(self, hole: re.Match[str], path: Path_) -> str:
        if hole[1] is None:
            self._told(path, fault("template.part"))
            return hole[0]
        return f"{{{self._expression(hole[1], path)}}}"

    def _expression(self, written: str, path: Path_) -> str:
        """With literals for inputs, each apart from what stands beside it."""
        parts, end = list[str](), 0
        for hole in _HOLE.finditer(written):
            one = self._inputs[hole[1]]
            if one.literal is None:
                self._told(path, fault("template.no_literal", name=hole[1]))
                return written
            before, after = written[: hole.start()][-1:], written[hole.end() :][:1]
            if re.match(r"[\w\"\]$°%]", before) or re.match(r"[\w\".\[(°%$]", after):
                self._told(path, fault("template.touches", name=hole[1]))
                return written
            parts += [written[end : hole.start()], one.literal]
            end = hole.end()
        return "".join([*parts, written[end:]])

    def _told(self, path: Path_, said: tuple[str, str]) -> None:
        self._problems.append(self._made.problem((*self._made.rule, *path), *said))


def _is_condition(path: Path_) -> bool:
    """`when: ...`, `when: {all: [...]}`."""
    if path and isinstance(path[-1], int) and len(path) > 2 and path[-2] in {"all", "any"}:
        path = path[:-2]
    return bool(path) and path[-1] in _CONDITIONS


def _is_text(path: Path_) -> bool:
    return bool(path) and path[-1] in _TEXTS


def _named(value: object) -> Iterator[str]:
    """The inputs that a rule names."""
    if isinstance(value, dict):
        for one in value.values():
            yield from _named(one)
    elif isinstance(value, list):
        for one in value:
            yield from _named(one)
    elif isinstance(value, str):
        yield from _HOLE.findall(value)


def _places(value: object, name: str, path: Path_ = ()) -> Iterator[Path_]:
    """Where a rule names the input `name`."""
    below: Iterator[tuple[str | int, object]] = iter(())
    if isinstance(value, dict):
        below = iter(value.items())
    elif isinstance(value, list):
        below = iter(enumerate(value))
    elif isinstance(value, str) and name in _HOLE.findall(value):
        yield path
    for key, one in below:
        yield from _places(one, name, (*path, key))


def _prefixes(path: Path_) -> Iterator[Path_]:
    """`path` and what it stands in, the innermost first."""
    for end in range(len(path), 0, -1):
        yield path[:end]


def _at(template: Template, path: Path_) -> str:
    line, column = template.document.place((*template.path, *path))
    return f"{template.document.name}:{line}:{column}"

"""The references name every key and no other; the examples in the pages are right."""

import re
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby
from pathlib import Path

from pydantic import BaseModel

from gateway import driver, profile, sections
from gateway.allow import Allow, CommandsSection, Selector
from gateway.config import load_config
from gateway.errors import ConfigError
from gateway.sinks.settings import UpstreamSection
from gateway.store.settings import StoreSettings
from rules.section import RuleSection
from tests.docs.pages import ROOT, Page, section

SPECS = {name: load() for name, load in driver.installed().items()}
DEMO = (ROOT / "configs" / "demo" / "gateway.yaml").read_text(encoding="utf-8")


def keys(*models: type[BaseModel]) -> set[str]:
    return {f.alias or name for model in models for name, f in model.model_fields.items()}


def _configuration() -> dict[str, set[str]]:
    """Keys by heading."""
    common = keys(driver.DeviceSection)
    return {
        "Top level": keys(sections.File), "gateway": keys(sections.GatewaySection),
        "store": keys(StoreSettings), "devices": common, "upstream": keys(UpstreamSection),
        "commands": keys(CommandsSection, Allow, Selector), "log": keys(sections.LogSection),
        **{f"links: {name}": keys(spec.link) for name, spec in SPECS.items()},
        **{f"devices: {name}": keys(spec.device) - common for name, spec in SPECS.items()},
    }  # fmt: skip


def _profiles() -> dict[str, set[str]]:
    return {
        "Top level": keys(profile.Profile), "Points": keys(profile.Point),
        "Commands": keys(profile.CommandSpec), "Vectors": keys(profile.Vector),
    }  # fmt: skip


def complete(found: Mapping[str, Page]) -> Iterator[str]:
    page = found["docs/configuration.md"]
    later = sections.NOT_YET.union(driver.NOT_YET, *(spec.not_yet for spec in SPECS.values()))
    yield from _tables(page, _configuration())
    yield from _mentioned(page, {*later, *keys(driver.Poll, sections.Location)})
    page = found["docs/profiles.md"]
    parts = keys(profile.Identity, profile.Plausible, profile.Limits, profile.Confirm)
    yield from _tables(page, _profiles())
    yield from _mentioned(page, {*parts, *profile.NOT_YET})
    yield from _mentioned(found["docs/rules.md"], keys(RuleSection))


def _tables(page: Page, wanted: Mapping[str, set[str]]) -> Iterator[str]:
    """Under each heading one row for each key, and none for anything else."""
    for heading, expected in wanted.items():
        rows = {
            key: line
            for line in section(page, heading)
            for key in re.findall(r"`(\w+)`", line.text.split(" | ")[0])
            if line.text.startswith("| `")
        }
        yield from (rows[key].says(f"'{heading}' has no key `{key}`") for key in rows.keys() - expected)  # fmt: skip
        for key in expected - rows.keys():
            yield page[0].says(f"'{heading}' does not tell of `{key}`")


def _mentioned(page: Page, words: Iterable[str]) -> Iterator[str]:
    told = {word for line in page for code in line.code for word in re.findall(r"\w+", code)}
    yield from (page[0].says(f"`{word}` is not mentioned") for word in set(words) - told)


def examples(page: Page) -> Iterator[str]:
    """YAML blocks that are whole configurations, profiles or rule files; Python that compiles."""
    for fence, lines in groupby(page, key=lambda line: line.fence):
        first, *rest = lines
        text = "\n".join([first.text, *(line.text for line in rest)]) + "\n"
        try:
            if fence and first.language == "yaml":
                _load(first.text.split(":")[0], text)
            elif fence and first.language == "python":
                compile(text, first.path.name, "exec")
        except ConfigError as error:
            for problem in error.problems:
                yield first.says(f"{problem.path}: {problem.what}", max(problem.line - 1, 0))
        except SyntaxError as error:
            yield first.says(f"Python: {error.msg}", (error.lineno or 1) - 1)


def _load(kind: str, text: str) -> None:
    """Raises ConfigError. Makes the files and folders that a configuration names."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for part in ("profiles", "rules", "secrets"):
            (folder / part).mkdir()
        for secret in re.findall(r"\$\{file:([^}]+)\}", text):
            (folder / secret).touch(mode=0o600)
            (folder / secret).write_text("example")
        if kind == "profile":
            _load_profile(folder / f"{text.split()[1]}.yaml", text)
        elif kind in {"version", "rules"}:
            (folder / "rules" / "example.yaml").write_text(text if kind == "rules" else "rules: []")
            whole = text if kind == "version" else DEMO.replace("../rules/", "rules/")
            (folder / "gateway.yaml").write_text(whole)
            load_config(folder / "gateway.yaml")


def _load_profile(path: Path, text: str) -> None:
    path.write_text(text)
    found, document = profile.load_profile(path)
    faults = [f for s in SPECS.values() if found.protocol in s.protocols for f in s.check_profile(found)]  # fmt: skip
    if faults:
        raise ConfigError([document.problem(*fault) for fault in faults])

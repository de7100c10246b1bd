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
from gateway.indicators.settings import ReportSection
from gateway.profile_alarm import AlarmRule
from gateway.recipients import RecipientSection
from gateway.sinks.influx_settings import InfluxSection
from gateway.sinks.settings import DownlinkSection, UpstreamSection
from gateway.store.settings import StoreSettings
from gateway.strategy import Strategy
from rules.section import RuleSection
from tests.docs.pages import ROOT, Page, section

SPECS = {name: load() for name, load in driver.installed().items()}
DEMO = (ROOT / "configs" / "demo" / "gateway.yaml").read_text(encoding="utf-8")


def keys(*models: type[BaseModel]) -> set[str]:
    return {f.alias or name for model in models for name, f in model.model_fields.items()}


COMMON = keys(driver.DeviceSection)
# Keys by heading of the two references.
CONFIGURATION = {
    "Top level": keys(sections.File), "gateway": keys(sections.GatewaySection),
    "store": keys(StoreSettings), "devices": COMMON,
    "influxdb": keys(InfluxSection), "upstream": keys(UpstreamSection), "upstream: downlink": keys(DownlinkSection),
    "recipients": keys(RecipientSection),
    "commands": keys(CommandsSection, Allow, Selector), "log": keys(sections.LogSection), "report": keys(ReportSection),
    "reload": keys(sections.ReloadSection), "control": keys(sections.ControlSection),
    **{f"links: {name}": keys(spec.link) for name, spec in SPECS.items()},
    **{f"devices: {name}": keys(spec.device) - COMMON for name, spec in SPECS.items()},
}  # fmt: skip
PROFILES = {
    "Top level": keys(profile.Profile), "Points": keys(profile.Point),
    "Commands": keys(profile.CommandSpec), "Vectors": keys(profile.Vector),
    "Reports": keys(Strategy), "Alarms": keys(AlarmRule),
}  # fmt: skip


def complete(found: Mapping[str, Page]) -> Iterator[str]:
    page = found["docs/configuration.md"]
    later = driver.NOT_YET.union(*(spec.not_yet for spec in SPECS.values()))
    yield from _tables(page, CONFIGURATION)
    yield from _mentioned(page, {*later, *keys(driver.Poll, sections.Location)})
    page = found["docs/profiles.md"]
    parts = keys(profile.Identity, profile.Plausible, profile.Limits, profile.Confirm)
    yield from _tables(page, PROFILES)
    yield from _mentioned(page, {*parts, *profile.NOT_YET})
    yield from _mentioned(found["docs/rules.md"], keys(RuleSection))


def _tables(page: Page, wanted: Mapping[str, set[str]]) -> Iterator[str]:
    """Under each heading one row for each key, and none for anything else."""
    for heading, expected in wanted.items():
        rows = [line for line in section(page, heading) if line.text.startswith("| `")]
        found = {k: row for row in rows for k in re.findall(r"`(\w+)`", row.text.split(" | ")[0])}
        for key in found.keys() - expected:
            yield found[key].says(f"'{heading}' has no key `{key}`")
        for key in expected - found.keys():
            yield page[0].says(f"'{heading}' does not tell of `{key}`")


def _mentioned(page: Page, words: Iterable[str]) -> Iterator[str]:
    told = {word for line in page for code in line.code for word in re.findall(r"\w+", code)}
    yield from (page[0].says(f"`{word}` is not mentioned") for word in set(words) - told)


def examples(page: Page) -> Iterator[str]:
    """YAML blocks that are whole configurations, profiles or rule files; Python that compiles."""
    for fence, group in groupby(page, key=lambda line: line.fence):
        lines = list(group)
        text = "".join(f"{line.text}\n" for line in lines)
        try:
            if fence and lines[0].language == "yaml":
                _load(lines[0].text.split(":")[0], text)
            elif fence and lines[0].language == "python":
                compile(text, "page", "exec")
        except ConfigError as error:
            for problem in error.problems:
                yield lines[max(problem.line - 1, 0)].says(f"{problem.path}: {problem.what}")
        except SyntaxError as error:
            yield lines[(error.lineno or 1) - 1].says(f"Python: {error.msg}")


def _load(kind: str, text: str) -> None:
    """Raises ConfigError. Makes the files and folders that a configuration names."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for part in ("profiles", "rules", "secrets", "keys"):
            (folder / part).mkdir()
        for secret in re.findall(r"\$\{file:([^}]+)\}", text + DEMO):
            (folder / secret).touch(mode=0o600)
            (folder / secret).write_text("0" * 32)  # a password, and the key of a Bluetooth device
        if kind == "profile":
            _load_profile(folder / f"{text.split()[1]}.yaml", text)
        elif kind in {"version", "rules"}:
            (folder / "rules" / "example.yaml").write_text(text if kind == "rules" else "rules: []")
            whole = (
                text if kind == "version" else re.sub(r"(?m)^rules: .*$", "rules: [rules/]", DEMO)
            )
            (folder / "gateway.yaml").write_text(whole)
            load_config(folder / "gateway.yaml")


def _load_profile(path: Path, text: str) -> None:
    path.write_text(text)
    found, document = profile.load_profile(path)
    specs = [spec for spec in SPECS.values() if found.protocol in spec.protocols]
    faults = [document.problem(*fault) for spec in specs for fault in spec.check_profile(found)]
    if faults:
        raise ConfigError(faults)

"""The one YAML file: read, check everything against everything, refuse with file, line and fix.

Loading reads files and does nothing else. docs/configuration.md is the reference.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from gateway import profile_choice, report, section_checks
from gateway.allow import CommandsSection
from gateway.assemble import Assembled, assemble, rule_files
from gateway.calendar import calendar_of
from gateway.certificate_check import doubts
from gateway.document import Document, load, mapping_at, suggest
from gateway.driver import NOT_YET as DEVICE_NOT_YET
from gateway.driver import Device, DriverSpec, LinkSection, installed
from gateway.errors import ConfigError, Problem
from gateway.hindsight import history_of
from gateway.indicators.settings import ReportSection
from gateway.metrics_section import MetricsSection
from gateway.own import own_device
from gateway.profile import Profile, find, load_profile, names, own_files
from gateway.recipients import RecipientSection
from gateway.secret import resolve
from gateway.sections import ControlSection, File, GatewaySection, LogSection, ReloadSection
from gateway.settings import Id, Section
from gateway.sinks.influx_settings import InfluxSection
from gateway.sinks.line import faults
from gateway.sinks.settings import UpstreamSection
from gateway.statedir import default_state_dir
from gateway.store.settings import StoreSettings
from gateway.validate import validate
from gateway.vital import dependent, forged
from gateway.words.text import fault, text
from rules.alarms import Alarms, check_alarms
from rules.check import Report
from rules.load import DeviceView, load_rules
from rules.model import RuleSet

VERSION = 1


class Link(NamedTuple):
    spec: DriverSpec
    section: LinkSection


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """A configuration in which everything fits together.

    `notes` are warnings. `doubts` refuse a change, but not a start: a certificate that ran out
    overnight must not keep the doors from opening after a power cut.
    """

    path: Path
    gateway: GatewaySection
    state_dir: Path
    links: Mapping[str, Link]
    devices: Mapping[str, Device]
    own: Device  # the gateway itself
    rules: RuleSet
    store: StoreSettings
    influxdb: InfluxSection | None
    upstream: Mapping[str, UpstreamSection]
    recipients: Mapping[str, RecipientSection]
    commands: CommandsSection
    log: LogSection
    report: ReportSection
    files: tuple[Path, ...] = ()  # it, its parts, its rules and its own profiles, as they were read
    reload: ReloadSection = field(default=ReloadSection())
    metrics: MetricsSection | None = None
    control: ControlSection = field(default=ControlSection())
    rule_files: tuple[Path, ...] = ()
    notes: tuple[Problem, ...] = field(default=())
    doubts: tuple[Problem, ...] = ()

    @property
    def everything(self) -> Mapping[str, Device]:
        """The devices, and the gateway itself."""
        return {**self.devices, self.own.id: self.own}

    def devices_of(self, link: str) -> list[Device]:
        return [d for d in self.devices.values() if d.section.link == link]

    def uses(self, link: str) -> bool:
        """A device or a recipient of notifications is behind it."""
        named = any(one.link == link for one in self.recipients.values())
        return named or bool(self.devices_of(link))


def load_config(path: Path, at: Path | None = None) -> Config:
    """Read and check a configuration, as if it were the file `at`. Raises ConfigError that holds
    every problem.
    """
    whole = assemble(path, str(at or path))
    document = whole.document
    version = mapping_at(document.value).get("version")
    if isinstance(version, int) and version > VERSION:
        newer = fault("config.newer", version=version, ours=VERSION)
        raise ConfigError([document.problem(("version",), *newer)])
    return _Loader(whole).run()


def load_new_config(path: Path, at: Path | None = None) -> Config:
    """As `load_config`, of what is to take the place of another configuration: doubts refuse it."""
    config = load_config(path, at)
    if config.doubts:
        raise ConfigError([*config.doubts])
    return config


class _Loader:
    """One pass over the whole; collects problems instead of stopping at the first."""

    def __init__(self, whole: Assembled) -> None:
        self.document: Document = whole.document
        self.parts = whole.files
        self.problems: list[Problem] = whole.problems
        self.notes: list[Problem] = []
        self.drivers = installed()
        self.profiles: dict[str, Profile | None] = {}
        self.folders: list[Path] = []
        self.specs: dict[str, DriverSpec] = {}  # by link, also of links that have faults

    def run(self) -> Config:
        value = resolve(self.document, self.problems)
        raw = value if isinstance(value, dict) else {}
        upstream = self._upstream(raw.get("upstream"))
        top = raw | {"upstream": upstream} if raw else value
        file = validate(File, self.document, (), top, self.problems)
        self.folders = file.profiles if file else self._folders()
        links = self._links(raw.get("links"))
        devices = self._devices(raw.get("devices"))
        own = own_device(file.sinks if file else ())
        rules = self._rules(file, {**devices, own.id: own})
        self._check_links(links, devices, file.recipients.values() if file else ())
        self._check_sections(devices)
        if file:
            for fault in (
                *section_checks.commands(file, devices), *section_checks.names(devices), *section_checks.upstreams(file),
                *section_checks.recipients(file, self.specs),
            ):  # fmt: skip
                tell = self._note if fault.note else self._problem
                tell(fault.path, fault.what, fault.fix)
            self._check_influx(file, devices)
            self._check_actions(file, rules, devices)
        for path, what, fix in forged(rules, {**devices, own.id: own}, self.specs):
            self._problem(path, what, fix)
        for path, what, fix in dependent(rules, devices, self.specs):
            self._note(path, what, fix)
        if self.problems or file is None:
            raise ConfigError(self.problems)
        state_dir = file.gateway.state_dir or default_state_dir(file.gateway.id)
        active = {name: device for name, device in devices.items() if device.section.enabled}
        return Config(
            path=Path(self.document.name), gateway=file.gateway, state_dir=state_dir, links=links,
            devices=active, own=own, rules=rules, store=file.store, influxdb=file.influxdb, upstream=file.upstream,
            recipients=file.recipients, commands=file.commands, log=file.log, report=file.report,
            reload=file.reload, metrics=file.metrics, control=file.control, notes=tuple(self.notes),
            doubts=tuple(doubts(self.document, links, file.upstream)),
            files=(*self.parts, *rule_files(file.rules), *own_files(self.folders)),
            rule_files=tuple(rule_files(file.rules)),
        )  # fmt: skip

    def _folders(self) -> list[Path]:
        """Profile folders, read loosely: the file has faults, but its devices are checked all the same."""
        listed = mapping_at(self.document.value).get("profiles")
        here = Path(self.document.name).parent
        return [here / str(entry) for entry in listed] if isinstance(listed, list) else []

    def _problem(self, path: Iterable[str | int], what: str, fix: str) -> None:
        self.problems.append(self.document.problem(path, what, fix))

    def _note(self, path: Iterable[str | int], what: str, fix: str) -> None:
        self.notes.append(self.document.problem(path, what, fix))

    def _links(self, raw: object) -> dict[str, Link]:
        found: dict[str, Link] = {}
        for name, value in _entries(raw):
            path = ("links", name)
            if not self._is_id(name, path) or not isinstance(value, dict):
                self._mapping_wanted(path, value)
                continue
            spec = self._driver(path, value.get("driver"))
            if spec is None:
                continue
            self.specs[name] = spec
            section = validate(
                spec.link, self.document, path, value, self.problems, not_yet=spec.not_yet
            )
            if section is not None:
                found[name] = Link(spec, section)
        return found

    def _upstream(self, raw: object) -> object:
        """Those of an included file name their certificates as seen from there."""
        found = {
            name: validate(UpstreamSection, self.document, ("upstream", name), value, self.problems)
            for name, value in _entries(raw)
        }
        whole = isinstance(raw, dict) or raw is None
        return {name: one for name, one in found.items() if one} if whole else raw

    def _driver(self, path: tuple[str, ...], name: object) -> DriverSpec | None:
        loader = self.drivers.get(str(name))
        if loader is not None:
            return loader()
        if name is None:
            self._problem(path, *fault("config.driver", known=" | ".join(sorted(self.drivers))))
        else:
            fix = suggest(str(name), self.drivers)
            self._problem((*path, "driver"), *fault("config.no_driver", name=name, fix=fix))
        return None

    def _devices(self, raw: object) -> dict[str, Device]:
        found: dict[str, Device] = {}
        for name, value in _entries(raw):
            path = ("devices", name)
            if not self._is_id(name, path) or not isinstance(value, dict):
                self._mapping_wanted(path, value)
                continue
            profile = self._profile(path, value.get("profile"))
            spec = self._spec_of(path, value.get("link"))
            if spec is None:
                continue
            not_yet = DEVICE_NOT_YET | spec.not_yet
            section = validate(
                spec.device, self.document, path, value, self.problems, not_yet=not_yet
            )
            if section is not None and profile is not None:
                self._check_protocol(path, profile, spec)
                found[name] = Device(name, profile, section)
        return found

    def _check_protocol(self, path: tuple[str, ...], profile: Profile, spec: DriverSpec) -> None:
        if profile.protocol in spec.protocols:
            return
        fits = [name for name, other in self.specs.items() if profile.protocol in other.protocols]
        add = text("config.add_protocol", protocol=profile.protocol)
        fix = suggest("", fits) if fits else add
        other = fault(
            "config.protocol", profile=profile.profile, protocol=profile.protocol,
            driver=spec.name, fix=fix,
        )  # fmt: skip
        self._problem((*path, "link"), *other)

    def _spec_of(self, path: tuple[str, ...], name: object) -> DriverSpec | None:
        """The driver of a device's link; a link without a driver was reported where it stands."""
        names = self._link_names()
        if name is None:
            self._problem(path, *fault("config.link", fix=suggest("", names)))
        elif str(name) not in names:
            unknown = fault("config.no_link", name=name, fix=suggest(str(name), names))
            self._problem((*path, "link"), *unknown)
        return self.specs.get(str(name))

    def _link_names(self) -> list[str]:
        return list(mapping_at(mapping_at(self.document.value).get("links")))

    def _profile(self, path: tuple[str, ...], name: object) -> Profile | None:
        if not isinstance(name, str):
            self._problem(path, *fault("config.profile", known=list(names(self.folders))))
            return None
        if name not in self.profiles:
            self.profiles[name] = self._load_profile(path, name)
        return self.profiles[name]

    def _load_profile(self, path: tuple[str, ...], name: str) -> Profile | None:
        file = find(name, self.folders)
        if file is None:
            fix = suggest(name, names(self.folders))
            self._problem((*path, "profile"), *fault("config.no_profile", name=name, fix=fix))
            return None
        try:
            profile, document = load_profile(file)
        except ConfigError as error:
            self.problems += error.problems
            return None
        problems, notes = check_alarms(profile, document)
        self.problems += problems
        self.notes += notes
        for spec in self._speaking(profile.protocol):
            self.problems += [document.problem(*p) for p in spec.check_profile(profile)]
        return profile

    def _speaking(self, protocol: str) -> list[DriverSpec]:
        """Drivers in use that speak it; without one all are looked at, each takes 20 ms to import."""
        used = {spec.name: spec for spec in self.specs.values() if protocol in spec.protocols}
        every = used.values() or (load_spec() for load_spec in self.drivers.values())
        return [spec for spec in every if protocol in spec.protocols]

    def _rules(self, file: File | None, devices: Mapping[str, Device]) -> RuleSet:
        documents = []
        for path in rule_files(file.rules if file else ()):
            try:
                documents.append(load(path))
            except ConfigError as error:
                self.problems += error.problems
        views = [view(device) for device in devices.values() if device.section.enabled]
        rules, problems = load_rules(
            documents, views, file.recipients if file else (), calendar_of(file), history_of(file)
        )
        self.problems += problems
        self.notes += rules.notes
        return rules

    def _check_sections(self, devices: Mapping[str, Device]) -> None:
        """What the sections of devices say about points of their profiles."""
        alarms = Alarms()
        for device in devices.values():
            for group in set(device.section.groups) & devices.keys():
                named = fault("config.group_name", name=group)
                self._problem(("devices", device.id, "groups"), *named)
            undecided = profile_choice.faults(device.profile, device.section.decisions)
            for path, what, fix in (*report.faults(device), *undecided):
                self._problem(("devices", device.id, *path), what, fix)
            found = Report(self.document, ("devices", device.id))
            alarms.check_device(view(device), found)
            self.problems += found.problems
            self.notes += found.notes

    def _check_links(
        self,
        links: Mapping[str, Link],
        devices: Mapping[str, Device],
        recipients: Iterable[RecipientSection],
    ) -> None:
        named = {recipient.link for recipient in recipients}
        for name, link in links.items():
            mine = [d for d in devices.values() if d.section.link == name]
            if not mine and name not in named and not self.problems:
                self._note(("links", name), *fault("config.unused_link"))
            for finding in link.spec.check(name, link.section, mine):
                tell = self._note if finding.note else self._problem
                tell((finding.section, finding.name, *finding.path), finding.what, finding.fix)
        self._check_owners(links)

    def _check_owners(self, links: Mapping[str, Link]) -> None:
        """A port has one owner: two schedulers on one bus would talk into each other's answers."""
        owners: dict[str, str] = {}
        for name, link in links.items():
            owned = link.spec.owned(link.section) if link.spec.owned is not None else None
            if owned is None:
                continue
            what, key = owned
            first = owners.setdefault(what, name)
            if first != name:
                owned_by = fault("config.owned", port=what, link=first)
                self._problem(("links", name, key), *owned_by)

    def _check_influx(self, file: File, devices: Mapping[str, Device]) -> None:
        """What no line can carry is refused now: at run time it would hold the whole sink."""
        for device in devices.values() if file.influxdb else ():
            for path, what in faults(device):
                self._problem(("devices", device.id, *path), *fault("config.influx", what=what))

    def _check_actions(self, file: File, rules: RuleSet, devices: Mapping[str, Device]) -> None:
        """A rule whose action would be refused at three in the morning is refused now."""
        denied = {
            (instance.rule.id, setting.point)
            for instance in rules.instances
            for setting in instance.sets
            if not file.commands.allows("rules", devices[setting.device], setting.point)
        }
        for rule, point in sorted(denied):
            denied_ = fault("config.not_allowed", rule=rule, point=point)
            self._problem(("commands", "allow"), *denied_)

    def _is_id(self, name: str, path: tuple[str, ...]) -> bool:
        probe = validate(_Named, self.document, path, {"id": name}, [])
        if probe is None:
            self._problem(path, *fault("value.no_id", id=name))
        return probe is not None

    def _mapping_wanted(self, path: tuple[str, ...], value: object) -> None:
        if not isinstance(value, dict):
            self._problem(path, *fault("config.mapping"))


def view(device: Device) -> DeviceView:
    section = device.section
    asked = device.profile.protocol == "modbus"
    return DeviceView(
        device.id, device.profile, section.tags, section.limits, section.labels, device.supervise,
        (section.poll.fast, section.poll.slow) if asked else None,
    )  # fmt: skip


class _Named(Section):
    id: Id


def _entries(raw: object) -> Iterable[tuple[str, object]]:
    return raw.items() if isinstance(raw, dict) else ()

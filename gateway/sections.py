"""The sections of the configuration file that belong to no single part, and its top level."""

import grp
import zoneinfo
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from gateway.allow import CommandsSection
from gateway.document import suggest
from gateway.indicators.settings import ReportSection
from gateway.metrics_section import MetricsSection
from gateway.recipients import RecipientSection
from gateway.settings import Duration, FilePath, Id, Section, Text, wrong
from gateway.sinks.influx_settings import NAME as INFLUX
from gateway.sinks.influx_settings import InfluxSection
from gateway.sinks.settings import UpstreamSection
from gateway.store.settings import StoreSettings
from gateway.words.text import fault


def _gateway_id(value: str) -> str:
    if len(value) > 40:
        raise wrong(*fault("config.long_id", id=value))
    return value


def _is_zone(name: str) -> bool:
    """As `zoneinfo.available_timezones`, without a walk through 600 files: its copies are no names."""
    try:
        return not name.startswith(("posix", "right/")) and bool(zoneinfo.ZoneInfo(name))
    except (KeyError, ValueError, OSError):
        return False


def _timezone(value: str) -> str:
    if not _is_zone(value):
        fix = suggest(value, {"Asia/Shanghai", "UTC"})
        raise wrong(*fault("config.timezone", name=value, fix=fix))
    return value


Timezone = Annotated[str, AfterValidator(_timezone)]


class Location(Section):
    lat: Annotated[float, Field(ge=-90, le=90)]
    lon: Annotated[float, Field(ge=-180, le=180)]


class GatewaySection(Section):
    id: Annotated[Id, AfterValidator(_gateway_id)]
    name: Text = ""
    timezone: Timezone
    location: Location | None = None
    state_dir: FilePath | None = None
    locale: Literal["zh", "en"] = "en"


class LogSection(Section):
    format: Literal["json", "console"] = "json"
    level: Literal["debug", "info", "warning", "error"] = "info"


def _rollback(value: float) -> float:
    if value > 3600:
        raise wrong(*fault("config.rollback", seconds=f"{value:g}"))
    return value


def _group(value: str) -> str:
    try:
        grp.getgrnam(value)
    except KeyError:
        raise wrong(*fault("config.no_group", name=value)) from None
    return value


class ControlSection(Section):
    """`operators`: a group whose members may change something through the control socket."""

    operators: Annotated[str, AfterValidator(_group)] | None = None

    def gid(self) -> int | None:
        """None: nobody, or the group was deleted meanwhile."""
        with suppress(KeyError):
            return None if self.operators is None else grp.getgrnam(self.operators).gr_gid
        return None


class ReloadSection(Section):
    """`rollback_after`: how long links and upstreams may take to be up again after a reload; 0: for ever."""

    rollback_after: Annotated[Duration, AfterValidator(_rollback)] = 60.0


def _exists(path: Path) -> Path:
    if not path.exists():
        raise wrong(*fault("config.no_file", path=path))
    return path


Existing = Annotated[FilePath, AfterValidator(_exists)]


class File(Section):
    """The top level; links and devices are checked one by one, by the models of their drivers.

    `include` and `devices_from` are part of the format, and gone when `gateway.assemble` is done.
    """

    version: Literal[1]
    gateway: GatewaySection
    links: dict[str, Any] = {}
    devices: dict[str, Any] = {}
    devices_from: list[str] = []
    include: list[str] = []
    profiles: list[Existing] = []
    rules: list[Existing] = []
    store: StoreSettings = StoreSettings()
    influxdb: InfluxSection | None = None
    upstream: dict[Id, UpstreamSection] = {}
    recipients: dict[Id, RecipientSection] = {}
    commands: CommandsSection = CommandsSection()
    log: LogSection = LogSection()
    report: ReportSection = ReportSection()
    reload: ReloadSection = ReloadSection()
    metrics: MetricsSection | None = None
    control: ControlSection = ControlSection()

    @property
    def sinks(self) -> list[str]:
        """What the journal is sent to, by name."""
        return [*self.upstream, *([INFLUX] if self.influxdb is not None else [])]

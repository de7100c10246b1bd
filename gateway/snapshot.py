"""The shape of a status snapshot: what the control socket carries and `status --json` prints.

Ages and durations are seconds, None = never. Raise VERSION when a meaning changes.
"""

from typing import Any, TypedDict

from gateway.model import Value

VERSION = 1


class HealthPart(TypedDict):
    word: str  # healthy | degraded | critical
    reasons: list[str]
    said: list[dict[str, Any]]  # the same, for other languages (`gateway.words.wire`)


class HearingPart(TypedDict):
    """How well a device is heard that sends by radio, in the current and the last hour."""

    adverts: int
    rssi: int | None  # dBm, mean
    share: float | None  # of what it sends, None if that is not known
    silent_s: float | None
    gaps: dict[str, int]  # length of a gap between two receptions -> how many
    longest_gap_s: float
    heard: str  # would an alarm be heard? yes | doubtful | no | unknown
    why: str


class DevicePart(TypedDict):
    id: str
    name: str
    profile: str
    link: str
    live: bool
    age_s: float | None
    quality: str  # good | uncertain | bad | stale | never
    bad: dict[str, str]  # point -> reason, for points that are not good
    good: int
    errors: dict[str, int]
    online: bool | None  # None: nobody said
    level: str  # L3, L1, or "": nothing to acknowledge
    note: str
    hearing: HearingPart | None  # of devices on the radio
    building: str  # its tag of that name, "" without one


class LinkPart(TypedDict):
    name: str
    driver: str
    state: str  # starting | up | down | refused
    since_s: float | None
    reason: str
    last_good_s: float | None
    connects: int
    counters: dict[str, int]


class LanePart(TypedDict):
    lane: int
    backlog: int
    oldest_s: float | None
    rate_per_s: float
    acked: int
    dead: int
    parked: str  # why the broker takes nothing of it, "" if it does
    bytes_today: int | None  # sent since midnight, None where it is not metered
    bytes_by_day: dict[str, int]  # by date in the gateway's time zone, of two months


class SinkPart(TypedDict):
    name: str
    state: str
    since_s: float | None
    reason: str
    note: str  # what is wrong though it works
    connects: int
    counters: dict[str, int]
    lanes: list[LanePart]


class AlarmPart(TypedDict):
    instance: str
    rule: str
    device: str
    severity: str
    title: str
    since_s: float
    latched: bool  # its condition has ended: it waits for `gateway reset`
    letter: str  # A to I after ISA-18.2; X: it waits for data
    acked_by: str  # "": nobody has acknowledged it
    raises: int  # of this incident
    muted: bool  # nobody is told: it is shelved, suppressed or out of service
    left_s: float | None  # until it is not shelved, or out of service, any more
    by: str  # who shelved it or took it out of service
    reason: str  # of the latter


class StorePart(TypedDict):
    state: str  # ok | failed
    reason: str
    directory: str
    epoch: int
    queued: int
    bytes_on_disk: int
    free_bytes: int
    commit_ms_p99: float
    written: int  # records since the start
    dropped: dict[str, int]  # reason -> samples since the start
    evicted: dict[str, int]  # "lane <n> <reason>" -> records deleted since the start
    undelivered: int  # of them
    reserve: bool  # without it the disk is full: samples are not stored
    telemetry_bytes: int
    telemetry_quota: int
    alarm_bytes: int
    alarm_quota: int


class ConfigPart(TypedDict):
    sha256: str  # of the files of what runs
    note: str  # why the files are not what runs, "" if they are or nobody has asked to reload them
    retiring: list[str]  # devices that were removed and whose records are still to be delivered


class LogPart(TypedDict):
    lost: int  # lines since the start
    failing: str  # why the last line was not written, "" if it was


class ClockPart(TypedDict):
    ok: bool
    time: str  # UTC, ISO 8601
    boot: int


class AuditPart(TypedDict):
    failing: str  # why the audit log cannot be written, "" if it can
    n: int  # its newest line
    hash: str
    lost: int  # records since the start


class NoticePart(TypedDict):
    """A notification that is not delivered yet."""

    id: str
    recipient: str
    severity: str
    text: str
    since_s: float
    attempts: int
    reason: str  # why the last attempt failed


class NotificationsPart(TypedDict):
    recipients: int  # that are configured
    open: int
    waiting: list[NoticePart]  # the most severe and oldest of the open ones, up to 20
    counters: dict[str, int]  # since the start: how they ended; duplicates, failed attempts, cut


class NotifyAnswer(TypedDict):
    """The answer of the verb `notify`; `outcome` is `waiting` while it is under way."""

    id: str
    outcome: str
    reason: str
    attempts: int
    stored: bool


class Snapshot(TypedDict):
    v: int
    gateway: str
    name: str
    version: str
    pid: int
    loop: str
    loop_lag_ms: dict[str, float]  # "p99" and "worst" of the last minute
    uptime_s: float
    health: HealthPart
    clock: ClockPart
    devices: list[DevicePart]
    own: DevicePart  # the gateway itself
    links: list[LinkPart]
    upstream: list[SinkPart]
    alarms: list[AlarmPart]
    store: StorePart
    counters: dict[str, int]
    commands: dict[str, int]
    audit: AuditPart
    notifications: NotificationsPart
    config: ConfigPart
    log: LogPart


class PointPart(TypedDict):
    point: str
    unit: str
    value: Value | None
    age_s: float
    quality: str  # good, or level and reason


class DeviceReadings(TypedDict):
    """One device in the answer of the verb `devices`."""

    id: str
    name: str
    points: list[PointPart]


class StrangerPart(TypedDict):
    """Somebody who speaks on a link and is no configured device; verb `unknown`."""

    link: str
    name: str  # what would be its topic id
    topic: str  # the last one
    count: int
    first_s: float
    last_s: float
    keys: list[str]  # of a payload, two levels of them; empty if it was no JSON object


class ReloadAnswer(TypedDict):
    """The answer of the verb `reload`. `outcome`: applied, unchanged, refused; after waiting confirmed or
    rolled_back. `sha256` is of the files of what runs.
    """

    outcome: str
    sha256: str
    changes: dict[str, object]
    problems: list[dict[str, Any]]  # `gateway.errors.Problem`
    notes: list[str]
    rollback_after_s: float
    reason: str


class CommandAnswer(TypedDict):
    """The answer of the verb `command`; of a group it has `members` and no device."""

    device: str
    outcome: str
    reason: str
    value: Value | None
    attempts: int
    members: list["CommandAnswer"]

"""The `store:` section of the configuration."""

from typing import Annotated

from pydantic import AfterValidator

from gateway.settings import Duration, Section, Size, wrong
from gateway.words.text import fault


def _group(value: float) -> float:
    if not 1 <= value <= 60:
        raise wrong(*fault("setting.out_of_range", value=value, low="1s", high="60s"))
    return value


def _linger(value: float) -> float:
    if not 0 <= value <= 60:
        raise wrong(*fault("setting.out_of_range", value=value, low="0s", high="60s"))
    return value


def _quota(value: int) -> int:
    if value < SMALLEST_QUOTA:
        raise wrong(*fault("setting.few_bytes", value=value))
    return value


def _events(value: int) -> int:
    if value > LARGEST_EVENTS:
        raise wrong(*fault("setting.many_bytes", value=value))
    return value


SMALLEST_QUOTA = 1_000_000  # below that a quota would hold hardly more than empty tables
LARGEST_EVENTS = 100_000_000  # twice that, and ids of messages, is what core.db has room for
Quota = Annotated[Size, AfterValidator(_quota)]


class StoreSettings(Section):
    """How samples are grouped: a power cut may take at most `group_commit` of polled telemetry.
    A sample whose device waits for its acknowledgement waits `ack_linger` for company; alarms never.

    Bytes: `telemetry_quota` bounds all sample files; `alarm_quota` the events of lane 0, and once
    more those of lanes 1 and 3 together; `keep_free` is left to others on the same file system.
    """

    group_commit: Annotated[Duration, AfterValidator(_group)] = 10.0
    ack_linger: Annotated[Duration, AfterValidator(_linger)] = 2.0
    telemetry_quota: Quota = 2_000_000_000
    alarm_quota: Annotated[Quota, AfterValidator(_events)] = 64_000_000
    keep_free: Size = 256_000_000

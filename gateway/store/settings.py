"""The `store:` section of the configuration."""

from typing import Annotated

from pydantic import AfterValidator

from gateway.settings import Duration, Section, wrong


def _group(value: float) -> float:
    if not 1 <= value <= 60:
        raise wrong(f"{value:g} s is out of range", "write 1s to 60s")
    return value


class StoreSettings(Section):
    """How samples are grouped: a power cut may take at most `group_commit` of polled telemetry."""

    group_commit: Annotated[Duration, AfterValidator(_group)] = 10.0


# Keys of the format that later versions bring; the config loader refuses them.
NOT_YET = frozenset({"telemetry_quota", "alarm_quota", "keep_free"})

"""How much the journal may take, and how much of the disk it leaves to others."""

from typing import NamedTuple

from gateway.store.ballast import Ballast, Disk
from gateway.store.segment import MAX_BYTES
from gateway.store.settings import StoreSettings

PARTS = 8  # a quota is kept by dropping whole segments: at least so many make it up
SMALLEST = 65_536  # an empty segment takes 28 KB
FREE_SHARE = 20  # 5 %
# Of a large disk that is shared with others, 5 % would be more than the journal ever frees.
MOST_FREE = 2_000_000_000


class Limits(NamedTuple):
    """Bytes. Below `low` free the oldest goes, below `hard` the reserve is given up.

    `events` holds for lane 0, and once more for lanes 1 and 3 together.
    """

    telemetry: int
    events: int
    low: int
    hard: int
    segment: int


def limits_of(settings: StoreSettings, disk: Disk, ballast: Ballast) -> Limits:
    """`low` is `keep_free` or 5 % (at most 2 GB), whichever is larger, but never half the disk."""
    low = max(settings.keep_free, min(disk.total // FREE_SHARE, MOST_FREE))
    segment = min(MAX_BYTES, settings.telemetry_quota // PARTS, disk.total // (2 * PARTS))
    return Limits(
        telemetry=settings.telemetry_quota,
        events=settings.alarm_quota,
        low=min(low, disk.total // 2),
        hard=ballast.size // 2,
        segment=max(SMALLEST, segment),
    )

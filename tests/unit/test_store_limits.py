"""How much the journal may take, and the reserve it keeps."""

from pathlib import Path
from typing import NamedTuple, cast

import pytest
from pydantic import ValidationError

from gateway.store.ballast import SIZE, Ballast, Disk
from gateway.store.limits import limits_of
from gateway.store.settings import StoreSettings

MB, GB = 10**6, 10**9


class Room(NamedTuple):
    """Stands for a disk or for a ballast: only their sizes are asked for."""

    total: int = 0
    size: int = SIZE


def low_mark(total: int, keep_free: str = "256MB") -> int:
    settings = StoreSettings.model_validate({"keep_free": keep_free})
    return limits_of(settings, cast("Disk", Room(total)), cast("Ballast", Room())).low


def test_the_larger_of_keep_free_and_five_percent_is_left_to_others() -> None:
    assert low_mark(4 * GB) == 256 * MB
    assert low_mark(32 * GB) == 1_600 * MB
    assert low_mark(32 * GB, "2GB") == 2 * GB
    assert low_mark(1_000 * GB) == 2 * GB  # 5 % count up to there
    assert low_mark(100 * MB) == 50 * MB  # never more than half


def test_a_small_quota_or_disk_makes_small_segments() -> None:
    def segment(total: int, quota: str) -> int:
        settings = StoreSettings.model_validate({"telemetry_quota": quota})
        return limits_of(settings, cast("Disk", Room(total)), cast("Ballast", Room())).segment

    assert segment(32 * GB, "2GB") == 32 * MB
    assert segment(32 * GB, "80MB") == 10 * MB
    assert segment(16 * MB, "2GB") == 1 * MB
    assert segment(32 * GB, "1MB") == 125_000
    assert segment(100_000, "1MB") == 65_536


@pytest.mark.parametrize(
    ("key", "value", "fix"),
    [
        ("telemetry_quota", "999kB", "write 1MB or more"),
        ("alarm_quota", "10kB", "write 1MB or more"),
        ("alarm_quota", "101MB", "write 100MB or less"),
        ("keep_free", 256, "has no unit"),
    ],
)
def test_quotas_that_cannot_be_kept_are_refused(key: str, value: object, fix: str) -> None:
    with pytest.raises(ValidationError, match=fix):
        StoreSettings.model_validate({key: value})


def test_the_reserve_is_made_of_blocks_and_given_up_once(tmp_path: Path) -> None:
    ballast = Ballast(tmp_path)
    assert not ballast.present
    assert ballast.restore()
    assert ballast.restore()
    assert (tmp_path / "reserve.bin").stat().st_blocks * 512 >= ballast.size == SIZE
    assert ballast.release()
    assert not ballast.release()
    assert list(tmp_path.iterdir()) == []

"""For how long samples will be kept, by the files of a real journal."""

import asyncio
from pathlib import Path

import pytest

from gateway.config import load_config
from gateway.store import reach
from gateway.store.reach import reach_s
from tests.harness.compound import write_config
from tests.harness.site import site

SPAN_S = 4.999  # of 5,000 samples, one each ms


async def filled(directory: Path) -> int:
    """A journal with 5 s of samples; its bytes."""
    async with site(directory) as one:
        await one.samples(5_000)
        await one.durable()
    return sum(path.stat().st_size for path in (directory / "ts").glob("*.db"))


async def test_the_history_is_as_long_as_the_quota_has_room_at_the_present_rate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    used = await filled(tmp_path)
    assert await asyncio.to_thread(reach_s, tmp_path, 10 * used) is None, "less than an hour"
    monkeypatch.setattr(reach, "LEAST_S", 1.0)
    for times, expected in ((10, 10 * SPAN_S), (1, SPAN_S), (0.5, SPAN_S)):
        found = await asyncio.to_thread(reach_s, tmp_path, round(times * used))
        assert found == pytest.approx(expected, rel=0.01)


def test_of_no_journal_and_of_a_damaged_one_nothing_is_said(tmp_path: Path) -> None:
    assert reach_s(tmp_path, 1_000_000) is None
    (tmp_path / "ts").mkdir()
    (tmp_path / "ts" / f"{1:020d}.db").write_bytes(b"no database" * 1_000)
    assert reach_s(tmp_path, 1_000_000) is None


RULES = """\
rules:
- id: long
  for_each: {id: meter-2}
  when: avg(it.elec.voltage.a, 24h) > 250 V
  alarm: {severity: operational}
"""


@pytest.mark.parametrize(("least_s", "warned"), [(1.0, True), (3600.0, False)])
async def test_a_configuration_is_told_that_a_window_is_longer_than_its_journal_goes_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, least_s: float, warned: bool
) -> None:
    (tmp_path / "rules.yaml").write_text(RULES)
    path = write_config(tmp_path, meters=2, rules=tmp_path / "rules.yaml")
    path.write_text(path.read_text().replace("group_commit: 1s", "telemetry_quota: 1MB"))
    (tmp_path / "state").mkdir()
    await filled(tmp_path / "state")
    monkeypatch.setattr(reach, "LEAST_S", least_s)
    notes = (await asyncio.to_thread(load_config, path)).notes
    assert any("looks back 24 h" in str(note.what) for note in notes) is warned

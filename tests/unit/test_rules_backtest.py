"""Rules over a journal on disk, beside the alarms that it holds."""

import asyncio
from pathlib import Path

import pytest

from gateway.backtest import Move, Raise, backtest, diff
from gateway.cli.main import main
from gateway.config import load_config, view
from gateway.model import Event, EventKind, Sample, Severity, uuid7
from gateway.profile import shipped_folder
from gateway.store.store import Store
from tests.harness.stores import NOW_NS, opened

SECOND = 1_000_000_000
CONFIG = """\
version: 1
gateway: {{id: gw-1, timezone: Asia/Shanghai, state_dir: s}}
links:
  meters: {{driver: modbus, transport: tcp, host: 127.0.0.1, port: 5020}}
devices:
  meter-1: {{profile: eastron-sdm120, link: meters, unit: 1}}
rules: [{rules}]
"""
RULE = """\
rules:
- id: overvoltage
  for_each: {{type: meter, has: elec.voltage.a}}
  when: it.elec.voltage.a > {limit} V
  for: 2s
  alarm: {{severity: operational}}
"""


class _Writer:
    """Samples and events as one life of a gateway writes them, at seconds after NOW_NS."""

    def __init__(self, store: Store, boot: int = 1, booted_s: float = -100.0) -> None:
        self._store = store
        self._boot = boot
        self._booted = round(booted_s * SECOND)
        self.n = 0

    def volts(self, at_s: float, value: float) -> None:
        at = round(at_s * SECOND)
        self.n += 1
        stamp = (NOW_NS + at, at - self._booted, self._boot, True)
        self._store.append(Sample("meter-1", *stamp, {"elec.voltage.a": value}).numbered(self.n))

    def alarm(self, at_s: float, instance: str, *, cleared: bool = False) -> None:
        at = round(at_s * SECOND)
        self.n += 1
        kind = EventKind.ALARM_CLEARED if cleared else EventKind.ALARM_RAISED
        attributes: dict[str, object] = {"rule": instance.partition("[")[0], "instance": instance}
        stamp = (NOW_NS + at, at - self._booted, self._boot, True)
        event = Event(uuid7(NOW_NS + at), kind, Severity.OPERATIONAL, "meter-1", *stamp, attributes)
        self._store.append(event.numbered(self.n))


@pytest.fixture
async def site(tmp_path: Path) -> Path:
    """Over 250 V at +10 s (told at +12 s), over 240 V at +1,000 s; a rule that is gone told at +500 s."""
    async with opened(tmp_path / "s") as store:
        writer = _Writer(store)
        writer.volts(0, 230)
        for second in range(10, 20):
            writer.volts(second, 251)
        writer.alarm(12.2, "overvoltage[meter-1]")
        writer.volts(20, 230)
        writer.alarm(20.1, "overvoltage[meter-1]", cleared=True)
        writer.alarm(500, "gone[meter-1]")
        for second in range(1000, 1005):
            writer.volts(second, 245)
        writer.volts(1005, 230)
        await store.durable(writer.n)
    return tmp_path


def configured(folder: Path, limit: int) -> Path:
    (folder / "rules.yaml").write_text(RULE.format(limit=limit))
    path = folder / "gateway.yaml"
    path.write_text(CONFIG.format(rules="rules.yaml"))
    return path


def command(config: Path, *more: str) -> int:
    times = ["--since", "2026-03-01T18:00Z", "--until", "2026-03-01T21:00Z"]
    return main(["rules", "backtest", "-c", str(config), *times, *more])


def test_the_rules_that_ran_give_the_alarms_that_were(
    site: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command(configured(site, 250), "--diff") == 0
    out = capsys.readouterr().out
    assert "overvoltage: 1 the same, 0 added, 0 removed, 0 moved" in out
    assert (
        "gone: 0 the same, 0 added, 1 removed, 0 moved\n  - 2026-03-01T19:08:20Z gone[meter-1]"
        in out
    )


PROFILE_ALARM = """\
alarms:
  - {id: high, when: "elec.voltage.a > limit.high and good(elec.voltage.a)", hold: 2s, severity: operational}
"""


@pytest.mark.parametrize(
    ("limit", "told"),
    [(250, "0 the same, 1 added, 0 removed"), (240, "0 the same, 2 added, 0 removed")],
)
def test_alarms_of_profiles_are_tried_as_rules_are(
    site: Path, capsys: pytest.CaptureFixture[str], limit: int, told: str
) -> None:
    (site / "own").mkdir()
    shipped = (shipped_folder() / "eastron-sdm120.yaml").read_text()
    own = shipped.replace("profile: eastron-sdm120\n", "profile: acme-120\n") + PROFILE_ALARM
    (site / "own" / "acme-120.yaml").write_text(own)
    config = configured(site, 250)
    device = f"profile: acme-120, limits: {{high: {limit} V}}"
    text = config.read_text().replace("profile: eastron-sdm120", device)
    config.write_text(text + "profiles: [own]\n")
    assert command(config, "--diff", "current") == 0
    out = capsys.readouterr().out
    assert f"acme-120.high: {told}, 0 moved" in out
    assert "overvoltage: 1 the same, 0 added, 0 removed, 0 moved" in out
    assert "+ 2026-03-01T19:00:12Z acme-120.high[meter-1]" in out


def test_a_lower_limit_shows_what_it_would_add(
    site: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command(configured(site, 240), "--diff") == 0
    out = capsys.readouterr().out
    assert (
        "overvoltage: 1 the same, 1 added, 0 removed, 0 moved\n  + 2026-03-01T19:16:42Z overvoltage[meter-1]"
        in out
    )
    assert command(configured(site, 240)) == 0
    assert "overvoltage: 2 alarms (1 in the journal)" in capsys.readouterr().out


def test_a_higher_limit_shows_what_it_would_miss(
    site: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command(configured(site, 255), "--diff") == 0
    assert "overvoltage: 0 the same, 0 added, 1 removed, 0 moved" in capsys.readouterr().out


def test_an_alarm_is_moved_within_ten_minutes_and_the_same_within_a_second() -> None:
    stored = [Raise(0, "a[1]"), Raise(1000 * SECOND, "a[1]"), Raise(0, "a[2]")]
    raised = [Raise(SECOND, "a[1]"), Raise(1300 * SECOND, "a[1]"), Raise(601 * SECOND, "a[2]")]
    found = diff(stored, raised)
    assert dict(found.same) == {"a": 1}
    assert found.moved == {"a": [Move("a[1]", 1000 * SECOND, 1300 * SECOND)]}
    assert found.added == {"a": [Raise(601 * SECOND, "a[2]")]}
    assert found.removed == {"a": [Raise(0, "a[2]")]}


async def test_an_alarm_that_is_active_goes_through_a_boot_and_is_not_raised_again(
    tmp_path: Path,
) -> None:
    async with opened(tmp_path / "s") as store:
        writer = _Writer(store)
        writer.volts(0, 251)
        writer.volts(5, 251)
        await store.durable(writer.n)
        later = _Writer(store, boot=2, booted_s=50)
        later.n = writer.n
        later.volts(60, 251)
        later.volts(70, 251)
        await store.durable(later.n)
    await asyncio.to_thread(_goes_on, tmp_path)


def _goes_on(folder: Path) -> None:
    config = load_config(configured(folder, 250))
    devices = {name: view(device) for name, device in config.devices.items()}
    begin, end = NOW_NS - SECOND, NOW_NS + 100 * SECOND
    found = backtest(config.state_dir, config.rules, devices, begin, end)
    assert found.raised == [Raise(NOW_NS + 2 * SECOND, "overvoltage[meter-1]")]
    assert found.samples == 4
    found = backtest(config.state_dir, config.rules, devices, NOW_NS + 50 * SECOND, end)
    assert found.raised == []


async def test_a_delay_that_power_off_cut_short_raises_nothing(tmp_path: Path) -> None:
    async with opened(tmp_path / "s") as store:
        writer = _Writer(store)
        writer.volts(0, 251)
        await store.durable(writer.n)
        later = _Writer(store, boot=2, booted_s=890)
        later.n = writer.n
        later.volts(900, 230)  # what was known before is too old
        await store.durable(later.n)
    assert await asyncio.to_thread(_raised, tmp_path) == []


def _raised(folder: Path) -> list[Raise]:
    config = load_config(configured(folder, 250))
    devices = {name: view(device) for name, device in config.devices.items()}
    begin, end = NOW_NS - SECOND, NOW_NS + 1000 * SECOND
    return backtest(config.state_dir, config.rules, devices, begin, end).raised


def test_without_a_journal_it_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command(configured(tmp_path, 250)) == 74
    assert "no journal there" in capsys.readouterr().err

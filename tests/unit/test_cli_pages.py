"""The pages of the command line: every device on them, no line too wide, Chinese names."""

from collections import Counter

import pytest
from rich.cells import cell_len
from rich.console import Console, RenderableType

from gateway.cli.render import duration, page, size
from gateway.cli.render import readings as readings_page
from gateway.health import DeviceHealth, LinkState, Word
from gateway.model import Level, Quality
from gateway.status import Lane, readings, snapshot
from tests.unit.status_site import Site, healthy


def compound(meters: int = 12) -> Site:
    """Long Chinese names, every state of a device, faults with long reasons."""
    site = Site()
    site.link("meters")
    site.link(
        "lights", LinkState.DOWN, "lights: no answer from platform.example.com:8883 within 10 s"
    )
    for number in range(meters):
        name = f"meter-{number + 1}-{number + 101}"
        device = site.device(name, title=f"3 号楼 {number + 101} 室电表")
        if number:
            site.show(device.id, {"elec.voltage.a": 231.25, "elec.power.total": 1.0e6})
        if number == 2:
            site.show(device.id, {}, {"elec.power.total": Quality(Level.BAD, "timeout")})
        if number == 3:
            errors = Counter({"timeout": 12, "exception_2": 3})
            told = DeviceHealth(good=12345, errors=errors, note="no message ids: at least once")
            site.drivers["meters"].devices[name] = told
    site.device("light-s1-01", "lights", title="东门路灯 1")
    site.alarm("meter-2-102", "3 号楼电压高于 235.4 V，请即派员检查配电房")
    site.notice(
        "guard-room", "3 号楼烟雾", 12.0, "publishing site/guard-room: nobody listens there"
    )
    site.upstream(
        "platform",
        LinkState.UP,
        "",
        *(Lane(n, 10**n, None, 1.5, 9, 0, "", 10 ** (2 * n)) for n in range(4)),
    )
    site.upstream(
        "backup", LinkState.REFUSED, "backup: not authorized (0x87)", Lane(0, 3, 0, 0.0, 0, 1)
    )
    site.storage["dropped"] = {"store_stalled": 120}
    return site


def lines(renderable: RenderableType, width: int) -> list[str]:
    console = Console(width=width, force_terminal=False, color_system=None, legacy_windows=False)
    with console.capture() as capture:
        console.print(renderable)
    return capture.get().splitlines()


@pytest.mark.parametrize("width", [80, 160])
def test_the_status_page_shows_every_device_and_no_line_is_too_wide(width: int) -> None:
    site = compound()
    found = lines(page(snapshot(site), height=None), width)
    assert max(cell_len(line) for line in found) <= width
    assert not any(line.rstrip().endswith("…") for line in found), "nothing is cut off"
    text = "\n".join(found)
    assert "sent today to platform: alarms 1 B, events 100 B, samples 10.0 kB, diag" in text
    assert "sent today to backup" not in text, "it is not metered"
    for name in site.devices:
        assert any(line.startswith(f"{name} ") for line in found), name
    for word in ("degraded", "never", "bad", "refused", "down", "safety", "store_stalled 120", "NOT" if not site.clock.ok else "in sync"):  # fmt: skip
        assert word in text


@pytest.mark.parametrize("width", [80, 160])
def test_a_device_of_the_status_page_takes_one_line(width: int) -> None:
    """What is well fits on one line; only a device with faults may take more."""
    site = healthy()
    site.device("meter-3-103", title="3 号楼 103 室电表")
    site.show("meter-3-103", {"elec.voltage.a": 230.0})
    found = lines(page(snapshot(site), height=None), width)
    start = next(n for n, line in enumerate(found) if line.startswith("Devices:"))
    assert [line.split()[0] for line in found[start + 1 : start + 5]] == [
        "device", "meter-1", "meter-2", "meter-3-103",
    ]  # fmt: skip
    assert "3 号楼 103 室电表" in found[start + 4]


@pytest.mark.parametrize("height", [24, 40, 60])
def test_a_live_page_shows_devices_with_faults_first_and_says_how_many_are_left_out(
    height: int,
) -> None:
    site = compound(meters=100)
    found = lines(page(snapshot(site), height=height), 160)
    text = "\n".join(found)
    assert "meter-1-101" in text, "the one that never spoke"
    assert "meter-3-103" in text, "the one with a bad point"
    assert "more" in text
    assert len(found) < 100


def test_symbols_are_not_read_as_markup() -> None:
    site = healthy()
    site.device("meter-3", title="[bold]总表[/bold] :smile:")
    site.alarm("meter-1", "[red]x[/red] [/]")
    text = "\n".join(lines(page(snapshot(site), height=None), 160))
    assert "[bold]总表[/bold] :smile:" in text
    assert "[red]x[/red] [/]" in text


@pytest.mark.parametrize("width", [80, 160])
def test_the_page_of_last_values_shows_every_point(width: int) -> None:
    site = compound()
    site.show("light-s1-01", {}, {"elec.power.total": Quality(Level.BAD, "timeout")})
    parts = [readings(site, device) for device in site.devices.values()]
    found = lines(readings_page(parts), width)
    assert max(cell_len(line) for line in found) <= width
    text = "\n".join(found)
    assert "231.25" in text
    assert "bad: timeout" in text
    assert "light-s1-01" in text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "never"), (0, "0.0 s"), (9.44, "9.4 s"), (9.5, "10 s"), (119, "119 s"), (120, "2 min"),
        (7199, "120 min"), (7200, "2 h"), (259_199, "72 h"), (259_200, "3 d"), (3.2e9, "37037 d"),
    ],
)  # fmt: skip
def test_durations_are_short(seconds: float | None, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (12_345_678, "12.3 MB"), (5 * 10**9, "5.0 GB")]
)  # fmt: skip
def test_sizes_are_short(count: int, text: str) -> None:
    assert size(count) == text


def test_every_word_of_health_has_its_exit_code() -> None:
    assert [word.code for word in Word] == [0, 1, 2]

"""The full screen of `gateway status --watch`: what it shows, in both languages, on any terminal."""

import os
import pty
import re
import select
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from subprocess import Popen
from typing import Any

import pytest
from rich.cells import cell_len

from gateway.cli import say
from gateway.cli.watch_page import BARS, View, screen, sparkline
from gateway.health import LinkState
from gateway.status import snapshot
from tests.unit.status_site import Site
from tests.unit.test_cli_pages import compound, lines


@pytest.fixture(params=["en", "zh"])
def language(request: pytest.FixtureRequest) -> Iterator[str]:
    say.choose(request.param)
    yield request.param
    say.choose("en")


def buildings(site: Site) -> Site:
    """Forty meters in four buildings, one of them silent."""
    for number in range(40):
        building = number // 10 + 1
        device = site.device(f"m-{building}-{number % 10}", title=f"{building} 号楼")
        device.section.tags["building"] = str(building)
        if number != 15:
            site.show(device.id, {"elec.voltage.a": 231.25, "elec.power.total": 1.0})
    return site


@pytest.mark.parametrize(("width", "height"), [(60, 24), (80, 24), (120, 40), (160, 50), (240, 60)])
def test_the_screen_fits_and_tells_what_wants_a_look(
    width: int, height: int, language: str
) -> None:
    view, now = View(), snapshot(buildings(compound()))
    view.take(now)
    found = lines(screen(now, view, width, height), width)
    assert max(cell_len(line) for line in found) <= width
    whole = "\n".join(found)
    assert ("degraded" if language == "en" else "降级") in found[0]
    assert "▲" in found[0]
    assert "gw-test-01" in found[0]
    assert ("Links" if language == "en" else "链路") in whole
    if width >= 140:
        assert "m-2-5" in whole, "it is silent"
        assert "m-2-4" not in whole, "it is well"
        assert re.search(r"2 +9/10", whole)


def test_every_device_is_shown_when_asked_for_and_the_screen_scrolls() -> None:
    now = snapshot(buildings(Site()))
    view = View(every=True)
    shown: set[str] = set()
    for _ in range(20):
        shown |= set(re.findall(r"m-\d-\d", "\n".join(lines(screen(now, view, 160, 20), 160))))
        view.offset += 5
    assert len(shown) == 40
    last = view.offset
    screen(now, view, 160, 20)
    assert view.offset < last, "the end is the end"


def test_a_gateway_that_does_not_answer_is_said_to_be_away(language: str) -> None:
    view = View(away="no gateway runs in /var/lib/gateway", away_s=12.0)
    whole = "\n".join(lines(screen(snapshot(Site()), view, 80, 24), 80))
    assert "no gateway runs in /var/lib/gateway" in whole
    assert "12 s" in whole
    assert ("trying again" if language == "en" else "正在重试") in whole


def test_the_curves_begin_anew_with_the_gateway() -> None:
    site, view = Site(), View()
    for written in (0, 10, 40):
        site.storage["written"] = written
        site.clock.advance(1)
        view.take(snapshot(site))
    assert [round(rate) for rate in view.rates()] == [10, 30]
    site.started_ns = site.clock.boottime_ns()
    view.take(snapshot(site))
    assert view.rates() == []


def test_a_curve_reaches_from_nothing_to_the_largest() -> None:
    assert sparkline([0, 0]) == BARS[0] * 2
    assert sparkline([0, 4, 8]) == BARS[0] + BARS[3] + BARS[7]
    assert sparkline([]) == ""


def test_reasons_are_told_in_the_readers_language(language: str) -> None:
    site = Site()
    site.link("meters", LinkState.DOWN, "ECONNREFUSED")
    site.device("meter-1")
    whole = "\n".join(lines(screen(snapshot(site), View(), 100, 30), 100))
    assert ("link meters down: ECONNREFUSED" if language == "en" else "链路 meters 断开：ECONNREFUSED") in whole  # fmt: skip
    assert ("1 of 1 devices not live: meter-1" if language == "en" else "1 台设备中有 1 台无数据：meter-1") in whole  # fmt: skip


PROGRAM = """
import sys
from gateway.cli.watch import watch
from gateway.cli.watch_page import Overview
from gateway.status import snapshot
from tests.unit.status_site import healthy
class Fake:
    n = 0
    def ask(self, timeout_s=5.0, **request):
        self.n += 1
        if self.n == 3:
            raise ConnectionError("no gateway runs in /var/lib/gateway")
        return snapshot(healthy())
watch(Fake(), Overview())
"""


ALARMS = """
from gateway.cli.alarms_page import Board
from gateway.cli.watch import watch
from tests.unit.test_alarms_page import alarm
class Fake:
    def ask(self, timeout_s=5.0, **request):
        return [alarm(f"door-{n:02}", "safety", "B") for n in range(60)]
watch(Fake(), Board())
"""


@contextmanager
def terminal(program: str) -> Iterator[tuple[int, Popen[bytes]]]:
    master, slave = pty.openpty()
    environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "100", "LINES": "30", "LC_ALL": "C.UTF-8"}  # fmt: skip
    process = Popen([sys.executable, "-c", program], stdin=slave, stdout=slave, stderr=slave, env=environment)  # fmt: skip
    os.close(slave)
    try:
        yield master, process
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
        os.close(master)


def test_keys_on_a_real_terminal() -> None:
    """On a pseudo terminal: it draws, scrolls, outlives a silent gateway, leaves the terminal as it was."""
    with terminal(PROGRAM) as (master, process):
        wait(master, "healthy")
        os.write(master, b"d")
        wait(master, "trying again")
        os.write(master, b"\x1b[B")
        wait(master, "gw-test-01")
        os.write(master, b"q")
        said = drain(master)
        assert process.wait(10) == 0
        assert "\x1b[?1049l" in said, "the alternate screen is left (xterm)"


def test_alarms_are_drawn_on_the_same_screen_with_the_same_keys() -> None:
    with terminal(ALARMS) as (master, process):
        wait(master, "door-00")
        os.write(master, b"G")
        wait(master, "door-59")
        os.write(master, b"q")
        assert "\x1b[?1049l" in drain(master)
        assert process.wait(10) == 0


def wait(terminal: int, words: str) -> None:
    said, end = "", time.monotonic() + 15
    while words not in said:
        assert select.select([terminal], [], [], end - time.monotonic())[0], said[-2000:]
        said += os.read(terminal, 65536).decode(errors="replace")


def drain(terminal: int) -> str:
    said = ""
    while True:
        try:
            part: Any = os.read(terminal, 65536)
        except OSError:  # EIO: the other end is closed
            return said
        said += part.decode(errors="replace")

"""Every class of wrong configuration, given to a gateway that runs while a lamp speaks."""

import re
import signal
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import orjson
import pytest

from tests.harness.certificates import make
from tests.harness.compound import Site, site
from tests.harness.oracle import Arrived
from tests.harness.ports import free_ports
from tests.integration.test_daemon import healthy
from tests.integration.test_reload import speaking, state
from tests.unit.test_config_classes import CERTIFICATES, CLASSES, RULES, TEXT, UP, Case, add, swap

# What the classes leave alone: a street, a platform and a rule, so that something is at work.
LIVE = """\
links:
  lights: {{driver: mqtt, url: "mqtt://127.0.0.1:{lights}"}}
devices:
  light-1: {{profile: streetlight-native, link: lights, topic_id: l1}}
rules: [live-rule.yaml]
upstream:
  platform: {{url: "mqtt://127.0.0.1:{platform}", lanes: [0, 1, 2]}}
"""
RULE = "rules:\n- {id: live-high, with: {m: meter-1}, when: m.elec.voltage.a > 250 V, alarm: {severity: operational}}\n"
# What only a gateway that runs can be asked for, and mistakes that are of no class of their own.
OTHERS: dict[str, Case] = {
    "31 another gateway": (swap("gw-demo-01", "gw-demo-02"), {}, "gateway.yaml", 0, "while the gateway runs", "restart"),
    "31 another journal": (swap("Asia/Shanghai}", "Asia/Shanghai, state_dir: other}"), {}, "gateway.yaml", 0, "while the gateway runs", "restart"),
    "32 unknown profile": (swap("eastron-sdm120", "eastron-sdm12"), {}, "gateway.yaml", 6, "eastron-sdm12", "eastron-sdm120"),
    "32 no such rule file": (add("rules: [none.yaml]\n"), {}, "gateway.yaml", 7, "none.yaml does not exist", ""),
    "32 wrong in another file": (add(RULES), {"r.yaml": "rules: [\n"}, "r.yaml", 2, "not YAML", "brackets"),
    "32 wrong in what is included": (TEXT.encode(), {"live.yaml": "links:\n  lights: {driver: mqtt, url: 3}\n"}, "live.yaml", 2, "", ""),
    "3 open bracket": (add("rules: [a\n"), {}, "gateway.yaml", 9, "not YAML", "brackets"),  # open up to the include
}  # fmt: skip
APPLIED = "configuration applied"
REFUSED = "reload refused: the configuration before goes on"
PAUSE_S = 0.01  # between two messages: what comes faster for seconds is refused
FEW = ("2 tab", "13 out of range", "30 units")


class Wrong:
    """Puts a wrong configuration in the place of the right one, and takes it away again."""

    def __init__(self, folder: Path, meters: int, live: str) -> None:
        self._folder = folder
        self._meters = meters
        self._right = {"live.yaml": live.encode(), "live-rule.yaml": RULE.encode()}
        self._right["gateway.yaml"] = self._main(TEXT.encode())
        self._made: list[Path] = []

    def _main(self, text: bytes) -> bytes:
        """The include stands at the end: the lines of a class are counted from the front."""
        text = text.replace(b"port: 5020", b"port: %d" % self._meters)
        text = text.replace(b"Asia/Shanghai}", b"Asia/Shanghai, state_dir: state}")
        more = b"" if b"store: " in text else b"store: {group_commit: 1s}\n"
        return text + b"\ninclude: [live.yaml]\n" + more

    def put(self, text: bytes, files: Mapping[str, str]) -> None:
        self.put_right()
        for name, content in files.items():
            path = self._folder / name
            path.parent.mkdir(exist_ok=True)
            path.write_text(content, encoding="utf-8")
            path.chmod(0o644)
            self._made.append(path)
        (self._folder / "gateway.yaml").write_bytes(self._main(text))

    def put_right(self) -> None:
        for path in self._made:
            path.unlink()
        self._made.clear()
        for name, content in self._right.items():
            (self._folder / name).write_bytes(content)


@asynccontextmanager
async def running(folder: Path, sabotage: str | None) -> AsyncIterator[tuple[Site, Wrong]]:
    ports = free_ports(3)
    wrong = Wrong(folder, ports[0], LIVE.format(lights=ports[1], platform=ports[2]))
    wrong.put_right()
    path = folder / "gateway.yaml"
    async with site(folder, sabotage=sabotage, lamp_interval_s=60, config=path) as one:
        await one.daemon.until(healthy)
        yield one, wrong


def errors(one: Site) -> list[str]:
    """What the log says of the configuration, from its beginning."""
    lines = [orjson.loads(line) for line in one.daemon.text().splitlines() if '"reload"' in line]
    return [line["text"] for line in lines if line["level"] == "error"]


async def refused(one: Site, number: int) -> list[str]:
    """Ask for a reload, every other time by SIGHUP; what the log says of it."""
    before = len(errors(one))
    if number % 2:
        one.daemon.process.send_signal(signal.SIGHUP)
    else:
        answer = await one.daemon.ask("reload")
        assert (answer["outcome"], answer["changes"]) == ("refused", {}), answer
    await one.daemon.until(
        lambda _: REFUSED in errors(one)[before:] or APPLIED in one.daemon.text(), 30
    )
    return errors(one)[before:]


def said(told: Sequence[str], file: str, line: int, what: str, fix: str) -> bool:
    """Whether one of them names the place, says what is wrong and what to do."""
    place = re.escape(f"/{file}") + (rf":{line}:\d+:" if line else ":")
    return any(re.search(place, one) and what in one and fix in one for one in told)


async def try_all(one: Site, wrong: Wrong, classes: Mapping[str, Case]) -> None:
    """Each class in turn, while a rule of the configuration before raises its alarm."""
    for number, (kind, (text, files, file, line, what, fix)) in enumerate(classes.items()):
        if number == len(classes) // 2:
            one.running.farms[0].set_voltage("meter-1", 258.0)
        wrong.put(text, files)
        told = await refused(one, number)
        assert said(told, file, line, what, fix), f"{kind}: {told}"
    await one.daemon.until(
        lambda s: any(a["instance"].startswith("live-high") for a in s["alarms"])
    )


async def reloads(folder: Path, classes: Mapping[str, Case], sabotage: str | None = None) -> None:
    async with running(folder, sabotage) as (one, wrong):
        before = await one.daemon.status()
        async with speaking(one, PAUSE_S):
            await try_all(one, wrong, classes)
        after = await one.daemon.status()
        for name in ("meters", "lights", "platform"):
            assert state(before, name)["connects"] == state(after, name)["connects"], name
            assert state(after, name)["state"] == "up"
        assert after["config"]["sha256"] == before["config"]["sha256"]
        assert "refused" in after["config"]["note"]
        wrong.put_right()
        assert (await one.daemon.ask("reload"))["outcome"] == "unchanged"
        assert (await one.daemon.status())["config"]["note"] == ""
    events = Arrived.read(one.platform_log).events
    told = [e["attributes"]["first"] for e in events if e["kind"] == "config_refused"]
    assert len(told) == len(classes)
    assert all(str(folder) in first for first in told)


async def certificates(folder: Path) -> dict[str, Case]:
    """Those that cannot be used, as classes: each in a folder of its own, beside the main file."""
    made: dict[str, Case] = {}
    for number, (kind, (script, what, _key)) in enumerate(CERTIFICATES.items()):
        name = f"tls{number}"
        (folder / name).mkdir()
        await make(folder / name, script)
        text = UP.replace("p: {", "far: {")
        for file in ("own.crt", "gw.crt", "gw.key"):
            text = text.replace(file, f"{name}/{file}")
        made[kind] = (TEXT.encode() + text.encode(), {}, "gateway.yaml", 7, what, "")
    return made


@pytest.mark.timeout(60)
async def test_a_bug_in_the_check_costs_a_reload_and_not_the_gateway(tmp_path: Path) -> None:
    async with running(tmp_path, "faulty_check") as (one, wrong):
        for number in range(2):
            wrong.put(TEXT.encode() + b"  bug: 1\n", {})
            told = await refused(one, number)
            assert "the configuration: internal error: KeyError: 'bug'" in told[-2]
        wrong.put_right()
        assert (await one.daemon.ask("reload"))["outcome"] == "unchanged"
        assert one.daemon.text().count('"traceback"') == 2


def test_the_thirty_classes_are_all_there() -> None:
    assert {int(kind.split()[0]) for kind in CLASSES} == set(range(1, 31))


@pytest.mark.timeout(120)
async def test_a_reload_of_each_class_of_wrong_configuration_changes_and_loses_nothing(
    tmp_path: Path,
) -> None:
    await reloads(tmp_path, {**CLASSES, **OTHERS, **await certificates(tmp_path)})


@pytest.mark.chaos
@pytest.mark.timeout(60)
@pytest.mark.parametrize("sabotage", ["end_before_the_check", "reload_as_at_a_start", "no_place"])
async def test_teeth_a_reload_that_ends_links_before_it_checks_or_says_no_place_is_noticed(
    tmp_path: Path, sabotage: str
) -> None:
    few = {kind: CLASSES[kind] for kind in FEW} | await certificates(tmp_path)
    with pytest.raises((AssertionError, ExceptionGroup)):
        await reloads(tmp_path, few, sabotage)

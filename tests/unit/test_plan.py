"""What another configuration changes."""

from pathlib import Path

import pytest

from gateway.config import Config, load_config
from gateway.plan import Change, Plan, plan, watched

TEXT = """\
version: 1
gateway: {id: gw-test-01, timezone: Asia/Shanghai, state_dir: state}
links:
  a: {driver: modbus, transport: tcp, host: 127.0.0.1, port: 5020}
  b: {driver: modbus, transport: tcp, host: 127.0.0.1, port: 5021}
devices:
  meter-1: {profile: eastron-sdm120, link: a, unit: 1}
  meter-2: {profile: eastron-sdm120, link: b, unit: 1}
upstream:
  platform: {url: "mqtt://127.0.0.1:1883"}
recipients:
  guard: {via: upstream, to: platform}
"""


def config(folder: Path, *changes: tuple[str, str]) -> Config:
    text = TEXT
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    path = folder / "gateway.yaml"
    path.write_text(text, encoding="utf-8")
    return load_config(path)


def test_the_same_file_changes_nothing(tmp_path: Path) -> None:
    assert plan(config(tmp_path), config(tmp_path), rules=False).empty


def test_a_device_that_changes_restarts_its_link_alone(tmp_path: Path) -> None:
    change = plan(config(tmp_path), config(tmp_path, ("link: b, unit: 1", "link: b, unit: 2")), rules=False)  # fmt: skip
    assert (change.links, change.devices) == (Change(changed=("b",)), Change(changed=("meter-2",)))
    assert not change.sinks
    assert change.engine
    assert change.told() == {"links": {"changed": ["b"]}, "devices": {"changed": ["meter-2"]}}


def test_a_link_without_devices_any_more_ends(tmp_path: Path) -> None:
    line = "  meter-2: {profile: eastron-sdm120, link: b, unit: 1}\n"
    change = plan(config(tmp_path), config(tmp_path, (line, "")), rules=False)
    assert (change.links, change.devices) == (Change(removed=("b",)), Change(removed=("meter-2",)))
    back = plan(config(tmp_path, (line, "")), config(tmp_path), rules=False)
    assert (back.links.fresh, back.links.gone) == (("b",), ())


@pytest.mark.parametrize(
    ("old", "new", "what"),
    [
        ("gw-test-01", "gw-test-02", "gateway.id"),
        ("state_dir: state", "state_dir: other", "gateway.state_dir"),
        ("links:", "store: {group_commit: 2s}\nlinks:", "store"),
    ],
)
def test_what_the_journal_was_opened_with_is_fixed(
    tmp_path: Path, old: str, new: str, what: str
) -> None:
    assert plan(config(tmp_path), config(tmp_path, (old, new)), rules=False).fixed == (what,)


def test_an_upstream_ends_and_begins_with_its_own_section_or_the_time_zone(tmp_path: Path) -> None:
    before = config(tmp_path)
    own = plan(before, config(tmp_path, (":1883", ":1884")), rules=False)
    zone = plan(before, config(tmp_path, ("Asia/Shanghai", "Europe/Berlin")), rules=False)
    assert own.sinks == zone.sinks == Change(changed=("platform",))
    assert not own.engine
    assert not own.links
    more = ("recipients:", '  second: {url: "mqtt://127.0.0.1:1885"}\nrecipients:')
    added = plan(before, config(tmp_path, more), rules=False)
    assert (added.sinks, added.engine) == (
        Change(added=("second",)),
        True,
    )  # rules may read its state


def test_with_influxdb_every_device_that_changes_does_so_for_it(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("t")
    (tmp_path / "token").chmod(0o600)
    line = 'influxdb: {url: "http://127.0.0.1:1", org: o, bucket: b, token: "${file:token}"}'
    influx = ("upstream:", f"{line}\nupstream:")
    tags = ("link: a, unit: 1", "link: a, unit: 1, tags: {building: b1}")
    change = plan(config(tmp_path, influx), config(tmp_path, influx, tags), rules=False)
    assert change.sinks == Change(changed=("influxdb",))


def test_a_link_that_takes_over_the_devices_of_another_one_must_come_up_as_that_was(
    tmp_path: Path,
) -> None:
    before = config(tmp_path)
    after = config(tmp_path, ("  b: {", "  c: {"), ("link: b", "link: c"))
    change = plan(before, after, rules=False)
    assert watched(before, after, change) == {("link", "c"): ("link", "b")}
    own = config(tmp_path, ("link: a, unit: 1", "link: a, unit: 3"), (":1883", ":1884"))
    assert watched(before, own, plan(before, own, rules=False)) == {
        ("link", "a"): ("link", "a"), ("upstream", "platform"): ("upstream", "platform"),
    }  # fmt: skip


def test_of_many_names_the_first_are_told_and_how_many_more() -> None:
    names = tuple(f"meter-{n}" for n in range(100))
    change = Plan((), Change(), Change(added=names), Change(), Change(), Change(), False, ())
    assert change.told() == {"devices": {"added": [*names[:20], "and 80 more"]}}

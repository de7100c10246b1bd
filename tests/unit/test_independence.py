"""Two witnesses of a fire must be two devices."""

from pathlib import Path

import pytest

from gateway.config import Config, load_config

RULE = """\
rules:
- id: fire
  for_each: {each: [building], type: smoke}
  with: {doors: {has: door.lock, same: [building]}}
  when: count_of(members.alarm.smoke) >= 2
  priority: life
  alarm: {severity: life}
  do: [{set: {device: doors, point: door.lock, value: unlocked}}]
"""
CONFIG = """\
version: 1
gateway: {id: gw-1, timezone: UTC}
links:
  radio: {driver: ble, adapter: "dc:a6:32:11:22:33"}
  annex: {driver: ble, adapter: "dc:a6:32:11:22:34"}
  doors: {driver: modbus, host: 127.0.0.1}
devices:
  door: {profile: modbus-relay-door, link: doors, unit: 1, tags: {building: "1"}}
"""
ALLOW = "commands: {allow: [{origin: rules, devices: [door], points: [door.lock]}]}\nrules: [fire.yaml]\n"
ONE, TWO = "54:48:E6:8F:80:A5", "54:48:E6:8F:80:A6"


def load(folder: Path, *detectors: tuple[str, str, str, str]) -> Config:
    """Detectors as (link, address, key, building), called a, b, ..."""
    lines = ""
    for name, (link, address, key, building) in zip("abc", detectors, strict=False):
        secret = folder / name
        secret.touch(mode=0o600)
        secret.write_text(key * 16)
        lines += f'  {name}: {{profile: bthome-smoke, link: {link}, address: "{address}", key: "${{file:{name}}}", tags: {{building: "{building}"}}}}\n'  # fmt: skip
    (folder / "fire.yaml").write_text(RULE)
    path = folder / "gateway.yaml"
    path.write_text(f"{CONFIG}{lines}{ALLOW}")
    return load_config(path)


def said(config: Config) -> list[str]:
    return [note.what for note in config.notes if "independent" in note.what]


@pytest.mark.parametrize(("second", "what"), [
    (("annex", ONE, "cd", "1"), ["rule fire: b has the address of a: they are not two independent devices"]),
    (("radio", TWO, "ab", "1"), ["rule fire: b has the key of a: they are not two independent devices"]),
    (("radio", TWO, "cd", "1"), []),
    (("radio", TWO, "ab", "2"), []),
])  # fmt: skip
def test_two_detectors_that_confirm_a_fire_share_neither_address_nor_key(
    tmp_path: Path, second: tuple[str, str, str, str], what: list[str]
) -> None:
    assert said(load(tmp_path, ("radio", ONE, "ab", "1"), second)) == what


def test_a_pair_is_told_once_and_no_key_is_shown(tmp_path: Path) -> None:
    config = load(tmp_path, ("radio", ONE, "ab", "1"), ("annex", ONE, "ab", "1"))
    assert len(said(config)) == 1
    assert "abab" not in str(config.notes)

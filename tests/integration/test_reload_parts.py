"""A configuration of many files while the gateway runs: a changed part, and back again."""

from pathlib import Path

import pytest

from tests.harness.compound import Site, site, write_config
from tests.integration.test_daemon import gateway, healthy

TABLE = "device,profile,link,topic_id,tag.use\n"
PART = "devices_from: [lamps.csv]\nrules: [more.yaml]\n"
RULE = "rules:\n- {{id: {id}, for_each: {{type: light}}, when: it.elec.power.total > 900 W, alarm: {{severity: operational}}}}\n"


def write_parts(folder: Path, *, lamp: str, rule: str) -> None:
    """A table with one lamp and a file with one rule, which an included file names."""
    part = folder / "part"
    part.mkdir(exist_ok=True)
    (part / "part.yaml").write_text(PART, encoding="utf-8")
    (part / "lamps.csv").write_text(f"{TABLE}{lamp},streetlight-native,lights,{lamp},street\n")
    (part / "more.yaml").write_text(RULE.format(id=rule), encoding="utf-8")


async def runs(one: Site) -> tuple[set[str], set[str], str]:
    """Lamps, rules and fingerprint of what runs."""
    status = await one.daemon.status()
    lamps = {device["id"] for device in status["devices"] if device["link"] == "lights"}
    rules = (await one.daemon.ask("rules"))["instances"]
    return lamps, {name.partition("[")[0] for name in rules}, status["config"]["sha256"]


async def change_and_go_back(folder: Path, sabotage: str | None = None) -> None:
    path = write_config(folder, meters=1, lamps=2)
    path.write_text(path.read_text(encoding="utf-8") + "include: [part/part.yaml]\n")
    write_parts(folder, lamp="light-5", rule="first")
    async with site(folder, sabotage=sabotage, lamp_interval_s=60, config=path) as one:
        await one.daemon.until(healthy)
        at_first = await runs(one)
        assert at_first[0] == {"light-1", "light-2", "light-5"}
        assert "first" in at_first[1]
        write_parts(folder, lamp="light-6", rule="second")
        code, text = await gateway("reload", "-c", path)
        assert (code, "light-6" in text, "light-5" in text) == (0, True, True), text
        lamps, rules, sha256 = await runs(one)
        assert (lamps, "first" in rules, "second" in rules) == (
            {"light-1", "light-2", "light-6"},
            False,
            True,
        )
        assert sha256 != at_first[2]
        code, text = await gateway("config", "rollback", "1", "-c", path)
        assert code == 0, text
        assert (await runs(one))[0] == {"light-1", "light-2", "light-6"}, (
            "nothing is taken over unasked"
        )
        code, text = await gateway("reload", "-c", path)
        assert code == 0, text
        assert await runs(one) == at_first


@pytest.mark.timeout(60)
async def test_changed_tables_and_included_files_are_taken_over_and_rolled_back(
    tmp_path: Path,
) -> None:
    await change_and_go_back(tmp_path)


@pytest.mark.chaos
@pytest.mark.timeout(60)
@pytest.mark.parametrize("sabotage", ["history_of_the_main_file", "tables_of_the_start"])
async def test_teeth_parts_that_are_forgotten_are_noticed(tmp_path: Path, sabotage: str) -> None:
    with pytest.raises(AssertionError):
        await change_and_go_back(tmp_path, sabotage)

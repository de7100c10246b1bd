"""The shipped dashboards ask for what the sink writes, by name."""

import re

import pytest

from gateway.model import EventKind
from tests.harness.dashboards import FOLDER, NAMES, TAGS, Query, load, profiles, queries, written


@pytest.mark.parametrize("name", NAMES)
def test_every_query_names_measurements_fields_and_tags_that_are_written(name: str) -> None:
    fields = written(profiles())
    wrong = [fault for query in queries(name) for fault in faults(query, fields)]
    assert wrong == []


def faults(query: Query, fields: dict[str, set[str]]) -> list[str]:
    unknown = query.measurements - fields.keys()
    known = set().union(*(fields[m] for m in query.measurements - unknown)) | TAGS
    kinds = set(re.findall(r"\"kind\" !?= '([^']+)'", query.text))
    return [
        f"{query.dashboard}, {query.panel}: {what}"
        for what in sorted(unknown | (query.names - known) | (kinds - set(EventKind)))
    ]


def test_teeth_a_field_that_nobody_writes_is_noticed() -> None:
    query = Query("x", "y", 'SELECT last("alarm.leak") FROM "home" WHERE "kind" = \'fire\'')
    assert faults(query, written(profiles())) == ["x, y: alarm.leak", "x, y: fire"]


def test_dashboards_can_be_imported_side_by_side() -> None:
    assert sorted(path.stem for path in FOLDER.glob("*.json")) == list(NAMES)
    found = [load(name) for name in NAMES]
    assert len({one["uid"] for one in found}) == len({one["title"] for one in found}) == len(NAMES)
    for one in found:
        panels = one["panels"]
        assert [panel["id"] for panel in panels] == list(range(1, len(panels) + 1))
        assert all(p["gridPos"]["x"] + p["gridPos"]["w"] <= 24 for p in panels)
        assert all(p["datasource"]["uid"] == "${datasource}" for p in panels)

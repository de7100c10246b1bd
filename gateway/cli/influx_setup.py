"""`gateway influx init`: buckets, retention, downsampling tasks, the mapping for InfluxQL.

Every step looks first, and changes nothing that is there. By the v2 API's documentation
(https://docs.influxdata.com/influxdb/v2/api/); tested against a scripted server only.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from gateway.cli.influx_api import Api
from gateway.errors import Refused

DAY_S = 86_400


class Level(NamedTuple):
    """A bucket of windows `every`, made from `source`; `runs`: how often, and how far back."""

    name: str
    source: str
    every: str
    keep_s: int
    runs: Sequence[tuple[str, str]]


class Setup:
    def __init__(self, api: Api, retention_s: int, counters: Sequence[str]) -> None:
        self._api = api
        self._retention_s = retention_s
        self._counters = counters
        self._org = ""
        self._done: list[str] = []

    def run(self) -> list[str]:
        """What was there and what was made, in words. Raises LinkDown or Refused."""
        section = self._api.section
        self._org = self._organization(section.org)
        self._mapping(section.bucket, self._bucket(section.bucket, self._retention_s))
        for level in levels(section.bucket):
            self._mapping(level.name, self._bucket(level.name, level.keep_s))
            for period, back in level.runs:
                self._task(level, period, back)
        return self._done

    def _organization(self, name: str) -> str:
        found = self._ask("GET", "/api/v2/orgs", {"org": name}).get("orgs") or []
        if not found:
            raise Refused(f"there is no organization {name}, or the token may not see it")
        return str(found[0]["id"])

    def _bucket(self, name: str, keep_s: int) -> str:
        query = {"name": name, "orgID": self._org}
        found = self._ask("GET", "/api/v2/buckets", query, missing=True).get("buckets") or []
        if found:
            rules = found[0].get("retentionRules") or [{}]
            self._done.append(f"bucket {name} is there, it keeps {_days(int(rules[0].get('everySeconds', 0)))}")  # fmt: skip
            return str(found[0]["id"])
        rules = [{"type": "expire", "everySeconds": keep_s}] if keep_s else []
        body = {"orgID": self._org, "name": name, "retentionRules": rules}
        made = self._ask("POST", "/api/v2/buckets", body=body)
        self._done.append(f"bucket {name} was made, it keeps {_days(keep_s)}")
        return str(made["id"])

    def _mapping(self, name: str, bucket_id: str) -> None:
        """Database of InfluxQL = bucket; 2.x has one for each bucket by itself, and calls it virtual."""
        query = {"orgID": self._org, "db": name}
        found = self._ask("GET", "/api/v2/dbrps", query, missing=True).get("content") or []
        if found:
            self._done.append(f"mapping of {name} for InfluxQL is there")
            return
        names = {"database": name, "retention_policy": "autogen"}
        body = {"orgID": self._org, "bucketID": bucket_id, **names, "default": True}
        self._ask("POST", "/api/v2/dbrps", body=body)
        self._done.append(f"mapping of {name} for InfluxQL was made")

    def _task(self, level: Level, period: str, back: str) -> None:
        name = f"gateway {level.source} to {level.name}, back {back}"
        found = self._ask("GET", "/api/v2/tasks", {"name": name, "orgID": self._org}).get("tasks")
        if found:
            self._done.append(f"task '{name}' is there")
            return
        body = {"orgID": self._org, "status": "active", "flux": flux(name, level, period, back, self._counters)}  # fmt: skip
        self._ask("POST", "/api/v2/tasks", body=body)
        self._done.append(f"task '{name}' was made: every {period}")

    def _ask(
        self, method: str, path: str, query: Mapping[str, str] | None = None, body: object = None,
        *, missing: bool = False,
    ) -> Any:  # fmt: skip
        answer = self._api.ask(method, path, query, body)
        if missing and answer.status == 404:
            return {}
        if not 200 <= answer.status < 300 or not isinstance(answer.value, dict):
            fix = "; use --token-file with a token that may" if answer.status in {401, 403} else ""
            raise Refused(f"{method} {self._api.section.url}{path}: {answer.status} {answer.said}{fix}")  # fmt: skip
        return answer.value


def levels(bucket: str) -> tuple[Level, Level]:
    """`iot_raw` has `iot_5m` and `iot_1h`. What comes late, after an outage, is caught by the daily run:
    writing a window again changes nothing.
    """
    base = bucket.removesuffix("_raw")
    five, hour = f"{base}_5m", f"{base}_1h"
    return (
        Level(five, bucket, "5m", 90 * DAY_S, (("5m", "1h"), ("1d", "8d"))),
        Level(hour, five, "1h", 0, (("1h", "6h"), ("1d", "9d"))),
    )


def flux(name: str, level: Level, period: str, back: str, counters: Sequence[str]) -> str:
    """Numbers only: of counters the last value, of all others the mean. Whole windows only."""
    counted = json.dumps(list(counters), ensure_ascii=False)
    return f"""\
import "date"
import "types"
option task = {{name: {json.dumps(name)}, every: {period}, offset: 1m}}
counters = {counted}
data = from(bucket: {json.dumps(level.source)})
  |> range(start: date.truncate(t: -{back}, unit: {level.every}), stop: date.truncate(t: now(), unit: {level.every}))
  |> filter(fn: (r) => types.isType(v: r._value, type: "float"))
data
  |> filter(fn: (r) => not contains(value: r._field, set: counters))
  |> aggregateWindow(every: {level.every}, fn: mean, createEmpty: false, timeSrc: "_start")
  |> to(bucket: {json.dumps(level.name)})
data
  |> filter(fn: (r) => contains(value: r._field, set: counters))
  |> aggregateWindow(every: {level.every}, fn: last, createEmpty: false, timeSrc: "_start")
  |> to(bucket: {json.dumps(level.name)})
"""


def _days(seconds: int) -> str:
    return f"{seconds / DAY_S:g} days" if seconds else "for ever"

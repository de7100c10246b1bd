"""What is wrong with url, token, organization or bucket, in words."""

from typing import NamedTuple

from gateway.cli.influx_api import Answer, Api
from gateway.errors import LinkDown, Refused
from gateway.sinks.line import PROBE, series

OK, NOTE, WRONG = "ok", "note", "wrong"


class Finding(NamedTuple):
    """`state`: ok, note (works, but) or wrong; `what`: url, bucket, token, write or query."""

    state: str
    what: str
    said: str


def check(api: Api, gateway_id: str, now_ns: int) -> list[Finding]:
    """Stops at the first thing without which the next makes no sense."""
    try:
        answer = api.ask("GET", "/ping")
    except LinkDown as error:
        fix = "does the server run, is host and port right, does a firewall stand between?"
        return [Finding(WRONG, "url", f"nobody answers: {error}; {fix}")]
    if not 200 <= answer.status < 300:
        said = f"somebody answers {answer.status} who is no InfluxDB: a proxy? check host and port"
        return [Finding(WRONG, "url", said)]
    found = [
        Finding(OK, "url", f"{api.section.url} answers, version {answer.version or 'unknown'}")
    ]
    found += _bucket(api)
    found.append(_write(api, gateway_id, now_ns))
    if found[-1].state == OK:
        found.append(_query(api, gateway_id))
    return found


def _bucket(api: Api) -> list[Finding]:
    """A token that may only write sees no bucket: no fault."""
    section = api.section
    answer = api.ask("GET", "/api/v2/buckets", {"name": section.bucket, "org": section.org})
    buckets = answer.value.get("buckets") if isinstance(answer.value, dict) else None
    if answer.status != 200 or not buckets:
        why = f"{answer.status} {answer.said}" if answer.status != 200 else "none is shown"
        return [Finding(NOTE, "bucket", f"the token may not look at it ({why})")]
    rules = buckets[0].get("retentionRules") or [{}]
    kept_s = int(rules[0].get("everySeconds", 0))
    kept = f"keeps {kept_s / 86_400:g} days" if kept_s else "keeps for ever"
    return [Finding(OK, "bucket", f"{section.bucket} {kept}")]


def _write(api: Api, gateway_id: str, now_ns: int) -> Finding:
    line = f"{series(PROBE, {'gateway': gateway_id})} ok=true {now_ns}".encode()
    query = {"org": api.section.org, "bucket": api.section.bucket, "precision": "ns"}
    answer = api.ask("POST", "/api/v2/write", query, line)
    if answer.status in {201, 204}:
        return Finding(OK, "write", "a point was taken")
    what, said = _refusal(api, answer)
    return Finding(WRONG, what, f"{said} (the server says: {answer.status} {answer.said})")


def _refusal(api: Api, answer: Answer) -> tuple[str, str]:
    """(what, said) of a point that was not taken."""
    section, status = api.section, answer.status
    if status == 404:
        return _missing(api, answer.said.lower())
    if status >= 500 and status != 503:
        return "write", "the server has a fault of its own: look into its log"
    busy = "write", "the server is busy or a quota is used up: try again later"
    known = {
        401: ("token", "the server does not know this token: make one, and put it where the configuration says"),
        403: ("token", f"the token may not write to {section.bucket}: give it that right"),
        429: busy,
        503: busy,
    }  # fmt: skip
    return known.get(status, ("write", "the point was refused"))


def _missing(api: Api, said: str) -> tuple[str, str]:
    section = api.section
    if "org" in said:
        return "org", f"there is no organization {section.org}: capital letters matter"
    if "bucket" in said:
        fix = "`gateway influx init` makes it"
        return "bucket", f"there is no bucket {section.bucket} in {section.org}: {fix}"
    return "url", "this server has no v2 API (InfluxDB 1.x?): use 2.x"


def _query(api: Api, gateway_id: str) -> Finding:
    try:
        api.rows(f"SELECT ok FROM {PROBE} WHERE gateway = '{gateway_id}' LIMIT 1")  # noqa: S608 -- an id is a-z, 0-9, -
    except Refused as error:
        fix = "dashboards need it: `gateway influx init` maps it, the token must be allowed to read"
        return Finding(NOTE, "query", f"InfluxQL does not work: {error}; {fix}")
    return Finding(OK, "query", "InfluxQL works")

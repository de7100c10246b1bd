"""What is wrong with url, token, organization or bucket, in words."""

from typing import NamedTuple

from gateway.cli.influx_api import Answer, Api
from gateway.errors import LinkDown, Refused
from gateway.sinks.line import PROBE, series
from gateway.words.text import Said, text

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
        return [Finding(WRONG, "url", text("influx.silent", why=error))]
    if not 200 <= answer.status < 300:
        return [Finding(WRONG, "url", text("influx.stranger", status=answer.status))]
    version = answer.version or text("influx.unknown")
    found = [Finding(OK, "url", text("influx.answers", url=api.section.url, version=version))]
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
        refused = f"{answer.status} {answer.said}"
        why = refused if answer.status != 200 else text("influx.none_shown")
        return [Finding(NOTE, "bucket", text("influx.hidden", why=why))]
    rules = buckets[0].get("retentionRules") or [{}]
    kept_s = int(rules[0].get("everySeconds", 0))
    kept = text("influx.keeps", bucket=section.bucket, days=kept_s / 86_400)
    ever = text("influx.keeps_all", bucket=section.bucket)
    return [Finding(OK, "bucket", kept if kept_s else ever)]


def _write(api: Api, gateway_id: str, now_ns: int) -> Finding:
    line = f"{series(PROBE, {'gateway': gateway_id})} ok=true {now_ns}".encode()
    query = {"org": api.section.org, "bucket": api.section.bucket, "precision": "ns"}
    answer = api.ask("POST", "/api/v2/write", query, line)
    if answer.status in {201, 204}:
        return Finding(OK, "write", text("influx.taken"))
    what, said = _refusal(api, answer)
    whole = text("influx.server_says", said=said, status=answer.status, answer=answer.said)
    return Finding(WRONG, what, whole)


def _refusal(api: Api, answer: Answer) -> tuple[str, Said]:
    """(what, said) of a point that was not taken."""
    section, status = api.section, answer.status
    if status == 404:
        return _missing(api, answer.said.lower())
    if status >= 500 and status != 503:
        return "write", text("influx.fault")
    busy = "write", text("influx.busy")
    known = {
        401: ("token", text("influx.token")),
        403: ("token", text("influx.right", bucket=section.bucket)),
        429: busy,
        503: busy,
    }  # fmt: skip
    return known.get(status, ("write", text("influx.refused")))


def _missing(api: Api, said: str) -> tuple[str, Said]:
    section = api.section
    if "org" in said:
        return "org", text("influx.no_org", name=section.org)
    if "bucket" in said:
        return "bucket", text("influx.no_bucket", bucket=section.bucket, name=section.org)
    return "url", text("influx.old")


def _query(api: Api, gateway_id: str) -> Finding:
    try:
        api.rows(f"SELECT ok FROM {PROBE} WHERE gateway = '{gateway_id}' LIMIT 1")  # noqa: S608 -- an id is a-z, 0-9, -
    except Refused as error:
        return Finding(NOTE, "query", text("influx.no_query", why=error))
    return Finding(OK, "query", text("influx.query"))

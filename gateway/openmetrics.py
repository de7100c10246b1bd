"""A status snapshot as OpenMetrics 1.0 text (prometheus.io/docs/specs/om/open_metrics_spec). Pure.

docs/metrics.md lists every family. Labels are names of the configuration and reasons of ours, never
values that devices send: their number is bounded.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Literal, NamedTuple

from gateway.health import Word
from gateway.snapshot import DevicePart, Snapshot

MOST_DEVICES = 1_000  # with series of their own; the counts of further ones are told as one
OTHER = "_other"

Kind = Literal["counter", "gauge", "info"]
Labels = Mapping[str, str]


class Family(NamedTuple):
    """`unit` is the end of `name`. Counters are written with `_total`, infos with `_info`."""

    name: str
    kind: Kind
    help: str
    samples: list[tuple[Labels, float]]
    unit: str = ""


def exposition(snapshot: Snapshot, memory_bytes: int | None) -> bytes:
    """The whole text. Families without a sample are left out."""
    lines: list[str] = []
    for family in _families(snapshot, memory_bytes):
        if family.samples:
            lines += _lines(family)
    return ("\n".join([*lines, "# EOF"]) + "\n").encode()


def _lines(family: Family) -> Iterator[str]:
    yield f"# TYPE {family.name} {family.kind}"
    if family.unit:
        yield f"# UNIT {family.name} {family.unit}"
    yield f"# HELP {family.name} {_escaped(family.help)}"
    suffix = {"counter": "_total", "info": "_info", "gauge": ""}[family.kind]
    for labels, value in family.samples:
        inner = ",".join(f'{name}="{_escaped(text)}"' for name, text in labels.items())
        yield f"{family.name}{suffix}{f'{{{inner}}}' if inner else ''} {_number(value)}"


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")


def _number(value: float) -> str:
    return str(int(value)) if float(value).is_integer() else repr(float(value))


def _families(one: Snapshot, memory_bytes: int | None) -> Iterator[Family]:
    program = {"version": one["version"], "gateway": one["gateway"], "loop": one["loop"]}
    yield Family("gateway_build", "info", "What runs.", [(program, 1)])
    yield _gauge("gateway_uptime_seconds", "Since the start.", one["uptime_s"], "seconds")
    word = Word(one["health"]["word"]).code
    yield _gauge("gateway_health", "0 healthy, 1 degraded, 2 critical.", word)
    yield _gauge("gateway_clock_synchronized", "1 if the clock can be trusted.", one["clock"]["ok"])
    lag = one["loop_lag_ms"]["p99"] / 1e3
    yield _gauge(
        "gateway_loop_lag_seconds",
        "How late the event loop is, p99 of the last minute.",
        lag,
        "seconds",
    )
    if memory_bytes is not None:
        yield _gauge("gateway_memory_bytes", "Resident memory.", memory_bytes, "bytes")
    yield from _devices(one["devices"])
    yield from _links(one)
    yield from _upstreams(one)
    yield from _store(one)
    active = Counter(alarm["severity"] for alarm in one["alarms"])
    severities = ("life", "safety", "operational", "telemetry")
    yield Family(
        "gateway_alarms",
        "gauge",
        "Open alarms.",
        [({"severity": s}, active[s]) for s in severities],
    )
    yield _counts("gateway_messages", "What the bus counted.", "what", one["counters"])
    yield _counts("gateway_commands", "Commands, by how they ended.", "outcome", one["commands"])
    notices = one["notifications"]
    yield _gauge(
        "gateway_notifications_open", "Notifications that are not delivered.", notices["open"]
    )
    yield _counts(
        "gateway_notifications", "Notifications, by how they ended.", "outcome", notices["counters"]
    )
    yield Family(
        "gateway_audit_lost",
        "counter",
        "Audit records that could not be written.",
        [({}, one["audit"]["lost"])],
    )


def _gauge(name: str, text: str, value: float, unit: str = "") -> Family:
    return Family(name, "gauge", text, [({}, value)], unit)


def _counts(name: str, text: str, label: str, counts: Mapping[str, int]) -> Family:
    return Family(name, "counter", text, [({label: k}, v) for k, v in sorted(counts.items())])


def _devices(devices: Iterable[DevicePart]) -> Iterator[Family]:
    """The first thousand one by one; of the others what can be added up."""
    every = list(devices)
    own, rest = every[:MOST_DEVICES], every[MOST_DEVICES:]
    yield _gauge("gateway_devices", "Configured devices.", len(every))
    yield _gauge("gateway_devices_live", "Devices that give values.", sum(d["live"] for d in every))
    labels: list[Labels] = [{"device": d["id"], "link": d["link"]} for d in own]
    live: list[tuple[Labels, float]] = [(at, d["live"]) for at, d in zip(labels, own, strict=True)]
    yield Family("gateway_device_live", "gauge", "1 if the device gives values.", live)
    ages: list[tuple[Labels, float]] = [
        (at, d["age_s"]) for at, d in zip(labels, own, strict=True) if d["age_s"] is not None
    ]
    yield Family("gateway_device_age_seconds", "gauge", "Since its last value.", ages, "seconds")
    good: list[tuple[Labels, float]] = [(at, d["good"]) for at, d in zip(labels, own, strict=True)]
    errors: list[tuple[Labels, float]] = [
        ({**at, "reason": reason}, count)
        for at, d in zip(labels, own, strict=True)
        for reason, count in sorted(d["errors"].items())
    ]
    if rest:
        other = {"device": OTHER, "link": OTHER}
        good.append((other, sum(d["good"] for d in rest)))
        total: Counter[str] = Counter()
        for device in rest:
            total.update(device["errors"])
        errors += [({**other, "reason": reason}, n) for reason, n in sorted(total.items())]
    yield Family("gateway_device_readings", "counter", "Good readings.", good)
    yield Family("gateway_device_errors", "counter", "Readings that failed, by reason.", errors)


def _links(one: Snapshot) -> Iterator[Family]:
    up: list[tuple[Labels, float]] = []
    connects: list[tuple[Labels, float]] = []
    counts: list[tuple[Labels, float]] = []
    for link in one["links"]:
        at = {"link": link["name"], "driver": link["driver"]}
        up.append((at, link["state"] == "up"))
        connects.append((at, link["connects"]))
        counts += [({**at, "what": name}, n) for name, n in sorted(link["counters"].items())]
    yield Family("gateway_link_up", "gauge", "1 if the link works.", up)
    yield Family("gateway_link_connects", "counter", "Connections that were made.", connects)
    yield Family("gateway_link_events", "counter", "What the driver counted.", counts)


def _upstreams(one: Snapshot) -> Iterator[Family]:
    up: list[tuple[Labels, float]] = []
    lanes: dict[str, list[tuple[Labels, float]]] = {
        "backlog": [],
        "oldest": [],
        "acked": [],
        "dead": [],
    }
    for sink in one["upstream"]:
        up.append(({"upstream": sink["name"]}, sink["state"] == "up"))
        for lane in sink["lanes"]:
            at = {"upstream": sink["name"], "lane": str(lane["lane"])}
            lanes["backlog"].append((at, lane["backlog"]))
            lanes["oldest"].append((at, lane["oldest_s"] or 0.0))
            lanes["acked"].append((at, lane["acked"]))
            lanes["dead"].append((at, lane["dead"]))
    yield Family("gateway_upstream_up", "gauge", "1 if the platform or database is connected.", up)
    yield Family("gateway_upstream_backlog", "gauge", "Records that wait.", lanes["backlog"])
    text = "Age of the oldest one; 0: none waits."
    yield Family("gateway_upstream_oldest_seconds", "gauge", text, lanes["oldest"], "seconds")
    yield Family(
        "gateway_upstream_delivered", "counter", "Records that were acknowledged.", lanes["acked"]
    )
    yield Family(
        "gateway_upstream_dead", "gauge", "Records that the peer refuses for good.", lanes["dead"]
    )


def _store(one: Snapshot) -> Iterator[Family]:
    store = one["store"]
    yield _gauge("gateway_store_ok", "1 if the journal can be written.", store["state"] == "ok")
    yield Family(
        "gateway_store_written", "counter", "Records that are durable.", [({}, store["written"])]
    )
    yield _counts(
        "gateway_store_dropped",
        "Samples that were not stored, by reason.",
        "reason",
        store["dropped"],
    )
    yield _counts(
        "gateway_store_evicted", "Records deleted, by lane and reason.", "what", store["evicted"]
    )
    p99_s = store["commit_ms_p99"] / 1e3
    yield _gauge("gateway_store_commit_seconds", "A commit, p99.", p99_s, "seconds")
    yield _gauge("gateway_store_bytes", "On disk.", store["bytes_on_disk"], "bytes")
    yield _gauge(
        "gateway_store_free_bytes", "Free on its file system.", store["free_bytes"], "bytes"
    )

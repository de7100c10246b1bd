"""Figures for Prometheus: read by its own parser, bounded, on loopback only, served and written."""

import asyncio
from pathlib import Path

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families
from pydantic import ValidationError

from gateway.health import DeviceHealth, LinkState
from gateway.metrics import MAX_CONNECTIONS, Metrics
from gateway.metrics_section import MetricsSection
from gateway.openmetrics import MOST_DEVICES, exposition
from gateway.snapshot import Snapshot
from gateway.status import Lane, snapshot
from tests.harness.broker import until
from tests.harness.ports import free_port
from tests.unit.status_site import Site, healthy
from tests.unit.test_cli_pages import compound

Series = dict[tuple[str, tuple[tuple[str, str], ...]], float]
DOCS = Path(__file__).parents[2] / "docs" / "metrics.md"


def parsed(text: bytes) -> Series:
    families = text_string_to_metric_families(text.decode())  # type: ignore[no-untyped-call] # not ours
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in families
        for sample in family.samples
    }


def label(**labels: object) -> tuple[tuple[str, str], ...]:
    return tuple(sorted((name, str(value)) for name, value in labels.items()))


def figures(one: Snapshot) -> Series:
    """What `status` tells, as docs/metrics.md says it is called. Shares no code with the exposition."""
    found: Series = {
        ("gateway_build_info", label(version=one["version"], gateway=one["gateway"], loop=one["loop"])): 1,
        ("gateway_uptime_seconds", ()): one["uptime_s"],
        ("gateway_health", ()): ("healthy", "degraded", "critical").index(one["health"]["word"]),
        ("gateway_clock_synchronized", ()): one["clock"]["ok"],
        ("gateway_loop_lag_seconds", ()): one["loop_lag_ms"]["p99"] / 1000,
        ("gateway_devices", ()): len(one["devices"]),
        ("gateway_devices_live", ()): len([d for d in one["devices"] if d["live"]]),
        ("gateway_store_ok", ()): one["store"]["state"] == "ok",
        ("gateway_store_written_total", ()): one["store"]["written"],
        ("gateway_store_commit_seconds", ()): one["store"]["commit_ms_p99"] / 1000,
        ("gateway_store_bytes", ()): one["store"]["bytes_on_disk"],
        ("gateway_store_free_bytes", ()): one["store"]["free_bytes"],
        ("gateway_notifications_open", ()): one["notifications"]["open"],
        ("gateway_audit_lost_total", ()): one["audit"]["lost"],
    }  # fmt: skip
    for severity in ("life", "safety", "operational", "telemetry"):
        count = len([alarm for alarm in one["alarms"] if alarm["severity"] == severity])
        found["gateway_alarms", label(severity=severity)] = count
    for name, key, counts in (
        ("messages", "what", one["counters"]), ("commands", "outcome", one["commands"]),
        ("notifications", "outcome", one["notifications"]["counters"]),
        ("store_dropped", "reason", one["store"]["dropped"]), ("store_evicted", "what", one["store"]["evicted"]),
    ):  # fmt: skip
        for what, count in counts.items():
            found[f"gateway_{name}_total", label(**{key: what})] = count
    found |= of_devices(one) | of_links(one) | of_upstreams(one)
    return {key: float(value) for key, value in found.items()}


def of_devices(one: Snapshot) -> Series:
    found: Series = {}
    for device in one["devices"]:
        at = {"device": device["id"], "link": device["link"]}
        found["gateway_device_live", label(**at)] = device["live"]
        found["gateway_device_readings_total", label(**at)] = device["good"]
        if device["age_s"] is not None:
            found["gateway_device_age_seconds", label(**at)] = device["age_s"]
        for reason, count in device["errors"].items():
            found["gateway_device_errors_total", label(**at, reason=reason)] = count
    return found


def of_links(one: Snapshot) -> Series:
    found: Series = {}
    for link in one["links"]:
        at = {"link": link["name"], "driver": link["driver"]}
        found["gateway_link_up", label(**at)] = link["state"] == "up"
        found["gateway_link_connects_total", label(**at)] = link["connects"]
        for what, count in link["counters"].items():
            found["gateway_link_events_total", label(**at, what=what)] = count
    return found


def of_upstreams(one: Snapshot) -> Series:
    found: Series = {}
    for sink in one["upstream"]:
        found["gateway_upstream_up", label(upstream=sink["name"])] = sink["state"] == "up"
        for lane in sink["lanes"]:
            at = label(upstream=sink["name"], lane=lane["lane"])
            found["gateway_upstream_backlog", at] = lane["backlog"]
            found["gateway_upstream_oldest_seconds", at] = lane["oldest_s"] or 0
            found["gateway_upstream_delivered_total", at] = lane["acked"]
            found["gateway_upstream_dead", at] = lane["dead"]
    return found


def busy() -> Site:
    """Every family has a figure other than nought."""
    site = compound()
    site.drivers["meters"].health.counters["retries"] = 7
    site.drivers["meters"].health.connects = 4
    site.notices["open"], site.notices["counters"] = 2, {"delivered": 31}
    site.storage["evicted"] = {"2 quota": 66}
    site.clock.advance(3)
    site.upstream(
        "third", LinkState.UP, "", Lane(1, 5, site.clock.time_ns() - 9 * 10**9, 0.5, 77, 3)
    )
    return site


def test_every_figure_is_that_of_the_status() -> None:
    one = snapshot(busy())
    found = parsed(exposition(one, None))
    assert found == pytest.approx(figures(one))
    idle = {name for name, _ in found} - {name for (name, _), value in found.items() if value}
    assert idle <= {"gateway_audit_lost_total", "gateway_loop_lag_seconds"}, "nought proves little"


def test_prometheus_reads_every_family_and_the_document_lists_it() -> None:
    text = exposition(snapshot(compound()), 50_000_000)
    found = parsed(text)
    assert found["gateway_health", ()] == 1
    assert found["gateway_memory_bytes", ()] == 50_000_000
    assert found["gateway_upstream_backlog", (("lane", "1"), ("upstream", "platform"))] == 10
    assert found["gateway_device_errors_total", (("device", "meter-4-104"), ("link", "meters"), ("reason", "timeout"))] == 12  # fmt: skip
    assert found["gateway_store_dropped_total", (("reason", "store_stalled"),)] == 120
    listed = DOCS.read_text(encoding="utf-8")
    names = [line.split()[2] for line in text.decode().splitlines() if line.startswith("# TYPE")]
    assert len(names) > 20
    assert not [name for name in names if f"`{name}`" not in listed]


def test_names_with_quotes_and_line_breaks_stay_one_label() -> None:
    site = healthy()
    site.drivers["meters"].health.counters['a "b"\\\n'] = 3
    assert ("what", 'a "b"\\\n') in next(
        labels for name, labels in parsed(exposition(snapshot(site), None)) if name == "gateway_link_events_total"
    )  # fmt: skip


def test_the_devices_beyond_a_thousand_are_added_up() -> None:
    site = Site()
    site.link("meters")
    for number in range(MOST_DEVICES + 5):
        name = f"m-{number}"
        site.device(name)
        told = DeviceHealth(good=2)
        told.errors["timeout"] = 1
        site.drivers["meters"].devices[name] = told
    found = parsed(exposition(snapshot(site), None))
    readings = {labels: n for (name, labels), n in found.items() if name == "gateway_device_readings_total"}  # fmt: skip
    assert len(readings) == MOST_DEVICES + 1
    assert readings[("device", "_other"), ("link", "_other")] == 10
    assert found["gateway_devices", ()] == MOST_DEVICES + 5


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ({}, "neither listen nor textfile"),
        ({"listen": "0.0.0.0:9464"}, "open to the network"),
        ({"listen": "192.0.2.1:9464"}, "open to the network"),
        ({"listen": "9464"}, "is no address"),
        ({"listen": "127.0.0.1:99999"}, "is no address"),
        ({"listen": 9464}, "is no address"),
    ],
)
def test_what_others_could_reach_is_refused(value: dict[str, object], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        MetricsSection.model_validate(value)


async def rest(reader: asyncio.StreamReader) -> bytes:
    """All that comes, nothing if it is reset."""
    try:
        return await reader.read()
    except ConnectionResetError:
        return b""


async def http(port: int, request: bytes) -> tuple[bytes, bytes]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request)
    answer = await rest(reader)
    writer.close()
    head, _, body = answer.partition(b"\r\n\r\n")
    return head, body


GET = b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n"


async def test_it_is_served_on_loopback_and_careless_askers_hurt_nobody() -> None:
    port = free_port()
    section = MetricsSection.model_validate({"listen": f"127.0.0.1:{port}"})
    metrics = Metrics(lambda: section, lambda: snapshot(healthy()))
    async with asyncio.TaskGroup() as group:
        task = group.create_task(metrics.run())
        await asyncio.sleep(0.05)
        head, body = await http(port, GET)
        assert head.startswith(b"HTTP/1.1 200 OK")
        assert b"application/openmetrics-text; version=1.0.0" in head
        assert parsed(body)["gateway_devices", ()] == 2
        assert (await http(port, GET.replace(b"GET", b"HEAD")))[1] == b""
        assert b"404" in (await http(port, GET.replace(b"/metrics", b"/etc/passwd")))[0]
        assert b"405" in (await http(port, GET.replace(b"GET", b"POST")))[0]
        assert await http(port, b"x" * 100_000 + b"\r\n\r\n") == (b"", b"")
        slow = [await asyncio.open_connection("127.0.0.1", port) for _ in range(MAX_CONNECTIONS)]
        await asyncio.sleep(0.05)
        assert b"503" in (await http(port, GET))[0]
        for reader, writer in slow:
            assert await rest(reader) == b"", "after 2 s nobody is waited for"
            writer.close()
        assert b"200" in (await http(port, GET))[0]
        task.cancel()


async def test_a_file_is_written_whole_and_a_changed_section_counts(tmp_path: Path) -> None:
    port = free_port()
    sections = [MetricsSection(textfile=tmp_path / "gateway.prom")]
    metrics = Metrics(lambda: sections[-1], lambda: snapshot(healthy()))
    async with asyncio.TaskGroup() as group:
        task = group.create_task(metrics.run())
        await until((tmp_path / "gateway.prom").exists)
        assert ("gateway_health", ()) in parsed((tmp_path / "gateway.prom").read_bytes())
        assert [path.name for path in tmp_path.iterdir()] == ["gateway.prom"]
        sections.append(MetricsSection.model_validate({"listen": f"127.0.0.1:{port}"}))
        await asyncio.sleep(1.2)
        assert b"200" in (await http(port, GET))[0]
        task.cancel()


async def test_a_port_that_is_taken_is_logged_and_stops_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    port = free_port()
    other = await asyncio.start_server(lambda _r, w: w.close(), "127.0.0.1", port)
    section = MetricsSection.model_validate({"listen": f"127.0.0.1:{port}"})
    async with other, asyncio.TaskGroup() as group:
        task = group.create_task(Metrics(lambda: section, lambda: snapshot(healthy())).run())
        await until(lambda: "not served" in caplog.text)
        assert not task.done()
        task.cancel()
